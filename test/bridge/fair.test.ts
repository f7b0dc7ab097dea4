/** What conditions cost counts as work of the turn: a publisher of dear messages lets others have theirs, and so do wills and delayed messages. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ClockedBroker, MqttClient, packet, startClocked } from '../support/broker.js'
import { StuckTransport, turns } from '../support/stuck-transport.js'

const COUNT = 30
/** A message of two thousand bytes that uses up all the steps that it may. */
const dear = JSON.stringify(Array.from({ length: 1_000 }, () => 1))
const when = `payload.all(x, !(${Array.from({ length: 12 }, (_, n) => `x + ${n} > 99999`).join(' || ')}))`

let b: ClockedBroker
beforeEach(async () => {
  b = await startClocked()
  for (let n = 0; n < 6; n++) b.bridges.put(`dear${n}`, { filter: 'dear/#', queue: 'q', when })
})
afterEach(() => b.close())

/** Messages that a rule was asked about. */
const decided = (rule = 'dear0'): number => b.bridges.get(rule)?.counts.unmatched ?? 0

test('of a read full of dear messages a few are taken in one turn, and all of them in the end', async () => {
  const t = new StuckTransport(b.broker)
  t.give(packet.connect({ client_id: 'dear' }))
  await turns(2)
  t.give(Buffer.concat(Array.from({ length: COUNT }, () => packet.publish('dear/x', dear))))
  expect(decided()).toBe(1)
  expect(t.paused).toBe(true)
  const other = await MqttClient.connect(b.port, { client_id: 'other' })
  await other.ping()
  expect(decided()).toBeLessThan(COUNT)
  for (let n = 0; n < 5_000 && t.paused; n++) await turns(1)
  expect(decided()).toBe(COUNT)
  expect(b.bridges.totals.cut).toBeGreaterThanOrEqual(COUNT)
  t.connection.close()
  await other.disconnect()
})

test('cheap conditions hold nobody up', async () => {
  b.bridges.put('cheap', { filter: 'cheap', queue: 'q', when: 'qos > 2' })
  const t = new StuckTransport(b.broker)
  t.give(packet.connect({ client_id: 'cheap' }))
  await turns(2)
  t.give(Buffer.concat(Array.from({ length: 500 }, () => packet.publish('cheap', 'x'))))
  expect(decided('cheap')).toBe(500)
  t.connection.close()
})

test('wills whose copies are dear to decide are sent a few at a time', async () => {
  const { stored, stats } = b.broker.state
  if (stored === null) throw new Error('not open')
  for (let n = 0; n < COUNT; n++) {
    stored.sessions.openOffline(`s${n}`)
    const will = {
      clientId: `s${n}`,
      topic: 'dear/will',
      payload: Buffer.from(dear),
      qos: 0,
      retain: false,
      delay_s: 500,
    } as const
    stored.wills.end(stored.wills.add(will), null)
  }
  await stored.store.journal.flush()
  b.clock.skip(499_900)
  b.clock.advance(250)
  expect(stats.willsPublished).toBeGreaterThan(0)
  expect(stats.willsPublished).toBeLessThan(3)
  for (let n = 0; n < 400 && stats.willsPublished < COUNT; n++) {
    await turns(1)
    b.clock.advance(250)
  }
  expect(stats.willsPublished).toBe(COUNT)
})

test('so are delayed messages that are due together', async () => {
  const client = await MqttClient.connect(b.port, { client_id: 'delays' })
  for (let n = 0; n < COUNT; n++) await client.publishAndWait('$delayed/100/dear/later', dear, { qos: 1 })
  b.clock.advance(100_250)
  const most = { in_a_turn: 0 }
  for (let n = 0, last = 0; n < 5_000 && decided() < COUNT; n++) {
    await turns(1)
    most.in_a_turn = Math.max(most.in_a_turn, decided() - last)
    last = decided()
  }
  expect(decided()).toBe(COUNT)
  expect(most.in_a_turn).toBeLessThan(5)
  await client.disconnect()
})
