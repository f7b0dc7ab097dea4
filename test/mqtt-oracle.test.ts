/**
 * `mqtt-packet` 9.0.2 as the oracle of both directions: what it writes we read with the same meaning, what we write it reads so.
 *
 * Where it and the standard disagree, we follow the standard, and the tests of each packet say so. It
 * - accepts packet identifier 0, SUBSCRIBE and UNSUBSCRIBE without a filter, ill-formed UTF-8 and U+0000, bytes after the last field of
 *   CONNECT and of the acks, acks of a wrong length in 3.1.1, and a DISCONNECT with a body there;
 * - accepts will QoS 3, a password without a user name in 3.1.1, protocol name and level that do not belong together ('MQTT' 3,
 *   'MQIsdp' 4), mosquitto's bridge bit, DUP with QoS 0, Remaining Length and property lengths longer than needed;
 * - holds MQTT 3.1 to 3.1.1's rules for flags, and wants the user name that a 3.1 client may announce and not send;
 * - lets a property come in any packet, twice (as an array), with any value, over the end of its block, and AUTH data without method;
 * - takes a flag property's any value but 0 for true;
 * - reports user properties as an object, so order over names is lost, and loses an empty value that is followed by one of its name;
 * - writes no password without a user name and no empty client identifier without Clean Start in version 5, which allows both;
 * - reads the reason code of an empty DISCONNECT from the packet after it, and refuses an empty AUTH.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as type from '../src/mqtt/constants.js'
import * as encode from '../src/mqtt/encode.js'
import * as sample from './mqtt-arbitraries.js'

const SUBACK_REASONS = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]
const UNSUBACK_REASONS = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]
const packetId = fc.integer({ min: 1, max: 0xffff })
const runs = { numRuns: 150 }

/** A packet in a larger buffer: offsets that are right only at 0 would show. */
function embedded(packet: Buffer): { buf: Buffer; start: number; end: number } {
  return { buf: Buffer.concat([Buffer.alloc(7, 0xff), packet, Buffer.alloc(5, 0xff)]), start: 7, end: 7 + packet.length }
}

function same(packet: Buffer, version: number): void {
  const { buf, start, end } = embedded(packet)
  const oracle = sample.oracleRead(packet, version)
  // An ack's and nothing else's properties are checked and dropped by our reader.
  if (['puback', 'pubrec', 'pubrel', 'pubcomp'].includes(String(oracle.cmd))) delete oracle.properties
  expect(sample.ourRead(buf, version, start, end)).toEqual(oracle)
}

describe.each(sample.VERSIONS)('version %i: read as mqtt-packet wrote it', (version) => {
  const kinds = {
    CONNECT: sample.connectPacket(version),
    PUBLISH: sample.publishPacket(version),
    acks: sample.ackPacket(version),
    SUBSCRIBE: sample.subscribePacket(version),
    UNSUBSCRIBE: sample.unsubscribePacket(version),
    DISCONNECT: sample.disconnectPacket(version),
  }
  it.each(Object.entries(kinds))('%s', (_name, packets) => {
    fc.assert(
      fc.property(packets, (packet) => same(sample.generate(packet, version), version)),
      runs,
    )
  })
})

describe('version 5: read as mqtt-packet wrote it', () => {
  it('AUTH', () => {
    fc.assert(
      fc.property(sample.authPacket(), (packet) => same(sample.generate(packet, 5), 5)),
      runs,
    )
  })
})

describe.each(sample.VERSIONS)('version %i: mqtt-packet reads what we write', (version) => {
  const properties = (packetType: number) => sample.propertiesOf(packetType)
  /** Ours as the oracle should see them. */
  const seen = (given: Parameters<typeof sample.oracleProperties>[0]) =>
    version === 5 ? sample.oracleProperties(given) : undefined
  const five = <T>(value: T): T | undefined => (version === 5 ? value : undefined)

  it('CONNACK', () => {
    const code = version === 5 ? fc.constantFrom(0, 0x81, 0x85, 0x9f) : fc.integer({ min: 0, max: 5 })
    fc.assert(
      fc.property(code, fc.boolean(), properties(type.CONNACK), (given, present, block) => {
        const read = sample.oracleRead(encode.connack(version, given, present, block), version)
        const sessionPresent = present && given === 0 && version !== 3
        const codes = version === 5 ? { reasonCode: given } : { returnCode: given }
        expect(read).toEqual({ cmd: 'connack', sessionPresent, ...codes, properties: seen(block) })
      }),
      runs,
    )
  })

  it('SUBACK', () => {
    const codes = fc.array(fc.constantFrom(...(version === 5 ? SUBACK_REASONS : [0, 1, 2, 0x80])), {
      minLength: 1,
      maxLength: 200,
    })
    fc.assert(
      fc.property(packetId, codes, properties(type.SUBACK), (messageId, granted, block) => {
        const read = sample.oracleRead(encode.suback(version, messageId, granted, block), version)
        expect(read).toEqual({ cmd: 'suback', messageId, granted, properties: seen(block) })
      }),
      runs,
    )
  })

  it('UNSUBACK', () => {
    const codes = fc.array(fc.constantFrom(...UNSUBACK_REASONS), { minLength: 1, maxLength: 200 })
    fc.assert(
      fc.property(packetId, codes, properties(type.UNSUBACK), (messageId, granted, block) => {
        const read = sample.oracleRead(encode.unsuback(version, messageId, granted, block), version)
        expect(read).toEqual({ cmd: 'unsuback', messageId, granted: five(granted), properties: seen(block) })
      }),
      runs,
    )
  })

  it('PUBACK, PUBREC, PUBREL, PUBCOMP', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 7 }),
        packetId,
        fc.nat(),
        fc.option(properties(type.PUBACK)),
        (kind, messageId, pick, block) => {
          const reasons = kind <= type.PUBREC ? sample.ACK_REASONS : sample.RELEASE_REASONS
          const reasonCode = reasons[pick % reasons.length]
          const packet = block
            ? encode.ack(version, kind, messageId, reasonCode, block)
            : encode.ack(version, kind, messageId, reasonCode)
          const meaning = { cmd: sample.TYPE_NAMES[kind], messageId, reasonCode: five(reasonCode) }
          expect(sample.oracleRead(packet, version)).toEqual({ ...meaning, properties: seen(block ?? {}) })
          expect(sample.ourRead(packet, version)).toEqual(meaning)
          if (version !== 5 || (reasonCode === 0 && seen(block ?? {}) === undefined)) {
            const inPlace = Buffer.alloc(6, 0xee)
            expect(encode.writeAck(inPlace, 1, kind, messageId)).toBe(5)
            expect(inPlace).toEqual(Buffer.concat([Buffer.of(0xee), packet, Buffer.of(0xee)]))
          }
        },
      ),
      runs,
    )
  })

  it('PUBLISH put together by hand', () => {
    fc.assert(
      fc.property(sample.publishPacket(version), (packet) => {
        const wanted = sample.generate(packet, version)
        const body = wanted.subarray(wanted.findIndex((byte, i) => i > 0 && byte < 0x80) + 1)
        const ours = Buffer.alloc(encode.publishHeaderBytes(body.length) + body.length)
        ours[0] = wanted[0]
        body.copy(ours, encode.writeRemainingLength(ours, 1, body.length))
        expect(ours).toEqual(wanted)
      }),
      runs,
    )
  })

  it('PINGRESP', () => {
    expect(sample.oracleRead(encode.pingresp(), version)).toEqual({ cmd: 'pingresp' })
  })
})

describe('version 5: mqtt-packet reads what we write', () => {
  it('DISCONNECT and AUTH', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0x00, 0x04, 0x81, 0x8b, 0x8e, 0xa2),
        sample.propertiesOf(type.DISCONNECT),
        (reasonCode, block) => {
          const packet = encode.disconnect(reasonCode, block)
          const meaning = { cmd: 'disconnect', reasonCode, properties: sample.oracleProperties(block) }
          expect(sample.oracleRead(packet, 5)).toEqual(meaning)
          expect(sample.ourRead(packet, 5)).toEqual(meaning)
        },
      ),
      runs,
    )
    fc.assert(
      fc.property(fc.constantFrom(0x00, 0x18, 0x19), sample.propertiesOf(type.AUTH), (reasonCode, block) => {
        const packet = encode.auth(reasonCode, block)
        const meaning = { cmd: 'auth', reasonCode, properties: sample.oracleProperties(block) }
        expect(sample.oracleRead(packet, 5)).toEqual(meaning)
        expect(sample.ourRead(packet, 5)).toEqual(meaning)
      }),
      runs,
    )
  })
})
