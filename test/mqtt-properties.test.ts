import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AqueductError } from '../src/core/errors.js'
import * as type from '../src/mqtt/constants.js'
import { PacketFault } from '../src/mqtt/faults.js'
import {
  type Properties,
  PublishProperties,
  readProperties,
  scanPublishProperties,
  writeProperties,
} from '../src/mqtt/properties.js'
import { isAllowedIn, PROPERTIES } from '../src/mqtt/property-table.js'
import { propertiesOf } from './mqtt-arbitraries.js'

function read(hex: string, packetType: number): Properties | number {
  const block = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  try {
    return readProperties(block, 0, block.length, packetType)
  } catch (fault) {
    if (!(fault instanceof PacketFault)) throw fault
    return fault.reason
  }
}

describe('the table of properties', () => {
  it('is that of the standard [MQTT 5.0 table 2-4]', () => {
    const initials = ['', 'C', 'c', 'P', '1', '2', '3', '4', 'S', 's', 'U', 'u', '', '', 'D', 'A', 'W']
    const rows = PROPERTIES.map((property) => {
      const packets = initials.filter((_initial, packetType) => isAllowedIn(property, packetType)).join('')
      return `${property.id} ${property.form} ${packets}`
    })
    expect(rows).toEqual([
      '1 flag PW',
      '2 u32 PW',
      '3 string PW',
      '8 string PW',
      '9 binary PW',
      '11 identifiers PS',
      '17 u32 CcD',
      '18 string c',
      '19 u16 c',
      '21 string CcA',
      '22 binary CcA',
      '23 flag C',
      '24 u32 W',
      '25 flag C',
      '26 string c',
      '28 string cD',
      '31 string c1234suDA',
      '33 u16 Cc',
      '34 u16 Cc',
      '35 u16 P',
      '36 bit c',
      '37 flag c',
      '38 pairs CcP1234SsUuDAW',
      '39 u32 Cc',
      '40 flag c',
      '41 flag c',
      '42 flag c',
    ])
  })
})

describe('readProperties', () => {
  const types = [
    type.CONNECT,
    type.CONNACK,
    type.PUBLISH,
    type.PUBREC,
    type.SUBSCRIBE,
    type.UNSUBSCRIBE,
    type.DISCONNECT,
    type.AUTH,
    type.WILL,
  ]
  it.each(types)('reads what writeProperties wrote, packet type %i', (packetType) => {
    fc.assert(
      fc.property(propertiesOf(packetType), (properties) => {
        const block = writeProperties(properties)
        const embedded = Buffer.concat([Buffer.alloc(2, 0xff), block, Buffer.alloc(2, 0xff)])
        const read = readProperties(embedded, 2, 2 + block.length, packetType)
        embedded.fill(0)
        expect(read).toStrictEqual(properties)
      }),
      { numRuns: 100 },
    )
  })

  it('keeps user properties in order, over names and with empty values', () => {
    const userProperties: [string, string][] = [
      ['b', ''],
      ['a', '1'],
      ['b', '2'],
      ['__proto__', 'x'],
    ]
    const block = writeProperties({ userProperties })
    expect(readProperties(block, 0, block.length, type.PUBLISH)).toEqual({ userProperties })
  })

  it.each([
    ['identifier 0', '00', type.PUBLISH, 0x81],
    ['an unknown identifier', '04 00', type.PUBLISH, 0x81],
    ['an identifier above the table', '2b 00', type.CONNACK, 0x81],
    ['an identifier of two bytes', '81 00 01', type.PUBLISH, 0x81],
    ['one of another packet', '11 00000001', type.PUBLISH, 0x81],
    ['a will property in PUBLISH', '18 00000001', type.PUBLISH, 0x81],
    ['one given twice', '01 00 01 00', type.PUBLISH, 0x82],
    ['one given twice with value 0', '22 0000 22 0000', type.CONNECT, 0x82],
    ['a flag of 2', '01 02', type.PUBLISH, 0x82],
    ['maximum QoS 2', '24 02', type.CONNACK, 0x82],
    ['receive maximum 0', '21 0000', type.CONNECT, 0x82],
    ['maximum packet size 0', '27 00000000', type.CONNECT, 0x82],
    ['topic alias 0', '23 0000', type.PUBLISH, 0x94],
    ['subscription identifier 0', '0b 00', type.PUBLISH, 0x82],
    ['subscription identifier longer than needed', '0b 81 00', type.PUBLISH, 0x81],
    ['subscription identifier of five bytes', '0b 80 80 80 80 01', type.PUBLISH, 0x81],
    ['a response topic with +', '08 0001 2b', type.PUBLISH, 0x82],
    ['a response topic with #', '08 0003 612f23', type.WILL, 0x82],
    ['a string that is not UTF-8', '03 0001 ff', type.PUBLISH, 0x81],
    ['a user property name with U+0000', '26 0001 00 0000', type.PUBLISH, 0x81],
    ['a user property value that is not UTF-8', '26 0001 61 0001 c0', type.PUBLISH, 0x81],
    ['a user property without value', '26 0001 61', type.PUBLISH, 0x81],
    ['a string beyond the block', '03 0002 61', type.PUBLISH, 0x81],
    ['a number beyond the block', '02 000001', type.PUBLISH, 0x81],
    ['authentication data without method', '16 0001 61', type.CONNECT, 0x82],
  ])('refuses %s', (_name, hex, packetType, reason) => {
    expect(read(hex, packetType)).toBe(reason)
    if (packetType !== type.PUBLISH) return
    const block = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    expect(scanPublishProperties(block, 0, block.length, new PublishProperties())).toBe(reason)
  })

  it('lets only PUBLISH and user properties repeat', () => {
    expect(read('0b01 0b02', type.PUBLISH)).toEqual({ subscriptionIdentifiers: [1, 2] })
    expect(read('0b01 0b02', type.SUBSCRIBE)).toBe(0x82)
  })
})

describe('writeProperties', () => {
  it('writes nothing for nothing', () => {
    expect(writeProperties({})).toHaveLength(0)
    expect(writeProperties({ userProperties: [], subscriptionIdentifiers: [] })).toHaveLength(0)
  })

  it.each([
    ['a string of 65,536 bytes', { reasonString: 'é'.repeat(32_768) }],
    ['U+0000 in a string', { reasonString: 'a\0b' }],
    ['U+0000 in a user property', { userProperties: [['a', '\0']] }],
    ['binary of 65,536 bytes', { correlationData: Buffer.alloc(65_536) }],
    ['receive maximum 0', { receiveMaximum: 0 }],
    ['a number above its width', { topicAliasMaximum: 65_536 }],
    ['a fraction', { messageExpiryInterval: 1.5 }],
    ['maximum QoS 2', { maximumQoS: 2 }],
    ['subscription identifier 0', { subscriptionIdentifiers: [0] }],
    ['a subscription identifier above four bytes', { subscriptionIdentifiers: [268_435_456] }],
  ] as [string, Properties][])('refuses %s', (_name, properties) => {
    expect(() => writeProperties(properties)).toThrow(AqueductError)
  })

  it('writes the largest of each', () => {
    const properties = { reasonString: 'x'.repeat(65_535), sessionExpiryInterval: 0xffffffff, receiveMaximum: 65_535 }
    const block = writeProperties(properties)
    expect(readProperties(block, 0, block.length, type.CONNACK)).toEqual(properties)
  })
})
