import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock, TIMER_MS_MAX } from '../src/core/clock.js'
import { AqueductError, hasCode } from '../src/core/errors.js'
import { systemRandom } from '../src/core/random.js'

describe('the system clock', () => {
  beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }))
  afterEach(() => void vi.useRealTimers())

  it('tells the wall clock, which may step, and the uptime, which may not', () => {
    const before = systemClock.uptime_ms()
    expect(systemClock.now()).toBe(1_000_000)
    vi.setSystemTime(5)
    expect(systemClock.now()).toBe(5)
    expect(systemClock.uptime_ms()).toBeGreaterThanOrEqual(before)
  })

  it('tells the time since the machine started, longer than this process runs, and which start that is', () => {
    const since = systemClock.boot_ms()
    expect(since).toBeGreaterThan(process.uptime() * 1000 - 20)
    expect(systemClock.boot_ms()).toBeGreaterThanOrEqual(since)
    const id = systemClock.boot_id()
    expect(systemClock.boot_id()).toBe(id)
    if (process.platform === 'linux') expect(id).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('calls once after the delay, and not when cancelled', () => {
    const fn = vi.fn()
    const never = vi.fn()
    systemClock.after(100, fn)
    systemClock.after(100, never).cancel()
    vi.advanceTimersByTime(99)
    expect(fn).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1_000)
    expect(fn).toHaveBeenCalledTimes(1)
    expect(never).not.toHaveBeenCalled()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('takes a delay that is over as none', () => {
    const fn = vi.fn()
    systemClock.after(-5, fn)
    expect(fn).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(fn).toHaveBeenCalledTimes(1)
  })

  it('calls again and again until cancelled, from inside the call too', () => {
    const fn = vi.fn()
    const timer = systemClock.every(10, () => {
      fn()
      if (fn.mock.calls.length === 3) timer.cancel()
    })
    vi.advanceTimersByTime(20)
    expect(fn).toHaveBeenCalledTimes(2)
    vi.advanceTimersByTime(1_000)
    expect(fn).toHaveBeenCalledTimes(3)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('cuts a delay that setTimeout cannot hold, instead of firing at once', () => {
    for (const arm of [systemClock.after, systemClock.every]) {
      for (const delay_ms of [TIMER_MS_MAX + 1, Number.POSITIVE_INFINITY]) {
        const fn = vi.fn()
        const timer = arm(delay_ms, fn)
        vi.advanceTimersByTime(TIMER_MS_MAX - 1)
        expect(fn).not.toHaveBeenCalled()
        vi.advanceTimersByTime(1)
        expect(fn).toHaveBeenCalledTimes(1)
        timer.cancel()
      }
    }
  })
})

it('keeps no process alive with a timer', () => {
  const made = [vi.spyOn(globalThis, 'setTimeout'), vi.spyOn(globalThis, 'setInterval')]
  const timers = [systemClock.after(60_000, () => {}), systemClock.every(60_000, () => {})]
  const handles = made.map((spy) => spy.mock.results[0]?.value as NodeJS.Timeout)
  expect(handles.map((handle) => handle.hasRef())).toEqual([false, false])
  for (const timer of timers) timer.cancel()
  vi.restoreAllMocks()
})

describe('system randomness', () => {
  it('gives as many bytes as asked for, never the same', () => {
    expect(systemRandom.bytes(0)).toHaveLength(0)
    const a = systemRandom.bytes(16)
    expect(a).toHaveLength(16)
    expect(a.equals(systemRandom.bytes(16))).toBe(false)
  })

  it('draws from 0 to one less than the bound, each of them', () => {
    const drawn = new Set(Array.from({ length: 500 }, () => systemRandom.below(3)))
    expect([...drawn].sort()).toEqual([0, 1, 2])
    expect(systemRandom.below(1)).toBe(0)
  })
})

describe('our error', () => {
  it('has a code, a sentence and where it came from', () => {
    const cause = new Error('why')
    const error = new AqueductError('store_full', 'No room.', { cause })
    expect(error).toMatchObject({ name: 'AqueductError', code: 'store_full', message: 'No room.', origin: cause })
    expect(hasCode(error, 'store_full')).toBe(true)
    expect(hasCode(error, 'store_failed')).toBe(false)
    expect(hasCode(Object.assign(new Error('x'), { code: 'store_full' }), 'store_full')).toBe(false)
    expect(hasCode(undefined, 'store_full')).toBe(false)
  })
})
