/** Retained messages: kept, replaced, cleared, and handed to new subscriptions. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  arrived,
  type ClockedBroker,
  delivered,
  describe,
  MqttClient,
  openWith,
  packet,
  type QoS,
  startClocked,
  T,
} from '../support/broker.js'

let b: ClockedBroker
let publisher: MqttClient
let reader: MqttClient
beforeAll(async () => {
  b = await startClocked({ settings: { max_output_bytes: 16_384 } })
  publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
})
beforeEach(async () => {
  reader = await MqttClient.connect(b.port, { client_id: 'reader' })
})
afterEach(() => reader.disconnect())
afterAll(() => b.close())

const retain = (topic: string, payload: string | Buffer, qos: QoS = 1) =>
  publisher.publishAndWait(topic, payload, { qos, retain: true })

/** What a new subscription brings, in any order. */
async function replay(filter: string, qos: QoS = 2, client = reader): Promise<string[]> {
  expect(await client.subscribe([filter, qos])).toEqual([qos])
  return (await delivered(client)).sort()
}

test('the last retained message of a topic comes with a new subscription, RETAIN set [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-8]', async () => {
  await retain('set', 'one')
  await retain('set', 'two')
  expect(await replay('set')).toEqual(['set two q1 retain'])
  expect(await replay('other')).toEqual([])
})

test('QoS 0 retained messages are kept, too, and replace others [MQTT-3.3.1-7]', async () => {
  await retain('zero', 'one')
  await retain('zero', 'two', 0)
  expect(await replay('zero')).toEqual(['zero two q0 retain'])
})

test('the replay has the lower QoS of message and subscription [MQTT-3.8.4-6]', async () => {
  for (const sent of [0, 1, 2] as const) {
    await retain('lower', `${sent}`, sent)
    for (const asked of [0, 1, 2] as const)
      expect(await replay('lower', asked)).toEqual([`lower ${sent} q${Math.min(sent, asked)} retain`])
    await reader.unsubscribe('lower')
  }
})

test('SUBACK comes before the retained messages, at every QoS and for stored sessions', async () => {
  await retain('order/1', 'x', 0)
  await retain('order/2', 'x', 2)
  const stored = await MqttClient.connect(b.port, { client_id: 'order', clean: false })
  for (const client of [reader, stored]) {
    client.send(packet.subscribe(9, [['order/#', 2]]))
    expect((await client.next()).type).toBe(T.SUBACK)
    expect((await delivered(client)).sort()).toEqual(['order/1 x q0 retain', 'order/2 x q2 retain'])
  }
  await stored.disconnect()
})

test('who is subscribed already gets the message without RETAIN [MQTT-3.3.1-9]', async () => {
  await reader.subscribe(['live', 1])
  await retain('live', 'x')
  expect(await delivered(reader)).toEqual(['live x q1'])
})

test('a message without RETAIN is not kept and replaces nothing [MQTT-3.3.1-12]', async () => {
  await publisher.publishAndWait('plain', 'x', { qos: 1 })
  expect(await replay('plain')).toEqual([])
  await retain('kept', 'old')
  await publisher.publishAndWait('kept', 'new', { qos: 1 })
  await publisher.publishAndWait('kept', '', { qos: 1 })
  expect(await replay('kept')).toEqual(['kept old q1 retain'])
})

test('an empty retained message goes out live and leaves nothing behind [MQTT-3.3.1-10] [MQTT-3.3.1-11]', async () => {
  await retain('cleared', 'x')
  expect(await replay('cleared')).toEqual(['cleared x q1 retain'])
  await retain('cleared', '')
  expect(await delivered(reader)).toEqual(['cleared  q1'])
  await reader.unsubscribe('cleared')
  expect(await replay('cleared')).toEqual([])
  await retain('never-there', '')
  expect(await replay('never-there')).toEqual([])
})

test('clearing at QoS 0 works, too [MQTT-3.3.1-10]', async () => {
  await retain('cleared-0', 'x')
  await retain('cleared-0', '', 0)
  await publisher.ping()
  expect(await replay('cleared-0')).toEqual([])
})

test('set and cleared again and again in one write: what holds is the last', async () => {
  const all: Buffer[] = []
  for (let n = 0; n < 20; n++) {
    all.push(packet.publish('flip', `${n}`, { retain: true, qos: 1, id: 2 * n + 1 }))
    all.push(packet.publish('flip', '', { retain: true, qos: 1, id: 2 * n + 2 }))
  }
  all.push(packet.publish('flip', 'last', { retain: true, qos: 1, id: 100 }))
  publisher.send(Buffer.concat(all))
  await publisher.expect(T.PUBACK, (p) => p.id === 100)
  publisher.inbox.length = 0
  expect(await replay('flip')).toEqual(['flip last q1 retain'])
})

test('wildcards find all that match, and nothing else [MQTT-4.7.1-2] [MQTT-4.7.1-3]', async () => {
  for (const topic of ['wild/a', 'wild/a/b', 'wild/c/b', 'wild', '/wild', 'wild/', 'wilder']) await retain(topic, 'x')
  const lines = (...topics: string[]): string[] => topics.map((t) => `${t} x q1 retain`).sort()
  expect(await replay('wild/+')).toEqual(lines('wild/a', 'wild/'))
  expect(await replay('wild/#')).toEqual(lines('wild', 'wild/', 'wild/a', 'wild/a/b', 'wild/c/b'))
  expect(await replay('wild/+/b')).toEqual(lines('wild/a/b', 'wild/c/b'))
  expect(await replay('+/wild')).toEqual(lines('/wild'))
})

test('subscribing again brings it again, and costs no live message [MQTT-3.8.4-3]', async () => {
  await retain('renewed', 'x')
  expect(await replay('renewed', 0)).toEqual(['renewed x q0 retain'])
  expect(await replay('renewed', 1)).toEqual(['renewed x q1 retain'])
  await publisher.publishAndWait('renewed', 'live', { qos: 1 })
  expect(await delivered(reader)).toEqual(['renewed live q1'])
})

test('a retained PUBLISH and then SUBSCRIBE in one write: exactly one copy, RETAIN set', async () => {
  for (const qos of [0, 1, 2] as const) {
    for (const clean of [true, false]) {
      const topic = `together/${qos}/${clean}`
      const client = await openWith(
        b.port,
        Buffer.concat([
          packet.connect({ client_id: topic, clean }),
          packet.publish(topic, 'x', { qos, id: 5, retain: true }),
          packet.subscribe(6, [[topic, qos]]),
        ]),
      )
      await client.expect(T.SUBACK)
      const copy = await client.expect(T.PUBLISH)
      expect([copy.retain, copy.qos]).toEqual([true, qos])
      expect((await arrived(client)).filter((p) => p.type === T.PUBLISH)).toEqual([])
      await client.disconnect()
    }
  }
})

test('SUBSCRIBE and then a retained PUBLISH in one write: the new one live, the old one before it or not at all [MQTT-3.3.1-9]', async () => {
  for (const qos of [0, 1, 2] as const) {
    for (const clean of [true, false]) {
      const topic = `after/${qos}/${clean}`
      await retain(topic, 'old')
      const client = await openWith(
        b.port,
        Buffer.concat([
          packet.connect({ client_id: topic, clean }),
          packet.subscribe(6, [[topic, qos]]),
          packet.publish(topic, 'x', { qos, id: 5, retain: true }),
        ]),
      )
      await client.expect(T.SUBACK)
      const copies = [describe(await client.expect(T.PUBLISH)), ...(await delivered(client))]
      expect(copies.pop()).toBe(`${topic} x q${qos}`)
      if (copies.length > 0) expect(copies).toEqual([`${topic} old q${Math.min(qos, 1)} retain`])
      await client.disconnect()
      const late = await MqttClient.connect(b.port, { client_id: 'late' })
      expect(await replay(topic, qos, late)).toEqual([`${topic} x q${qos} retain`])
      await late.disconnect()
    }
  }
})

test('retained messages do not come to a session that is resumed: only a SUBSCRIBE brings them', async () => {
  await retain('resumed', 'x')
  const first = await MqttClient.connect(b.port, { client_id: 'resumed', clean: false })
  expect(await replay('resumed', 1, first)).toEqual(['resumed x q1 retain'])
  await first.disconnect()
  const second = await MqttClient.connect(b.port, { client_id: 'resumed', clean: false })
  expect(await delivered(second)).toEqual([])
  await second.disconnect()
})

test('a replay of more bytes than max_output_bytes comes whole, at every QoS, to clean and stored sessions', async () => {
  const payload = Buffer.alloc(3000, 'x')
  for (let n = 0; n < 60; n++) await retain(`many/${n}`, payload, (n % 3) as QoS)
  for (const clean of [true, false]) {
    for (const qos of [0, 2] as const) {
      const client = await MqttClient.connect(b.port, { client_id: `many-${clean}-${qos}`, clean })
      await client.subscribe(['many/+', qos])
      const topics = new Set<string>()
      while (topics.size < 60) topics.add((await client.expect(T.PUBLISH)).topic)
      expect(await delivered(client)).toEqual([])
      await client.disconnect()
    }
  }
})

test('one retained message larger than max_output_bytes comes, and those behind it', async () => {
  for (let n = 0; n < 8; n++) await retain(`large/${n}`, Buffer.alloc(100_000, n), 1)
  for (const qos of [0, 1] as const) {
    await reader.subscribe(['large/+', qos])
    for (let n = 0; n < 8; n++) expect((await reader.expect(T.PUBLISH)).payload.length).toBe(100_000)
  }
})

test('a retained message outlives its publisher, and a subscriber that changes its mind gets no more [MQTT-3.1.2-7] [MQTT-3.10.4-2]', async () => {
  const brief = await MqttClient.connect(b.port, { client_id: 'brief' })
  await brief.publishAndWait('outlives', 'x', { qos: 2, retain: true })
  await brief.disconnect()
  expect(await replay('outlives')).toEqual(['outlives x q2 retain'])
  await reader.unsubscribe('outlives')
  await retain('outlives', 'y')
  expect(await delivered(reader)).toEqual([])
})
