/** The relations between hard bounds, settings and formats that code relies on without asking again. */
import { constants } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { defaultBrokerSettings } from '../src/broker/settings.js'
import { makeSettings } from '../src/config/load.js'
import { rowsOf } from '../src/config/resolve.js'
import { table } from '../src/config/schema.js'
import { TIMER_MS_MAX } from '../src/core/clock.js'
import * as limits from '../src/core/limits.js'
import { ATTRIBUTES } from '../src/queue/attributes.js'
import { INDEX_PAGE_ENTRIES } from '../src/queue/index-page.js'
import { filterFault } from '../src/topics/names.js'

const U16_MAX = 0xffff
const U32_MAX = 0xffff_ffff
const defaults = makeSettings()

/** The largest number that the row of `key` takes, found by halving: kinds do not tell their range. */
function largest(key: string): number {
  const kind = rowsOf(table).find((row) => row.key === key)?.setting.kind
  if (kind === undefined) throw new Error(`there is no setting ${key}`)
  let [low, high] = [kind.accept(0) === undefined ? 1 : 0, Number.MAX_SAFE_INTEGER]
  while (kind.accept(low) === undefined) low *= 2
  while (low < high) {
    const middle = low + Math.ceil((high - low) / 2)
    if (kind.accept(middle) === undefined) high = middle - 1
    else low = middle
  }
  return low
}

describe('the hard bounds', () => {
  it('are whole numbers above zero', () => {
    for (const [name, value] of Object.entries(limits)) {
      expect(Number.isSafeInteger(value), name).toBe(true)
      expect(value, name).toBeGreaterThan(0)
    }
  })

  it('are those of MQTT where MQTT has them', () => {
    expect(limits.PACKET_BYTES_MAX).toBe(128 ** 4 - 1)
    expect(limits.STRING_BYTES_MAX).toBe(U16_MAX)
    expect(limits.PACKET_ID_MAX).toBe(U16_MAX)
  })

  it('let less in before CONNECT than after it, but any CONNECT of MQTT 3.1.1, and one with properties', () => {
    expect(limits.PACKET_BYTES_BEFORE_CONNECT_MAX).toBeLessThanOrEqual(limits.PACKET_BYTES_MAX)
    // Protocol name and level, flags, keep alive; identifier, will topic, will, user name, password; and content type and correlation data of a will.
    const fields = 10 + 5 * (2 + limits.STRING_BYTES_MAX)
    expect(limits.PACKET_BYTES_BEFORE_CONNECT_MAX).toBeGreaterThanOrEqual(5 + fields + 2 * (3 + limits.STRING_BYTES_MAX))
  })

  it('let the largest packet be one buffer, and one WebSocket message', () => {
    // Five bytes of fixed header, and in the store a row that was not quite full.
    expect(limits.PACKET_BYTES_MAX + 5).toBeLessThan(2 ** 31)
    expect(limits.PACKET_BYTES_MAX + 5 + 2 * limits.LOG_ROW_BYTES_MAX).toBeLessThan(constants.MAX_LENGTH)
  })

  it('fit the fields of the store: sequences of an extent and messages of a row in two bytes, offsets in four', () => {
    expect(limits.EXTENT_SEQUENCES).toBeLessThanOrEqual(U16_MAX)
    expect(limits.PACKET_BYTES_MAX + 2 * limits.LOG_ROW_BYTES_MAX).toBeLessThanOrEqual(U32_MAX)
  })

  it('nest: a row in a commit, a commit in the cache, pages in the part of a queue that is in memory', () => {
    expect(limits.LOG_ROW_BYTES_MAX).toBeLessThanOrEqual(limits.COMMIT_BYTES_MAX)
    // What was just committed is delivered from memory.
    expect(limits.COMMIT_BYTES_MAX).toBeLessThanOrEqual(limits.ROW_CACHE_BYTES_MAX)
    // A page is loaded when half of the ring is free.
    expect(INDEX_PAGE_ENTRIES).toBeLessThanOrEqual(limits.QUEUE_INDEX_ENTRIES_MAX / 2)
  })
})

describe('the settings', () => {
  it.each([
    ['mqtt.max_packet_bytes', limits.PACKET_BYTES_MAX],
    ['mqtt.window', limits.PACKET_ID_MAX],
    ['mqtt.max_inbound_qos2', limits.PACKET_ID_MAX],
    // A keep alive and a session expiry are two and four bytes on the wire.
    ['mqtt.max_keepalive_s', U16_MAX],
    ['session.expiry_s', U32_MAX],
    // One character between two levels.
    ['mqtt.max_topic_levels', limits.STRING_BYTES_MAX + 1],
  ])('%s ends where its hard bound is', (key, bound) => {
    expect(largest(key)).toBe(bound)
  })

  it.each([
    ['mqtt.connect_timeout_s', 1000],
    ['shutdown.drain_s', 1000],
    ['retry.interval_ms', 1],
  ])('%s fits one timer', (key, unit_ms) => {
    expect(largest(key) * unit_ms).toBeLessThanOrEqual(TIMER_MS_MAX)
  })

  it('have defaults under which the largest message still passes', () => {
    const { mqtt, session, queue } = defaults
    for (const room of [
      limits.COMMIT_BYTES_MAX,
      limits.ROW_CACHE_BYTES_MAX,
      limits.RETAINED_CACHE_BYTES_MAX,
      mqtt.max_output_bytes,
      session.max_bytes,
      queue.max_bytes,
      // Also as a bridged copy, with its topic.
      queue.max_message_bytes,
      Number(ATTRIBUTES.max_message_bytes.standard),
    ]) {
      expect(room).toBeGreaterThanOrEqual(mqtt.max_packet_bytes)
    }
    expect(session.max_messages).toBeGreaterThanOrEqual(mqtt.window)
  })

  it('hold back more of the disk by default than the commits under way can take', () => {
    expect(defaults.store.min_free_bytes).toBeGreaterThanOrEqual(8 * limits.COMMIT_BYTES_MAX)
  })

  it('have the defaults that the broker has when a program gives it none', () => {
    const { session_expiry_s, max_sessions, max_subscriptions, max_all_subscriptions, ...rest } = defaultBrokerSettings
    const { retained_max_messages, retained_max_bytes, session_memory_bytes, retained_memory_bytes, ...broker } = rest
    expect(defaults.mqtt).toMatchObject(broker)
    expect(defaults.session).toMatchObject({ max_sessions, max_subscriptions, max_all_subscriptions })
    expect(session_expiry_s).toBe(defaults.session.expiry_s)
    expect(defaults.retained).toMatchObject({ max_messages: retained_max_messages, max_bytes: retained_max_bytes })
    // By the heap, in the program.
    expect([defaults.session.max_memory_bytes, defaults.retained.max_memory_bytes]).toEqual([0, 0])
    expect(session_memory_bytes).toBeGreaterThan(retained_memory_bytes)
  })

  it('take the deepest and longest filter there can be', () => {
    const deepest = '/'.repeat(limits.STRING_BYTES_MAX)
    expect(filterFault(deepest, largest('mqtt.max_topic_levels'))).toBeUndefined()
    expect(makeSettings({ mqtt: { deny_subscribe: [deepest] } }).mqtt.deny_subscribe).toEqual([deepest])
    expect(() => makeSettings({ mqtt: { deny_subscribe: [`${deepest}/`] } })).toThrow('mqtt.deny_subscribe')
  })
})
