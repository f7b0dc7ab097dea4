import { describe, expect, it } from 'vitest'
import { readAuth } from '../src/mqtt/auth.js'
import { readDisconnect } from '../src/mqtt/disconnect.js'
import { PacketFault } from '../src/mqtt/faults.js'
import { Frame, readFrame } from '../src/mqtt/frame.js'
import { readSubscribe, readUnsubscribe } from '../src/mqtt/subscribe.js'

function with_<T>(reader: (buf: Buffer, frame: Frame, version: number) => T): (bytes: string, version?: number) => T | number {
  return (bytes, version = 4) => {
    const buf = Buffer.from(bytes.replaceAll(' ', ''), 'hex')
    const frame = new Frame()
    expect(readFrame(buf, 0, buf.length, version, frame)).toBe(1)
    expect(frame.bodyEnd).toBe(buf.length)
    try {
      return reader(buf, frame, version)
    } catch (fault) {
      if (!(fault instanceof PacketFault)) throw fault
      return fault.reason
    }
  }
}

const plain = { noLocal: false, retainAsPublished: false, retainHandling: 0 }

describe('readSubscribe', () => {
  const read = with_(readSubscribe)

  it('reads filters in order', () => {
    expect(read('82 0e 000a 0003 612f62 01 0003 632f23 02')).toEqual({
      packetId: 10,
      subscriptions: [
        { filter: 'a/b', qos: 1, ...plain },
        { filter: 'c/#', qos: 2, ...plain },
      ],
      properties: undefined,
    })
  })

  it('reads the options and the identifier of version 5', () => {
    expect(read('82 0a 0001 03 0b8001 0001 61 2d', 5)).toEqual({
      packetId: 1,
      subscriptions: [{ filter: 'a', qos: 1, noLocal: true, retainAsPublished: true, retainHandling: 2 }],
      properties: { subscriptionIdentifiers: [128] },
    })
  })

  it('ignores the reserved bits in MQTT 3.1, which asks nobody to check them', () => {
    expect(read('82 06 0001 0001 61 fd', 3)).toMatchObject({ subscriptions: [{ qos: 1, ...plain }] })
  })

  it.each([
    ['identifier 0 [MQTT-2.3.1-1]', '82 06 0000 0001 61 00', 4, 0x82],
    ['no identifier', '82 00', 4, 0x81],
    ['no filter [MQTT-3.8.3-3]', '82 02 0001', 4, 0x82],
    ['no filter in version 5', '82 03 0001 00', 5, 0x82],
    ['QoS 3 [MQTT-3.8.3-4]', '82 06 0001 0001 61 03', 4, 0x82],
    ['QoS 3 in 3.1', '82 06 0001 0001 61 03', 3, 0x82],
    ['QoS 3 in version 5', '82 07 0001 00 0001 61 03', 5, 0x82],
    ['options of version 5 in 3.1.1', '82 06 0001 0001 61 04', 4, 0x81],
    ['a reserved bit in version 5 [MQTT-3.8.3-5]', '82 07 0001 00 0001 61 40', 5, 0x81],
    ['retain handling 3', '82 07 0001 00 0001 61 30', 5, 0x82],
    ['No Local on a shared subscription', '82 10 0001 00 000a 2473686172652f672f61 04', 5, 0x82],
    ['no option byte', '82 05 0001 0001 61', 4, 0x81],
    ['a filter longer than the packet', '82 06 0001 0003 61 00', 4, 0x81],
    ['a filter that is not UTF-8', '82 06 0001 0001 ff 00', 4, 0x81],
    ['a filter with U+0000', '82 06 0001 0001 00 00', 4, 0x81],
    ['two identifiers of a subscription', '82 0b 0001 04 0b01 0b02 0001 61 00', 5, 0x82],
    ['subscription identifier 0', '82 09 0001 02 0b00 0001 61 00', 5, 0x82],
  ])('refuses %s: %s, version %i', (_name, bytes, version, reason) => {
    expect(read(bytes, version)).toBe(reason)
  })

  it('allows No Local on what only looks shared', () => {
    expect(read('82 0d 0001 00 0007 24736861726564 04', 5)).toMatchObject({
      subscriptions: [{ filter: '$shared', noLocal: true }],
    })
  })
})

describe('readUnsubscribe', () => {
  const read = with_(readUnsubscribe)

  it('reads filters in order', () => {
    expect(read('a2 08 0001 0001 61 0001 62')).toEqual({ packetId: 1, filters: ['a', 'b'], properties: undefined })
    expect(read('a2 06 0001 00 0001 61', 5)).toEqual({ packetId: 1, filters: ['a'], properties: {} })
  })

  it.each([
    ['identifier 0', 'a2 05 0000 0001 61', 4, 0x82],
    ['no filter [MQTT-3.10.3-2]', 'a2 02 0001', 4, 0x82],
    ['a filter longer than the packet', 'a2 05 0001 0002 61', 4, 0x81],
    ['half a length', 'a2 03 0001 00', 4, 0x81],
    ['a filter that is not UTF-8', 'a2 05 0001 0001 80', 4, 0x81],
    ['a foreign property', 'a2 08 0001 02 0b01 0001 61', 5, 0x81],
  ])('refuses %s: %s, version %i', (_name, bytes, version, reason) => {
    expect(read(bytes, version)).toBe(reason)
  })
})

describe('readDisconnect', () => {
  const read = with_(readDisconnect)

  it.each([
    ['e0 00', 3, { reason: 0, properties: undefined }],
    ['e0 00', 4, { reason: 0, properties: undefined }],
    ['e0 00', 5, { reason: 0, properties: undefined }],
    ['e0 01 04', 5, { reason: 4, properties: undefined }],
    ['e0 02 04 00', 5, { reason: 4, properties: {} }],
    ['e0 07 00 05 11 00000005', 5, { reason: 0, properties: { sessionExpiryInterval: 5 } }],
    ['e0 01 00', 4, 0x81],
    ['e0 01 01', 5, 0x81],
    ['e0 02 00 01', 5, 0x81],
    ['e0 03 00 00 00', 5, 0x81],
    ['e0 04 00 02 0101', 5, 0x81],
  ])('%s, version %i', (bytes, version, expected) => {
    expect(read(bytes, version)).toEqual(expected)
  })
})

describe('readAuth', () => {
  const read = with_(readAuth)

  it.each([
    ['f0 00', { reason: 0, properties: undefined }],
    ['f0 06 18 04 15000178', { reason: 0x18, properties: { authenticationMethod: 'x' } }],
    [
      'f0 0a 19 08 15000178 16000161',
      { reason: 0x19, properties: { authenticationMethod: 'x', authenticationData: Buffer.from('a') } },
    ],
    ['f0 01 01', 0x81],
    ['f0 06 18 04 16000161', 0x82],
    ['f0 03 18 00 00', 0x81],
  ])('%s', (bytes, expected) => {
    expect(read(bytes, 5)).toEqual(expected)
  })
})
