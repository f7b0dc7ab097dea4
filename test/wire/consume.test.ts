/** Pull and dead-letter queues over MQTT: PUBACK is the acknowledgement, and all doors lease from the same queue. */
import { expect, test } from 'vitest'
import type { OrderedQueue } from '../../src/queue/ordered-queue.js'
import {
  type MqttClient as Client,
  type ClockedBroker,
  type ClockedOptions,
  delivered,
  MqttClient,
  packet,
  type QoS,
  startClocked,
  T,
} from '../support/broker.js'

const join = (b: ClockedBroker, client_id: string, clean = true, more = {}) =>
  MqttClient.connect(b.port, { client_id, clean, auto_ack: false, ...more })

async function withQueue(
  attributes: object,
  o: ClockedOptions,
  run: (b: ClockedBroker, queue: OrderedQueue) => Promise<void>,
): Promise<void> {
  const b = await startClocked(o)
  try {
    const queue = b.queues.ordered?.create('jobs', 'pull', attributes) as OrderedQueue
    await queue.committed()
    await run(b, queue)
  } finally {
    await b.close()
  }
}

async function consumer(
  b: ClockedBroker,
  id: string,
  filter = '$queue/jobs',
  qos: QoS = 1,
  clean = true,
  more = {},
): Promise<Client> {
  const client = await join(b, id, clean, more)
  expect(await client.subscribe([filter, qos])).toEqual([Math.min(qos, 1)])
  return client
}

/** A message as the bridge or an HTTP send puts it in. */
async function send(b: ClockedBroker, name: string, texts: readonly string[], topic = 'work', key = ''): Promise<void> {
  const queue = b.queues.ordered?.get(name) as OrderedQueue
  const t = Buffer.from(topic)
  for (const text of texts) {
    const body = Buffer.concat([Buffer.from([0, t.length]), t, Buffer.alloc(2), Buffer.from(text)])
    const view = {
      buffer: body,
      bodyStart: 0,
      payloadStart: 4 + t.length,
      end: body.length,
      properties: undefined,
      acceptedAt: b.clock.now(),
      expiresAt: 0,
    }
    queue.send([{ view, ...(key === '' ? {} : { key }) }])
  }
  await queue.committed()
}

const numbers = (n: number, from = 0): string[] => Array.from({ length: n }, (_, i) => String(from + i))

/** What has come after the commits and reads that were on their way. */
async function lines(client: Client): Promise<string[]> {
  const got: string[] = []
  for (let i = 0; i < 5; i++) got.push(...(await delivered(client)))
  return got
}

async function gone(b: ClockedBroker, client: Client): Promise<void> {
  const open = b.broker.state.connections.size
  client.destroy()
  await client.closed
  while (b.broker.state.connections.size >= open) await new Promise((resolve) => setImmediate(resolve))
}

test('members compete; PUBACK is the acknowledgement, and the topic is the message’s own', async () => {
  await withQueue({}, {}, async (b, queue) => {
    await send(b, 'jobs', numbers(2))
    const one = await consumer(b, 'one')
    expect(await lines(one)).toEqual(['work 0 q1', 'work 1 q1'])
    const two = await consumer(b, 'two')
    await send(b, 'jobs', numbers(4, 2))
    expect((await lines(one)).length + (await lines(two)).length).toBe(4)
    expect(queue.counts()).toMatchObject({ ready: 0, leased: 6 })
    await gone(b, one)
    // All that `one` held; what `two` held already stays with it.
    expect(await lines(two)).toHaveLength(4)
    expect(queue.counts()).toMatchObject({ ready: 0, leased: 6 })
  })
})

test('a consumer that says goodbye has made no attempt at what it did not acknowledge', async () => {
  await withQueue({ max_attempts: 1 }, {}, async (b, queue) => {
    await send(b, 'jobs', numbers(3))
    for (let i = 0; i < 3; i++) {
      const one = await consumer(b, `one${i}`)
      expect(await lines(one)).toEqual(['work 0 q1', 'work 1 q1', 'work 2 q1'])
      one.send(packet.disconnect())
      await one.closed
      while (queue.counts().leased > 0) await new Promise((resolve) => setImmediate(resolve))
      expect(queue.counts()).toMatchObject({ ready: 3, leased: 0 })
    }
    const two = await consumer(b, 'two')
    expect(await lines(two)).toHaveLength(3)
    // It breaks off: now they die.
    await gone(b, two)
    expect(queue.counts()).toMatchObject({ ready: 0, leased: 0 })
  })
})

test('a consumer that goes gives its messages back at once, in order, and its hand-outs count', async () => {
  await withQueue({ max_attempts: 2 }, {}, async (b, queue) => {
    await send(b, 'jobs', numbers(3))
    const one = await consumer(b, 'one')
    const first = await one.expect(T.PUBLISH)
    one.send(packet.puback(first.id))
    expect(await lines(one)).toHaveLength(2)
    const two = await consumer(b, 'two')
    await gone(b, one)
    expect(await lines(two)).toEqual(['work 1 q1', 'work 2 q1'])
    await gone(b, two)
    // Twice handed out, never acknowledged.
    expect(queue.counts()).toMatchObject({ ready: 0, leased: 0 })
    const dead = b.queues.ordered?.get('$dead/queue/jobs')
    expect(dead?.counts().ready).toBe(2)
    const reader = await consumer(b, 'reader', '$dead/queue/jobs')
    expect(await lines(reader)).toEqual(['work 1 q1', 'work 2 q1'])
  })
})

test('a lease does not run out under a client that lives, and nobody else gets the message', async () => {
  await withQueue({ lease_ms: 1_000 }, {}, async (b, queue) => {
    await send(b, 'jobs', ['x'])
    const one = await consumer(b, 'one')
    const p = await one.expect(T.PUBLISH)
    for (let s = 0; s < 120; s++) {
      b.clock.advance(1_000)
      await one.ping()
      expect(queue.lease(1)).toEqual([])
    }
    one.send(packet.puback(p.id))
    await one.ping()
    expect(queue.counts()).toMatchObject({ ready: 0, leased: 0 })
  })
})

test('MQTT, and a receive of another door, never get the same message', async () => {
  await withQueue({}, { settings: { window: 3 } }, async (b, queue) => {
    await send(b, 'jobs', numbers(6))
    const one = await consumer(b, 'one')
    const mine = await lines(one)
    const others = await queue.receive({ max: 10 })
    expect(mine).toEqual(['work 0 q1', 'work 1 q1', 'work 2 q1'])
    expect(others.map((d) => d.message?.buffer.toString('utf8', d.message.payloadStart, d.message.end))).toEqual(['3', '4', '5'])
    // What the other door gives back comes here when there is room.
    queue.nack(others.map((d) => d.receipt))
    one.auto_ack = true
    expect(await lines(one)).toEqual([])
  })
})

test('at QoS 0 a message is handed out once and done', async () => {
  await withQueue({}, {}, async (b, queue) => {
    await send(b, 'jobs', numbers(3))
    const one = await consumer(b, 'one', '$queue/jobs', 0)
    expect(await lines(one)).toEqual(['work 0 q0', 'work 1 q0', 'work 2 q0'])
    expect(queue.counts()).toMatchObject({ ready: 0, leased: 0 })
  })
})

test('QoS 2 is granted as 1; a queue that is not there, and a name that can be none, are refused', async () => {
  await withQueue({}, {}, async (b) => {
    await consumer(b, 'one', '$queue/jobs', 2)
    const client = await join(b, 'two')
    for (const filter of [
      '$queue/none',
      '$queue/+',
      '$queue/#',
      '$queue',
      '$queue/',
      '$queue/..',
      '$dead/queue/jobs',
      '$dead/#',
      '$dead',
      '$delayed/1/a',
    ]) {
      expect([filter, await client.subscribe([filter, 1])]).toEqual([filter, [0x80]])
    }
    // Nothing may be published to a dead-letter queue.
    client.publish('$dead/queue/jobs', 'x', { qos: 1 })
    await client.closed
    expect(b.queues.ordered?.get('$dead/queue/jobs')).toBeUndefined()
  })
})

test('$queue/{name}/{filter} makes queue and rule, once, and they stay; a second subscription of the same adds nothing', async () => {
  const first = await startClocked()
  const publisher = await MqttClient.connect(first.port, { client_id: 'publisher' })
  const one = await consumer(first, 'one', '$queue/alarms/site/+/alarm')
  const two = await consumer(first, 'two', '$queue/alarms/site/+/alarm')
  await publisher.publishAndWait('site/1/alarm', 'a', { qos: 1 })
  await publisher.publishAndWait('site/2/other', 'b', { qos: 1 })
  expect([...(await lines(one)), ...(await lines(two))]).toEqual(['site/1/alarm a q1'])
  await gone(first, one)
  await gone(first, two)
  await publisher.publishAndWait('site/3/alarm', 'c', { qos: 0 })
  await publisher.ping()
  await first.queues.ordered?.committed()
  first.disk.cut(false)
  const second = await startClocked({ after: first.disk, clock: first.clock })
  void first.close()
  try {
    // By its name alone, and under both names at once.
    const back = await consumer(second, 'back', '$queue/alarms')
    expect(await lines(back)).toEqual(['site/1/alarm a q1', 'site/3/alarm c q1'])
    expect(await back.subscribe(['$queue/alarms/site/+/alarm', 1])).toEqual([1])
    await back.unsubscribe('$queue/alarms')
    const again = await MqttClient.connect(second.port, { client_id: 'publisher' })
    await again.publishAndWait('site/4/alarm', 'd', { qos: 1 })
    expect(await lines(back)).toEqual(['site/4/alarm d q1'])
  } finally {
    await second.close()
  }
})

test('a subscription that makes a queue is acknowledged when that is stored, for a clean session, too', async () => {
  await withQueue({}, {}, async (b) => {
    const client = await join(b, 'one')
    const other = await join(b, 'other')
    b.disk.holding = true
    client.send(packet.subscribe(7, [['$queue/made/x', 1]]))
    while (b.disk.waiting === 0) await other.ping()
    for (let i = 0; i < 5; i++) await other.ping()
    expect(client.inbox).toEqual([])
    b.disk.holding = false
    while (b.disk.step());
    expect((await client.expect(T.SUBACK)).codes).toEqual([1])
  })
})

test('a message is handed out when its lease is stored, not before', async () => {
  await withQueue({}, {}, async (b) => {
    await send(b, 'jobs', ['x'])
    const other = await join(b, 'other')
    const client = await join(b, 'one')
    b.disk.holding = true
    // A clean session: the subscription itself stores nothing, but its answer waits with the lease.
    client.send(packet.subscribe(7, [['$queue/jobs', 1]]))
    while (b.disk.waiting === 0) await other.ping()
    for (let i = 0; i < 5; i++) await other.ping()
    expect(client.inbox).toEqual([])
    b.disk.holding = false
    while (b.disk.step());
    await client.expect(T.SUBACK)
    expect((await client.expect(T.PUBLISH)).payload.toString()).toBe('x')
  })
})

test('a stored subscription goes on after a restart; after a kill the lease is over within a minute', async () => {
  const first = await startClocked()
  const queue = first.queues.ordered?.create('jobs', 'pull', { lease_ms: 600_000 }) as OrderedQueue
  await queue.committed()
  const one = await consumer(first, 'one', '$queue/jobs', 1, false)
  await send(first, 'jobs', ['held', 'waits'])
  expect(await lines(one)).toEqual(['work held q1', 'work waits q1'])
  first.disk.cut(false)
  const second = await startClocked({ after: first.disk, clock: first.clock })
  void first.close()
  try {
    const back = await join(second, 'one', false)
    expect(await lines(back)).toEqual([])
    await send(second, 'jobs', ['new'])
    const p = await back.expect(T.PUBLISH)
    expect(p.payload.toString()).toBe('new')
    back.send(packet.puback(p.id))
    await back.ping()
    second.clock.advance(60_000)
    expect(await lines(back)).toEqual(['work held q1', 'work waits q1'])
  } finally {
    await second.close()
  }
})

test('a queue that is deleted with messages in flight, and made again, is consumed again', async () => {
  await withQueue({}, {}, async (b, queue) => {
    await send(b, 'jobs', numbers(2))
    const one = await consumer(b, 'one')
    const p = await one.expect(T.PUBLISH)
    b.queues.ordered?.delete(queue)
    one.send(packet.puback(p.id))
    await lines(one)
    b.queues.ordered?.create('jobs', 'pull', {})
    await send(b, 'jobs', ['new'])
    b.clock.advance(1_000)
    expect(await lines(one)).toEqual(['work new q1'])
  })
})

test('a FIFO key has one message out at a time, whoever has it', async () => {
  await withQueue({ fifo: true }, {}, async (b) => {
    const both = [await consumer(b, 'one'), await consumer(b, 'two')]
    await send(b, 'jobs', numbers(3), 'work', 'k')
    for (const n of numbers(3)) {
      const got: { client: Client; id: number; text: string }[] = []
      for (const client of [...both, ...both, ...both]) {
        await client.ping()
        for (const p of client.inbox.splice(0))
          if (p.type === T.PUBLISH) got.push({ client, id: p.id, text: p.payload.toString() })
      }
      expect(got.map(({ text }) => text)).toEqual([n])
      for (const { client, id } of got) client.send(packet.puback(id))
    }
  })
})
