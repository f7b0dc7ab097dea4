/**
 * Hostile bytes: whatever is cut, altered or made up, a reader answers or throws a `PacketFault`, and never looks at a byte
 * beyond the packet. The seed is fixed so that a run can be repeated; FUZZ_SEED and FUZZ_RUNS ask for another and a longer one.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PUBLISH } from '../src/mqtt/constants.js'
import { writeRemainingLength } from '../src/mqtt/encode.js'
import { PacketFault } from '../src/mqtt/faults.js'
import { Frame, readFrame } from '../src/mqtt/frame.js'
import {
  copyPublishProperties,
  type Properties,
  PublishProperties,
  readProperties,
  scanPublishProperties,
  writeProperties,
} from '../src/mqtt/properties.js'
import * as sample from './mqtt-arbitraries.js'

const runs = { seed: Number(process.env.FUZZ_SEED ?? 20_261), numRuns: Number(process.env.FUZZ_RUNS ?? 100) }

/** A packet with these first byte and body, then `tail`, which no reader may look at. */
function packetWith(first: number, body: Uint8Array, tail: Uint8Array): { buf: Buffer; end: number } {
  const buf = Buffer.alloc(5 + body.length + tail.length)
  buf[0] = first
  const bodyStart = writeRemainingLength(buf, 1, body.length)
  buf.set(body, bodyStart)
  buf.set(tail, bodyStart + body.length)
  return { buf: buf.subarray(0, bodyStart + body.length + tail.length), end: bodyStart + body.length }
}

/** What is read, or the fault as data; anything else that is thrown goes through and fails the test. */
function outcome(buf: Buffer, version: number, end: number): unknown {
  try {
    return sample.ourRead(buf, version, 0, end)
  } catch (fault) {
    if (!(fault instanceof PacketFault)) throw fault
    expect(fault.reason).toBeGreaterThanOrEqual(0x80)
    expect([0, 1, 2]).toContain(fault.connackCode)
    return { reason: fault.reason, connackCode: fault.connackCode, text: fault.text, version: fault.version }
  }
}

/** The outcome must not depend on what follows the packet, nor on there being anything. */
function steadyOutcome(first: number, body: Uint8Array, version: number, rest: Uint8Array): unknown {
  const tails = [new Uint8Array(0), rest, new Uint8Array(8), new Uint8Array(8).fill(0xff), new Uint8Array(8).fill(0x41)]
  const outcomes = tails.map((tail) => {
    const { buf, end } = packetWith(first, body, tail)
    return outcome(buf, version, end)
  })
  for (const other of outcomes.slice(1)) expect(other).toEqual(outcomes[0])
  return outcomes[0]
}

function bodyOf(packet: Buffer): Buffer {
  return packet.subarray(packet.findIndex((byte, i) => i > 0 && byte < 0x80) + 1)
}

function isFault(result: unknown): boolean {
  return typeof result === 'object' && result !== null && 'connackCode' in result
}

describe.each(sample.VERSIONS)('version %i', (version) => {
  it('a packet that has not arrived whole is waited for', () => {
    fc.assert(
      fc.property(sample.clientPacket(version), (packet) => {
        const bytes = sample.generate(packet, version)
        const headerEnd = bytes.length - bodyOf(bytes).length
        const frame = new Frame()
        for (let end = 0; end <= bytes.length; end++) {
          // Beyond `end` lies what would make the header malformed or longer.
          const buf = Buffer.concat([bytes.subarray(0, end), Buffer.alloc(6, 0xff)])
          const result = readFrame(buf, 0, end, version, frame)
          expect(result).toBe(end < headerEnd ? 0 : 1)
          if (result === 1) expect([frame.bodyStart, frame.bodyEnd]).toEqual([headerEnd, bytes.length])
        }
      }),
      { ...runs, numRuns: Math.ceil(runs.numRuns / 3) },
    )
  })

  it('a body cut at any byte is a fault or a shorter packet', () => {
    fc.assert(
      fc.property(sample.clientPacket(version), (packet) => {
        const bytes = sample.generate(packet, version)
        const body = bodyOf(bytes)
        const step = Math.max(1, Math.floor(body.length / 200))
        for (let cut = 0; cut < body.length; cut += step) {
          const result = steadyOutcome(bytes[0], body.subarray(0, cut), version, body.subarray(cut))
          // These have a field of fixed place or a count at their end: cut, they are never right. (A 3.1 CONNECT may lack user name and password.)
          if (packet.cmd === 'connect' && version !== 3) expect(isFault(result)).toBe(true)
        }
      }),
      { ...runs, numRuns: Math.ceil(runs.numRuns / 10) },
    )
  })

  it('random bytes of any type', () => {
    const bodies = fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.array(fc.integer({ min: 0, max: 43 }), { maxLength: 40 }))
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), bodies, (first, body) => {
        steadyOutcome(first, Uint8Array.from(body), version, Uint8Array.of(1, 2, 3))
      }),
      { ...runs, numRuns: runs.numRuns * 10 },
    )
  })

  it('a valid packet with some bytes altered: refused, or read as mqtt-packet reads it', () => {
    const change = fc.record({
      at: fc.nat(),
      to: fc.oneof(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 })),
    })
    fc.assert(
      fc.property(sample.clientPacket(version), fc.array(change, { minLength: 1, maxLength: 3 }), (packet, changes) => {
        const bytes = sample.generate(packet, version)
        const body = Buffer.from(bodyOf(bytes))
        for (const { at, to } of changes) if (body.length > 0) body[at % body.length] = to
        const ours = steadyOutcome(bytes[0], body, version, Uint8Array.of(9))
        if (isFault(ours) || version === 3) return
        const { buf } = packetWith(bytes[0], body, new Uint8Array(0))
        const theirs = sample.oracleRead(buf, version)
        // Our ack reader drops properties.
        if (/^pub(ack|rec|rel|comp)$/.test(String(theirs.cmd))) delete theirs.properties
        expect(withoutUserProperties(ours as sample.Meaning)).toEqual(withoutUserProperties(theirs))
      }),
      { ...runs, numRuns: runs.numRuns * 3 },
    )
  })
})

/** `mqtt-packet` loses user properties after an empty one of the same name (unaltered ones are compared in mqtt-oracle.test.ts). */
function withoutUserProperties(packet: sample.Meaning): sample.Meaning {
  const copy = { ...packet }
  for (const key of ['properties', 'will']) {
    const inner = copy[key]
    if (typeof inner === 'object' && inner !== null) copy[key] = withoutUserProperties({ ...inner })
  }
  delete copy.userProperties
  return copy
}

describe('the property block of PUBLISH as bytes', () => {
  /** As `readProperties` sees the block: the reason, or the properties. */
  function whole(block: Buffer, start: number, end: number): number | Properties {
    try {
      return readProperties(block, start, end, PUBLISH)
    } catch (fault) {
      if (!(fault instanceof PacketFault)) throw fault
      return fault.reason
    }
  }

  // One for all, as a connection has it: nothing of the block before may linger.
  const scan = new PublishProperties()

  function check(bytes: Uint8Array): number {
    const block = Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(6, 1)])
    const [start, end] = [3, 3 + bytes.length]
    const reason = scanPublishProperties(block, start, end, scan)
    const read = whole(block, start, end)
    if (typeof read === 'number') {
      expect(reason).toBe(read)
      return reason
    }
    expect(reason).toBe(0)
    expect(scan.topicAlias).toBe(read.topicAlias ?? 0)
    expect(scan.messageExpiryInterval).toBe(read.messageExpiryInterval ?? -1)
    expect(scan.payloadFormat).toBe(read.payloadFormatIndicator ? 1 : 0)
    expect(scan.hasSubscriptionIdentifier).toBe(read.subscriptionIdentifiers !== undefined)
    const copy = Buffer.alloc(scan.keptBytes + 4, 0xee)
    expect(copyPublishProperties(block, start, end, copy, 2)).toBe(2 + scan.keptBytes)
    expect([copy[0], copy[1], copy.readUInt16BE(copy.length - 2)]).toEqual([0xee, 0xee, 0xeeee])
    const { topicAlias: _a, messageExpiryInterval: _m, subscriptionIdentifiers: _s, ...kept } = read
    expect(whole(copy, 2, 2 + scan.keptBytes)).toEqual(kept)
    return 0
  }

  it('valid, in any order: judged and copied as the full reader sees it', () => {
    fc.assert(
      fc.property(sample.propertiesOf(PUBLISH), fc.infiniteStream(fc.nat()), (properties, dice) => {
        const parts = Object.entries(properties).map(([name, value]) => writeProperties({ [name]: value } as Properties))
        const shuffled = parts.map((part) => ({ part, rank: dice.next().value })).sort((a, b) => a.rank - b.rank)
        expect(check(Buffer.concat(shuffled.map(({ part }) => part)))).toBe(0)
      }),
      runs,
    )
  })

  it('altered, cut, doubled or random: the same verdict and the same reason', () => {
    const blocks = sample.propertiesOf(PUBLISH).map((properties) => writeProperties(properties))
    const altered = fc.tuple(blocks, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([block, at, to]) => {
      if (block.length > 0) block[at % block.length] = to
      return block
    })
    const cut = fc.tuple(blocks, fc.nat()).map(([block, at]) => block.subarray(0, at % (block.length + 1)))
    const doubled = fc.tuple(blocks, blocks).map((pair) => Buffer.concat(pair))
    const random = fc
      .array(fc.constantFrom(0, 0, 0, 1, 1, 2, 3, 8, 9, 11, 35, 35, 38, 0x80, 65), { maxLength: 24 })
      .map((list) => Buffer.from(list))
    fc.assert(
      fc.property(fc.oneof(altered, cut, doubled, random), (block) => {
        check(block)
      }),
      { ...runs, numRuns: runs.numRuns * 10 },
    )
  })
})
