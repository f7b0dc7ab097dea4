/** Limits on what clients may make: at the edge and one past it, for each version, over a restart, and after the limit was lowered. */
import { afterEach, expect, test } from 'vitest'
import type { BrokerSettings } from '../../src/broker/settings.js'
import type { CountedLimit } from '../../src/core/refusals.js'
import {
  arrived,
  type ClientOptions,
  type ClockedBroker,
  delivered,
  MqttClient,
  openWith,
  packet,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'

const V4 = { protocol: 4 } as const
const V5 = { protocol: 5, properties: { sessionExpiryInterval: 3600 } } as const
const VERSIONS = [V4, V5] as const
const QUOTA = 0x97

let b: ClockedBroker
afterEach(() => b.close())

async function start(settings: Partial<BrokerSettings>): Promise<void> {
  b = await startClocked({ settings })
}

/** The same folder with other settings. */
async function restart(settings: Partial<BrokerSettings>): Promise<void> {
  await b.close()
  b = await startClocked({ settings, after: b.disk, clock: b.clock })
}

const connect = (client_id: string, o: ClientOptions = {}): Promise<MqttClient> =>
  MqttClient.connect(b.port, { client_id, clean: false, ...o })

/** CONNACK's code, and the end of the connection. */
async function refusal(client_id: string, o: ClientOptions): Promise<number> {
  const client = await openWith(b.port, packet.connect({ client_id, clean: false, ...o }), o)
  const [connack, ...rest] = await untilClosed(client)
  expect([connack?.type, connack?.present, rest.length]).toEqual([T.CONNACK, false, 0])
  return connack?.code ?? 0
}

const refused = (limit: CountedLimit): number => b.broker.state.refusals.of(limit)

test('mqtt.max_connections: one more is refused, who is in can come again, and a place that is left is free', async () => {
  await start({ max_connections: 2 })
  const first = await connect('first')
  await connect('second')
  expect(await refusal('third', V4)).toBe(3)
  expect(await refusal('third', V5)).toBe(QUOTA)
  expect(refused('mqtt.max_connections')).toBe(2)
  // Its own place.
  const again = await connect('first', V5)
  expect(again.connack?.code).toBe(0)
  await first.closed
  await again.disconnect()
  expect((await connect('third', V5)).connack?.code).toBe(0)
})

test('session.max_sessions: stored ones only, taken up and replaced at the limit, held over a restart and a lower limit', async () => {
  await start({ max_sessions: 2 })
  for (const id of ['one', 'two']) await (await connect(id)).disconnect()
  expect(await refusal('three', V4)).toBe(3)
  expect(await refusal('three', V5)).toBe(QUOTA)
  expect((await connect('three', { clean: true })).connack?.code).toBe(0)
  await restart({ max_sessions: 1 })
  expect(b.broker.state.stored?.sessions.size).toBe(2)
  const [taken, replaced] = [await connect('one', V5), await connect('two', { ...V5, clean: true })]
  expect([taken.connack?.present, replaced.connack?.code]).toEqual([true, 0])
  expect(await refusal('three', V5)).toBe(QUOTA)
  // One ends, and there is still one.
  replaced.send(packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: 0 }))
  await replaced.closed
  expect(await refusal('three', V4)).toBe(3)
  taken.send(packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: 0 }))
  await taken.closed
  expect((await connect('three')).connack?.code).toBe(0)
  expect(refused('session.max_sessions')).toBe(2)
})

test('mqtt.max_client_id_bytes counts bytes, and not of a session that is there', async () => {
  await start({ max_client_id_bytes: 32 })
  await (await connect('é'.repeat(16))).disconnect()
  expect(await refusal(`${'é'.repeat(16)}x`, V4)).toBe(2)
  expect(await refusal('x'.repeat(33), V5)).toBe(0x85)
  await restart({ max_client_id_bytes: 23 })
  expect((await connect('é'.repeat(16))).connack?.present).toBe(true)
})

test('session.max_memory_bytes bounds names whatever their number, and a start takes what the run before was allowed', async () => {
  const settings = { session_memory_bytes: 100_000, max_client_id_bytes: 65_535 }
  await start(settings)
  let made = 0
  for (const id of Array.from({ length: 10 }, (_, i) => `${i}`.padStart(4_000, 'x'))) {
    const client = await connect(id)
    if (client.connack?.code === 0) made++
  }
  expect(made).toBe(5)
  const before = b.broker.state.stored?.sessions.footprint.bytes
  expect(before).toBeLessThanOrEqual(100_000)
  await restart({ ...settings, session_memory_bytes: 50_000 })
  // Nothing is deleted, and what is charged is what was.
  expect(b.broker.state.stored?.sessions.footprint.bytes).toBe(before)
  expect(await refusal('small', V5)).toBe(QUOTA)
  for (const session of [...(b.broker.state.stored?.sessions.all() ?? [])]) b.broker.state.stored?.sessions.remove(session)
  expect(b.broker.state.stored?.sessions.footprint.bytes).toBe(0)
  expect((await connect('small')).connack?.code).toBe(0)
})

test('session.max_subscriptions: a SUBACK refuses what is beyond, options of those that are there change, each session has its own', async () => {
  await start({ max_subscriptions: 2 })
  for (const version of VERSIONS) {
    const client = await connect(`v${version.protocol}`, version)
    const no = version.protocol === 5 ? QUOTA : 0x80
    expect(await client.subscribe(['a', 1], ['b/+', 0], ['c', 1])).toEqual([1, 0, no])
    expect(await client.subscribe(['b/+', 2], ['$share/g/x', 1])).toEqual([2, no])
    await client.unsubscribe('a')
    expect(await client.subscribe(['c', 1], ['a', 1])).toEqual([1, no])
    await client.disconnect()
  }
  expect(refused('session.max_subscriptions')).toBe(6)
  await restart({ max_subscriptions: 1 })
  const client = await connect('v4')
  expect(await client.subscribe(['c', 0], ['d', 0])).toEqual([0, 0x80])
  expect(b.broker.state.stored?.sessions.get('v4')?.filters?.size).toBe(2)
})

test('session.max_all_subscriptions counts all sessions, and what ends with one is free again', async () => {
  await start({ max_all_subscriptions: 3 })
  const [first, second] = [await connect('first', { clean: true }), await connect('second', V5)]
  expect(await first.subscribe(['a', 0], ['b', 0])).toEqual([0, 0])
  expect(await second.subscribe(['a', 0], ['b', 0])).toEqual([0, QUOTA])
  await first.disconnect()
  expect(await second.subscribe(['b', 0], ['c', 0], ['d', 0])).toEqual([0, 0, QUOTA])
})

test('session.max_memory_bytes counts filters by their length and levels, and QoS 2 identifiers', async () => {
  await start({ session_memory_bytes: 40_000 })
  const client = await connect('c', V5)
  const long = (i: number): string => `${i}${'/x'.repeat(100)}/+`
  expect(await client.subscribe([long(1), 0], [long(2), 0])).toEqual([0, QUOTA])
  expect(await client.subscribe(['short', 0])).toEqual([0])
  const charged = b.broker.state.stored?.sessions.footprint.bytes as number
  for (let id = 1; id <= 400; id++) client.publish('t', '', { qos: 2, id })
  const codes = (await arrived(client)).map((p) => p.code)
  expect(codes.at(-1)).toBe(QUOTA)
  expect(codes.filter((code) => code !== QUOTA).length).toBe(16 + Math.floor((35_000 - charged) / 48))
  for (let id = 1; id <= 400; id++) client.send(packet.pubrel(id))
  await arrived(client)
  expect(b.broker.state.stored?.sessions.footprint.bytes).toBe(charged)
})

test('retained.max_messages: a new topic is refused with all that would have come of it, a known one is replaced and removed', async () => {
  await start({ retained_max_messages: 2 })
  const [v4, v5] = [await connect('v4'), await connect('v5', V5)]
  const watcher = await connect('watcher', { clean: true })
  await watcher.subscribe(['#', 1])
  for (const topic of ['a', 'b']) await v4.publishAndWait(topic, '1', { qos: 1, retain: true })
  v5.publish('c', '1', { qos: 1, retain: true, id: 7 })
  expect((await v5.expect(T.PUBACK)).code).toBe(QUOTA)
  v5.publish('c', '1', { qos: 2, retain: true, id: 8 })
  expect((await v5.expect(T.PUBREC)).code).toBe(QUOTA)
  // Its identifier is free, and so is the topic for what is not retained.
  await v5.publishAndWait('c', '2', { qos: 2, id: 8 })
  // QoS 0 has no answer: it is delivered, and not retained.
  v5.publish('c', '0', { retain: true })
  await v5.ping()
  // MQTT 3.1.1 has no word for it.
  v4.publish('c', '3', { qos: 1, retain: true })
  await v4.closed
  expect(v4.inbox).toEqual([])
  await v5.publishAndWait('a', '4', { qos: 1, retain: true })
  await v5.publishAndWait('b', '', { qos: 1, retain: true })
  await v5.publishAndWait('d', '5', { qos: 1, retain: true })
  expect(refused('retained.max_messages')).toBe(4)
  expect((await delivered(watcher)).map((line) => line.slice(0, 3))).toEqual(['a 1', 'b 1', 'c 2', 'c 0', 'a 4', 'b  ', 'd 5'])
  await restart({ retained_max_messages: 1 })
  const late = await connect('late', V5)
  await late.subscribe(['#', 1])
  expect(await delivered(late)).toEqual(['a 4 q1 retain', 'd 5 q1 retain'])
  await late.publishAndWait('d', '', { qos: 1, retain: true })
  late.publish('e', '6', { qos: 1, retain: true, id: 9 })
  expect((await late.expect(T.PUBACK, (p) => p.id === 9)).code).toBe(QUOTA)
})

test('retained.max_bytes: what grows needs room, what shrinks or goes does not', async () => {
  await start({ retained_max_bytes: 3_000 })
  const client = await connect('c', V5)
  const put = async (topic: string, bytes: number): Promise<number> => {
    const id = client.publish(topic, Buffer.alloc(bytes), { qos: 1, retain: true })
    return (await client.expect(T.PUBACK, (p) => p.id === id)).code & 0x80
  }
  expect([await put('a', 2_000), await put('b', 2_000), await put('b', 900), await put('b', 2_000)]).toEqual([0, 0x80, 0, 0x80])
  expect(b.broker.state.stored?.retained.bytes).toBeLessThanOrEqual(3_000)
  await restart({ retained_max_bytes: 1_000 })
  const after = b.broker.state.stored?.retained.bytes
  expect(after).toBeGreaterThan(2_900)
  const again = await connect('d', V5)
  for (const [bytes, code] of [
    [2_000, 0x10],
    [2_001, QUOTA],
    [1_000, 0x10],
  ] as const) {
    const id = again.publish('a', Buffer.alloc(bytes), { qos: 1, retain: true })
    expect((await again.expect(T.PUBACK, (p) => p.id === id)).code).toBe(code)
  }
})

test('retained.max_memory_bytes: many long topics of no payload to speak of', async () => {
  await start({ retained_memory_bytes: 100_000 })
  const client = await connect('c', V5)
  for (let i = 0; i < 50; i++) client.publish(`${i}${'/x'.repeat(100)}`, 'x', { retain: true, qos: 1, id: i + 1 })
  const codes = (await arrived(client)).map((p) => p.code & 0x80)
  const taken = codes.filter((code) => code === 0).length
  expect([taken, codes.length]).toEqual([3, 50])
  const held = b.broker.state.stored?.retained.footprint.bytes
  await restart({ retained_memory_bytes: 100_000 })
  expect(b.broker.state.stored?.retained.footprint.bytes).toBe(held)
})

test('mqtt.max_wills: connected and waiting ones; a will that has gone out leaves its place', async () => {
  await start({ max_wills: 2 })
  const will = { topic: 'will', payload: 'gone', qos: 1 as const }
  const delayed = await connect('delayed', { ...V5, will: { ...will, properties: { willDelayInterval: 60 } } })
  const now = await connect('now', { will })
  delayed.destroy()
  expect(await refusal('more', { ...V4, will })).toBe(3)
  expect(await refusal('more', { ...V5, will })).toBe(QUOTA)
  await connect('without', V5)
  await now.disconnect()
  await connect('more', { ...V5, will })
  await restart({ max_wills: 1 })
  // A start publishes those of connections; the delayed one waits.
  expect(b.broker.state.stored?.wills.size).toBe(1)
  expect(await refusal('again', { ...V4, will })).toBe(3)
  b.clock.advance(61_000)
  b.broker.state.stored?.wills.sweep()
  expect((await connect('again', { will })).connack?.code).toBe(0)
})

test('a will counts its bytes, and one that cannot be retained is sent all the same', async () => {
  await start({ session_memory_bytes: 20_000, retained_max_messages: 0 })
  const large = { topic: 'will', payload: Buffer.alloc(20_000), qos: 1 as const }
  expect(await refusal('large', { ...V5, will: large })).toBe(QUOTA)
  const watcher = await connect('watcher', V5)
  await watcher.subscribe(['will', 1])
  const before = b.broker.state.stored?.sessions.footprint.bytes
  const client = await connect('c', { ...V5, clean: true, properties: {}, will: { ...large, payload: 'gone', retain: true } })
  client.destroy()
  expect((await watcher.expect(T.PUBLISH)).payload.toString()).toBe('gone')
  expect(refused('retained.max_messages')).toBe(1)
  expect(b.broker.state.stored?.sessions.footprint.bytes).toBe(before)
})

test('mqtt.max_connecting: the one that has waited longest without CONNECT makes room, who is in stays', async () => {
  await start({ max_connecting: 2 })
  const inside = await connect('inside')
  const [first, second] = [await MqttClient.open(b.port), await MqttClient.open(b.port)]
  second.send(packet.connect({ client_id: 's' }).subarray(0, 5))
  const third = await MqttClient.open(b.port)
  await first.closed
  second.send(packet.connect({ client_id: 's' }).subarray(5))
  expect((await second.expect(T.CONNACK)).code).toBe(0)
  third.send(packet.connect({ client_id: 't' }))
  expect((await third.expect(T.CONNACK)).code).toBe(0)
  await inside.ping()
  expect(refused('mqtt.max_connecting')).toBe(1)
})

test('mqtt.max_connecting_bytes: unfinished CONNECTs are bounded together', async () => {
  await start({ max_connecting_bytes: 128 * 1024 })
  const connectBytes = packet.connect({ client_id: 'x', will: { topic: 't', payload: Buffer.alloc(60_000) } })
  const all = await Promise.all(Array.from({ length: 8 }, () => MqttClient.open(b.port)))
  for (const client of all) client.send(connectBytes.subarray(0, 50_000))
  const honest = await connect('honest')
  await honest.ping()
  while (refused('mqtt.max_connecting_bytes') < 6) await honest.ping()
  expect(all.filter((client) => client.is_closed).length).toBeGreaterThan(0)
  for (const client of all) client.destroy()
})

test('what programs ask for is refused alike', async () => {
  await start({ max_sessions: 1, max_subscriptions: 1, retained_max_messages: 0, max_wills: 0 })
  const { persistence } = b.broker.aedes as unknown as { persistence: Record<string, (...values: unknown[]) => Promise<unknown>> }
  await persistence.addSubscriptions({ id: 'p' }, [{ topic: 'a', qos: 1 }])
  const refusal = { code: 'limit_reached' }
  await expect(persistence.addSubscriptions({ id: 'p' }, [{ topic: 'b', qos: 1 }])).rejects.toMatchObject(refusal)
  await expect(persistence.addSubscriptions({ id: 'q' }, [{ topic: 'b', qos: 1 }])).rejects.toMatchObject(refusal)
  const message = { cmd: 'publish', topic: 't', payload: 'x', qos: 1, retain: true }
  await expect(persistence.storeRetained(message)).rejects.toMatchObject(refusal)
  await expect(persistence.putWill({ id: 'p' }, message)).rejects.toMatchObject(refusal)
  const failed = await new Promise((resolve) => b.broker.aedes.publish(message, null, resolve))
  expect(failed).toBeInstanceOf(Error)
})
