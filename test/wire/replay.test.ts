/** Retained messages for new subscriptions when there are many of either: in turns, once, not after UNSUBSCRIBE, and before what is live. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { PLACES_PER_TURN } from '../../src/broker/replays.js'
import { type ClockedBroker, delivered, MqttClient, type Packet, packet, type QoS, startClocked, T } from '../support/broker.js'
import { StuckTransport, turns } from '../support/stuck-transport.js'

const MANY = 6_000
let b: ClockedBroker
let publisher: MqttClient
const clients: MqttClient[] = []
beforeAll(async () => {
  b = await startClocked()
  publisher = await MqttClient.connect(b.port, { client_id: 'publisher', timeout_ms: 60_000 })
  for (let n = 0; n < MANY; n++) {
    publisher.send(packet.publish(`zero/${n}`, 'x', { qos: 0, retain: true }))
    publisher.send(packet.publish(`one/${n % 60}/${n}`, 'x', { qos: 1, id: 1 + n, retain: true }))
    if (n % 500 === 499) await publisher.ping()
  }
  await publisher.expect(T.PUBACK, (p) => p.id === MANY)
  publisher.inbox.length = 0
})
afterEach(async () => {
  for (const client of clients.splice(0)) await client.disconnect()
})
afterAll(async () => {
  await publisher.disconnect()
  await b.close()
})

async function join(client_id: string, o: { protocol?: 5; clean?: boolean } = {}): Promise<MqttClient> {
  const client = await MqttClient.connect(b.port, { client_id, timeout_ms: 60_000, ...o })
  clients.push(client)
  return client
}

/** All that comes until PINGRESP: by then everything that was due has been sent. */
async function untilPing(client: MqttClient): Promise<Packet[]> {
  const all: Packet[] = []
  for (let quiet = 0; quiet < 3; ) {
    client.send(packet.pingreq())
    await client.expect(T.PINGRESP)
    const came = client.inbox.splice(0)
    quiet = came.length === 0 ? quiet + 1 : 0
    all.push(...came)
  }
  return all
}

const publishes = (all: readonly Packet[]): Packet[] => all.filter((p) => p.type === T.PUBLISH)

test.each([
  ['zero/#', 0],
  ['one/#', 1],
] as const)(
  'nothing of %s comes after UNSUBACK, when both are in one segment, also ten times over [MQTT-3.10.4-2]',
  async (filter, qos) => {
    for (const clean of [true, false]) {
      for (const times of [1, 10]) {
        const client = await join(`gone-${filter}-${clean}-${times}`, { clean })
        const segment: Buffer[] = []
        for (let n = 0; n < times; n++) {
          segment.push(packet.subscribe(100 + n, [[filter, qos]]), packet.unsubscribe(200 + n, [filter]))
        }
        client.send(Buffer.concat(segment))
        const all = await untilPing(client)
        const last = all.findLastIndex((p) => p.type === T.UNSUBACK)
        expect(all[last]?.id).toBe(199 + times)
        expect(publishes(all.slice(last))).toEqual([])
        expect(publishes(all).length).toBeLessThan(MANY)
      }
    }
  },
)

test('a subscription that is there in the end has brought everything, whatever came before it', async () => {
  const client = await join('in the end')
  const segment: Buffer[] = []
  for (let n = 0; n < 10; n++) segment.push(packet.subscribe(100 + n, [['zero/#', 0]]), packet.unsubscribe(200 + n, ['zero/#']))
  for (let n = 0; n < 10; n++) segment.push(packet.subscribe(300 + n, [['zero/#', 0]]))
  client.send(Buffer.concat(segment))
  const all = await untilPing(client)
  const topics = publishes(all.slice(all.findIndex((p) => p.type === T.SUBACK && p.id === 300))).map((p) => p.topic)
  expect(new Set(topics).size).toBe(MANY)
  // Each further SUBSCRIBE of the same filter begins anew; it does not add a whole round.
  expect(topics.length).toBeLessThan(2 * MANY)
})

test('many filters of one SUBSCRIBE, and of many, are served in one walk: each topic once, at its highest QoS', async () => {
  const filters = ['one/#', 'one/+/#', 'one/1/#', 'one/2/+', 'one/+/7'].map((filter, n): [string, QoS] => [
    filter,
    n === 0 ? 0 : 1,
  ])
  const client = await join('together')
  client.send(packet.subscribe(1, filters))
  const together = publishes(await untilPing(client))
  expect(together.length).toBe(MANY)
  expect(together.every((p) => p.qos === 1 && p.retain)).toBe(true)

  const apart = await join('apart')
  apart.send(Buffer.concat(Array.from({ length: 500 }, (_, n) => packet.subscribe(1 + n, [[`one/${n % 60}/+`, 1]]))))
  const came = publishes(await untilPing(apart))
  expect(new Set(came.map((p) => p.topic)).size).toBe(MANY)
  expect(came.length).toBeLessThan(1.2 * MANY)
})

test('in MQTT 5 the one copy has the identifiers of all SUBSCRIBEs that it answers, as with live messages', async () => {
  const client = await join('identified', { protocol: 5 })
  // The first is being walked when the others come; those share the second walk.
  const segment = [7, 8, 9].map((subscriptionIdentifier, n) =>
    packet.subscribe(1 + n, [[n === 0 ? 'zero/#' : `one/${n === 1 ? '+' : 3}/#`, 1]], {
      subscriptionIdentifiers: [subscriptionIdentifier],
    }),
  )
  client.send(Buffer.concat(segment))
  const came = publishes(await untilPing(client))
  const ids = (topic: string) => came.filter((p) => p.topic === topic).map((p) => p.properties?.subscriptionIdentifiers)
  expect(ids('zero/5')).toEqual([[7]])
  expect(ids('one/4/4')).toEqual([[8]])
  expect(ids('one/3/3').flat().sort()).toEqual([8, 9])
})

test('a walk that finds nothing, and one that finds much, take no more of a turn than all may have together', async () => {
  const stuck = Array.from({ length: 3 }, () => new StuckTransport(b.broker))
  const budgets: number[] = []
  const { replays } = b.broker.state
  for (const [n, t] of stuck.entries()) t.give(packet.connect({ client_id: `turn-${n}` }))
  await turns(2)
  for (const t of stuck) {
    const nothing = Array.from({ length: 600 }, (_, n): [string, QoS] => [`+/+/${'+/'.repeat(n % 7)}none${n}`, 0])
    t.give(Buffer.concat([packet.subscribe(1, nothing), packet.subscribe(2, [['zero/#', 0]])]))
  }
  for (let n = 0; n < 3_000 && stuck.some((t) => t.connection.replay !== null || t.paused); n++) {
    await turns(1)
    budgets.push(replays.budget.left)
  }
  // Never far beyond what a turn has: by one place, which costs a little more with many filters.
  expect(Math.min(...budgets)).toBeGreaterThan(-PLACES_PER_TURN / 4)
  expect(budgets.length).toBeGreaterThan(10)
  for (const t of stuck) {
    expect(publishes(t.packets).length).toBe(MANY)
    t.connection.close()
  }
})

test('a client that does not read holds up its own replay only, and gets the rest when it reads', async () => {
  const t = new StuckTransport(b.broker)
  t.give(packet.connect({ client_id: 'unread' }))
  await turns(2)
  t.open = false
  b.broker.state.settings.max_output_bytes = 20_000
  try {
    t.give(packet.subscribe(1, [['zero/#', 0]]))
    await turns(30)
    expect(t.connection.output.bytes + t.pendingBytes).toBeLessThan(30_000)
    const other = await join('reads')
    other.send(packet.subscribe(1, [['zero/#', 0]]))
    expect(publishes(await untilPing(other)).length).toBe(MANY)
    for (let n = 0; n < 500 && publishes(t.packets).length < MANY; n++) {
      t.take()
      await turns(2)
    }
    expect(publishes(t.packets).length).toBe(MANY)
  } finally {
    b.broker.state.settings.max_output_bytes = 1024 * 1024
    t.connection.close()
  }
})

test.each([
  ['zero/#', 0, true],
  ['zero/#', 0, false],
  ['one/#', 1, true],
] as const)('live messages that match %s at QoS %i wait behind it, and come in order (clean %s)', async (filter, qos, clean) => {
  const client = await join(`behind-${filter}-${clean}`, { clean })
  client.send(packet.subscribe(1, [[filter, qos]]))
  await client.expect(T.SUBACK)
  const topic = filter.replace('#', 'live')
  for (let n = 0; n < 50; n++) await publisher.publishAndWait(topic, `${n}`, { qos })
  const came = publishes(await untilPing(client))
  const live = came.findIndex((p) => !p.retain)
  expect(came.slice(0, live).length).toBe(MANY)
  expect(came.slice(live).map((p) => `${p.payload}`)).toEqual(Array.from({ length: 50 }, (_, n) => `${n}`))
})

test('too many live messages do not wait, and none is lost or out of order', async () => {
  b.broker.state.settings.max_output_bytes = 16_384
  try {
    const client = await join('over')
    client.send(packet.subscribe(1, [['one/#', 1]]))
    await client.expect(T.SUBACK)
    for (let n = 0; n < 200; n++) await publisher.publishAndWait('one/live', Buffer.alloc(500, n), { qos: 1 })
    const live = publishes(await untilPing(client)).filter((p) => !p.retain)
    expect(live.map((p) => p.payload[0])).toEqual(Array.from({ length: 200 }, (_, n) => n))
  } finally {
    b.broker.state.settings.max_output_bytes = 1024 * 1024
  }
})

test('a retained message that is set while the replay goes on comes once, as the live one that it is', async () => {
  const client = await join('meanwhile')
  client.send(packet.subscribe(1, [['zero/#', 0]]))
  publisher.send(packet.publish(`zero/${MANY - 1}`, 'new', { qos: 0, retain: true }))
  const came = publishes(await untilPing(client)).filter((p) => p.topic === `zero/${MANY - 1}`)
  expect(came.map((p) => `${p.payload} ${p.retain}`).at(-1)).toBe('new false')
  expect(came.filter((p) => `${p.payload}` === 'new').length).toBe(1)
})

test('after it has ended nothing is left of it, and live messages take their usual way', async () => {
  const client = await join('ended')
  client.send(packet.subscribe(1, [['zero/#', 0]]))
  await untilPing(client)
  const connection = [...b.broker.state.connections].find((c) => c.id === 'ended')
  expect(connection?.replay).toBeNull()
  await publisher.publishAndWait('zero/live', 'x')
  await publisher.ping()
  expect(await delivered(client)).toEqual(['zero/live x q0'])
})
