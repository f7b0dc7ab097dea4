/**
 * What was refused because a limit was reached, counted by the limit's own key, and said in the log: at once for the first, and then no more than once a
 * minute for each limit, with how many there were since.
 */
import type { Clock } from './clock.js'
import type { Log } from './log.js'

/** Every limit that counts its refusals here; most are keys of settings, by which an operator finds what to change. */
export const COUNTED_LIMITS = [
  'mqtt.max_connections',
  'mqtt.max_connecting',
  'mqtt.max_connecting_bytes',
  'mqtt.max_client_id_bytes',
  'mqtt.max_wills',
  'session.max_sessions',
  'session.max_subscriptions',
  'session.max_all_subscriptions',
  'session.max_memory_bytes',
  'retained.max_messages',
  'retained.max_bytes',
  'retained.max_memory_bytes',
  'bridge.max_auto_rules',
  'bridge.max_client_rules',
  'http.max_connections',
  'http.max_receiving_bytes',
  'http.max_body_bytes',
  'http.max_sending_bytes',
  /** Requests that read much of the store, traces of messages, while many wait for their turn. */
  'searches',
  /** Of the process, as the system allows them. */
  'file_descriptors',
] as const

export type CountedLimit = (typeof COUNTED_LIMITS)[number]

const SAY_AGAIN_MS = 60_000

interface Tally {
  total: number
  said: number
  /** Uptime of the last line; undefined before the first. */
  saidAt: number | undefined
}

export class Refusals {
  private readonly clock: Clock
  private readonly log: Log
  private readonly tallies = new Map<CountedLimit, Tally>()

  constructor(clock: Clock, log: Log) {
    this.clock = clock
    this.log = log
  }

  /** `fields`: of this one, for the line if there is one. */
  count(limit: CountedLimit, fields: object = {}): void {
    let tally = this.tallies.get(limit)
    if (tally === undefined) {
      tally = { total: 0, said: 0, saidAt: undefined }
      this.tallies.set(limit, tally)
    }
    tally.total++
    const now = this.clock.uptime_ms()
    if (tally.saidAt !== undefined && now - tally.saidAt < SAY_AGAIN_MS) return
    this.log.warn({ limit, refused: tally.total - tally.said, ...fields }, 'refused: a limit is reached')
    tally.said = tally.total
    tally.saidAt = now
  }

  of(limit: CountedLimit): number {
    return this.tallies.get(limit)?.total ?? 0
  }
}
