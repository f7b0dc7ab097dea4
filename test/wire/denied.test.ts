/** `mqtt.deny_subscribe`: nobody gets what it names, whatever filter, group, queue or older subscription would bring it. */
import { afterEach, expect, test } from 'vitest'
import { type ClockedBroker, delivered, MqttClient, startClocked } from '../support/broker.js'

let b: ClockedBroker
afterEach(() => b.close())

const connect = (client_id: string): Promise<MqttClient> => MqttClient.connect(b.port, { client_id, clean: false })

test('filters that match nothing else are refused, by way of a group or a queue too; wider ones are granted', async () => {
  b = await startClocked({ settings: { deny_subscribe: ['secret/#', 'a/+/c', '$queue/own', '$share/no/#', 'one'] } })
  const client = await connect('c')
  const codes = async (...filters: string[]): Promise<number[]> =>
    client.subscribe(...filters.map((f): [string, number] => [f, 1]))
  expect(
    await codes(
      'secret',
      'secret/x',
      'secret/+',
      'secret/#',
      'secret/+/x/#',
      'a/b/c',
      'a/+/c',
      '$share/g/secret/x',
      '$share/no/x',
      'one',
    ),
  ).toEqual(Array(10).fill(0x80))
  expect(await codes('$queue/q/secret/x', '$queue/own', '$queue/own/x')).toEqual([0x80, 0x80, 1])
  expect(await codes('#', '+/x', 'a/#', 'a/+/+', '+/b/c', 'one/x', '$share/g/#', '$SYS/#')).toEqual([1, 1, 1, 1, 1, 1, 1, 1])
})

test('what is denied reaches no wider filter: live, retained, by a group, by a queue that a subscription made', async () => {
  b = await startClocked({ settings: { deny_subscribe: ['secret/#'] } })
  const publisher = await connect('p')
  const [client, member, worker] = [await connect('c'), await connect('m'), await connect('w')]
  await client.subscribe(['#', 1])
  await member.subscribe(['$share/g/#', 1])
  expect(await worker.subscribe(['$queue/q/#', 1])).toEqual([1])
  b.bridges.put('operator', { filter: '#', queue: 'theirs' })
  for (const qos of [0, 1, 2] as const) {
    for (const topic of ['secret', 'secret/x', '$delayed/1/secret/x', 'open'])
      await publisher.publishAndWait(topic, 'm', { qos, retain: true })
  }
  b.clock.advance(2_000)
  await publisher.publishAndWait('last', 'm', { qos: 1 })
  for (const one of [client, member, worker]) {
    const topics = new Set((await delivered(one)).map((line) => line.split(' ')[0]))
    expect([...topics].sort()).toEqual(['last', 'open'])
  }
  const late = await connect('late')
  await late.subscribe(['#', 0], ['+/x', 0])
  expect(await delivered(late)).toEqual(['open m q0 retain'])
  // The operator's own rule is not a subscription.
  expect(b.queues.ordered?.get('theirs')?.counts().ready).toBeGreaterThan(6)
})

test('subscriptions from before the setting get nothing of it either', async () => {
  b = await startClocked({})
  const before = await connect('c')
  await before.subscribe(['secret/x', 1], ['#', 1], ['$share/g/secret/#', 1], ['$queue/q/secret/#', 1])
  await before.disconnect()
  await b.close()
  b = await startClocked({ settings: { deny_subscribe: ['secret/#'] }, after: b.disk, clock: b.clock })
  const publisher = await connect('p')
  await publisher.publishAndWait('secret/x', 'm', { qos: 1 })
  await publisher.publishAndWait('open', 'm', { qos: 1 })
  const client = await connect('c')
  expect(await delivered(client)).toEqual(['open m q1'])
  await client.unsubscribe('secret/x', '$share/g/secret/#', '$queue/q/secret/#')
  expect(b.broker.state.stored?.sessions.get('c')?.filters?.size).toBe(1)
})
