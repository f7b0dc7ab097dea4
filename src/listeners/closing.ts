/**
 * Bounds how long an orderly close may take. A transport that was ended still has to flush and to see its peer's half of the
 * close; a peer that neither reads nor closes must not keep it.
 *
 * Always true: one timer at most, however many connections are closing, and none while none is.
 */
import type { Clock, Timer } from '../core/clock.js'

/** How long a peer may take to read what is left and to close its side. */
export const CLOSE_MS_MAX = 5_000

/** What can be cut off. */
export interface Closable {
  destroy(): void
}

export class Closing {
  private readonly clock: Clock
  /** Deadline of each, in `uptime_ms`. The bound is the same for all, so insertion order is deadline order. */
  private readonly deadlines = new Map<Closable, number>()
  private timer: Timer | undefined

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Destroys `it` in `CLOSE_MS_MAX` unless `remove` comes first. A second call does not prolong the first. */
  add(it: Closable): void {
    if (this.deadlines.has(it)) return
    this.deadlines.set(it, this.clock.uptime_ms() + CLOSE_MS_MAX)
    if (this.timer === undefined) this.arm(CLOSE_MS_MAX)
  }

  /** Call it when the connection is gone. */
  remove(it: Closable): void {
    if (!this.deadlines.delete(it) || this.deadlines.size > 0) return
    this.timer?.cancel()
    this.timer = undefined
  }

  /** Connections that are closing now. */
  get size(): number {
    return this.deadlines.size
  }

  private arm(delay_ms: number): void {
    this.timer = this.clock.after(delay_ms, () => this.sweep())
  }

  private sweep(): void {
    this.timer = undefined
    const now = this.clock.uptime_ms()
    for (const [it, due] of this.deadlines) {
      if (due > now) {
        // A second of slack joins those that follow closely into one wake-up.
        this.arm(due - now + 1_000)
        return
      }
      this.deadlines.delete(it)
      it.destroy()
    }
  }
}
