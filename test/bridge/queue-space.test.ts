/** Publishing to `$queue/{name}`. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { propertiesOf } from '../../src/broker/properties.js'
import { type ClockedBroker, MqttClient, startClocked, T, untilClosed } from '../support/broker.js'
import { connect, drained, queueOf } from './support.js'

let b: ClockedBroker
let dev: MqttClient
beforeEach(async () => {
  b = await startClocked({ retry: { interval_ms: 0 } })
  dev = await connect(b)
  b.queues.ordered?.create('q', 'pull', { max_messages: 3 })
  b.queues.ordered?.create('newest', 'pull', { max_messages: 1, overflow: 'drop_newest' })
})
afterEach(() => b.close())

test('puts the message into that queue and nowhere else, at any QoS, never retained', async () => {
  b.bridges.put('all', { filter: '#', queue: 'all' })
  const reader = await connect(b, 'reader')
  await reader.subscribe(['#', 1])
  for (const qos of [0, 1, 2] as const) await dev.publishAndWait('$queue/q', `${qos}`, { qos, retain: true })
  await dev.ping()
  expect(await drained(b, 'q')).toEqual(['$queue/q 0', '$queue/q 1', '$queue/q 2'])
  expect(await drained(b, 'all')).toEqual([])
  expect(b.broker.state.stored?.retained.size).toBe(0)
  await reader.ping()
  expect(reader.inbox).toEqual([])
})

test('is acknowledged when it is stored, and there after a crash', async () => {
  await dev.publishAndWait('$queue/q', '1', { qos: 2 })
  b.disk.holding = true
  dev.publish('$queue/q', 'lost', { qos: 1 })
  const other = await connect(b, 'other')
  while (b.disk.waiting === 0) await other.ping()
  expect(dev.inbox).toEqual([])
  b.disk.cut(false)
  const dead = b
  b = await startClocked({ after: dead.disk })
  for (const c of dead.broker.state.connections) c.transport.destroy()
  expect(await drained(b, 'q')).toEqual(['$queue/q 1'])
})

test('that is full refuses: 3.1.1 publishers are disconnected, QoS 0 is dropped and counted', async () => {
  for (const text of ['1', '2', '3']) await dev.publishAndWait('$queue/q', text, { qos: 1 })
  dev.publish('$queue/q', 'no')
  await dev.ping()
  const refused = await connect(b, 'refused')
  refused.publish('$queue/q', 'no', { qos: 1 })
  await untilClosed(refused)
  expect(queueOf(b, 'q').counts().ready).toBe(3)
  expect(b.queues.ordered?.departures.pull.refused).toBe(2)
  for (const text of ['1', '2']) await dev.publishAndWait('$queue/newest', text, { qos: 1 })
  expect(await drained(b, 'newest')).toEqual(['$queue/newest 1'])
})

test.each(['$queue', '$queue/', '$queue/none', '$queue/q/', '$queue/q/a', '$queue/$dead/queue/q', '$dead/queue/q', '$dead'])(
  '%s is nothing that can be published to: the connection ends, and that is counted',
  async (topic) => {
    await dev.publishAndWait('$queue/q', 'dies', { qos: 1 })
    b.queues.ordered?.update(queueOf(b, 'q'), { max_attempts: 1 })
    queueOf(b, 'q').nack((await queueOf(b, 'q').receive()).map((d) => d.receipt))
    const before = b.broker.state.stats.droppedReserved
    dev.publish(topic, 'no', { qos: 2 })
    expect(await untilClosed(dev)).toEqual([])
    expect(b.broker.state.stats.droppedReserved).toBe(before + 1)
    expect([...(b.queues.ordered?.all() ?? [])].map((q) => [q.name, q.counts().ready])).toEqual([
      ['q', 0],
      ['newest', 0],
      ['$dead/queue/q', 1],
    ])
  },
)

describe('MQTT 5', () => {
  let five: MqttClient
  beforeEach(async () => {
    five = await MqttClient.connect(b.port, { client_id: 'five', protocol: 5 })
  })

  async function send(topic: string, text: string, ...userProperties: [string, string][]): Promise<number> {
    const id = five.publish(topic, text, { qos: 1, properties: { userProperties } })
    return (await five.expect(T.PUBACK, (p) => p.id === id)).code
  }

  test('properties say key, tag, priority, delay and de-duplication id, and stay on the message', async () => {
    await send('$queue/q', 'late', ['aqueduct-priority', '16'], ['other', 'x'])
    await send('$queue/q', 'first', ['aqueduct-priority', '1'], ['aqueduct-key', 'k'], ['aqueduct-tag', 't'])
    await send('$queue/q', 'delayed', ['aqueduct-delay-ms', '5000'], ['aqueduct-dedup-id', 'once'])
    expect(await send('$queue/q', 'again', ['aqueduct-dedup-id', 'once'])).toBe(0)
    expect(queueOf(b, 'q').counts()).toMatchObject({ ready: 2, delayed: 1 })
    const [first] = await queueOf(b, 'q').receive({ lease_ms: 0 })
    expect(first).toMatchObject({ key: 'k', tag: 't', priority: 1 })
    expect(propertiesOf(first?.message as never).userProperties).toEqual([
      ['aqueduct-priority', '1'],
      ['aqueduct-key', 'k'],
      ['aqueduct-tag', 't'],
    ])
    b.clock.advance(5_000)
    expect(await drained(b, 'q')).toEqual(['[k] $queue/q first', '$queue/q delayed', '$queue/q late'])
  })

  test.each<[string, string]>([
    ['aqueduct-priority', '0'],
    ['aqueduct-priority', '17'],
    ['aqueduct-priority', '1.5'],
    ['aqueduct-priority', ''],
    ['aqueduct-priority', ' 1'],
    ['aqueduct-delay-ms', '-1'],
    ['aqueduct-delay-ms', '31536000001'],
    ['aqueduct-delay-ms', '1e3'],
    ['aqueduct-key', ''],
    ['aqueduct-key', 'é'.repeat(128)],
    ['aqueduct-tag', 'x'.repeat(256)],
    ['aqueduct-dedup-id', ''],
  ])('%s cannot be %j: refused, nothing stored', async (name, value) => {
    expect(await send('$queue/q', 'no', [name, value])).toBe(0x90)
    expect(queueOf(b, 'q').counts().ready).toBe(0)
  })

  test('publishers are told why: no such queue, no room, a copy that is required', async () => {
    expect(await send('$queue/none', 'no')).toBe(0x90)
    expect(await send('$delayed/0/a', 'no')).toBe(0x90)
    for (let i = 0; i < 3; i++) expect(await send('$queue/q', `${i}`)).toBe(0)
    expect(await send('$queue/q', 'no')).toBe(0x97)
    b.bridges.put('r', { filter: 'a', queue: 'q', required: true })
    expect(await send('a', 'no')).toBe(0x97)
    expect(await drained(b, 'q')).toHaveLength(3)
    expect(await send('a', 'yes')).toBe(0)
    expect(await drained(b, 'q')).toEqual(['a yes'])
  })
})
