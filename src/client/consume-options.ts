/** What a consumer can be told, with ranges and defaults. */
import type { Clock } from '../core/clock.js'
import { silentLog } from '../core/log.js'
import { Seldom } from '../core/seldom.js'
import { BATCH_MAX, type Received } from './source.js'

export interface ConsumeOptions {
  /** Messages in hand at the same time, 1 to 10,000; default 1. */
  readonly concurrency?: number
  /** Messages that one request asks for, 1 to 256; default 32. Never more than there is room for. */
  readonly max_batch?: number
  /** How long a message is ours before its lease is extended or it is handed out again, 1,000 to 43,200,000; default 30,000. */
  readonly lease_ms?: number
  /** How long one request waits for a message, 1 to 30,000; default 20,000. */
  readonly wait_ms?: number
  /** How long a message waits after a handler threw. Default: 1 s, doubled with each attempt up to 5 minutes. */
  readonly retry_ms?: number | ((attempts: number, error: unknown) => number)
  /** How many messages to receive in all; when their handlers are done the consumer ends by itself. Default: no end. */
  readonly limit?: number
  /** The consumer ends by itself when nothing came for so long and nothing is in hand, from 1. Default: never. */
  readonly idle_ms?: number
  /** Aborted: stops as `stop()` does. */
  readonly signal?: AbortSignal
  /**
   * Told when a handler threw or a lease was lost (with the message), and when the server is away or refuses (without). Without it trouble is said on
   * stderr, a line each, and the same trouble again at most every 10 s.
   */
  readonly on_trouble?: (error: unknown, message?: Received) => void
}

export interface Filled {
  readonly concurrency: number
  readonly max_batch: number
  readonly lease_ms: number
  readonly wait_ms: number
  readonly retry_ms: (attempts: number, error: unknown) => number
  readonly limit: number
  readonly idle_ms: number
  readonly signal: AbortSignal | undefined
  readonly on_trouble: (error: unknown, message?: Received) => void
  /** The program gave an `on_trouble`. */
  readonly told: boolean
}

const RETRY_FIRST_MS = 1_000
const RETRY_MOST_MS = 300_000
const DELAY_MS_MAX = 31_536_000_000

/** Throws a `RangeError` that names the option. */
export function fill(o: ConsumeOptions, clock: Clock, warn: (line: string) => void): Filled {
  const { retry_ms = standardRetry } = o
  if (typeof retry_ms === 'number') whole('retry_ms', retry_ms, 0, DELAY_MS_MAX)
  return {
    concurrency: whole('concurrency', o.concurrency ?? 1, 1, 10_000),
    max_batch: whole('max_batch', o.max_batch ?? 32, 1, BATCH_MAX),
    lease_ms: whole('lease_ms', o.lease_ms ?? 30_000, 1_000, 43_200_000),
    wait_ms: whole('wait_ms', o.wait_ms ?? 20_000, 1, 30_000),
    retry_ms: typeof retry_ms === 'number' ? () => retry_ms : (attempts, error) => bounded(retry_ms, attempts, error),
    limit: o.limit === undefined ? Infinity : whole('limit', o.limit, 1, Number.MAX_SAFE_INTEGER),
    idle_ms: o.idle_ms === undefined ? Infinity : whole('idle_ms', o.idle_ms, 1, Number.MAX_SAFE_INTEGER),
    signal: o.signal,
    on_trouble: o.on_trouble ?? saying(clock, warn),
    told: o.on_trouble !== undefined,
  }
}

/** For who did not ask to be told. */
function saying(clock: Clock, warn: (line: string) => void): Filled['on_trouble'] {
  const told = (fields: { more?: number }, line: string): void =>
    warn(fields.more === undefined ? line : `${line} (and ${fields.more} times more)`)
  const log = new Seldom({ ...silentLog, warn: told }, () => clock.uptime_ms(), { lines: 1 })
  return (error, message) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const what = message === undefined ? 'the server' : `message ${message.id}, attempt ${message.attempts}`
    const kind = error instanceof Error ? `${error.name} ${error.message}` : text
    log.warn({}, `aqueduct consume: ${what}: ${text}`, kind)
  }
}

const standardRetry = (attempts: number): number => Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** Math.min(attempts - 1, 30))

/** What a program's own function says, made a delay: a wrong number must not keep a message from being given back. */
function bounded(retry: (attempts: number, error: unknown) => number, attempts: number, error: unknown): number {
  try {
    const ms = Math.round(retry(attempts, error))
    return Number.isNaN(ms) ? standardRetry(attempts) : Math.min(Math.max(0, ms), DELAY_MS_MAX)
  } catch {
    return standardRetry(attempts)
  }
}

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new RangeError(`${name} is a whole number from ${min} to ${max}: got ${String(value)}`)
}
