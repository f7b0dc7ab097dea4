import type { Clock, Timer } from '../../src/core/clock.js'

interface Armed {
  due: number
  period: number
  order: number
  fn: () => void
}

/** A clock that stands still until a test moves it. Timers fire in due order while it moves. */
export class ManualClock implements Clock {
  private wall: number
  private up = 0
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

  /** Moves both clocks on by `ms`, firing what comes due on the way. */
  advance(ms: number): void {
    const end = this.up + ms
    for (;;) {
      const next = this.armed.filter((t) => t.due <= end).sort((a, b) => a.due - b.due || a.order - b.order)[0]
      if (next === undefined) break
      this.wall += next.due - this.up
      this.up = next.due
      if (next.period > 0) next.due += next.period
      else this.armed.splice(this.armed.indexOf(next), 1)
      next.fn()
    }
    this.wall += end - this.up
    this.up = end
  }

  /** Steps the wall clock only, as an operator setting the time would. */
  step(ms: number): void {
    this.wall += ms
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
