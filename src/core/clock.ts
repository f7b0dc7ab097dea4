import { uptime } from 'node:os'
import { performance } from 'node:perf_hooks'
import { bootId } from './boot.js'

/**
 * Time, passed in so that tests can be exact.
 *
 * `now` is for moments that are stored (expiry, lease end, will delay). In a broker it is the broker's own time (`broker-time.ts`), which no
 * step of the wall clock moves; of `systemClock` itself it is the wall clock. `uptime_ms` never steps back: durations that live only in this process
 * (keep alive, back-off) are measured on it. Nothing outside this room calls `Date.now`, `setTimeout` or `performance.now`.
 */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number
  /** Milliseconds since some fixed moment of this process; never steps. */
  uptime_ms(): number
  /** Runs `fn` once, after at least `delay_ms`. A pending timer does not keep the process alive. */
  after(delay_ms: number, fn: () => void): Timer
  /** Runs `fn` again and again, `period_ms` apart, until cancelled. Does not keep the process alive. */
  every(period_ms: number, fn: () => void): Timer
}

/** The clocks of the machine. `now` is the wall clock: it steps when somebody sets it. */
export interface MachineClock extends Clock {
  /** Milliseconds since the machine started, those in which it slept included; never steps. To about ten milliseconds. */
  boot_ms(): number
  /** Which start of the machine `boot_ms` counts from; undefined where the system does not say. */
  boot_id(): string | undefined
}

export interface Timer {
  cancel(): void
}

/** `setTimeout` overflows past 2^31 ms and would fire at once; a longer wait is cut to this and must be armed again. */
export const TIMER_MS_MAX = 0x7fff_ffff

function boot_ms(): number {
  try {
    return uptime() * 1000
  } catch {
    // Not told here: each process then counts for itself, and a restart is taken for a reboot.
    return performance.now()
  }
}

export const systemClock: MachineClock = {
  now: () => Date.now(),
  uptime_ms: () => performance.now(),
  boot_ms,
  boot_id: bootId,
  after(delay_ms, fn) {
    const handle = setTimeout(fn, Math.min(Math.max(0, delay_ms), TIMER_MS_MAX))
    handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
  every(period_ms, fn) {
    const handle = setInterval(fn, Math.min(Math.max(1, period_ms), TIMER_MS_MAX))
    handle.unref()
    return { cancel: () => clearInterval(handle) }
  },
}

/** The same, for a program that may have nothing else to do than wait: a timer of `after` keeps the process alive. */
export const holdingClock: Clock = {
  now: () => Date.now(),
  uptime_ms: () => performance.now(),
  after(delay_ms, fn) {
    const handle = setTimeout(fn, Math.min(Math.max(0, delay_ms), TIMER_MS_MAX))
    return { cancel: () => clearTimeout(handle) }
  },
  every: (period_ms, fn) => systemClock.every(period_ms, fn),
}
