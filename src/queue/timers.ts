/**
 * Wakes queues at their nearest due moment: a lease that ends, a delay that is over, a message that expires. One armed timer for
 * all queues, a heap of (moment, queue) beneath.
 *
 * Always true: moments are on the broker's time; what is armed is never later than the earliest moment, seen from the clock at the
 * time of arming, and never further away than a minute, so that it shows within that when the machine was suspended.
 */
import type { Clock, Timer } from '../core/clock.js'
import { type Moment, Moments } from '../core/moments.js'

/** Something with due moments. The fields are the timers' own. */
export interface Due extends Moment {
  /** Does what is due at `now`; returns the next moment (milliseconds since 1970) or Infinity. */
  due(now: number): number
  dueAt: number
}

const ARM_MS_MAX = 60_000

export class DueTimers {
  private readonly clock: Clock
  private readonly moments = new Moments<Due>()
  private timer: Timer | null = null
  private armedFor = Number.POSITIVE_INFINITY
  private closed = false
  private running = false

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** `item` wants to be called at `at`; Infinity: not at all. Replaces what it wanted before. */
  set(item: Due, at: number): void {
    if (at === Number.POSITIVE_INFINITY) {
      this.moments.delete(item)
      return
    }
    item.dueAt = at
    this.moments.place(item)
    if (!this.running) this.arm()
  }

  close(): void {
    this.closed = true
    this.timer?.cancel()
    this.timer = null
  }

  private arm(): void {
    const at = this.moments.first?.dueAt
    if (this.closed || at === undefined) return
    if (this.timer !== null && this.armedFor <= at) return
    this.timer?.cancel()
    const now = this.clock.now()
    const wait = Math.min(Math.max(0, at - now), ARM_MS_MAX)
    this.armedFor = now + wait
    this.timer = this.clock.after(wait, () => this.fire())
  }

  private fire(): void {
    this.timer = null
    this.armedFor = Number.POSITIVE_INFINITY
    if (this.closed) return
    const now = this.clock.now()
    this.running = true
    // Each item once: one that asks for `now` again has more than a turn's worth of work and comes back in the next turn.
    const ready: Due[] = []
    for (let item = this.moments.firstDue(now); item !== undefined; item = this.moments.firstDue(now)) {
      this.moments.delete(item)
      ready.push(item)
    }
    try {
      for (const item of ready) this.set(item, item.due(now))
    } finally {
      this.running = false
      this.arm()
    }
  }
}
