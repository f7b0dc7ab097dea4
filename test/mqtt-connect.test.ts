import { describe, expect, it } from 'vitest'
import { type ConnectPacket, readConnect } from '../src/mqtt/connect.js'
import { PacketFault } from '../src/mqtt/faults.js'
import { Frame, readFrame } from '../src/mqtt/frame.js'

interface Parts {
  name: string
  level: number
  flags: number
  /** Everything from the client identifier on (version 5: from the property length on), in hex. */
  rest: string
}

const string = (text: string) => {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]).toString('hex')
}
const ID = string('c1')

function bytesOf({ name, level, flags, rest }: Parts): Buffer {
  const body = Buffer.from(`${string(name)}${Buffer.of(level, flags, 0, 60).toString('hex')}${rest.replaceAll(' ', '')}`, 'hex')
  if (body.length > 127) throw new Error('too long for this helper')
  return Buffer.concat([Buffer.of(0x10, body.length), body])
}

function read(parts: Partial<Parts>): ConnectPacket {
  const buf = bytesOf({ name: 'MQTT', level: 4, flags: 0x02, rest: ID, ...parts })
  const frame = new Frame()
  expect(readFrame(buf, 0, buf.length, 0, frame)).toBe(1)
  const packet = readConnect(buf, frame)
  // Whatever was returned is ours: the read buffer may be used again.
  buf.fill(0xff)
  return packet
}

function fault(parts: Partial<Parts>): unknown {
  try {
    return read(parts)
  } catch (error) {
    if (!(error instanceof PacketFault)) throw error
    return [error.reason, error.connackCode, error.version]
  }
}

const MQTT31 = { name: 'MQIsdp', level: 3 }
const MQTT5 = { level: 5 }
const none = { will: undefined, username: undefined, password: undefined, properties: undefined }

describe('readConnect reads', () => {
  it('the three versions', () => {
    expect(read({})).toEqual({ version: 4, clientId: 'c1', bridge: false, clean: true, keepalive_s: 60, ...none })
    expect(read({ ...MQTT31, flags: 0 })).toEqual({
      version: 3,
      clientId: 'c1',
      bridge: false,
      clean: false,
      keepalive_s: 60,
      ...none,
    })
    expect(read({ ...MQTT5, rest: `00 ${ID}` })).toEqual({
      version: 5,
      clientId: 'c1',
      bridge: false,
      clean: true,
      keepalive_s: 60,
      ...none,
      properties: {},
    })
  })

  it('will, user name and password', () => {
    const rest = `${ID}${string('w/t')}${string('gone')}${string('user')}${string('\u0000pw')}`
    const packet = { username: 'user', password: Buffer.from('\0pw'), properties: undefined }
    expect(read({ flags: 0xee, rest })).toMatchObject({
      ...packet,
      will: { topic: 'w/t', payload: Buffer.from('gone'), qos: 1, retain: true, properties: undefined },
    })
    expect(read({ ...MQTT31, flags: 0xd4, rest })).toMatchObject({ ...packet, will: { qos: 2, retain: false } })
  })

  it('properties of CONNECT and of its will', () => {
    const packet = read({ ...MQTT5, flags: 0x06, rest: `05 11 00000e10 ${ID} 05 18 0000000a ${string('t')} 0000` })
    expect(packet.properties).toEqual({ sessionExpiryInterval: 3600 })
    expect(packet.will).toEqual({
      topic: 't',
      payload: Buffer.alloc(0),
      qos: 0,
      retain: false,
      properties: { willDelayInterval: 10 },
    })
  })

  it('a password without user name in version 5', () => {
    expect(read({ ...MQTT5, flags: 0x42, rest: `00 ${ID}${string('pw')}` })).toMatchObject({
      username: undefined,
      password: Buffer.from('pw'),
    })
  })

  it('an empty client identifier with a clean session, in version 5 always', () => {
    expect(read({ rest: '0000' }).clientId).toBe('')
    expect(read({ ...MQTT5, flags: 0, rest: '00 0000' }).clientId).toBe('')
  })

  it('what MQTT 3.1 leaves free: bit 0, will bits without a will, user name and password that are announced and missing', () => {
    expect(read({ ...MQTT31, flags: 0x03 }).clean).toBe(true)
    expect(read({ ...MQTT31, flags: 0x2a })).toMatchObject({ will: undefined })
    expect(read({ ...MQTT31, flags: 0xc2 })).toMatchObject({ username: undefined, password: undefined })
    expect(read({ ...MQTT31, flags: 0xc2, rest: ID + string('u') })).toMatchObject({ username: 'u', password: undefined })
  })

  it('the bridge bit, in 3.1 and 3.1.1', () => {
    expect(read({ level: 0x84 })).toMatchObject({ version: 4, bridge: true })
    expect(read({ ...MQTT31, level: 0x83 })).toMatchObject({ version: 3, bridge: true })
    expect(read({})).toMatchObject({ version: 4, bridge: false })
  })

  it('client identifiers of any length in MQTT 3.1, as devices send them', () => {
    expect(read({ ...MQTT31, rest: string('x'.repeat(23)) }).clientId).toHaveLength(23)
    expect(read({ ...MQTT31, rest: string('x'.repeat(28)) }).clientId).toHaveLength(28)
    expect(read({ ...MQTT31, rest: string('\u{1F600}'.repeat(24)) }).clientId).toHaveLength(48)
    expect(fault({ ...MQTT31, rest: '0000' })).toEqual([0x85, 2, 3])
    expect(read({ rest: string('x'.repeat(24)) }).clientId).toHaveLength(24)
  })
})

describe('readConnect refuses', () => {
  it.each([
    ['a protocol name that is not ours, without an answer [MQTT-3.1.2-1]', { name: 'MQTx' }, [0x84, 0, 0]],
    ['the name in another case', { name: 'mqtt' }, [0x84, 0, 0]],
    ['level 6 [MQTT-3.1.2-2]', { level: 6 }, [0x84, 1, 4]],
    ['level 0', { level: 0 }, [0x84, 1, 4]],
    ['MQTT with the level of MQIsdp', { level: 3 }, [0x84, 1, 4]],
    ['MQIsdp with the level of MQTT', { name: 'MQIsdp', level: 4 }, [0x84, 1, 4]],
    ['the bridge bit with a level that has none', { level: 0x85 }, [0x84, 1, 4]],
    ['the bridge bit with a level of another name', { level: 0x83 }, [0x84, 1, 4]],
    ['the reserved flag [MQTT-3.1.2-3]', { flags: 0x03 }, [0x81, 0, 4]],
    ['will QoS 3 [MQTT-3.1.2-14]', { flags: 0x1e, rest: `${ID}${string('t')}0000` }, [0x81, 0, 4]],
    ['will QoS 3 in 3.1', { ...MQTT31, flags: 0x1e, rest: `${ID}${string('t')}0000` }, [0x81, 0, 3]],
    ['will QoS without a will [MQTT-3.1.2-13]', { flags: 0x0a }, [0x81, 0, 4]],
    ['will retain without a will [MQTT-3.1.2-15]', { flags: 0x22 }, [0x81, 0, 4]],
    ['a password without user name [MQTT-3.1.2-22]', { flags: 0x42, rest: ID + string('pw') }, [0x82, 0, 4]],
    ['a password without user name in 3.1', { ...MQTT31, flags: 0x42, rest: ID + string('pw') }, [0x82, 0, 3]],
    ['an empty identifier that wants a session [MQTT-3.1.3-8]', { flags: 0, rest: '0000' }, [0x85, 2, 4]],
    ['no identifier at all', { rest: '' }, [0x81, 0, 4]],
    ['an identifier that is not UTF-8 [MQTT-3.1.3-4]', { rest: '0002 c328' }, [0x81, 0, 4]],
    ['an identifier with U+0000', { rest: '0002 6100' }, [0x81, 0, 4]],
    ['a will topic that is not UTF-8 [MQTT-3.1.3-10]', { flags: 0x06, rest: `${ID} 0001 ff 0000` }, [0x81, 0, 4]],
    ['a user name that is not UTF-8 [MQTT-3.1.3-11]', { flags: 0x82, rest: `${ID} 0001 ff` }, [0x81, 0, 4]],
    ['a will that is announced and missing', { flags: 0x06 }, [0x81, 0, 4]],
    ['a user name that is announced and missing', { flags: 0x82 }, [0x81, 0, 4]],
    ['a password that is announced and missing', { flags: 0xc2, rest: ID + string('u') }, [0x81, 0, 4]],
    ['bytes after the last field', { rest: `${ID} 00` }, [0x81, 0, 4]],
    ['bytes after the last field in 3.1', { ...MQTT31, rest: `${ID} 00` }, [0x81, 0, 3]],
    ['a property of another packet', { ...MQTT5, rest: `02 0101 ${ID}` }, [0x81, 0, 5]],
    [
      'a CONNECT property in the will',
      { ...MQTT5, flags: 0x06, rest: `00 ${ID} 05 11 00000000 ${string('t')}0000` },
      [0x81, 0, 5],
    ],
    ['receive maximum 0', { ...MQTT5, rest: `03 21 0000 ${ID}` }, [0x82, 0, 5]],
    ['a property block that is longer than the packet', { ...MQTT5, rest: '7f 11 00000000' }, [0x81, 0, 5]],
  ])('%s', (_name, parts, expected) => {
    expect(fault(parts)).toEqual(expected)
  })
})
