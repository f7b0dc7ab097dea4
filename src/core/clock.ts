import { performance } from 'node:perf_hooks'

/**
 * Time, passed in so that tests can be exact.
 *
 * `now` is the wall clock: moments that are stored (expiry, lease end, will delay) are read on it. `uptime_ms` never
 * steps back: durations that live only in this process (keep alive, back-off) are measured on it. Nothing outside this
 * file calls `Date.now`, `setTimeout` or `performance.now`.
 */
export interface Clock {
  /** Milliseconds since 1970, UTC. May step when an operator sets the clock. */
  now(): number
  /** Milliseconds since some fixed moment of this process; never steps. */
  uptime_ms(): number
  /** Runs `fn` once, after at least `delay_ms`. A pending timer does not keep the process alive. */
  after(delay_ms: number, fn: () => void): Timer
  /** Runs `fn` again and again, `period_ms` apart, until cancelled. Does not keep the process alive. */
  every(period_ms: number, fn: () => void): Timer
}

export interface Timer {
  cancel(): void
}

/** `setTimeout` overflows past 2^31 ms and would fire at once; a longer wait is cut to this and must be armed again. */
export const TIMER_MS_MAX = 0x7fff_ffff

export const systemClock: Clock = {
  now: () => Date.now(),
  uptime_ms: () => performance.now(),
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
