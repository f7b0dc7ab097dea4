/** The bytes that these tests speak with, checked against `mqtt-packet`: a test that speaks wrongly shows nothing. */
import mqtt from 'mqtt-packet'
import { expect, test } from 'vitest'
import { type Packet, PacketReader, type Props, packet, T } from '../support/mqtt-packets.js'

const all: Props = {
  userProperties: [
    ['a', '1'],
    ['a', '2'],
  ],
  reasonString: 'why',
}

function parsed(bytes: Buffer): Record<string, unknown> {
  const got: unknown[] = []
  const parser = mqtt.parser({ protocolVersion: 5 })
  parser.on('packet', (p) => got.push(p))
  parser.on('error', (error) => got.push(error))
  parser.parse(bytes)
  expect(got).toHaveLength(1)
  return got[0] as Record<string, unknown>
}

function read(p: unknown): Packet {
  const got: Packet[] = []
  new PacketReader(5).push(mqtt.generate(p as mqtt.Packet, { protocolVersion: 5 }), (one) => got.push(one))
  expect(got).toHaveLength(1)
  return got[0]
}

test('what we write, mqtt-packet reads as MQTT 5', () => {
  const connect = packet.connect({
    protocol: 5,
    client_id: 'c',
    keepalive_s: 7,
    username: 'u',
    properties: { sessionExpiryInterval: 70_000, receiveMaximum: 3, topicAliasMaximum: 9, requestProblemInformation: 0 },
    will: { topic: 'w', payload: 'gone', qos: 1, properties: { willDelayInterval: 5, contentType: 'text' } },
  })
  expect(parsed(connect)).toMatchObject({
    cmd: 'connect',
    protocolVersion: 5,
    clientId: 'c',
    keepalive: 7,
    username: 'u',
    properties: { sessionExpiryInterval: 70_000, receiveMaximum: 3, topicAliasMaximum: 9, requestProblemInformation: false },
    will: { topic: 'w', qos: 1, properties: { willDelayInterval: 5, contentType: 'text' } },
  })
  const props: Props = {
    payloadFormatIndicator: 1,
    messageExpiryInterval: 300,
    correlationData: Buffer.from([0, 255]),
    topicAlias: 4,
  }
  expect(parsed(packet.publish('t', 'x', { qos: 2, id: 258, properties: props }))).toMatchObject({
    cmd: 'publish',
    topic: 't',
    payload: Buffer.from('x'),
    messageId: 258,
    properties: { ...props, payloadFormatIndicator: true },
  })
  expect(parsed(packet.subscribe(9, [['a/#', 0b0010_1101]], { subscriptionIdentifiers: [268_435_455] }))).toMatchObject({
    cmd: 'subscribe',
    messageId: 9,
    subscriptions: [{ topic: 'a/#', qos: 1, nl: true, rap: true, rh: 2 }],
    properties: { subscriptionIdentifier: 268_435_455 },
  })
  expect(parsed(packet.unsubscribe(9, ['a', 'b'], {}))).toMatchObject({ cmd: 'unsubscribe', unsubscriptions: ['a', 'b'] })
  for (const [type, cmd] of [
    [T.PUBACK, 'puback'],
    [T.PUBREC, 'pubrec'],
    [T.PUBREL, 'pubrel'],
    [T.PUBCOMP, 'pubcomp'],
  ] as const)
    expect(parsed(packet.ack(type, 5, 0, all))).toMatchObject({
      cmd,
      messageId: 5,
      reasonCode: 0,
      properties: { reasonString: 'why' },
    })
  expect(parsed(packet.reason(T.DISCONNECT, 4, all))).toMatchObject({ cmd: 'disconnect', reasonCode: 4 })
  expect(parsed(packet.reason(T.AUTH, 0x18, { authenticationMethod: 'm', authenticationData: Buffer.from('d') }))).toMatchObject({
    cmd: 'auth',
    reasonCode: 0x18,
    properties: { authenticationMethod: 'm', authenticationData: Buffer.from('d') },
  })
})

test('what mqtt-packet writes as MQTT 5, we read', () => {
  const user = { userProperties: { a: ['1', '2'] }, reasonString: 'why' }
  expect(
    read({ cmd: 'connack', reasonCode: 0, sessionPresent: true, properties: { serverKeepAlive: 6, maximumQoS: 1 } }),
  ).toMatchObject({
    type: T.CONNACK,
    present: true,
    code: 0,
    properties: { serverKeepAlive: 6, maximumQoS: 1 },
  })
  expect(
    read({
      cmd: 'publish',
      topic: 't',
      payload: 'x',
      qos: 1,
      messageId: 3,
      dup: false,
      retain: true,
      properties: { subscriptionIdentifier: [1, 200], responseTopic: 'r', correlationData: Buffer.from([1]) },
    }),
  ).toMatchObject({
    topic: 't',
    id: 3,
    retain: true,
    payload: Buffer.from('x'),
    properties: { subscriptionIdentifiers: [1, 200], responseTopic: 'r', correlationData: Buffer.from([1]) },
  })
  for (const cmd of ['suback', 'unsuback'] as const)
    expect(read({ cmd, messageId: 3, granted: [0, 0x80, 2], properties: user })).toMatchObject({
      id: 3,
      codes: [0, 0x80, 2],
      properties: all,
    })
  for (const cmd of ['puback', 'pubrec', 'pubrel', 'pubcomp'] as const) {
    expect(read({ cmd, messageId: 3, reasonCode: 0x92, properties: user })).toMatchObject({ id: 3, code: 0x92, properties: all })
    expect(read({ cmd, messageId: 3 })).toMatchObject({ id: 3, code: 0, properties: {} })
  }
  expect(read({ cmd: 'disconnect', reasonCode: 0x8e, properties: { serverReference: 's' } })).toMatchObject({
    type: T.DISCONNECT,
    code: 0x8e,
    properties: { serverReference: 's' },
  })
  expect(read({ cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'm' } })).toMatchObject({
    type: T.AUTH,
    code: 0x18,
    properties: { authenticationMethod: 'm' },
  })
})
