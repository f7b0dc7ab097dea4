/** Clients that do not take their answers: they are not read any more, whatever they send, and nothing is kept for them without bound. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { silentLog } from '../../src/core/log.js'
import { type ClockedBroker, MqttClient, packet, startClocked, T } from '../support/broker.js'
import { StuckTransport, turns } from '../support/stuck-transport.js'

const OUTPUT_MAX = 65_536
/** Besides: what one read leads to, and the slab that is being filled. */
const SLACK = 2 * 65_536

let b: ClockedBroker
const warn = vi.fn()
beforeAll(async () => {
  b = await startClocked({ settings: { max_output_bytes: OUTPUT_MAX, window: 10 }, log: { ...silentLog, warn } })
})
afterAll(() => b.close())

const repeated = (bytes: Buffer, count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => bytes))
const each = (count: number, one: (n: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: count }, (_, n) => one(n)))

/** A client in its session that takes nothing from now on. */
async function stuck(client_id: string, clean = true, keepalive_s = 0): Promise<StuckTransport> {
  const t = new StuckTransport(b.broker)
  t.give(packet.connect({ client_id, clean, keepalive_s }))
  for (let n = 0; n < 100 && t.packets.length === 0; n++) await turns(1)
  expect(t.packets[0]?.type).toBe(T.CONNACK)
  t.open = false
  return t
}

const heldFor = (t: StuckTransport): number => t.connection.output.bytes + t.heldBytes

// Five times what may be held, in answers.
const COUNT = (5 * OUTPUT_MAX) / 4
const kinds: readonly (readonly [string, number, () => Buffer])[] = [
  ['PINGREQ', T.PINGRESP, () => repeated(Buffer.from([0xc0, 0]), 2 * COUNT)],
  ['PUBLISH at QoS 1', T.PUBACK, () => each(COUNT, (n) => packet.publish('a', '', { qos: 1, id: 1 + (n % 60_000) }))],
  [
    'one PUBLISH at QoS 2 again and again',
    T.PUBREC,
    () => repeated(packet.publish('a', '', { qos: 2, id: 7, dup: true }), COUNT),
  ],
  ['PUBREL', T.PUBCOMP, () => each(COUNT, (n) => packet.pubrel(1 + (n % 60_000)))],
  ['PUBREC of nothing', T.PUBREL, () => each(COUNT, (n) => Buffer.from([0x50, 2, 0, 1 + (n % 255)]))],
  ['SUBSCRIBE', T.SUBACK, () => each(COUNT, (n) => packet.subscribe(1 + (n % 60_000), [['never/there', 1]]))],
  ['UNSUBSCRIBE', T.UNSUBACK, () => each(COUNT, (n) => packet.unsubscribe(1 + (n % 60_000), ['nothing']))],
]

describe.each(kinds)('%s', (name, answer, bytes) => {
  test.each([true, false])('is read again when its answers were taken, and each is answered (clean %s)', async (clean) => {
    const sent = bytes()
    const t = await stuck(`${name} ${clean}`, clean)
    const stalls = b.broker.state.stats.inputStalls
    let given = 0
    const more = (): void => {
      given += t.give(sent.subarray(given))
    }
    // Commits of a stored session take turns; so does whoever sends much.
    for (let n = 0; n < 400; n++) {
      more()
      expect(heldFor(t)).toBeLessThanOrEqual(OUTPUT_MAX + SLACK)
      await turns(1)
    }
    expect(b.broker.state.stats.inputStalls).toBeGreaterThan(stalls)
    expect(given).toBeLessThan(sent.length)
    expect(t.paused).toBe(true)
    // While it takes nothing, one write is all that the socket holds.
    expect(t.writes).toBeLessThanOrEqual(1)
    const first = t.packets.length
    for (let n = 0; n < 20_000 && (given < sent.length || t.pendingBytes > 0 || t.paused || n < 20); n++) {
      t.take()
      more()
      await turns(1)
    }
    await turns(20)
    t.take()
    expect(given).toBe(sent.length)
    const answers = t.packets.slice(first).filter((p) => p.type === answer)
    const expected = name === 'PINGREQ' ? 2 * COUNT : COUNT
    expect(t.packets.filter((p) => p.type === answer).length).toBe(expected)
    expect(answers.length).toBeGreaterThan(0)
    t.connection.close()
  })
})

test('writes in turns of their own do not each hold a buffer: two bytes are counted as two bytes and cost two', async () => {
  const t = await stuck('drop by drop')
  for (let n = 0; n < 3_000; n++) {
    t.give(Buffer.from([0xc0, 0]))
    await turns(1)
  }
  expect(t.writes).toBe(1)
  expect(heldFor(t)).toBeLessThan(20_000)
  t.open = true
  t.take()
  await turns(3)
  expect(t.packets.filter((p) => p.type === T.PINGRESP).length).toBe(3_000)
  t.connection.close()
})

test('a subscriber that is slow, and full of messages, is read all the same: it answers pings and acknowledges', async () => {
  const slow = await stuck('slow')
  slow.open = true
  slow.give(packet.subscribe(1, [['flood', 0]]))
  await turns(2)
  slow.open = false
  const publisher = await MqttClient.connect(b.port, { client_id: 'flood' })
  for (let n = 0; n < 200; n++) publisher.publish('flood', Buffer.alloc(1_000))
  await publisher.ping()
  expect(b.broker.state.stats.droppedQos0).toBeGreaterThan(0)
  for (let n = 0; n < 1_000; n++) slow.give(Buffer.from([0xc0, 0]))
  await turns(2)
  expect(slow.paused).toBe(false)
  // Also when it never takes all, but always some: what has left no longer counts.
  for (let n = 0; n < 200; n++) {
    slow.open = true
    slow.take()
    slow.open = false
    for (let k = 0; k < 20; k++) publisher.publish('flood', Buffer.alloc(1_000))
    slow.give(repeated(Buffer.from([0xc0, 0]), 2_000))
    await publisher.ping()
    expect(slow.paused).toBe(false)
  }
  slow.connection.close()
  await publisher.disconnect()
})

test('one that is not read because it takes nothing is ended by its keep alive, and others are not disturbed', async () => {
  const t = await stuck('silent', true, 10)
  const other = await MqttClient.connect(b.port, { client_id: 'other' })
  for (let n = 0; n < 20; n++) {
    t.give(repeated(Buffer.from([0xc0, 0]), 16_000))
    await turns(4)
  }
  expect(t.paused).toBe(true)
  b.clock.advance(14_000)
  expect(t.ended).toBe(false)
  b.clock.advance(2_000)
  expect(t.ended).toBe(true)
  await other.ping()
  await other.disconnect()
})

test('the log has one line for each client that is not read, and says no more about all of them together', async () => {
  // What was said before is over.
  b.clock.advance(60_000)
  await turns(2)
  warn.mockClear()
  const t = await stuck('said once')
  const { inputStalls } = b.broker.state.stats
  for (let stall = 0; stall < 3; stall++) {
    for (let n = 0; n < 60; n++) {
      t.give(repeated(Buffer.from([0xc0, 0]), 16_000))
      await turns(2)
    }
    expect(b.broker.state.stats.inputStalls).toBe(inputStalls + stall + 1)
    t.open = true
    t.take()
    await turns(20)
    t.open = false
  }
  const said = (): unknown[][] => warn.mock.calls.filter(([, text]) => /does not take its answers/.test(String(text)))
  expect(said().length).toBe(1)
  expect(said()[0]?.[0]).toMatchObject({ client: 'said once', remote: 'stuck', unread_bytes: expect.any(Number) })
  t.connection.close()
  for (let client = 0; client < 30; client++) {
    const one = await stuck(`more ${client}`)
    for (let n = 0; n < 40; n++) {
      one.give(repeated(Buffer.from([0xc0, 0]), 16_000))
      await turns(2)
    }
    one.connection.close()
  }
  expect(b.broker.state.stats.inputStalls).toBe(inputStalls + 33)
  expect(said().length).toBe(10)
})

test('a goodbye leaves though what came before it has not', async () => {
  const t = await stuck('goodbye')
  t.give(repeated(Buffer.from([0xc0, 0]), 1_000))
  await turns(2)
  t.give(repeated(Buffer.from([0xc0, 0]), 1_000))
  t.give(Buffer.from([0xe0, 0]))
  expect(t.connection.phase).toBe('closed')
  expect(t.pendingBytes).toBe(4_000)
})
