/** Shared subscriptions: a group is one queue with competing members. Raw clients, and time that stands still. */
import { expect, test } from 'vitest'
import { silentLog } from '../../src/core/log.js'
import { openStore } from '../../src/store/store.js'
import {
  type MqttClient as Client,
  type ClockedBroker,
  type ClockedOptions,
  delivered,
  MqttClient,
  type Packet,
  packet,
  type QoS,
  startClocked,
  T,
} from '../support/broker.js'
import { CutDisk } from '../support/cut-disk.js'

const join = (b: ClockedBroker, client_id: string, clean = true, more = {}) =>
  MqttClient.connect(b.port, { client_id, clean, auto_ack: false, ...more })

async function withBroker(o: ClockedOptions, run: (b: ClockedBroker, publisher: Client) => Promise<void>): Promise<void> {
  const b = await startClocked(o)
  const publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
  try {
    await run(b, publisher)
  } finally {
    await b.close()
  }
}

async function member(b: ClockedBroker, id: string, filter: string, qos: QoS = 1, clean = true, more = {}): Promise<Client> {
  const client = await join(b, id, clean, more)
  expect(await client.subscribe([filter, qos])).toEqual([qos])
  return client
}

async function publish(publisher: Client, topic: string, texts: readonly string[], qos: QoS = 1): Promise<void> {
  for (const text of texts) await publisher.publishAndWait(topic, text, { qos })
}

/** The broker dies: what was not committed is gone. What is left of it is closed, which nobody waits for. */
function crash(b: ClockedBroker): void {
  b.disk.cut(false)
  void b.close()
}

const numbers = (n: number, from = 0): string[] => Array.from({ length: n }, (_, i) => String(from + i))

/** Payloads, with ` dup` where the broker says so. */
async function payloads(client: Client): Promise<string[]> {
  return (await delivered(client)).map((line) => line.split(' ')[1] + (line.includes(' dup') ? ' dup' : ''))
}

/** Acknowledges all that came, and returns it. */
async function ackAll(client: Client): Promise<string[]> {
  const got: string[] = []
  await client.ping()
  for (const p of client.inbox.splice(0)) {
    if (p.type !== T.PUBLISH) continue
    got.push(p.payload.toString())
    if (p.qos === 1) client.send(packet.puback(p.id))
  }
  await client.ping()
  return got
}

for (const clean of [true, false]) {
  const kind = clean ? 'clean' : 'durable'

  test(`each message goes to one of the ${kind} members, in turns`, async () => {
    await withBroker({}, async (b, publisher) => {
      const one = await member(b, 'one', '$share/g/a/#', 1, clean)
      const two = await member(b, 'two', '$share/g/a/#', 1, clean)
      await publish(publisher, 'a/b', numbers(6))
      expect(await payloads(one)).toEqual(['0', '2', '4'])
      expect(await payloads(two)).toEqual(['1', '3', '5'])
    })
  })

  test(`what a ${kind} member that dies had not acknowledged goes to the others at once, in order and without DUP`, async () => {
    await withBroker({}, async (b, publisher) => {
      const one = await member(b, 'one', '$share/g/a', 1, clean)
      const two = await member(b, 'two', '$share/g/a', 1, clean)
      await publish(publisher, 'a', numbers(6))
      expect(await ackAll(two)).toEqual(['1', '3', '5'])
      const ids = [await one.next(), await one.next(), await one.next()].map((p) => p.id)
      one.send(packet.puback(ids[0] as number))
      await one.ping()
      one.destroy()
      await one.closed
      while (b.broker.state.connections.size > 2) await new Promise((resolve) => setImmediate(resolve))
      expect(await payloads(two)).toEqual(['2', '4'])
    })
  })
}

test('both members get the message when they are in different groups, or share another filter', async () => {
  await withBroker({}, async (b, publisher) => {
    const one = await member(b, 'one', '$share/g/a/#')
    const two = await member(b, 'two', '$share/h/a/#')
    const three = await member(b, 'three', '$share/g/a/+')
    const plain = await member(b, 'plain', 'a/b')
    await publish(publisher, 'a/b', ['x'])
    for (const client of [one, two, three, plain]) expect(await payloads(client)).toEqual(['x'])
  })
})

test('delivery is at the lower QoS of message and member; one at QoS 0 gets it once and it is done', async () => {
  await withBroker({ share: { distribution: 'round_robin' } }, async (b, publisher) => {
    for (const [granted, published, got] of [
      [2, 2, 2],
      [2, 1, 1],
      [1, 2, 1],
      [0, 1, 0],
      [0, 2, 0],
      [1, 0, 0],
    ] as const) {
      const id = `m${granted}${published}`
      const client = await member(b, id, `$share/g/${id}`, granted)
      await publisher.publishAndWait(id, 'x', { qos: published })
      expect((await client.expect(T.PUBLISH)).qos).toBe(got)
      const queue = b.queues.engine?.byName('group', `g/${id}`)
      if (got !== 1) expect(queue?.counts()).toMatchObject({ ready: 0, leased: 0 })
    }
  })
})

test('a durable group collects with nobody online, and over a restart', async () => {
  const first = await startClocked()
  const publisher = await MqttClient.connect(first.port, { client_id: 'publisher' })
  const one = await member(first, 'one', '$share/g/a', 1, false)
  await publish(publisher, 'a', ['0'])
  await one.expect(T.PUBLISH)
  await one.disconnect()
  await publish(publisher, 'a', numbers(5, 1))
  crash(first)

  const second = await startClocked({ after: first.disk })
  try {
    const again = await MqttClient.connect(second.port, { client_id: 'publisher' })
    await publish(again, 'a', ['6'])
    const two = await member(second, 'two', '$share/g/a')
    expect(await payloads(two)).toEqual(numbers(7))
    const back = await join(second, 'one', false)
    expect(back.connack?.present).toBe(true)
    await publish(again, 'a', ['7'])
    expect((await payloads(back)).concat(await payloads(two))).toEqual(['7'])
  } finally {
    await second.close()
  }
})

test('a group of clean sessions ends with its last member, a durable one with the last session', async () => {
  await withBroker({}, async (b, publisher) => {
    const groups = (): string[] => [...(b.queues.engine?.queues() ?? [])].filter((q) => q.kind === 'group').map((q) => q.name)
    const clean = await member(b, 'clean', '$share/g/a')
    await clean.disconnect()
    expect(b.queues.engine?.byName('group', 'g/a')).toBeUndefined()
    const one = await member(b, 'one', '$share/g/a', 1, false)
    const two = await member(b, 'two', '$share/g/a', 1, false)
    await one.disconnect()
    await two.disconnect()
    await publish(publisher, 'a', ['x'])
    expect(groups()).toEqual(['g/a'])
    // Clean start: the session is gone.
    await (await join(b, 'one', true)).disconnect()
    expect(groups()).toEqual(['g/a'])
    const back = await join(b, 'two', false)
    await back.unsubscribe('$share/g/a')
    expect(groups()).toEqual([])
    await publish(publisher, 'a', ['y'])
  })
})

test('a group becomes durable with its first durable member, and what waits moves over', async () => {
  await withBroker({ settings: { window: 2 } }, async (b, publisher) => {
    const clean = await member(b, 'clean', '$share/g/a')
    await publish(publisher, 'a', numbers(6))
    expect(await payloads(clean)).toEqual(['0', '1'])
    const durable = await member(b, 'durable', '$share/g/a', 1, false)
    const queue = b.queues.engine?.byName('group', 'g/a')
    expect(queue?.durable).toBe(true)
    const ids = [await durable.expect(T.PUBLISH), await durable.expect(T.PUBLISH)].map((p) => [p.payload.toString(), p.id])
    expect(ids.map(([text]) => text)).toEqual(['2', '3'])
    // What the clean member held goes first, as it is older.
    clean.destroy()
    await clean.closed
    while (b.broker.state.connections.size > 2) await new Promise((resolve) => setImmediate(resolve))
    for (const [, id] of ids) durable.send(packet.puback(id as number))
    expect((await ackAll(durable)).concat(await ackAll(durable))).toEqual(['0', '1', '4', '5'])
  })
})

test('QoS 2 is completed with the member it was sent to, also after a reconnect and a restart [MQTT-4.8.2-4]', async () => {
  const first = await startClocked()
  const publisher = await MqttClient.connect(first.port, { client_id: 'publisher' })
  const one = await member(first, 'one', '$share/g/a', 2, false)
  const two = await member(first, 'two', '$share/g/a', 2, false)
  await publish(publisher, 'a', numbers(4), 2)
  expect(await payloads(one)).toEqual(['0', '2'])
  expect(await payloads(two)).toEqual(['1', '3'])
  one.destroy()
  await one.closed
  expect(await payloads(two)).toEqual([])
  const back = await join(first, 'one', false)
  expect(await payloads(back)).toEqual(['0 dup', '2 dup'])
  crash(first)

  const second = await startClocked({ after: first.disk })
  try {
    const third = await member(second, 'three', '$share/g/a', 2)
    expect(await payloads(third)).toEqual([])
    const again = await join(second, 'one', false)
    expect(await payloads(again)).toEqual(['0 dup', '2 dup'])
  } finally {
    await second.close()
  }
})

test('QoS 2 sent to a clean session goes to nobody else when that ends [MQTT-4.8.2-5]', async () => {
  await withBroker({}, async (b, publisher) => {
    const clean = await member(b, 'clean', '$share/g/a', 2)
    const durable = await member(b, 'durable', '$share/g/a', 2, false)
    await publish(publisher, 'a', numbers(2), 2)
    expect(await payloads(clean)).toEqual(['0'])
    clean.destroy()
    await clean.closed
    expect(await payloads(durable)).toEqual(['1'])
    expect(await payloads(durable)).toEqual([])
  })
})

test('a member whose window is full is passed over; the others keep going', async () => {
  await withBroker({ settings: { window: 3 } }, async (b, publisher) => {
    const stuck = await member(b, 'stuck', '$share/g/a')
    const quick = await member(b, 'quick', '$share/g/a', 1, true, { auto_ack: true })
    await publish(publisher, 'a', numbers(30))
    expect(await payloads(stuck)).toHaveLength(3)
    expect(await payloads(quick)).toHaveLength(27)
  })
})

test('the window counts both the messages of the session and those of its groups', async () => {
  await withBroker({ settings: { window: 4 } }, async (b, publisher) => {
    const client = await member(b, 'one', '$share/g/a')
    await client.subscribe(['b', 1])
    await publish(publisher, 'a', numbers(3))
    await publish(publisher, 'b', numbers(3, 10))
    await client.ping()
    const got = client.inbox.splice(0).filter((p) => p.type === T.PUBLISH)
    expect(got.map((p) => p.payload.toString())).toEqual(['0', '1', '2', '10'])
    expect(new Set(got.map((p) => p.id)).size).toBe(4)
    for (const p of got) client.send(packet.puback(p.id))
    expect(await payloads(client)).toEqual(['11', '12'])
  })
})

test('a message that a live member does not acknowledge goes to another after the retry interval; alone, it gets it again with DUP', async () => {
  await withBroker({ retry: { interval_ms: 4_000 } }, async (b, publisher) => {
    const one = await member(b, 'one', '$share/g/a')
    await publish(publisher, 'a', ['x'])
    const first = await one.expect(T.PUBLISH)
    b.clock.advance(4_000)
    const again = await one.expect(T.PUBLISH)
    expect([again.id, again.dup]).toEqual([first.id, true])
    const two = await member(b, 'two', '$share/g/a')
    b.clock.advance(8_000)
    expect(await payloads(two)).toEqual(['x'])
    expect(await payloads(one)).toEqual([])
    // The late acknowledgement frees its identifier and nothing else.
    one.send(packet.puback(first.id))
    await one.ping()
    two.destroy()
    await two.closed
    while (b.broker.state.connections.size > 2) await new Promise((resolve) => setImmediate(resolve))
    expect(await payloads(one)).toEqual(['x'])
  })
})

test('attempts are limited: then a message goes to the dead-letter queue of the group', async () => {
  await withBroker({ retry: { max_attempts: 2 } }, async (b, publisher) => {
    await member(b, 'keeper', '$share/g/a', 1, false).then((c) => c.disconnect())
    await publish(publisher, 'a', ['bad', 'good'])
    for (let n = 0; n < 2; n++) {
      const client = await member(b, 'one', '$share/g/a')
      expect(await payloads(client)).toEqual(['bad', 'good'])
      if (n === 1) client.send(packet.puback(1))
      client.destroy()
      await client.closed
      while (b.broker.state.connections.size > 1) await new Promise((resolve) => setImmediate(resolve))
    }
    const last = await member(b, 'one', '$share/g/a')
    expect(await payloads(last)).toEqual([])
    const { ordered } = b.queues
    const dead = ordered?.get('$dead/share/g/a')
    expect(dead?.counts().ready).toBe(2)
    const reader = await member(b, 'reader', '$dead/share/g/a')
    expect(await payloads(reader)).toEqual(['bad', 'good'])
  })
})

test('QoS 0 goes to one live member that can take it, and is dropped and counted when there is none', async () => {
  await withBroker({}, async (b, publisher) => {
    const consumers = b.broker.offer<{ counts: { dropped_qos0: number } }>('consumers')
    const one = await member(b, 'one', '$share/g/a', 1, false)
    const two = await member(b, 'two', '$share/g/a', 0)
    await publish(publisher, 'a', numbers(4), 0)
    await publisher.ping()
    expect(await payloads(one)).toEqual(['0', '2'])
    expect(await payloads(two)).toEqual(['1', '3'])
    await one.disconnect()
    await two.disconnect()
    await publish(publisher, 'a', numbers(3), 0)
    await publisher.ping()
    expect(consumers?.counts.dropped_qos0).toBe(3)
  })
})

test('QoS 0 needs no room in a window', async () => {
  await withBroker({ settings: { window: 1 } }, async (b, publisher) => {
    const one = await member(b, 'one', '$share/g/a')
    await publish(publisher, 'a', numbers(2))
    await publish(publisher, 'a', ['now'], 0)
    await publisher.ping()
    expect(await payloads(one)).toEqual(['0', 'now'])
  })
})

test('unsubscribing with messages in flight: they are completed, and nothing new comes', async () => {
  await withBroker({}, async (b, publisher) => {
    const one = await member(b, 'one', '$share/g/a')
    const two = await member(b, 'two', '$share/g/a')
    await publish(publisher, 'a', numbers(2))
    const p = await one.expect(T.PUBLISH)
    await one.unsubscribe('$share/g/a')
    await publish(publisher, 'a', numbers(2, 2))
    expect(await payloads(one)).toEqual([])
    expect(await payloads(two)).toEqual(['1', '2', '3'])
    one.send(packet.puback(p.id))
    await one.ping()
    expect(b.queues.engine?.byName('group', 'g/a')?.counts()).toMatchObject({ ready: 0, leased: 3 })
  })
})

test('a member that is taken over gives its messages back', async () => {
  await withBroker({}, async (b, publisher) => {
    const one = await member(b, 'one', '$share/g/a', 1, false)
    await publish(publisher, 'a', numbers(3))
    expect(await payloads(one)).toEqual(numbers(3))
    const again = await join(b, 'one', false)
    await one.closed
    expect(await payloads(again)).toEqual(numbers(3))
  })
})

test('names: a reserved filter, a wildcard in the group or no filter is refused', async () => {
  await withBroker({ share: { max_groups: 1 }, settings: { deny_subscribe: ['secret'] } }, async (b) => {
    const client = await join(b, 'one')
    for (const filter of [
      '$share/g',
      '$share/g/',
      '$share/+/a',
      '$share//a',
      '$share/g/$queue/x',
      '$share/g/$share/h/a',
      '$share/g/a#',
    ]) {
      expect([filter, await client.subscribe([filter, 1])]).toEqual([filter, [0x80]])
    }
    expect(await client.subscribe(['$share/g/secret', 1])).toEqual([0x80])
    expect(await client.subscribe(['$share/g/a', 1], ['$share/h/a', 1], ['$share/g/a', 0])).toEqual([1, 0x80, 0])
  })
})

test('a commit that fails: the store is opened again, and the group goes on with what was committed', async () => {
  const b = await startClocked()
  try {
    const publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
    const one = await member(b, 'one', '$share/g/a', 1, false)
    await publish(publisher, 'a', numbers(3))
    expect(await payloads(one)).toEqual(numbers(3))
    b.disk.failing = true
    publisher.publish('a', 'lost', { qos: 1 })
    await publisher.closed
    b.broker.suspend()
    await one.closed
    const disk = new CutDisk(b.disk.rows)
    const store = await openStore({
      path: '',
      durability: 'fsync',
      min_free_bytes: 0,
      max_bytes: 0,
      clock: b.clock,
      log: silentLog,
      disk,
    })
    await b.broker.open(store)
    const again = await MqttClient.connect(b.port, { client_id: 'publisher' })
    await publish(again, 'a', ['3'])
    const two = await member(b, 'two', '$share/g/a')
    expect(await payloads(two)).toEqual(numbers(4))
    await store.close()
  } finally {
    await b.close()
  }
})

test('a session that expires gives its messages back and ends the group when it was the last', async () => {
  await withBroker({ settings: { session_expiry_s: 60 } }, async (b, publisher) => {
    await member(b, 'kept', '$share/g/a', 1, false).then((c) => c.disconnect())
    await publish(publisher, 'a', numbers(2))
    const clean = await member(b, 'clean', '$share/g/a')
    expect(await payloads(clean)).toEqual(numbers(2))
    b.clock.advance(70_000)
    await clean.ping()
    // A clean member keeps what is durable going.
    await publish(publisher, 'a', ['2'])
    expect(await payloads(clean)).toContain('2')
    await clean.disconnect()
    expect(b.queues.engine?.byName('group', 'g/a')).toBeUndefined()
  })
})

test('what is beyond memory comes from the disk, in order, and a full group drops its oldest', async () => {
  const limits = { max_messages: 9_000, max_bytes: 1e9, overflow: 'drop_oldest' } as const
  await withBroker({ limits, settings: { window: 100 } }, async (b, publisher) => {
    await member(b, 'kept', '$share/g/a', 1, false).then((c) => c.disconnect())
    for (let n = 0; n < 9_500; n++) publisher.publish('a', String(n), { qos: 1 })
    await publisher.expect(T.PUBACK, (p) => p.id === 9_500)
    const queue = b.queues.engine?.byName('group', 'g/a')
    expect(queue?.counts().ready).toBe(9_000)
    const got: string[] = []
    const all = new Promise<void>((resolve) => {
      const take = (p: Packet): void => {
        if (p.type === T.PUBLISH) got.push(p.payload.toString())
        if (got.length === 9_000) resolve()
      }
      void MqttClient.connect(b.port, { client_id: 'reader', onPacket: take }).then((c) =>
        c.subscribe(['$share/g/a', 1]).catch(() => {}),
      )
    })
    await all
    expect(got).toEqual(numbers(9_000, 500))
    expect(b.queues.departures().group.dropped_oldest).toBe(500)
  })
})

test('expired messages are not delivered, and leave a group that nobody consumes', async () => {
  await withBroker({}, async (b) => {
    await member(b, 'kept', '$share/g/a', 1, false).then((c) => c.disconnect())
    const publisher = await MqttClient.connect(b.port, { client_id: 'five', protocol: 5 })
    for (let n = 0; n < 600; n++)
      await publisher.publishAndWait('a', 'old', { qos: 1, properties: { messageExpiryInterval: 10 } })
    await publisher.publishAndWait('a', 'new', { qos: 1, properties: { messageExpiryInterval: 100 } })
    const queue = b.queues.engine?.byName('group', 'g/a')
    expect(queue?.counts().ready).toBe(601)
    b.clock.advance(15_000)
    expect(queue?.counts().ready).toBe(1)
    expect(b.queues.departures().group.expired).toBe(600)
    const one = await member(b, 'one', '$share/g/a')
    expect(await payloads(one)).toEqual(['new'])
  })
})

test('least in flight, sticky', async () => {
  await withBroker(
    { share: { groups: { few: 'least_in_flight', stay: 'sticky' } }, settings: { window: 4 } },
    async (b, publisher) => {
      const one = await member(b, 'one', '$share/few/a')
      const two = await member(b, 'two', '$share/few/a', 1, true, { auto_ack: true })
      await publish(publisher, 'a', numbers(4))
      // `one` acknowledges nothing: it gets the first, and then only when both have as much.
      expect((await payloads(one)).length).toBeLessThanOrEqual(2)
      await one.disconnect()
      await two.disconnect()
      const three = await member(b, 'three', '$share/stay/b')
      const four = await member(b, 'four', '$share/stay/b')
      await publish(publisher, 'b', numbers(7))
      expect(await payloads(three)).toEqual(numbers(4))
      expect(await payloads(four)).toEqual(numbers(3, 4))
    },
  )
})

for (const distribution of ['hash_client', 'hash_topic'] as const) {
  test(`${distribution}: all of a key to one member, and a slow one holds up only its own`, async () => {
    await withBroker({ share: { distribution }, settings: { window: 5 } }, async (b, publisher) => {
      const slow = await member(b, 'slow', '$share/g/t/#')
      const quick = await member(b, 'quick', '$share/g/t/#', 1, true, { auto_ack: true })
      const publishers = await Promise.all(numbers(8).map((n) => MqttClient.connect(b.port, { client_id: `p${n}` })))
      for (let n = 0; n < 20; n++) {
        for (const [i, p] of publishers.entries()) {
          const topic = distribution === 'hash_client' ? `t/${n}` : `t/${i}`
          const sender = distribution === 'hash_client' ? p : publisher
          await sender.publishAndWait(topic, `${i}.${n}`, { qos: 1 })
        }
      }
      const held: Packet[] = []
      const atSlow: string[] = []
      const look = async (): Promise<void> => {
        await slow.ping()
        for (const p of slow.inbox.splice(0)) if (p.type === T.PUBLISH) held.push(p)
      }
      await look()
      expect(held).toHaveLength(5)
      const atQuick = (await payloads(quick)).map(String)
      const keys = (list: readonly string[]): Set<string> => new Set(list.map((text) => text.split('.')[0] as string))
      // All 20 of each of its keys have come to the quick one, in order.
      for (const key of keys(atQuick)) {
        expect(atQuick.filter((text) => text.startsWith(`${key}.`))).toEqual(numbers(20).map((n) => `${key}.${n}`))
      }
      while (held.length > 0) {
        for (const p of held.splice(0)) {
          atSlow.push(p.payload.toString())
          slow.send(packet.puback(p.id))
        }
        await look()
      }
      expect(atQuick.length + atSlow.length).toBe(160)
      for (const key of keys(atSlow)) {
        expect(keys(atQuick).has(key)).toBe(false)
        expect(atSlow.filter((text) => text.startsWith(`${key}.`))).toEqual(numbers(20).map((n) => `${key}.${n}`))
      }
      expect(keys(atSlow).size).toBeGreaterThan(0)
      expect(keys(atQuick).size).toBeGreaterThan(0)
    })
  })
}

test('hash: a member that is too far behind loses its keys to the others until it has caught up', async () => {
  await withBroker({ share: { distribution: 'hash_topic' }, settings: { window: 5 } }, async (b, publisher) => {
    const slow = await member(b, 'slow', '$share/g/t/#')
    let count = 0
    await MqttClient.connect(b.port, { client_id: 'quick', onPacket: (p) => void (p.type === T.PUBLISH && count++) }).then((c) =>
      c.subscribe(['$share/g/t/#', 1]).catch(() => {}),
    )
    // Twenty keys, half of them the slow one's or so: more than PARKED_MAX wait for it.
    const total = 4_000
    for (let n = 0; n < total; n++) publisher.publish(`t/${n % 20}`, String(n), { qos: 1 })
    await publisher.expect(T.PUBACK, (p) => p.id === total)
    while (count < total - 5) await publisher.ping()
    const held = (await slow.ping().then(() => slow.inbox.splice(0))).filter((p) => p.type === T.PUBLISH)
    expect(held).toHaveLength(5)
    for (const p of held) slow.send(packet.puback(p.id))
    await slow.ping()
    for (let n = 0; n < 40; n++) await publisher.publishAndWait(`t/${n % 20}`, 'more', { qos: 1 })
    expect((await payloads(slow)).length).toBeGreaterThan(0)
  })
})

test('a member that does not read is passed over: the others get all at full rate', async () => {
  await withBroker({ settings: { window: 1_000, max_output_bytes: 64 * 1024 } }, async (b, publisher) => {
    const stuck = await member(b, 'stuck', '$share/g/a')
    stuck.socket.pause()
    let count = 0
    await MqttClient.connect(b.port, { client_id: 'quick', onPacket: (p) => void (p.type === T.PUBLISH && count++) }).then((c) =>
      c.subscribe(['$share/g/a', 1]).catch(() => {}),
    )
    const body = Buffer.alloc(20_000)
    const total = 600
    for (let n = 0; n < total; n++) publisher.publish('a', body, { qos: 1 })
    await publisher.expect(T.PUBACK, (p) => p.id === total)
    let before = -1
    for (let still = 0; still < 20; still++) {
      await publisher.ping()
      if (count > before) still = 0
      before = count
    }
    // What the kernel took for the one that does not read, and its 64 KiB, is all that the other did not get.
    const kept = b.queues.engine?.byName('group', 'g/a')?.counts()
    expect(count).toBeGreaterThan(total / 2 - 1)
    expect(kept?.ready).toBe(0)
  })
})
