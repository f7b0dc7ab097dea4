/**
 * Everything that a broker does by time, and a wall clock that is set meanwhile: nothing ends early or late by it, while the broker runs, over a restart on the
 * same boot of the machine, and over a reboot where the clock is not believed. The broker's own time by itself is in broker-time.test.ts.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { payloadOf } from '../src/broker/message.js'
import { createOperations, type Operations } from '../src/operations/operations.js'
import * as keys from '../src/store/keys.js'
import { type ClockedBroker, MqttClient, startClocked } from './support/broker.js'
import { ManualClock } from './support/clock.js'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Everything is due this long after `prepare`. */
const DUE_MS = 60_000
const OPTIONS = {
  settings: { session_expiry_s: 0, connect_timeout_s: 60 },
  trace: { retain_s: 64, max_bytes: 1_000_000 },
} as const

let b: ClockedBroker
let operations: Operations
const open: ClockedBroker[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

async function start(after?: ClockedBroker, clock?: ManualClock): Promise<void> {
  b = await startClocked({
    ...OPTIONS,
    ...(after === undefined ? {} : { after: after.disk }),
    ...(clock === undefined ? {} : { clock }),
  })
  open.push(b)
  operations = createOperations(b.broker)
}

function stored() {
  const { stored } = b.broker.state
  if (stored === null) throw new Error('the store is not open')
  return stored
}

const join = (client_id: string, expiry_s: number, more = {}) =>
  MqttClient.connect(b.port, { client_id, protocol: 5, clean: false, properties: { sessionExpiryInterval: expiry_s }, ...more })

/** Lets what is under way come to an end. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await new Promise((resolve) => setImmediate(resolve))
    await stored().store.journal.flush()
  }
}

/** What is in the queue of that session. */
async function heldBy(client: string): Promise<string[]> {
  const found: string[] = []
  for await (const boxed of stored().sessions.get(client)?.mailbox.browse() ?? []) {
    const message = await boxed.read()
    if (message !== undefined) found.push(payloadOf(message).toString())
  }
  return found.sort()
}

let alive: MqttClient
let silent: MqttClient
let traced: string

async function prepare(): Promise<void> {
  const { sessions } = stored()
  sessions.subscribe(sessions.openOffline('witness'), 'w/#', { qos: 1, noLocal: false, retainAsPublished: false })
  const long = await join('long', 3_600)
  await long.subscribe(['for/#', 1])
  await long.disconnect()
  await (await join('short', 60)).disconnect()
  const will = { topic: 'w/will', payload: 'will', qos: 1 as const, properties: { willDelayInterval: 60 } }
  const dying = await join('dying', 3_600, { will })
  dying.destroy()
  const publisher = await join('publisher', 0)
  await publisher.publishAndWait('$delayed/60/w/delayed', 'delayed', { qos: 1 })
  for (const s of [60, 3_600]) {
    const properties = { messageExpiryInterval: s }
    await publisher.publishAndWait('for/long', `worth ${s}`, { qos: 1, properties })
    await publisher.publishAndWait(`r/${s}`, 'x', { qos: 1, retain: true, properties })
  }
  const { queues } = operations
  await queues.put('jobs', { dedup_window_s: 60 })
  await queues.put('old', { retention_s: 60 })
  await queues.put('seen', { retain_s: 60 })
  await queues.send('seen', [{ body: 'done' }])
  const [done] = await queues.receive('seen')
  await queues.ack('seen', [done?.receipt ?? ''])
  traced = done?.id ?? ''
  await queues.send('old', [{ body: 'old' }])
  await queues.send('jobs', [{ body: 'leased', dedup_id: 'id' }])
  await queues.receive('jobs', { lease_ms: DUE_MS })
  await queues.send('jobs', [{ body: 'delayed', delay_ms: DUE_MS }])
  silent = await MqttClient.open(b.port)
  alive = await join('alive', 3_600, { keepalive_s: 40 })
  await publisher.disconnect()
  while ([...b.broker.state.connections].some((c) => c.id === 'dying')) await alive.ping()
  await settled()
}

/** `jobs` by state, without asking for the id. */
async function jobs(): Promise<string[]> {
  const seen = await operations.queues.peek('jobs', { states: ['ready', 'leased', 'delayed'] })
  return seen.map((m) => `${m.body} ${m.state}`).sort()
}

async function look(connections: boolean): Promise<object> {
  await settled()
  const { retained, sessions } = stored()
  const { queues } = operations
  const left = await operations.trace(traced).then((t) => t.left.length)
  const seen = {
    sessions: ['short', 'long', 'dying'].filter((id) => sessions.get(id) !== undefined),
    sent: await heldBy('witness'),
    waits: await heldBy('long'),
    retained: [...retained.match('r/#')].map(([, kept]) => kept.topic).sort(),
    jobs: await jobs(),
    old: (await queues.peek('old')).length,
    kept: b.queues.ordered?.get('seen')?.kept().retained,
    departures: left,
    ...(connections ? { open: [alive, silent].filter((c) => !c.is_closed).length } : {}),
  }
  // The last, as it changes something.
  const [again] = await queues.send('jobs', [{ body: 'again', dedup_id: 'id' }])
  return { ...seen, again: again?.outcome }
}

const NOTHING_ENDED = {
  sessions: ['short', 'long', 'dying'],
  sent: [],
  waits: ['worth 3600', 'worth 60'],
  retained: ['r/3600', 'r/60'],
  jobs: ['delayed delayed', 'leased leased'],
  old: 1,
  kept: 1,
  departures: 1,
  again: 'duplicate',
}
const ALL_ENDED = {
  sessions: ['long', 'dying'],
  sent: ['delayed', 'will'],
  waits: ['worth 3600'],
  retained: ['r/3600'],
  jobs: ['delayed ready', 'leased ready'],
  old: 0,
  kept: 0,
  departures: 0,
  again: 'stored',
}

/** Until all that sweeps has swept, too. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    b.clock.advance(Math.min(left, 500))
    await settled()
  }
}

const STEPS = [3_000, -3_000, HOUR, -HOUR, 10 * DAY, -10 * DAY]

describe('while the broker runs', () => {
  test.each(STEPS)('a step of %i ms ends nothing early or late', async (step) => {
    await start()
    await prepare()
    await pass(20_000)
    b.clock.step(step)
    await pass(DUE_MS - 21_000)
    expect(await look(true)).toEqual({ ...NOTHING_ENDED, open: 2 })
    await pass(DUE_MS)
    expect(await look(true)).toEqual({ ...ALL_ENDED, open: 0 })
    expect([b.broker.state.clock.steps, b.broker.state.clock.offset_ms]).toEqual([1, step])
  })

  test('ten days for two seconds, forward and back again, and back and forward, end nothing', async () => {
    await start()
    await prepare()
    for (const step of [10 * DAY, -10 * DAY]) {
      b.clock.step(step)
      await pass(2_000)
      expect(await look(true)).toEqual({ ...NOTHING_ENDED, open: 2 })
      b.clock.step(-step)
      await pass(2_000)
    }
    expect(await look(true)).toEqual({ ...NOTHING_ENDED, open: 2 })
    expect([b.broker.state.clock.steps, b.broker.state.clock.offset_ms]).toEqual([4, 0])
    await pass(2 * DUE_MS)
    expect(await look(true)).toEqual({ ...ALL_ENDED, open: 0 })
  })

  test('what is shown and asked for is the time of the calendar', async () => {
    await start()
    const { queues, sessions } = operations
    await queues.put('jobs', { retain_s: 3_600 })
    await (await join('dev', 60)).disconnect()
    await queues.send('jobs', [{ body: 'before', ttl_s: 600 }])
    b.clock.step(10 * DAY)
    await pass(10_000)
    const now = b.clock.now()
    await queues.send('jobs', [{ body: 'after' }])
    const got = await queues.receive('jobs', { max: 2, lease_ms: 5_000 })
    expect(got.map((m) => m.accepted_at)).toEqual([now - 10_000, now])
    expect(got.map((m) => [m.first_leased_at, m.leased_until])).toEqual([0, 0].map(() => [now, now + 5_000]))
    expect(got[0]?.expires_at).toBe(now + 590_000)
    expect((await sessions.get('dev')).expires_at).toBeGreaterThan(now + 45_000)
    await queues.ack(
      'jobs',
      got.map((m) => m.receipt),
    )
    await settled()
    const trace = await operations.trace(got[0]?.id ?? '')
    expect([trace.accepted_at, trace.left[0]?.at]).toEqual([now - 10_000, now])
    expect(await queues.seek('jobs', { time: now })).toBe(1)
    expect((await queues.peek('jobs')).map((m) => [m.body.toString(), m.accepted_at])).toEqual([['after', now]])
  })
})

/** The process dies, and another is there ten seconds later. */
async function restart(step: number): Promise<void> {
  const before = b
  await before.die()
  open.splice(open.indexOf(before), 1)
  const clock = before.clock.later(10_000)
  clock.step(step)
  await start(before, clock)
}

/** The machine is shut down, and another boot begins. */
async function reboot(off_ms: number, wrong_ms: number): Promise<void> {
  const before = b
  await before.close()
  open.splice(open.indexOf(before), 1)
  before.clock.reboot(off_ms, wrong_ms)
  await start(before, before.clock.later(0))
}

describe('over a restart on the same boot', () => {
  test.each([0, ...STEPS])('a step of %i ms ends nothing early or late', async (step) => {
    await start()
    await prepare()
    await pass(20_000)
    await restart(step)
    await pass(DUE_MS - 31_000)
    expect(await look(false)).toEqual(NOTHING_ENDED)
    await pass(DUE_MS)
    expect(await look(false)).toEqual(ALL_ENDED)
    expect([b.broker.state.clock.steps, b.broker.state.clock.offset_ms]).toEqual([step === 0 ? 0 : 1, step])
  })

  test('ten days for two seconds in which the broker is killed, twice, end nothing', async () => {
    await start()
    await prepare()
    b.clock.step(10 * DAY)
    await pass(1_000)
    await restart(-10 * DAY)
    await restart(10 * DAY)
    await pass(1_000)
    expect(await look(false)).toEqual(NOTHING_ENDED)
    b.clock.step(-10 * DAY)
    await pass(30_000)
    expect(await look(false)).toEqual(NOTHING_ENDED)
  })
})

describe('over a reboot', () => {
  test('the time that the machine was off by its wall clock has passed', async () => {
    await start()
    await prepare()
    await pass(20_000)
    await reboot(30_000, 0)
    await pass(9_000)
    expect(await look(false)).toEqual(NOTHING_ENDED)
    await reboot(HOUR / 2, 0)
    await pass(DUE_MS)
    expect(await look(false)).toEqual(ALL_ENDED)
  })

  test.each([-3_000, -HOUR, -10 * DAY, -20_000 * DAY, 20_000 * DAY])(
    'a wall clock that is wrong by %i ms is not believed',
    async (wrong) => {
      await start()
      await prepare()
      await pass(20_000)
      await reboot(0, wrong)
      await pass(5_000)
      // Then somebody sets it.
      b.clock.step(-wrong)
      await pass(DUE_MS - 26_000)
      expect(await look(false)).toEqual(NOTHING_ENDED)
      await pass(DUE_MS)
      expect(await look(false)).toEqual(ALL_ENDED)
      expect([b.broker.state.clock.steps, b.broker.state.clock.offset_ms]).toEqual([2, 0])
    },
  )

  test('after a power cut nothing is early, and late by no more than the broker was idle', async () => {
    await start()
    await prepare()
    await pass(20_000)
    const before = b
    await before.die()
    open.splice(open.indexOf(before), 1)
    before.clock.reboot(0, -DAY)
    await start(before, before.clock.later(0))
    await pass(DUE_MS - 21_000)
    expect(await look(false)).toEqual(NOTHING_ENDED)
    await pass(DUE_MS + 20_000)
    expect(await look(false)).toEqual(ALL_ENDED)
  })
})

test('a folder of before is opened on the wall clock, and the first commit says on which boot', async () => {
  await start()
  await prepare()
  const before = b
  await before.die()
  open.splice(open.indexOf(before), 1)
  const key = keys.metaKey('time')
  await before.disk.rows.write([{ type: 'del', key }], false)
  await start(before, before.clock.later(10_000))
  await pass(20_000)
  expect(await look(false)).toEqual(NOTHING_ENDED)
  await restart(10 * DAY)
  await pass(1_000)
  expect(await look(false)).toEqual(NOTHING_ENDED)
})

test('a box without a battery clock begins in 1970, and NTP sets its clock an hour later, after each power cut again', async () => {
  await start(undefined, new ManualClock(5_000))
  const years = Date.UTC(2026, 0, 1)
  await prepare()
  await pass(20_000)
  b.clock.step(years)
  await pass(1_000)
  const [first] = await operations.queues.peek('old')
  expect(b.clock.now() - (first?.accepted_at ?? 0)).toBeGreaterThanOrEqual(21_000)
  expect(b.clock.now() - (first?.accepted_at ?? 0)).toBeLessThan(25_000)
  await reboot(0, -years)
  await pass(5_000)
  expect(await look(false)).toEqual(NOTHING_ENDED)
  b.clock.step(years + HOUR)
  await pass(5_000)
  expect(await look(false)).toEqual(NOTHING_ENDED)
  // It keeps its date: the hour that the box was off has passed since.
  const [again] = await operations.queues.peek('old')
  expect(again?.accepted_at).toBe(first?.accepted_at)
  await pass(2 * DUE_MS)
  expect(await look(false)).toEqual(ALL_ENDED)
})
