/** Nothing that is acknowledged vanishes: a publish that is not taken is refused in the words that there are, counted and said, whoever published it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/core/log.js'
import { type ClockedBroker, MqttClient, startClocked, T, untilClosed } from '../support/broker.js'

interface Line {
  client?: string
  topic?: string
  why?: string
  sentence: string
}

let b: ClockedBroker
let lines: Line[]
beforeEach(async () => {
  lines = []
  const warn = (fields: object, sentence: string): void => {
    // Not what a rule and a connection that ends for it have to say of themselves.
    if (!('remote' in fields || 'rule' in fields)) lines.push({ ...fields, sentence })
  }
  b = await startClocked({
    log: { ...silentLog, warn },
    bridge: { rules: [{ name: 'r', filter: 'must/#', queue: 'full', required: true }] },
    aedes: { authorizePublish: (_c, p, done) => done(p.topic === 'no' ? new Error('no') : null) },
  })
  const full = b.queues.ordered?.get('full')
  if (full !== undefined) b.queues.ordered?.update(full, { max_messages: 1 })
  const first = await MqttClient.connect(b.port, { client_id: 'first' })
  await first.publishAndWait('must/1', 'x', { qos: 1 })
  await first.disconnect()
})
afterEach(() => b.close())

const CASES = [
  ['$queue/none', 'nothing_there', 0x90],
  ['$queue', 'nothing_there', 0x90],
  ['$delayed/1/$queue/none', 'nothing_there', 0x90],
  ['$delayed/x/a', 'nothing_there', 0x90],
  ['$SYS/x', 'reserved_topic', 0x87],
  ['$dead/queue/x', 'reserved_topic', 0x87],
  ['must/2', 'queue_full', 0x97],
  ['no', 'refused_by_hook', 0x87],
] as const

/** Messages that were not passed on, of any reason. */
function counted(): number {
  const { droppedReserved, droppedRefused, refusedQuota } = b.broker.state.stats
  return droppedReserved + droppedRefused + refusedQuota
}

describe.each(CASES)('%s', (topic, why, code) => {
  const line = (client: string): Line => ({ client, topic, why, sentence: 'a publish was not taken' })

  test.each([1, 2] as const)('before MQTT 5 at QoS %i ends the connection and is not acknowledged', async (qos) => {
    for (const protocol of [3, 4] as const) {
      const client = await MqttClient.connect(b.port, { client_id: `c${protocol}`, protocol })
      client.publish(topic, 'x', { qos })
      expect(await untilClosed(client)).toEqual([])
    }
    expect(lines).toEqual([line('c3'), line('c4')])
    expect(counted()).toBe(2)
    expect(b.broker.state.stats).toMatchObject({ turnedAway: 2, malformed: 0 })
  })

  test('at QoS 0 is counted and said; only a hook ends the connection, as in Aedes', async () => {
    const client = await MqttClient.connect(b.port, { client_id: 'c' })
    client.publish(topic, 'x', { qos: 0 })
    if (why === 'refused_by_hook') await untilClosed(client)
    else await client.ping()
    expect(lines).toEqual([line('c')])
    expect(counted()).toBe(1)
  })

  test('in MQTT 5 has its reason code at QoS 1 and 2, and the connection goes on', async () => {
    const client = await MqttClient.connect(b.port, { client_id: 'c', protocol: 5 })
    client.publish(topic, 'x', { qos: 0 })
    client.publish(topic, 'x', { qos: 1 })
    expect((await client.expect(T.PUBACK)).code).toBe(code)
    client.publish(topic, 'x', { qos: 2 })
    expect((await client.expect(T.PUBREC)).code).toBe(code)
    await client.publishAndWait('a', 'x', { qos: 2 })
    expect(lines).toEqual([line('c'), line('c'), line('c')])
    expect(counted()).toBe(3)
  })

  test('as a will is counted and said', async () => {
    if (why === 'queue_full') return
    const client = await MqttClient.connect(b.port, { client_id: 'c', will: { topic, payload: 'x', qos: 1, retain: false } })
    client.destroy()
    await expect.poll(() => lines).toEqual([line('c')])
    expect(counted()).toBe(1)
  })
})

test('a program that publishes is told why, or the log is', async () => {
  const { aedes } = b.broker
  const tell = (topic: string): Promise<string | undefined> =>
    new Promise((resolve) => aedes.publish({ topic, payload: 'x', qos: 1 }, (error?: Error | null) => resolve(error?.message)))
  expect(await tell('$queue/none')).toBe('there is no queue, or nothing else, of this name')
  expect(await tell('must/2')).toBe('a queue that must have the message has no room for it')
  expect(lines).toEqual([])
  aedes.publish({ topic: '$delayed/1/$queue/none', payload: 'x', qos: 1 })
  expect(lines).toEqual([
    { client: '', topic: '$delayed/1/$queue/none', why: 'nothing_there', sentence: 'a publish was not taken' },
  ])
})

test('a client that does it again and again does not fill the log', async () => {
  const client = await MqttClient.connect(b.port, { client_id: 'c', protocol: 5 })
  for (let i = 0; i < 100; i++) client.publish('$queue/none', 'x', { qos: 0 })
  await client.ping()
  expect(lines).toHaveLength(10)
  expect(counted()).toBe(100)
})
