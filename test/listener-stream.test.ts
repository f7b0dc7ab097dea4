import * as net from 'node:net'
import { Duplex, PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { type Log, silentLog } from '../src/core/log.js'
import { CLOSE_MS_MAX, Closing } from '../src/listeners/closing.js'
import { acceptStream } from '../src/listeners/stream.js'
import { ManualClock } from './support/clock.js'
import { connect, once, Recorder, readBytes } from './support/transports.js'

/** Two ends of one connection in memory. */
function pair(): [Side, Side] {
  const a = new Side()
  const b = new Side()
  a.other = b
  b.other = a
  return [a, b]
}

class Side extends Duplex {
  other: Side | undefined
  /** Set: a write is not done until this is called. */
  held: (() => void) | undefined
  hold = false
  /** What was written, by reference: a careless stream that keeps buffers. */
  readonly kept: Buffer[] = []

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.kept.push(chunk)
    const go = (): void => {
      this.other?.push(chunk)
      done()
    }
    if (this.hold) this.held = go
    else go()
  }

  override _final(done: () => void): void {
    this.other?.push(null)
    done()
  }
}

function accept(stream: Duplex, request: unknown = undefined, log: Log = silentLog) {
  const clock = new ManualClock()
  const closing = new Closing(clock)
  let recorder: Recorder | undefined
  const transport = acceptStream(stream, request, {
    accept: (t) => {
      recorder = new Recorder(t)
      return recorder
    },
    closing,
    log,
  })
  return { transport, recorder: recorder as Recorder, clock, closing }
}

describe('a connection over any Duplex', () => {
  it('carries bytes both ways', async () => {
    const [near, far] = pair()
    const request = { url: '/mqtt' }
    const { transport, recorder } = accept(near, request)
    expect(transport.stream).toBe(near)
    expect(transport.request).toBe(request)
    expect(transport.remote).toBe('stream')
    far.write('hello')
    await recorder.until(() => recorder.bytes === 5)
    expect(recorder.text).toBe('hello')
    const got = readBytes(far, 2)
    transport.write(Buffer.from('ok'))
    expect((await got).toString()).toBe('ok')
  })

  it('takes strings and plain Uint8Arrays for bytes', async () => {
    const stream = new PassThrough({ objectMode: true })
    const { recorder } = accept(stream)
    stream.write('\u00ff\u0000')
    stream.write(Uint8Array.of(1, 2))
    await recorder.until(() => recorder.bytes === 4)
    expect([...Buffer.concat(recorder.chunks)]).toEqual([255, 0, 1, 2])
  })

  it('copies, so that a buffer may be used again although the stream keeps what it was given', () => {
    const [near] = pair()
    const { transport } = accept(near)
    const slab = Buffer.from('one')
    expect(transport.write(slab)).toBe(true)
    slab.fill('x')
    expect(near.kept[0]?.toString()).toBe('one')
  })

  it('counts what waits and says when it has left', async () => {
    const [near, far] = pair()
    far.resume()
    const { transport, recorder } = accept(near)
    near.hold = true
    expect(transport.write(Buffer.alloc(10))).toBe(false)
    expect(transport.write(Buffer.alloc(5))).toBe(false)
    expect(transport.pendingBytes).toBe(15)
    near.held?.()
    await turn()
    expect(recorder.drains).toBe(0)
    near.held?.()
    await recorder.until(() => recorder.drains === 1)
    expect(transport.pendingBytes).toBe(0)
  })

  it('pauses and resumes', async () => {
    const [near, far] = pair()
    const { transport, recorder } = accept(near)
    far.write('a')
    await recorder.until(() => recorder.bytes === 1)
    transport.pause()
    far.write('b')
    await turn()
    expect(recorder.bytes).toBe(1)
    transport.resume()
    await recorder.until(() => recorder.bytes === 2)
  })

  it('closes in order when the other side ends', async () => {
    const [near, far] = pair()
    far.resume()
    const { recorder, clock } = accept(near)
    far.end('bye')
    await recorder.until(() => recorder.closes.length > 0)
    expect(recorder.text).toBe('bye')
    expect(recorder.closes).toEqual([undefined])
    expect(far.readableEnded).toBe(true)
    expect(clock.pending).toBe(0)
  })

  it('sends what is pending when it ends, and closes once', async () => {
    const [near, far] = pair()
    const { transport, recorder } = accept(near)
    const got = readBytes(far, 4)
    transport.write(Buffer.from('last'))
    transport.end()
    transport.end()
    expect(transport.write(Buffer.from('dropped'))).toBe(true)
    expect((await got).toString()).toBe('last')
    far.end()
    await recorder.until(() => recorder.closes.length > 0)
    expect(recorder.closes).toEqual([undefined])
    expect(near.destroyed).toBe(true)
  })

  it('cuts off a side that never closes, at the bound', async () => {
    const [near] = pair()
    const { transport, recorder, clock } = accept(near)
    near.hold = true
    transport.write(Buffer.from('stuck'))
    transport.end()
    clock.advance(CLOSE_MS_MAX - 1)
    expect(near.destroyed).toBe(false)
    clock.advance(1)
    expect(near.destroyed).toBe(true)
    await recorder.until(() => recorder.closes.length > 0)
    expect(recorder.closes).toEqual([undefined])
  })

  it("passes the stream's own error on, once", async () => {
    const [near] = pair()
    const { recorder } = accept(near)
    near.destroy(new Error('cable cut'))
    await recorder.until(() => recorder.closes.length > 0)
    await turn()
    expect(recorder.closes.map((e) => e?.message)).toEqual(['cable cut'])
  })

  it('releases a stream that does not do so itself', async () => {
    const stream = new Duplex({ autoDestroy: false, read() {}, write: (_c, _e, done) => done() })
    const { recorder } = accept(stream)
    stream.push(null)
    await recorder.until(() => recorder.closes.length > 0)
    expect(stream.destroyed).toBe(true)
  })

  it('notices the end of a stream that never emits close', async () => {
    const stream = new Duplex({ emitClose: false, read() {}, write: (_c, _e, done) => done() })
    const { transport, recorder } = accept(stream)
    transport.end()
    stream.push(null)
    await recorder.until(() => recorder.closes.length > 0)
    expect(recorder.closes).toEqual([undefined])
  })

  it('closes a connection whose handler throws', async () => {
    const errors: object[] = []
    const [near, far] = pair()
    const { recorder } = accept(near, undefined, { ...silentLog, error: (fields) => errors.push(fields) })
    recorder.onData = () => {
      throw new Error('a bug')
    }
    far.write('x')
    await recorder.until(() => recorder.closes.length > 0)
    expect(recorder.closes[0]?.message).toBe('a bug')
    expect(errors.length).toBe(1)
  })

  it('works over a socket that somebody else accepted', async () => {
    const server = net.createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const accepted = once(server, 'connection')
    const client = await connect((server.address() as net.AddressInfo).port)
    const { transport, recorder } = accept((await accepted) as net.Socket)
    expect(transport.remote).toBe(`127.0.0.1:${client.localPort}`)
    client.write('in')
    await recorder.until(() => recorder.bytes === 2)
    const got = readBytes(client, 3)
    expect(transport.write(Buffer.from('out'))).toBe(true)
    expect((await got).toString()).toBe('out')
    client.resetAndDestroy()
    await recorder.until(() => recorder.closes.length > 0)
    expect((recorder.closes[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET')
    server.close()
  })
})

describe('the bound on closing', () => {
  it('keeps one timer, and none when all have gone', () => {
    const clock = new ManualClock()
    const closing = new Closing(clock)
    const cut: string[] = []
    const a = { destroy: () => cut.push('a') }
    const b = { destroy: () => cut.push('b') }
    const c = { destroy: () => cut.push('c') }
    closing.add(a)
    clock.advance(1_000)
    closing.add(b)
    clock.advance(3_500)
    closing.add(c)
    closing.add(a)
    expect(clock.pending).toBe(1)
    clock.advance(500)
    expect(cut).toEqual(['a'])
    clock.advance(2_000)
    expect(cut).toEqual(['a', 'b'])
    expect(closing.size).toBe(1)
    closing.remove(c)
    closing.remove(c)
    expect(clock.pending).toBe(0)
    clock.advance(60_000)
    expect(cut).toEqual(['a', 'b'])
  })
})

/** One turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
