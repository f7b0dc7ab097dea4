/**
 * Receivers that wait for a message (long poll), in the order they came.
 *
 * Always true: a waiter is *waiting* until exactly one of these happens: it is taken by a message, its time is up, or it went away.
 * Taking is the queue's act and happens before anything is leased, so one message wakes one waiter, and one that went away is
 * not in the line any more.
 */
import type { Clock, Timer } from '../core/clock.js'

export interface LongPoll {
  /** Messages it takes at most. */
  readonly max: number
  readonly lease_ms: number
  /** Its time is up, or the queue is closing: it gets nothing. */
  ended(): void
  /** The queue takes it out of the line to hand it messages. */
  serve(): void
}

interface Waiting {
  readonly poll: LongPoll
  timer: Timer | null
  before: Waiting | null
  after: Waiting | null
  inLine: boolean
}

/** A place in the line. */
export interface Place {
  /** The waiter went away; it is not called any more. Harmless when it already left. */
  leave(): void
}

export class Waiters {
  private readonly clock: Clock
  private readonly most: number
  private first: Waiting | null = null
  private last: Waiting | null = null
  private count = 0

  /** At most `most` wait at a time. */
  constructor(clock: Clock, most: number) {
    this.clock = clock
    this.most = most
  }

  get size(): number {
    return this.count
  }

  /** Adds `poll` at the end for `wait_ms`. Undefined when the line is full: it gets its empty answer at once. */
  join(poll: LongPoll, wait_ms: number): Place | undefined {
    if (this.count >= this.most) return undefined
    const w: Waiting = { poll, timer: null, before: this.last, after: null, inLine: true }
    if (this.last === null) this.first = w
    else this.last.after = w
    this.last = w
    this.count++
    w.timer = this.clock.after(wait_ms, () => {
      w.timer = null
      this.unlink(w)
      poll.ended()
    })
    return { leave: () => this.unlink(w) }
  }

  /** Takes the one that waits longest out of the line. */
  take(): LongPoll | undefined {
    const w = this.first
    if (w === null) return undefined
    this.unlink(w)
    return w.poll
  }

  /** Ends all, as a closing queue does. */
  endAll(): void {
    for (let poll = this.take(); poll !== undefined; poll = this.take()) poll.ended()
  }

  private unlink(w: Waiting): void {
    if (!w.inLine) return
    w.inLine = false
    this.count--
    if (w.before === null) this.first = w.after
    else w.before.after = w.after
    if (w.after === null) this.last = w.before
    else w.after.before = w.before
    w.timer?.cancel()
    w.timer = null
  }
}
