/** PUBLISH of MQTT 5: what reaches subscribers and as what. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type ClockedBroker,
  delivered,
  type MqttClient,
  packet,
  type QoS,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'
import { join, options, type Props, said } from './five.js'

let b: ClockedBroker
let publisher: MqttClient
let reader: MqttClient
beforeAll(async () => {
  b = await startClocked()
  publisher = await join(b.port, 'publisher')
})
beforeEach(async () => {
  reader = await join(b.port, 'reader')
})
afterEach(() => reader.disconnect())
afterAll(() => b.close())

const say = (topic: string, payload = 'x', qos: QoS = 1, properties: Props = {}, more = {}) =>
  publisher.publishAndWait(topic, payload, { qos, properties, ...more })
const keep = (topic: string, payload: string, qos: QoS = 1) => say(topic, payload, qos, {}, { retain: true })

/** A stored session that is away: what it was subscribed to waits. */
async function away(client_id: string, filter: string, option: number, given?: Props): Promise<void> {
  const client = await join(b.port, client_id, { clean: false, properties: { sessionExpiryInterval: 3600 } })
  await client.subscribeWith(given ?? {}, [filter, option])
  await client.disconnect()
}
const back = (client_id: string, o = {}) =>
  join(b.port, client_id, { clean: false, properties: { sessionExpiryInterval: 3600 }, ...o })

/** All the properties of a message that are for its receivers. */
const MESSAGE: Props = {
  payloadFormatIndicator: 1,
  contentType: 'application/json; charset=utf-8',
  responseTopic: 'answers/to ä',
  correlationData: Buffer.from([0, 1, 255]),
  userProperties: [
    ['b', '2'],
    ['a', '1'],
    ['b', '1'],
    ['', ''],
    ['a', '1'],
  ],
}

describe('properties', () => {
  test('arrive as they were sent, in their order: live, stored, retained, at every QoS [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]', async () => {
    await away('properties', 'properties/+', 2)
    await reader.subscribe(['properties/+', 2])
    for (const qos of [0, 1, 2] as const) {
      await say(`properties/${qos}`, 'x', qos, MESSAGE, { retain: true })
      const live = await reader.expect(T.PUBLISH)
      expect([live.qos, live.properties]).toEqual([qos, MESSAGE])
    }
    const stored = await back('properties')
    for (const qos of [1, 2]) {
      const p = await stored.expect(T.PUBLISH)
      expect([p.qos, p.properties]).toEqual([qos, MESSAGE])
    }
    await stored.disconnect()
    const late = await join(b.port, 'late')
    await late.subscribe(['properties/+', 2])
    for (let n = 0; n < 3; n++) expect(await late.expect(T.PUBLISH)).toMatchObject({ retain: true, properties: MESSAGE })
    await late.disconnect()
  })

  test('a payload that says it is UTF-8 and is not: 0x99', async () => {
    await reader.subscribe(['format', 2])
    const bad = Buffer.from([0xc3, 0x28])
    const props = { payloadFormatIndicator: 1 }
    const client = await join(b.port, 'format', { auto_ack: false })
    client.send(packet.publish('format', bad, { qos: 1, id: 1, properties: props }))
    expect(await client.next()).toMatchObject({ type: T.PUBACK, id: 1, code: 0x99 })
    client.send(packet.publish('format', bad, { qos: 2, id: 2, properties: props }))
    expect(await client.next()).toMatchObject({ type: T.PUBREC, id: 2, code: 0x99 })
    // Not marked, it is bytes like any.
    client.send(packet.publish('format', bad, { qos: 1, id: 2, properties: { payloadFormatIndicator: 0 } }))
    expect(await client.next()).toMatchObject({ type: T.PUBACK, id: 2, code: 0 })
    client.send(packet.publish('format', bad, { properties: props }))
    expect(said(await untilClosed(client))).toEqual(['DISCONNECT 99'])
    expect((await reader.expect(T.PUBLISH)).payload).toEqual(bad)
    expect(await delivered(reader)).toEqual([])
  })
})

describe('message expiry', () => {
  test('what has expired is not delivered; what has not says what is left of it [MQTT-3.3.2-5] [MQTT-3.3.2-6]', async () => {
    await away('expiry', 'expiry/#', 2)
    for (const qos of [1, 2] as const) {
      await say('expiry/short', 'short', qos, { messageExpiryInterval: 10 })
      await say('expiry/long', 'long', qos, { messageExpiryInterval: 100 })
      await say('expiry/ever', 'ever', qos)
    }
    b.clock.advance(30_000)
    const client = await back('expiry')
    for (const qos of [1, 2]) {
      expect(await client.expect(T.PUBLISH)).toMatchObject({
        topic: 'expiry/long',
        qos,
        properties: { messageExpiryInterval: 70 },
      })
      const ever = await client.expect(T.PUBLISH)
      expect([ever.topic, ever.properties]).toEqual(['expiry/ever', {}])
    }
    expect(await delivered(client)).toEqual([])
    await client.disconnect()
  })

  test('a live delivery has all of it left, at every QoS', async () => {
    await reader.subscribe(['fresh', 2])
    for (const qos of [0, 1, 2] as const) {
      await say('fresh', 'x', qos, { messageExpiryInterval: 4_294_967_295 })
      expect(await reader.expect(T.PUBLISH)).toMatchObject({ qos, properties: { messageExpiryInterval: 4_294_967_295 } })
    }
  })

  test('a retained message expires, too, and says what is left of it', async () => {
    await say('expiring/a', 'a', 1, { messageExpiryInterval: 10 }, { retain: true })
    await say('expiring/b', 'b', 1, { messageExpiryInterval: 60 }, { retain: true })
    b.clock.advance(20_500)
    for (const qos of [0, 1]) {
      await reader.subscribe(['expiring/+', qos])
      const p = await reader.expect(T.PUBLISH)
      expect(p.topic).toBe('expiring/b')
      expect([39, 40]).toContain(p.properties.messageExpiryInterval)
      expect(await delivered(reader)).toEqual([])
    }
  })

  test('does not touch what was sent: a QoS 2 handshake ends as it began [MQTT-4.3.3-7] [MQTT-4.3.3-13]', async () => {
    await away('begun', 'begun', 2)
    await say('begun', 'x', 2, { messageExpiryInterval: 10 })
    const first = await back('begun', { auto_ack: false })
    const { id } = await first.expect(T.PUBLISH)
    b.clock.advance(60_000)
    first.send(packet.pubrec(id))
    expect(await first.next()).toMatchObject({ type: T.PUBREL, id, code: 0 })
    b.clock.advance(60_000)
    first.send(packet.pubcomp(id))
    await first.ping()
    await first.disconnect()
    // The same from the publisher's side: its message has expired before PUBREL.
    publisher.send(packet.publish('nobody', 'x', { qos: 2, id: 77, properties: { messageExpiryInterval: 1 } }))
    await publisher.expect(T.PUBREC, (p) => p.id === 77)
    b.clock.advance(60_000)
    publisher.send(packet.pubrel(77))
    expect(await publisher.expect(T.PUBCOMP)).toMatchObject({ id: 77, code: 0 })
  })
})

describe('topics and QoS', () => {
  test('what is delivered matches the filter, at the lower QoS of message and subscription [MQTT-3.3.2-3] [MQTT-3.8.4-8]', async () => {
    for (const granted of [0, 1, 2] as const) {
      await reader.subscribe(['down/+', granted])
      for (const qos of [0, 1, 2] as const) {
        await say('down/a', `${qos}`, qos)
        await say('down', `${qos}`, qos)
        await say('down/a/b', `${qos}`, qos)
      }
      await publisher.ping()
      expect(await delivered(reader)).toEqual([0, 1, 2].map((qos) => `down/a ${qos} q${Math.min(qos, granted)}`))
    }
  })

  test('each QoS has its answer, with the identifier of its PUBLISH [MQTT-3.3.4-1] [MQTT-2.2.1-5] [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.3.3-11]', async () => {
    await reader.subscribe(['answered', 0])
    const client = await join(b.port, 'answers', { auto_ack: false })
    client.send(
      Buffer.concat([
        packet.publish('answered', '0', { properties: {} }),
        packet.publish('answered', '1', { qos: 1, id: 65_535, properties: {} }),
        packet.publish('answered', '2', { qos: 2, id: 258, properties: {} }),
        packet.pubrel(258),
        packet.pingreq(),
      ]),
    )
    const got = [await client.next(), await client.next(), await client.next(), await client.next()]
    expect(got.map((p) => [p.type, p.id, p.code])).toEqual([
      [T.PUBACK, 65_535, 0],
      [T.PUBREC, 258, 0],
      [T.PUBCOMP, 258, 0],
      [T.PINGRESP, 0, 0],
    ])
    await client.disconnect()
  })

  test('a leading wildcard does not match a topic that begins with $ [MQTT-4.7.2-1]', async () => {
    const quiet = options({ handling: 2 })
    await reader.subscribe(['#', quiet], ['+/a', quiet])
    await say('$mine/a')
    await say('mine/a')
    await reader.unsubscribe('#', '+/a')
    expect(await delivered(reader)).toEqual(['mine/a x q0'])
    await reader.subscribe(['$mine/#', 0])
    await say('$mine/a')
    expect(await delivered(reader)).toEqual(['$mine/a x q0'])
  })

  test('no character is changed on the way, nor in matching [MQTT-4.7.3-4]', async () => {
    const topics = ['Case', 'case', 'case ', '\u00e9', 'e\u0301', '\ufeffcase', 'a//b', '/a', 'a/']
    for (const topic of topics) {
      await reader.subscribe([`same/${topic}`, 0])
      for (const other of topics) await say(`same/${other}`)
      expect(await delivered(reader)).toEqual([`same/${topic} x q0`])
      await reader.unsubscribe(`same/${topic}`)
    }
  })

  test('topic names and filters may have 65,535 bytes [MQTT-4.7.3-3]', async () => {
    const topic = 'l'.repeat(65_535)
    await reader.subscribe([topic, 1])
    await say(topic, 'x', 1, { contentType: 'c'.repeat(65_535) })
    const p = await reader.expect(T.PUBLISH)
    expect([p.topic.length, String(p.properties.contentType).length]).toEqual([65_535, 65_535])
  })

  test('deliveries of one publisher, topic and QoS keep their order [MQTT-4.6.0-5] [MQTT-4.6.0-6]', async () => {
    await away('order', 'order', 2)
    await reader.subscribe(['order', 2])
    const sent = Array.from({ length: 300 }, (_, n) =>
      packet.publish('order', `${n}`, { qos: (1 + (n % 2)) as QoS, id: n + 1, properties: { userProperties: [['n', `${n}`]] } }),
    )
    const client = await join(b.port, 'orderly', { onPacket: () => {} })
    client.onPacket = (p) => {
      if (p.type === T.PUBREC) client.send(packet.pubrel(p.id))
    }
    client.send(Buffer.concat(sent))
    const stored = await back('order')
    for (const c of [reader, stored]) {
      const last = [-1, -1]
      for (let n = 0; n < 300; n++) {
        const p = await c.expect(T.PUBLISH)
        const at = Number(p.payload)
        expect(p.properties.userProperties).toEqual([['n', `${at}`]])
        expect(at).toBeGreaterThan(last[p.qos - 1])
        last[p.qos - 1] = at
      }
    }
    await stored.disconnect()
    client.destroy()
  })

  test('DUP of a publisher is not handed on [MQTT-3.3.1-3]', async () => {
    await reader.subscribe(['dup', 2])
    for (const qos of [1, 2] as const)
      publisher.send(packet.publish('dup', 'x', { qos, id: 900 + qos, dup: true, properties: {} }))
    await publisher.expect(T.PUBACK)
    await publisher.expect(T.PUBREC)
    publisher.send(packet.pubrel(902))
    await publisher.expect(T.PUBCOMP)
    expect(await delivered(reader)).toEqual(['dup x q1', 'dup x q2'])
  })
})

describe('retained messages', () => {
  const replay = async (filter: string, option = options({ qos: 2 })): Promise<string[]> => {
    await reader.subscribe([filter, option])
    return (await delivered(reader)).sort()
  }

  test('the last one of a topic is kept and comes with a subscription [MQTT-3.3.1-5] [MQTT-3.3.1-9]', async () => {
    await keep('kept', 'one')
    await keep('kept', 'two', 2)
    await keep('kept', 'three', 0)
    expect(await replay('kept')).toEqual(['kept three q0 retain'])
  })

  test('an empty one is delivered, takes the former away and is not kept [MQTT-3.3.1-6] [MQTT-3.3.1-7]', async () => {
    await keep('empty', 'x')
    expect(await replay('empty')).toEqual(['empty x q1 retain'])
    await keep('empty', '')
    expect(await delivered(reader)).toEqual(['empty  q1'])
    expect(await replay('empty')).toEqual([])
  })

  test('a message without RETAIN is not kept and replaces nothing [MQTT-3.3.1-8]', async () => {
    await say('plain')
    expect(await replay('plain')).toEqual([])
    await keep('held', 'old')
    await say('held', 'new')
    await say('held', '')
    expect(await replay('held')).toEqual(['held old q1 retain'])
  })

  test('Retain Handling 1: only for a subscription that is new [MQTT-3.3.1-10]', async () => {
    await keep('handling/1', 'x')
    const option = options({ qos: 1, handling: 1 })
    expect(await replay('handling/1', option)).toEqual(['handling/1 x q1 retain'])
    expect(await replay('handling/1', option)).toEqual([])
    await reader.unsubscribe('handling/1')
    expect(await replay('handling/1', option)).toEqual(['handling/1 x q1 retain'])
    // Also where it was made with another handling, and in a session that came back.
    await away('handling', 'handling/1', options({ qos: 1, handling: 2 }))
    const client = await back('handling')
    await client.subscribe(['handling/1', option])
    expect(await delivered(client)).toEqual([])
    await client.disconnect()
  })

  test('Retain Handling 2: never [MQTT-3.3.1-11]', async () => {
    await keep('handling/2', 'x')
    const option = options({ qos: 1, handling: 2 })
    expect(await replay('handling/2', option)).toEqual([])
    expect(await replay('handling/2', option)).toEqual([])
    await keep('handling/2', 'live')
    expect(await delivered(reader)).toEqual(['handling/2 live q1'])
  })

  test('RETAIN of a live delivery: 0, or with Retain As Published what the publisher set [MQTT-3.3.1-12] [MQTT-3.3.1-13]', async () => {
    await reader.subscribe(['flag/+', options({ qos: 2 })], ['flags/+', options({ qos: 2, asPublished: true })])
    await away('flags', 'flags/+', options({ qos: 2, asPublished: true }))
    await away('flag', 'flag/+', options({ qos: 2 }))
    for (const qos of [0, 1, 2] as const)
      for (const retain of [true, false]) {
        await say('flag/a', 'x', qos, {}, { retain })
        await say('flags/a', 'x', qos, {}, { retain })
        await publisher.ping()
        expect(await delivered(reader)).toEqual([`flag/a x q${qos}`, `flags/a x q${qos}${retain ? ' retain' : ''}`])
      }
    const stored = await back('flags')
    expect(await delivered(stored)).toEqual(['flags/a x q1 retain', 'flags/a x q1', 'flags/a x q2 retain', 'flags/a x q2'])
    await stored.disconnect()
    const plain = await back('flag')
    expect(await delivered(plain)).toEqual(['flag/a x q1', 'flag/a x q1', 'flag/a x q2', 'flag/a x q2'])
    await plain.disconnect()
    // What a subscription brings has it in any case.
    await keep('replayed', 'x')
    for (const asPublished of [false, true]) {
      await reader.subscribe(['replayed', options({ qos: 1, asPublished })])
      expect(await delivered(reader)).toEqual(['replayed x q1 retain'])
    }
  })
})

describe('subscription identifiers', () => {
  test('come with what their subscription caused, and with nothing else [MQTT-3.3.4-3]', async () => {
    for (const id of [1, 127, 128, 268_435_455]) {
      await reader.subscribeWith({ subscriptionIdentifiers: [id] }, ['id/a', 1])
      await say('id/a')
      expect((await reader.expect(T.PUBLISH)).properties).toEqual({ subscriptionIdentifiers: [id] })
    }
    await reader.subscribe(['id/b', 1])
    await say('id/b')
    expect((await reader.expect(T.PUBLISH)).properties).toEqual({})
    // Made again without one, it has none.
    await reader.subscribe(['id/a', 1])
    await say('id/a')
    expect((await reader.expect(T.PUBLISH)).properties).toEqual({})
    await keep('id/kept', 'x')
    await reader.subscribeWith({ subscriptionIdentifiers: [9] }, ['id/kept', 1])
    expect(await reader.expect(T.PUBLISH)).toMatchObject({ retain: true, properties: { subscriptionIdentifiers: [9] } })
  })

  test('of all that match are in the one copy, which has the highest QoS: live and stored [MQTT-3.3.4-2] [MQTT-3.3.4-4]', async () => {
    const client = await join(b.port, 'overlap', { clean: false, properties: { sessionExpiryInterval: 3600 } })
    for (const c of [reader, client]) {
      await c.subscribeWith({ subscriptionIdentifiers: [7] }, ['over/#', 0])
      await c.subscribeWith({ subscriptionIdentifiers: [8] }, ['over/+', 2])
      await c.subscribe(['over/lap', 1])
      await c.subscribeWith({ subscriptionIdentifiers: [300] }, ['+/lap', 1], ['other', 0])
    }
    const check = async (c: MqttClient, qos: number): Promise<void> => {
      const p = await c.expect(T.PUBLISH)
      expect([p.qos, p.properties.subscriptionIdentifiers?.sort((x, y) => x - y)]).toEqual([qos, [7, 8, 300]])
    }
    for (const qos of [0, 1, 2] as const) {
      await say('over/lap', 'x', qos, { contentType: 'c' })
      await publisher.ping()
      for (const c of [reader, client]) {
        await check(c, qos)
        expect(await delivered(c)).toEqual([])
      }
    }
    await client.disconnect()
    for (const qos of [1, 2] as const) await say('over/lap', 'x', qos)
    const again = await back('overlap')
    for (const qos of [1, 2]) await check(again, qos)
    expect(await delivered(again)).toEqual([])
    await again.disconnect()
  })
})

describe('topic aliases of a client', () => {
  test('stand for their topic, from 1 to the maximum, and can be given anew [MQTT-3.3.2-12]', async () => {
    const client = await join(b.port, 'aliases')
    const max = client.connack?.properties.topicAliasMaximum ?? 0
    expect(max).toBeGreaterThan(0)
    await reader.subscribe(['alias/#', 2])
    for (const alias of [1, max]) {
      client.publish(`alias/${alias}`, 'named', { properties: { topicAlias: alias } })
      for (const qos of [0, 1, 2] as const) {
        await client.publishAndWait('', `${qos}`, { qos, properties: { topicAlias: alias } })
        await client.ping()
      }
      client.publish(`alias/${alias}/new`, 'anew', { properties: { topicAlias: alias } })
      client.publish('', 'last', { properties: { topicAlias: alias, contentType: 'c' } })
      await client.ping()
      const got = [...Array(6)].map(() => reader.expect(T.PUBLISH))
      expect((await Promise.all(got)).map((p) => [p.topic, `${p.payload}`, p.properties])).toEqual([
        [`alias/${alias}`, 'named', {}],
        [`alias/${alias}`, '0', {}],
        [`alias/${alias}`, '1', {}],
        [`alias/${alias}`, '2', {}],
        [`alias/${alias}/new`, 'anew', {}],
        [`alias/${alias}/new`, 'last', { contentType: 'c' }],
      ])
    }
    await client.disconnect()
  })

  test('end with their connection, also where the session goes on [MQTT-3.3.2-7]', async () => {
    const o = { clean: false, properties: { sessionExpiryInterval: 3600 } }
    const first = await join(b.port, 'forgetful', o)
    first.publish('forgotten', 'x', { properties: { topicAlias: 1 } })
    await first.ping()
    await first.disconnect()
    const second = await join(b.port, 'forgetful', o)
    expect(second.connack?.present).toBe(true)
    second.publish('', 'x', { properties: { topicAlias: 1 } })
    expect(said(await untilClosed(second))).toEqual(['DISCONNECT 82'])
  })
})
