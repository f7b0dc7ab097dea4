/** Messages that expire: never delivered afterwards, from wherever they wait, also after a crash; and what they held is free again. */
import { afterEach, expect, test } from 'vitest'
import { admitOutgoing, type Outgoing } from '../src/broker/admission.js'
import type { KeyRange } from '../src/store/disk.js'
import * as keys from '../src/store/keys.js'
import { type ClockedBroker, type ClockedOptions, delivered, MqttClient, startClocked } from './support/broker.js'

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
  const expiresAt = expiry_s === 0 ? 0 : b.clock.now() + expiry_s * 1000
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
  b.clock.step(9_999)
  expect(await replay()).toEqual(['r/ever c q0 retain', 'r/long b q0 retain', 'r/short a q0 retain'])
  // From that moment on, whether or not the broker has looked.
  b.clock.step(1)
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
  b.clock.step(15_000)
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
