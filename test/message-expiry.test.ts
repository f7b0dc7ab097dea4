/** Messages that expire: never delivered afterwards, from wherever they wait, also after a crash; and what they held is free again. */
import { afterEach, expect, test } from 'vitest'
import { admitOutgoing, type Outgoing } from '../src/broker/admission.js'
import type { KeyRange } from '../src/store/disk.js'
import * as keys from '../src/store/keys.js'
import { type ClockedBroker, type ClockedOptions, delivered, MqttClient, packet, startClocked, T } from './support/broker.js'

let b: ClockedBroker
let running: ClockedBroker[] = []
afterEach(async () => {
  for (const one of running) await one.close()
  running = []
})

async function start(o: ClockedOptions = {}): Promise<void> {
  b = await startClocked(o)
  running.push(b)
}

/** The machine dies with what is on the disk, and starts again. */
async function crash(o: ClockedOptions = {}): Promise<void> {
  const { disk, clock } = b
  await b.die()
  running = running.filter((one) => one !== b)
  await start({ ...o, after: disk, clock })
}

const join = (client_id: string, clean = true) => MqttClient.connect(b.port, { client_id, clean })

/** Publishes from inside; resolves when it is stored. */
async function publish(topic: string, payload: string, expiry_s: number, more: Partial<Outgoing> = {}): Promise<void> {
  const { state } = b.broker
  const { stored } = state
  if (stored === null) throw new Error('not open')
  const expiresAt = expiry_s === 0 ? 0 : state.clock.now() + expiry_s * 1000
  const outcome = admitOutgoing(
    state,
    stored,
    { topic, payload: Buffer.from(payload), qos: 1, retain: false, expiresAt, ...more },
    null,
  )
  expect(outcome).toBeGreaterThanOrEqual(0)
  await stored.store.journal.flush()
}

async function rows(range: KeyRange): Promise<number> {
  await b.broker.state.stored?.store.journal.flush()
  let count = 0
  for await (const { key } of b.disk.scan(range)) if (key.length > 0) count++
  return count
}

const retained = { retain: true } as const

test('a retained message is handed out until it expires, not afterwards, and then leaves the store', async () => {
  await start()
  await publish('r/short', 'a', 10, retained)
  await publish('r/long', 'b', 20, retained)
  await publish('r/ever', 'c', 0, retained)
  const reader = await join('reader')
  const replay = async (): Promise<string[]> => {
    await reader.subscribe(['r/#', 0])
    return (await delivered(reader)).sort()
  }
  b.clock.skip(9_999)
  expect(await replay()).toEqual(['r/ever c q0 retain', 'r/long b q0 retain', 'r/short a q0 retain'])
  // From that moment on, whether or not the broker has looked.
  b.clock.skip(1)
  expect(await replay()).toEqual(['r/ever c q0 retain', 'r/long b q0 retain'])
  expect(await rows(keys.retained)).toBe(3)
  b.clock.advance(250)
  b.clock.advance(250)
  expect(b.broker.state.stored?.retained.size).toBe(2)
  expect(b.broker.state.stats.retainedExpired).toBe(1)
  expect(await rows(keys.retained)).toBe(2)
})

test('a newer retained message has its own expiry, and so has none that has none', async () => {
  await start()
  await publish('r', 'old', 10, retained)
  await publish('r', 'new', 0, retained)
  await publish('q', 'old', 0, retained)
  await publish('q', 'new', 10, retained)
  b.clock.advance(11_000)
  const reader = await join('reader')
  await reader.subscribe(['#', 0])
  expect(await delivered(reader)).toEqual(['r new q0 retain'])
  expect(b.broker.state.stats.retainedExpired).toBe(1)
})

test('retained messages expire by their stored moment, also when the broker was not there, and many not in one turn', async () => {
  await start()
  for (let i = 0; i < 600; i++) void publish(`r/${i}`, 'x', 10, retained)
  await publish('r/later', 'x', 30, retained)
  b.clock.skip(15_000)
  await crash()
  const { stored } = b.broker.state
  expect(stored?.retained.size).toBe(601)
  const reader = await join('reader')
  await reader.subscribe(['r/#', 0])
  expect(await delivered(reader)).toEqual(['r/later x q0 retain'])
  const sizes = [1, 2, 3].map(() => {
    b.clock.advance(250)
    return stored?.retained.size
  })
  expect(sizes).toEqual([345, 89, 1])
  b.clock.advance(250)
  expect(await rows(keys.retained)).toBe(1)
})

/** Messages in the queue of a stored session. */
const waiting = (client_id: string): number | undefined => b.broker.state.stored?.sessions.get(client_id)?.mailbox.waiting
const expired = (): number => b.queues.departures().session.expired

/** A stored session that is subscribed to everything, and away. */
async function away(client_id: string): Promise<void> {
  const device = await join(client_id, false)
  await device.subscribe(['#', 2])
  await device.disconnect()
}

test('what expires while a client is away is not delivered when it comes back, what does not is, in order', async () => {
  await start()
  await away('dev')
  for (const [n, expiry_s] of [10, 0, 30, 10, 0].entries()) await publish('t', `m${n}`, expiry_s, { qos: n === 3 ? 2 : 1 })
  b.clock.skip(10_000)
  const back = await join('dev', false)
  expect(await delivered(back)).toEqual(['t m1 q1', 't m2 q1', 't m4 q1'])
  expect(expired()).toBe(2)
})

test('the same after a crash: what may have been sent before it is sent again with DUP, what never was has expired', async () => {
  await start({ settings: { window: 2 } })
  const device = await MqttClient.connect(b.port, { client_id: 'dev', clean: false, auto_ack: false })
  await device.subscribe(['#', 2])
  for (const [n, expiry_s] of [10, 10, 10, 0, 0].entries()) await publish('t', `m${n}`, expiry_s)
  await device.ping()
  b.clock.skip(10_000)
  await crash({ settings: { window: 10 } })
  const back = await join('dev', false)
  // Two may have been sent before the crash.
  expect(await delivered(back)).toEqual(['t m0 q1 dup', 't m1 q1 dup', 't m3 q1', 't m4 q1'])
  expect(expired()).toBe(1)
})

test.each([3, 4, 5] as const)(
  'level %i: what was sent and not acknowledged is sent again with DUP, though it has expired [MQTT-4.4.0-1] [MQTT-4.3.3-7]',
  async (protocol) => {
    await start()
    const away = () =>
      MqttClient.connect(b.port, {
        client_id: 'dev',
        clean: false,
        auto_ack: false,
        protocol,
        ...(protocol === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
      })
    const first = await away()
    await first.subscribe(['t', 2])
    for (const qos of [1, 2] as const) await publish('t', `m${qos}`, 10, { qos })
    const sent = [await first.expect(T.PUBLISH), await first.expect(T.PUBLISH)]
    first.destroy()
    while (b.broker.state.stored?.sessions.get('dev')?.connection !== null) await new Promise((resolve) => setImmediate(resolve))
    await publish('t', 'never sent', 10)
    // Nor does the look at queues that nobody reads take them away.
    for (let i = 0; i < 4; i++) b.clock.advance(10_000)
    expect(waiting('dev')).toBe(3)
    for (const how of ['reconnect', 'start', 'crash']) {
      if (how === 'start') await b.reopen()
      if (how === 'crash') await crash()
      const back = await away()
      const got = [await back.expect(T.PUBLISH), await back.expect(T.PUBLISH)]
      expect(
        got.map((p) => [p.payload.toString(), p.qos, p.id, p.dup]),
        how,
      ).toEqual(sent.map((p) => [p.payload.toString(), p.qos, p.id, true]))
      // Nothing is left of it.
      if (protocol === 5) for (const p of got) expect(p.properties.messageExpiryInterval).toBe(0)
      expect(await delivered(back)).toEqual([])
      back.destroy()
      while (b.broker.state.stored?.sessions.get('dev')?.connection !== null)
        await new Promise((resolve) => setImmediate(resolve))
    }
    const last = await away()
    const [one, two] = [await last.expect(T.PUBLISH), await last.expect(T.PUBLISH)]
    last.send(packet.puback(one.id))
    last.send(packet.pubrec(two.id))
    await last.expect(T.PUBREL)
    last.send(packet.pubcomp(two.id))
    expect(await delivered(last)).toEqual([])
    expect(waiting('dev')).toBe(0)
    last.destroy()
  },
)

test('a live client of MQTT 3.1.1 gets what it holds again after retry.interval_ms, though it has expired', async () => {
  await start()
  for (const clean of [true, false]) {
    const client = await MqttClient.connect(b.port, { client_id: `live-${clean}`, clean, auto_ack: false })
    await client.subscribe(['t', 2])
    for (const qos of [1, 2] as const) await publish('t', 'm', 10, { qos })
    expect(await delivered(client)).toEqual(['t m q1', 't m q2'])
    b.clock.advance(31_000)
    expect(await delivered(client), `clean: ${clean}`).toEqual(['t m q1 dup', 't m q2 dup'])
    client.destroy()
  }
})

test('a resend that comes in time is sent', async () => {
  await start()
  const client = await MqttClient.connect(b.port, { client_id: 'dev', auto_ack: false })
  await client.subscribe(['t', 1])
  await publish('t', 'm', 60)
  expect(await delivered(client)).toEqual(['t m q1'])
  b.clock.advance(31_000)
  expect(await delivered(client)).toEqual(['t m q1 dup'])
})

test('a slow client of either kind does not get what expired behind its window', async () => {
  await start({ settings: { window: 1 } })
  for (const clean of [true, false]) {
    const client = await MqttClient.connect(b.port, { client_id: `slow-${clean}`, clean, auto_ack: false })
    await client.subscribe(['t', 2])
    await publish('t', 'first', 0)
    await publish('t', 'short', 10)
    await publish('t', 'short', 10, { qos: 2 })
    await publish('t', 'last', 0)
    const { id } = await client.expect(T.PUBLISH)
    b.clock.skip(10_000)
    client.send(packet.puback(id))
    expect(await delivered(client), `clean: ${clean}`).toEqual(['t last q1'])
    await client.disconnect()
  }
  expect(expired()).toBe(4)
})

test('what expires at the front of a queue that nobody reads leaves it, behind what does not it stays until its turn', async () => {
  await start()
  await away('dev')
  for (const expiry_s of [10, 10, 20, 0, 10]) await publish('t', 'x', expiry_s)
  expect(waiting('dev')).toBe(5)
  b.clock.advance(10_250)
  expect(waiting('dev')).toBe(3)
  b.clock.advance(10_000)
  expect([waiting('dev'), expired()]).toEqual([2, 3])
  const entries = b.broker.state.stored?.mailboxes
  expect(entries).toBeDefined()
  // And they are gone from the disk.
  await b.broker.state.stored?.store.journal.flush()
  await crash()
  expect(waiting('dev')).toBe(2)
})

test('a full queue whose messages have expired has room again, whichever it drops', async () => {
  for (const overflow of ['drop_newest', 'drop_oldest'] as const) {
    await start({ limits: { max_messages: 3, max_bytes: 1e6, overflow } })
    await away('dev')
    for (let i = 0; i < 3; i++) await publish('t', 'short', 10)
    b.clock.advance(10_500)
    await publish('t', 'new', 0)
    const back = await join('dev', false)
    expect(await delivered(back)).toEqual(['t new q1'])
    expect(b.queues.departures().session).toMatchObject({ expired: 3, dropped_newest: 0, dropped_oldest: 0 })
  }
})

test('after a start fronts are read from the disk, a bounded number in a turn', async () => {
  await start()
  for (let i = 0; i < 100; i++) await away(`dev-${i}`)
  // Each in a row of its own.
  for (const payload of ['a', 'b', 'c']) await publish('t', payload.repeat(70_000), 10)
  await crash()
  b.clock.skip(10_000)
  const { store } = b.broker.state.stored ?? {}
  let reads = 0
  const load = store?.messages.load.bind(store.messages)
  if (store !== undefined && load !== undefined)
    store.messages.load = (seq) => {
      reads++
      return load(seq)
    }
  let most = 0
  for (let turn = 0; turn < 40 && expired() < 300; turn++) {
    reads = 0
    b.clock.advance(250)
    await store?.journal.flush()
    await new Promise((resolve) => setImmediate(resolve))
    most = Math.max(most, reads)
  }
  expect(expired()).toBe(300)
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(64)
})

test('a step of the wall clock moves no expiry', async () => {
  await start()
  await away('dev')
  await publish('t', 'a', 100)
  await publish('r', 'a', 100, retained)
  b.clock.step(-50_000)
  b.clock.advance(99_000)
  expect([waiting('dev'), b.broker.state.stored?.retained.size]).toEqual([2, 1])
  b.clock.advance(1_500)
  expect([waiting('dev'), b.broker.state.stored?.retained.size]).toEqual([0, 0])
  await publish('t', 'b', 100)
  b.clock.step(60_000)
  b.clock.advance(99_000)
  expect(waiting('dev')).toBe(1)
  b.clock.advance(1_500)
  expect(waiting('dev')).toBe(0)
})
