/** Filters that overlap, by the thousand: what they cost, what comes of them, and what a topic's route is charged with. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Route, Routes } from '../../src/broker/routes.js'
import { IDENTIFIERS_PER_COPY } from '../../src/broker/session.js'
import { type Topic, TopicTable } from '../../src/topics/interned.js'
import { Router } from '../../src/topics/router.js'
import { type ClockedBroker, delivered, MqttClient, packet, type QoS, startClocked, T } from '../support/broker.js'
import { StuckTransport, turns } from '../support/stuck-transport.js'

const LEVELS = 11
/** Every mixture of names and `+` that matches `a/a/…`, and more of them with `#`. */
const mixtures = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => {
    const levels = Array.from({ length: LEVELS }, (_, level) => ((n >> level) & 1 ? 'a' : '+'))
    return n >> LEVELS ? [...levels.slice(0, -1), '#'].join('/') : levels.join('/')
  })
const topicOf = (n: number): string => [...Array<string>(LEVELS - 1).fill('a'), n === 0 ? 'a' : `x${n}`].join('/')

let b: ClockedBroker
let publisher: MqttClient
beforeAll(async () => {
  b = await startClocked()
})
beforeEach(async () => {
  publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
  return () => publisher.disconnect()
})
afterAll(() => b.close())

test.each([0, 1, 2] as const)('at QoS %i all identifiers come, in as many copies as it takes [MQTT-3.3.4-5]', async (qos) => {
  const client = await MqttClient.connect(b.port, { client_id: `named-${qos}`, protocol: 5 })
  const filters = mixtures(200)
  for (const [n, filter] of filters.entries()) {
    client.send(packet.subscribe(1 + n, [[filter, qos]], { subscriptionIdentifiers: [1 + n] }))
    await client.expect(T.SUBACK)
  }
  await publisher.publishAndWait(topicOf(0), 'x', { qos })
  await publisher.ping()
  const copies = Math.ceil(200 / IDENTIFIERS_PER_COPY)
  const ids: number[] = []
  for (let n = 0; n < copies; n++) {
    const { properties, payload } = await client.expect(T.PUBLISH)
    expect(`${payload}`).toBe('x')
    expect(properties?.subscriptionIdentifiers?.length).toBeLessThanOrEqual(IDENTIFIERS_PER_COPY)
    ids.push(...(properties?.subscriptionIdentifiers ?? []))
  }
  expect(ids.sort((a, c) => a - c)).toEqual(filters.map((_, n) => 1 + n))
  expect((await delivered(client)).length).toBe(0)
  await client.disconnect()
})

test('without identifiers it is one copy, at the highest QoS, however many filters match [MQTT-3.3.5-1]', async () => {
  const client = await MqttClient.connect(b.port, { client_id: 'plain' })
  await client.subscribe(...mixtures(2 << LEVELS).map((filter, n): [string, QoS] => [filter, n === 100 ? 1 : 0]))
  await publisher.publishAndWait(topicOf(0), 'x', { qos: 2 })
  expect(await delivered(client)).toEqual([`${topicOf(0)} x q1`])
  await client.disconnect()
})

test('the merge is asked once for each subscriber, with all of its options', () => {
  const asked: number[] = []
  const router = new Router<{ name: string }, number>((options) => {
    asked.push(options.length)
    return [options.length]
  })
  const [one, two] = [{ name: 'one' }, { name: 'two' }]
  const filters = mixtures(2 << LEVELS)
  for (const [n, filter] of filters.entries()) {
    router.add(filter, one, n)
    if (n % 2 === 0) router.add(filter, two, n)
  }
  const found = router.match(topicOf(0))
  const distinct = new Set(filters).size
  expect(found.map((m) => m.options)).toEqual(asked)
  expect(asked).toEqual([distinct, distinct / 2])
  expect(router.looked).toBeLessThan(8 * filters.length)
})

test('publishing to ever new topics that thousands of filters match gives others their turn', async () => {
  const client = await MqttClient.connect(b.port, { client_id: 'many', protocol: 5 })
  const filters = mixtures(1_024)
  for (let at = 0; at < filters.length; at += 512) {
    const some = filters.slice(at, at + 512).map((filter): [string, QoS] => [filter, 0])
    client.send(packet.subscribe(1, some, { subscriptionIdentifiers: [1 + at] }))
    await client.expect(T.SUBACK)
  }
  const { state } = b.broker
  const topics = state.routes.topics
  const held = topics.heldBytes
  const t = new StuckTransport(b.broker)
  t.give(packet.connect({ client_id: 'ever-new' }))
  await turns(2)
  const before = state.stats.received[0] as number
  const segment = Buffer.concat(Array.from({ length: 300 }, (_, n) => packet.publish(topicOf(1 + n), '')))
  t.give(segment)
  const first = (state.stats.received[0] as number) - before
  expect(first).toBeGreaterThan(0)
  expect(first).toBeLessThan(100)
  expect(t.paused).toBe(true)
  // Others in between, all of it in the end.
  await publisher.ping()
  for (let n = 0; n < 5_000 && t.paused; n++) await turns(1)
  expect((state.stats.received[0] as number) - before).toBe(300)
  // 1,024 identifiers: 16 copies, each with its bytes, a buffer and its options.
  expect((topics.heldBytes - held) / 300).toBeGreaterThan(16 * 400)
  await client.disconnect()
  t.connection.close()
})

test('what hangs on topics is forgotten at its bound', () => {
  const bytes_max = 1024 * 1024
  const topics = new TopicTable({ topics_max: 100_000, levels_max: 200, bytes_max, isUtf8: () => true })
  const routes = new Routes(topics)
  const session = { durable: false } as never
  for (const [n, filter] of mixtures(1_024).entries())
    routes.subscribe(session, filter, { qos: 0, noLocal: false, retainAsPublished: false, identifier: n + 1 })
  let most = 0
  for (let n = 0; n < 250; n++) {
    routes.of(topics.internName(topicOf(n)) as Topic)
    most = Math.max(most, topics.heldBytes)
  }
  expect(topics.forgotten).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(bytes_max)
})

test('a topic that nobody publishes to again does not keep the sessions that were there', () => {
  const { routes } = b.broker.state
  const session = { durable: false } as never
  const plain = { qos: 0, noLocal: false, retainAsPublished: false } as const
  const topic = routes.topics.internName('stale/topic') as Topic
  routes.subscribe(session, 'stale/+', plain)
  expect((routes.of(topic) as Route).sessions).toEqual([session])
  routes.unsubscribe(session, 'stale/+')
  for (let n = 0; n < 5_000; n++) {
    routes.subscribe(session, 'comes/and/goes', plain)
    routes.unsubscribe(session, 'comes/and/goes')
  }
  expect(topic.route).toBeUndefined()
  expect((routes.of(topic) as Route).sessions).toEqual([])
})
