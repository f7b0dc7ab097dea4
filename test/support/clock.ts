import type { MachineClock, Timer } from '../../src/core/clock.js'

interface Armed {
  due: number
  period: number
  order: number
  fn: () => void
}

/** The clocks of a machine that stand still until a test moves them. Timers fire in due order while they move. */
export class ManualClock implements MachineClock {
  private wall: number
  private up = 0
  private boot = 3_600_000
  private boots = 1
  private order = 0
  private armed: Armed[] = []

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.wall = start
  }

  now(): number {
    return this.wall
  }

  uptime_ms(): number {
    return this.up
  }

  boot_ms(): number {
    return this.boot
  }

  boot_id(): string | undefined {
    return `boot ${this.boots}`
  }

  after(delay_ms: number, fn: () => void): Timer {
    return this.arm(Math.max(0, delay_ms), 0, fn)
  }

  every(period_ms: number, fn: () => void): Timer {
    return this.arm(period_ms, Math.max(1, period_ms), fn)
  }

  /** Timers that are still waiting. */
  get pending(): number {
    return this.armed.length
  }

  /** Time passes: all clocks move on by `ms`, and what comes due on the way fires. */
  advance(ms: number): void {
    const end = this.up + ms
    for (;;) {
      const next = this.armed.filter((t) => t.due <= end).sort((a, b) => a.due - b.due || a.order - b.order)[0]
      if (next === undefined) break
      this.pass(next.due - this.up)
      if (next.period > 0) next.due += next.period
      else this.armed.splice(this.armed.indexOf(next), 1)
      next.fn()
    }
    this.pass(end - this.up)
  }

  /** Time passes, but no timer sees it: each fires as much later. */
  skip(ms: number): void {
    this.pass(ms)
    for (const t of this.armed) t.due += ms
  }

  /** Steps the wall clock only, as an operator setting the time would. */
  step(ms: number): void {
    this.wall += ms
  }

  /** The machine sleeps: processes stand still, time passes. */
  sleep(ms: number): void {
    this.wall += ms
    this.boot += ms
  }

  /** What a process finds that starts `ms` later on the same machine. */
  later(ms: number): ManualClock {
    const next = new ManualClock(this.wall + ms)
    next.boot = this.boot + ms
    next.boots = this.boots
    return next
  }

  /** The machine is off for `off_ms` and starts; its wall clock then is wrong by `wrong_ms` more than before. */
  reboot(off_ms: number, wrong_ms = 0): void {
    this.wall += off_ms + wrong_ms
    this.boot = 10_000
    this.boots++
  }

  private pass(ms: number): void {
    this.wall += ms
    this.up += ms
    this.boot += ms
  }

  private arm(delay: number, period: number, fn: () => void): Timer {
    const t: Armed = { due: this.up + delay, period, order: this.order++, fn }
    this.armed.push(t)
    return {
      cancel: () => {
        const i = this.armed.indexOf(t)
        if (i >= 0) this.armed.splice(i, 1)
      },
    }
  }
}
