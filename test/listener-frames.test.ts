/** Frames in front of `ws`, against its own receiver: what it would have said of them, said as they come. */
import type { Writable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as ws from 'ws'
import { FRAME_BYTES_MAX, FrameCutter } from '../src/listeners/frames.js'
import { WS, wsFrame } from './support/raw-websocket.js'

const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable }

interface Heard {
  /** Payload of binary messages so far, and control frames and texts with how many bytes came before each. */
  readonly bytes: Buffer
  readonly others: string[]
  readonly largest: number
  readonly messages: number
  readonly error: string | undefined
}

/** `chunks` are copied: they are unmasked in place. */
async function hear(chunks: readonly Buffer[], cut: boolean): Promise<Heard> {
  const receiver = new Receiver({ isServer: true, maxPayload: cut ? FRAME_BYTES_MAX : 2 ** 31 - 1 })
  const parts: Buffer[] = []
  const others: string[] = []
  let [length, largest] = [0, 0]
  let error: string | undefined
  receiver.on('message', (data: Buffer, isBinary: boolean) => {
    if (!isBinary) {
      others.push(`${length} text ${data}`)
      return
    }
    parts.push(Buffer.from(data))
    length += data.length
    largest = Math.max(largest, data.length)
  })
  for (const name of ['ping', 'pong']) receiver.on(name, (data: Buffer) => others.push(`${length} ${name} ${data}`))
  receiver.on('conclude', (code: number) => others.push(`${length} close ${code}`))
  receiver.on('error', (e: Error) => {
    error = (e as NodeJS.ErrnoException).code
  })
  const cutter = new FrameCutter((bytes) => receiver.write(bytes))
  for (const chunk of chunks) {
    const copy = Buffer.from(chunk)
    if (cut) cutter.take(copy)
    else if (!receiver.writableEnded) receiver.write(copy)
    // As in `ws`, which reads no more after an error or a close frame.
    await new Promise(setImmediate)
    if (error !== undefined) break
  }
  return { bytes: Buffer.concat(parts), others, largest, messages: parts.length, error }
}

const mask = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes))
const payload = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes))
const control = fc
  .tuple(fc.constantFrom(WS.ping, WS.pong), payload(20), mask)
  .map(([opcode, bytes, key]) => wsFrame(opcode, bytes, { mask: key }))
/** One message in parts, with control frames between them. */
const message = (opcode: fc.Arbitrary<number>) =>
  fc
    .tuple(opcode, fc.array(fc.tuple(payload(300), mask, fc.array(control, { maxLength: 1 })), { minLength: 1, maxLength: 5 }))
    .map(([kind, parts]) =>
      Buffer.concat(
        parts.flatMap(([bytes, key, between], i) => {
          const fin = i === parts.length - 1
          const text = kind === WS.text ? Buffer.alloc(bytes.length, 'x') : bytes
          return [wsFrame(i === 0 ? kind : WS.continuation, text, { fin, mask: key }), ...(fin ? [] : between)]
        }),
      ),
    )
const any = fc
  .tuple(fc.integer({ min: 0, max: 15 }), fc.boolean(), fc.constantFrom(0, 0, 0, 4), payload(130), fc.option(mask))
  .map(([opcode, fin, reserved, bytes, key]) => wsFrame(opcode, bytes, { fin, reserved, mask: key }))
const close = fc.constant(wsFrame(WS.close, Buffer.from([3, 232])))

/** The bytes, cut where `cuts` says. */
function chunksOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, z) => a - z)
  return [0, ...places].map((at, i) => bytes.subarray(at, places[i] ?? bytes.length))
}
const cuts = fc.array(fc.nat(), { maxLength: 12 })

describe('frames that are cut in front of ws', () => {
  test('say the same as they are, however they come', async () => {
    const frames = fc.array(fc.oneof({ weight: 4, arbitrary: message(fc.constantFrom(WS.binary, WS.text)) }, control), {
      maxLength: 8,
    })
    await fc.assert(
      fc.asyncProperty(frames, fc.boolean(), close, cuts, async (parts, ends, last, at) => {
        const chunks = chunksOf(Buffer.concat(ends ? [...parts, last, ...parts] : parts), at)
        const [whole, cut] = [await hear(chunks, false), await hear(chunks, true)]
        expect([cut.bytes.equals(whole.bytes), cut.error, whole.error]).toEqual([true, undefined, undefined])
        // Between the parts of a message ws hears a control frame before the message: it has none of its bytes yet.
        const names = (heard: Heard): string[] => heard.others.map((other) => other.replace(/^\d+ /, ''))
        expect(names(cut)).toEqual(names(whole))
      }),
      { numRuns: 150 },
    )
  })

  test('are refused as they would be', async () => {
    const frames = fc.array(fc.oneof(message(fc.constant(WS.binary)), any), { minLength: 1, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(frames, cuts, async (parts, at) => {
        const chunks = chunksOf(Buffer.concat(parts), at)
        const [whole, cut] = [await hear(chunks, false), await hear(chunks, true)]
        expect(cut.error === undefined).toBe(whole.error === undefined)
        // What came in parts of a message that was refused is heard, and no more.
        expect(cut.bytes.subarray(0, whole.bytes.length).equals(whole.bytes)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('keep the bytes of any length, in stretches within the bound', async () => {
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 65_537, 200_003]) {
      const bytes = Buffer.alloc(length)
      for (let i = 0; i < length; i++) bytes[i] = i * 7 + (i >> 8)
      const frame = wsFrame(WS.binary, bytes, { mask: Buffer.from([1, 2, 3, 4]) })
      for (const size of [13, 1_001, 65_536, frame.length]) {
        if (frame.length / size > 5_000) continue
        const chunks: Buffer[] = []
        for (let at = 0; at < frame.length; at += size) chunks.push(frame.subarray(at, at + size))
        const heard = await hear(chunks, true)
        expect([heard.bytes.equals(bytes), heard.error, heard.others]).toEqual([true, undefined, []])
        expect(heard.largest).toBeLessThanOrEqual(FRAME_BYTES_MAX)
      }
    }
  })

  test('of a length that no number holds are refused', async () => {
    const frame = wsFrame(WS.binary, Buffer.alloc(0), { length: 2 ** 53 })
    expect((await hear([frame], true)).error).toBe('WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH')
  })

  test('that are small and whole are passed on as they came, without a copy', () => {
    const passed: Buffer[] = []
    const cutter = new FrameCutter((bytes) => passed.push(bytes) > 0)
    const small = Buffer.concat([
      wsFrame(WS.binary, Buffer.alloc(20)),
      wsFrame(WS.ping, Buffer.alloc(0)),
      wsFrame(WS.binary, Buffer.alloc(300)),
    ])
    cutter.take(small)
    expect(passed).toEqual([small])
    expect(passed[0]).toBe(small)
  })

  test('keep nothing of a frame that never ends, nor of a message', () => {
    let [held, calls] = [0, 0]
    const cutter = new FrameCutter((bytes) => {
      calls++
      held = Math.max(held, bytes.length)
      return true
    })
    cutter.take(wsFrame(WS.binary, Buffer.alloc(0), { length: 2 ** 50 }))
    for (let i = 0; i < 1_000; i++) cutter.take(Buffer.alloc(10_000))
    expect([held, calls]).toEqual([10_000, 2_000])
    const parts = new FrameCutter(() => true)
    for (let i = 0; i < 1_000; i++) parts.take(wsFrame(i === 0 ? WS.binary : WS.continuation, Buffer.alloc(10), { fin: false }))
    expect((parts as unknown as { head: Buffer | null }).head).toBeNull()
  })

  test('say when the receiver would like a pause', () => {
    for (const nth of [0, 1, 2, 3]) {
      let count = 0
      const cutter = new FrameCutter(() => count++ !== nth)
      const chunk = Buffer.concat([
        wsFrame(WS.ping, Buffer.alloc(0)),
        wsFrame(WS.binary, Buffer.alloc(5), { fin: false }),
        wsFrame(WS.ping, Buffer.alloc(0)),
      ])
      expect(cutter.take(chunk)).toBe(false)
    }
  })
})
