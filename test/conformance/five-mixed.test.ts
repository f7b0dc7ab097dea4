/** MQTT 3.1.1 and MQTT 5 on the same topics, and one session that goes from one to the other. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  arrived,
  type ClockedBroker,
  delivered,
  MqttClient,
  packet,
  type QoS,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'
import { join, options, type Props, said } from './five.js'

let b: ClockedBroker
let old: MqttClient
let five: MqttClient
beforeAll(async () => {
  b = await startClocked()
  old = await MqttClient.connect(b.port, { client_id: 'old' })
  five = await join(b.port, 'five')
})
afterAll(() => b.close())

const LONG = { sessionExpiryInterval: 3600 }
const properties: Props = { contentType: 'c', correlationData: Buffer.from('d'), userProperties: [['a', 'b']] }

describe('one publishes, the other hears', () => {
  test('from 3.1.1 to 5: live, stored and retained, without properties', async () => {
    const stored = await join(b.port, 'five-stored', { clean: false, properties: LONG })
    await stored.subscribeWith({ subscriptionIdentifiers: [5] }, ['up/#', 2])
    await stored.disconnect()
    await five.subscribe(['up/#', 2])
    for (const qos of [0, 1, 2] as const) {
      await old.publishAndWait(`up/${qos}`, `${qos}`, { qos, retain: true })
      const p = await five.expect(T.PUBLISH)
      expect([p.topic, `${p.payload}`, p.qos, p.properties]).toEqual([`up/${qos}`, `${qos}`, qos, {}])
    }
    const back = await join(b.port, 'five-stored', { clean: false, properties: LONG })
    for (const qos of [1, 2]) {
      const p = await back.expect(T.PUBLISH)
      expect([p.topic, `${p.payload}`, p.qos, p.properties]).toEqual([
        `up/${qos}`,
        `${qos}`,
        qos,
        { subscriptionIdentifiers: [5] },
      ])
    }
    await back.disconnect()
    const late = await join(b.port, 'five-late')
    await late.subscribe(['up/+', 2])
    expect((await delivered(late)).sort()).toEqual(['up/0 0 q0 retain', 'up/1 1 q1 retain', 'up/2 2 q2 retain'])
    await late.disconnect()
  })

  test('from 5 to 3.1.1: live, stored and retained, byte for byte what 3.1.1 knows', async () => {
    const stored = await MqttClient.connect(b.port, { client_id: 'old-stored', clean: false })
    await stored.subscribe(['down/#', 2])
    await stored.disconnect()
    const got: Buffer[] = []
    await old.subscribe(['down/#', 2])
    old.socket.on('data', (chunk: Buffer) => got.push(chunk))
    await five.publishAndWait('down/0', 'zero', { qos: 0, retain: true, properties })
    await old.expect(T.PUBLISH)
    expect(Buffer.concat(got).equals(packet.publish('down/0', 'zero'))).toBe(true)
    for (const qos of [1, 2] as const) {
      await five.publishAndWait(`down/${qos}`, `${qos}`, { qos, retain: true, properties: { ...properties, topicAlias: qos } })
      await five.publishAndWait('', 'alias', { qos, properties: { ...properties, topicAlias: qos } })
    }
    expect(await delivered(old)).toEqual(['down/1 1 q1', 'down/1 alias q1', 'down/2 2 q2', 'down/2 alias q2'])
    const back = await MqttClient.connect(b.port, { client_id: 'old-stored', clean: false })
    expect(await delivered(back)).toEqual(['down/1 1 q1', 'down/1 alias q1', 'down/2 2 q2', 'down/2 alias q2'])
    await back.disconnect()
    const late = await MqttClient.connect(b.port, { client_id: 'old-late' })
    await late.subscribe(['down/+', 2])
    expect((await delivered(late)).sort()).toEqual(['down/0 zero q0 retain', 'down/1 1 q1 retain', 'down/2 2 q2 retain'])
    await late.disconnect()
  })

  test('a message that expires does so for both', async () => {
    const stored = await MqttClient.connect(b.port, { client_id: 'old-expiry', clean: false })
    await stored.subscribe(['expiry', 1])
    await stored.disconnect()
    await five.publishAndWait('expiry', 'short', { qos: 1, properties: { messageExpiryInterval: 5 } })
    await five.publishAndWait('expiry', 'long', { qos: 1, properties: { messageExpiryInterval: 500 } })
    b.clock.advance(60_000)
    const back = await MqttClient.connect(b.port, { client_id: 'old-expiry', clean: false })
    expect(await delivered(back)).toEqual(['expiry long q1'])
    await back.disconnect()
  })

  test('wills cross over, too', async () => {
    await old.subscribe(['wills', 1])
    await five.subscribe(['wills', 1])
    const a = await MqttClient.connect(b.port, { client_id: 'dying-old', will: { topic: 'wills', payload: 'old', qos: 1 } })
    const z = await join(b.port, 'dying-five', {
      will: { topic: 'wills', payload: 'five', qos: 1, properties: { contentType: 'c' } },
    })
    a.destroy()
    expect(await old.expect(T.PUBLISH)).toMatchObject({ topic: 'wills', payload: Buffer.from('old') })
    expect(await five.expect(T.PUBLISH)).toMatchObject({ topic: 'wills', payload: Buffer.from('old'), properties: {} })
    z.destroy()
    expect(await old.expect(T.PUBLISH)).toMatchObject({ topic: 'wills', payload: Buffer.from('five') })
    expect(await five.expect(T.PUBLISH)).toMatchObject({
      topic: 'wills',
      payload: Buffer.from('five'),
      properties: { contentType: 'c' },
    })
  })

  test('in one stream the order is kept, whoever says it in which version', async () => {
    await old.subscribe(['stream', 1])
    await five.subscribe(['stream', 1])
    for (let n = 0; n < 100; n++) await (n % 2 === 0 ? old : five).publishAndWait('stream', `${n}`, { qos: 1 })
    const all = Array.from({ length: 100 }, (_, n) => `stream ${n} q1`)
    expect(await delivered(old)).toEqual(all)
    expect(await delivered(five)).toEqual(all)
  })
})

describe('one session, two versions', () => {
  const asOld = (o = {}) => MqttClient.connect(b.port, { client_id: 'changes', clean: false, auto_ack: false, ...o })
  const asFive = (o = {}) => join(b.port, 'changes', { clean: false, auto_ack: false, properties: LONG, ...o })
  const say = (payload: string, qos: QoS = 1) =>
    five.publishAndWait('changes', payload, { qos, properties: { contentType: payload } })

  test('subscriptions, waiting messages and open handshakes go along, both ways', async () => {
    const first = await asOld()
    await first.subscribe(['changes', 2])
    await say('one', 2)
    const one = await first.next()
    first.send(packet.pubrec(one.id))
    await first.expect(T.PUBREL)
    await first.disconnect()
    await say('two')

    const second = await asFive()
    expect(second.connack?.present).toBe(true)
    const again = [await second.next(), await second.next()]
    expect(again.map((p) => p.type).sort()).toEqual([T.PUBLISH, T.PUBREL])
    expect(again.find((p) => p.type === T.PUBREL)).toMatchObject({ id: one.id })
    const two = again.find((p) => p.type === T.PUBLISH)
    expect(two).toMatchObject({ dup: false, properties: { contentType: 'two' } })
    second.send(packet.pubcomp(one.id))
    // Options of MQTT 5 come in with it, and stay out of the way of the other version.
    await second.subscribeWith({ subscriptionIdentifiers: [3] }, ['changes', options({ qos: 2, asPublished: true })])
    await second.disconnect()
    await say('three')

    const third = await asOld()
    expect(third.connack?.present).toBe(true)
    const rest = (await arrived(third)).map((p) => [`${p.payload}`, p.dup])
    expect(rest).toEqual([
      ['two', true],
      ['three', false],
    ])
    await third.disconnect()
    const fourth = await asFive()
    const p = [await fourth.next(), await fourth.next()]
    expect(p.map((x) => [`${x.payload}`, x.dup, x.properties])).toEqual([
      ['two', true, { contentType: 'two' }],
      ['three', true, { contentType: 'three', subscriptionIdentifiers: [3] }],
    ])
    await fourth.disconnect()
  })

  test('a QoS 2 message from the client is known on the other version as well', async () => {
    await five.subscribe(['received', 2])
    const first = await asFive()
    first.send(packet.publish('received', 'x', { qos: 2, id: 9, properties: {} }))
    await first.expect(T.PUBREC)
    await first.disconnect()
    const second = await asOld()
    second.send(packet.publish('received', 'x', { qos: 2, id: 9, dup: true }))
    await second.expect(T.PUBREC)
    second.send(packet.pubrel(9))
    await second.expect(T.PUBCOMP)
    await second.disconnect()
    expect(await delivered(five)).toEqual(['received x q2'])
  })

  test('each version takes over from the other; only MQTT 5 is told why', async () => {
    const first = await asFive()
    const second = await asOld()
    expect(said((await untilClosed(first)).filter((p) => p.type === T.DISCONNECT))).toEqual(['DISCONNECT 8e'])
    const third = await asFive()
    expect((await untilClosed(second)).filter((p) => p.type === T.DISCONNECT)).toEqual([])
    await third.disconnect()
  })

  test('how long it stays is what the last connection asked for', async () => {
    const first = await asFive({ properties: { sessionExpiryInterval: 0 } })
    await first.disconnect()
    const second = await asOld()
    expect(second.connack?.present).toBe(false)
    await second.disconnect()
    const third = await asFive({ properties: { sessionExpiryInterval: 0 } })
    expect(third.connack?.present).toBe(true)
    await third.disconnect()
    const fourth = await asOld({ clean: true })
    expect(fourth.connack?.present).toBe(false)
    await fourth.disconnect()
  })
})
