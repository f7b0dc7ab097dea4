/** Shared subscriptions and queues with MQTT 5 clients. */
import { expect, test } from 'vitest'
import type { Bridges } from '../../src/plugins/bridge/index.js'
import {
  type MqttClient as Client,
  type ClockedBroker,
  type ClockedOptions,
  MqttClient,
  type Packet,
  packet,
  startClocked,
  T,
} from '../support/broker.js'

const join = (b: ClockedBroker, client_id: string, more = {}) =>
  MqttClient.connect(b.port, { client_id, clean: true, auto_ack: false, protocol: 5, ...more })

async function withBroker(o: ClockedOptions, run: (b: ClockedBroker, publisher: Client) => Promise<void>): Promise<void> {
  const b = await startClocked(o)
  const publisher = await join(b, 'publisher')
  try {
    await run(b, publisher)
  } finally {
    await b.close()
  }
}

async function came(client: Client): Promise<Packet[]> {
  for (let i = 0; i < 3; i++) await client.ping()
  return client.inbox.splice(0).filter((p) => p.type === T.PUBLISH)
}

const texts = (packets: readonly Packet[]): string[] => packets.map((p) => p.payload.toString())

test('the subscription identifier is the chosen member’s, and properties travel with the message', async () => {
  await withBroker({}, async (b, publisher) => {
    const one = await join(b, 'one')
    const two = await join(b, 'two')
    expect(await one.subscribeWith({ subscriptionIdentifiers: [7] }, ['$share/g/a', 1])).toEqual([1])
    expect(await two.subscribeWith({ subscriptionIdentifiers: [300] }, ['$share/g/a', 1])).toEqual([1])
    for (const qos of [0, 1] as const) {
      for (let i = 0; i < 2; i++) {
        await publisher.publishAndWait('a', 'x', { qos, properties: { contentType: 'text', userProperties: [['k', 'v']] } })
      }
      const first = await came(one)
      const second = await came(two)
      expect(first.map((p) => p.properties)).toEqual([
        { contentType: 'text', userProperties: [['k', 'v']], subscriptionIdentifiers: [7] },
      ])
      expect(second.map((p) => p.properties.subscriptionIdentifiers)).toEqual([[300]])
    }
  })
})

test('QoS 2 takes the identifier along into the member’s own queue', async () => {
  await withBroker({}, async (b, publisher) => {
    const one = await join(b, 'one', { clean: false, properties: { sessionExpiryInterval: 100 } })
    await one.subscribeWith({ subscriptionIdentifiers: [9] }, ['$share/g/a', 2])
    await publisher.publishAndWait('a', 'x', { qos: 2 })
    expect((await came(one)).map((p) => [p.qos, p.properties.subscriptionIdentifiers])).toEqual([[2, [9]]])
  })
})

test('Receive Maximum bounds what a member has at once; late acknowledgements of what was taken back free it', async () => {
  await withBroker({ retry: { interval_ms: 4_000 } }, async (b, publisher) => {
    const one = await join(b, 'one', { properties: { receiveMaximum: 2 } })
    await one.subscribe(['$share/g/a', 1])
    for (const text of ['0', '1', '2', '3']) await publisher.publishAndWait('a', text, { qos: 1 })
    const held = await came(one)
    expect(texts(held)).toEqual(['0', '1'])
    // Nobody else is there: nothing is sent again on a live connection [MQTT-4.4.0-1].
    b.clock.advance(60_000)
    expect(await came(one)).toEqual([])
    const two = await join(b, 'two')
    await two.subscribe(['$share/g/a', 1])
    expect(texts(await came(two))).toEqual(['2', '3'])
    b.clock.advance(60_000)
    const taken = await came(two)
    expect(texts(taken)).toEqual(['0', '1'])
    expect(taken.some((p) => p.dup)).toBe(false)
    // For the client they are still under way: two is all that it takes.
    await publisher.publishAndWait('a', '4', { qos: 1 })
    expect(await came(one)).toEqual([])
    for (const p of held) one.send(packet.puback(p.id))
    await one.ping()
    await publisher.publishAndWait('a', '5', { qos: 1 })
    await publisher.publishAndWait('a', '6', { qos: 1 })
    expect([...texts(await came(one)), ...texts(await came(two))].sort()).toEqual(['4', '5', '6'])
  })
})

test('PUBACK with an error: no other member gets the message; with limited attempts it is a dead letter [MQTT-4.8.2-6]', async () => {
  for (const max_attempts of [0, 5]) {
    await withBroker({ retry: { max_attempts } }, async (b, publisher) => {
      const one = await join(b, 'one')
      const two = await join(b, 'two')
      await one.subscribe(['$share/g/a', 1])
      await publisher.publishAndWait('a', 'bad', { qos: 1 })
      const [p] = await came(one)
      await two.subscribe(['$share/g/a', 1])
      one.send(packet.ack(T.PUBACK, (p as Packet).id, 0x83))
      await one.ping()
      one.destroy()
      await one.closed
      expect(await came(two)).toEqual([])
      expect(b.queues.engine?.byName('group', 'g/a')?.counts()).toMatchObject({ ready: 0, leased: 0 })
      expect(b.queues.ordered?.get('$dead/share/g/a')?.counts().ready ?? 0).toBe(max_attempts === 0 ? 0 : 1)
    })
  }
})

test('PUBREC with an error: that message is over, for all members', async () => {
  await withBroker({}, async (b, publisher) => {
    const one = await join(b, 'one')
    await one.subscribe(['$share/g/a', 2])
    await publisher.publishAndWait('a', 'bad', { qos: 2 })
    const [p] = await came(one)
    const two = await join(b, 'two')
    await two.subscribe(['$share/g/a', 2])
    one.send(packet.ack(T.PUBREC, (p as Packet).id, 0x83))
    await one.ping()
    one.destroy()
    await one.closed
    expect(await came(two)).toEqual([])
  })
})

test('a queue’s rejected message goes to its dead-letter queue where attempts are limited, else it is done', async () => {
  for (const max_attempts of [0, 5]) {
    await withBroker({}, async (b, publisher) => {
      b.queues.ordered?.create('jobs', 'pull', { max_attempts })
      b.broker.offer<Bridges>('bridge')?.put('all', { filter: 'jobs/#', queue: 'jobs' })
      const one = await join(b, 'one')
      expect(await one.subscribe(['$queue/jobs', 1])).toEqual([1])
      await publisher.publishAndWait('jobs/1', 'bad', { qos: 1 })
      const [p] = await came(one)
      one.send(packet.ack(T.PUBACK, (p as Packet).id, 0x97))
      await one.ping()
      expect(b.queues.ordered?.get('jobs')?.counts()).toMatchObject({ ready: 0, leased: 0 })
      expect(b.queues.ordered?.get('$dead/queue/jobs')?.counts().ready ?? 0).toBe(max_attempts === 0 ? 0 : 1)
    })
  }
})

test('refusals say why', async () => {
  await withBroker({ share: { max_groups: 1 }, bridge: { max_auto_queues: 1 } }, async (b) => {
    const client = await join(b, 'one')
    const asked = [
      '$queue/none',
      '$dead/queue/none',
      '$share/g/a',
      '$share/h/a',
      '$queue/auto/x/#',
      '$queue/more/x/#',
      '$share/g/$queue/a',
    ]
    const codes: number[] = []
    for (const filter of asked) codes.push(...(await client.subscribe([filter, 1])))
    expect(codes).toEqual([0x8f, 0x8f, 1, 0x97, 1, 0x97, 0x8f])
  })
  await withBroker({ share: { auto_queues: 'no' } }, async (b) => {
    expect(await (await join(b, 'one')).subscribe(['$queue/auto/x', 1])).toEqual([0x87])
  })
})

test('retained messages are not sent for a shared subscription; Retain As Published is the member’s [MQTT-3.3.1-12]', async () => {
  await withBroker({}, async (b, publisher) => {
    await publisher.publishAndWait('a', 'kept', { qos: 1, retain: true })
    const one = await join(b, 'one')
    // QoS 1 with Retain As Published.
    await one.subscribe(['$share/g/a', 1 | 8])
    expect(await came(one)).toEqual([])
    for (const qos of [0, 1] as const) {
      await publisher.publishAndWait('a', 'new', { qos, retain: true })
      expect((await came(one)).map((p) => [p.qos, p.retain])).toEqual([[qos, true]])
    }
  })
})
