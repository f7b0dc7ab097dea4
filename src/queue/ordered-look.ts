/**
 * When the rows of a queue are looked through for what expired on disk only, or behind another of its key.
 *
 * Always true: one look at a time, and a rest after each that grows with what it cost; nothing is looked for before the first can have expired.
 */
import type { Clock } from '../core/clock.js'
import type { OrderedState } from './ordered-state.js'

/** A look reads all rows of a queue: the next one comes after this pause, */
const LOOK_PAUSE_MS = 250
/** and after so many times as long as it took: when it found little, and when a tenth of the queue went. */
const LOOK_REST = 20
const LOOK_REST_FRUITFUL = 2
/** After a start nobody knows when rows expire: a queue with more of them is looked through only when it lacks room. */
const LOOK_UNASKED_MAX = 65_536

export class Looks {
  private readonly state: OrderedState
  private readonly clock: Clock
  private readonly expire: () => Promise<void>
  private running: Promise<void> | undefined
  /** On the uptime clock. */
  private next_ms = Number.NEGATIVE_INFINITY

  /** `expire` looks through the rows, and does what follows from that. */
  constructor(state: OrderedState, clock: Clock, expire: () => Promise<void>) {
    this.state = state
    this.clock = clock
    this.expire = expire
  }

  /** True when a look now may make room for `count` messages of `bytes` together that there is not now. */
  mayMakeRoom(count: number, bytes: number): boolean {
    const s = this.state
    const { max_messages, max_bytes } = s.attributes
    const due = s.unseenExpiresAt <= this.clock.now() && this.clock.uptime_ms() >= this.next_ms
    return (due || this.running !== undefined) && (s.count + count > max_messages || s.bytes + bytes > max_bytes)
  }

  /** Resolves when it is over. */
  run(): Promise<void> {
    this.running ??= this.look()
    return this.running
  }

  private async look(): Promise<void> {
    const began_ms = this.clock.uptime_ms()
    const before = this.state.waiting
    await this.expire()
    const now_ms = this.clock.uptime_ms()
    const rest = this.state.waiting <= before * 0.9 ? LOOK_REST_FRUITFUL : LOOK_REST
    this.next_ms = now_ms + Math.max(LOOK_PAUSE_MS, (now_ms - began_ms) * rest)
    this.running = undefined
  }

  /** When the next one is due. `unknown`: when one is due of whose rows nobody knows when they expire. */
  due(unknown: number): number {
    const s = this.state
    const at = s.unseenExpiresAt
    if (at === Number.POSITIVE_INFINITY || this.running !== undefined) return Number.POSITIVE_INFINITY
    const rested = this.clock.now() + Math.max(0, this.next_ms - this.clock.uptime_ms())
    if (at > 0) return Math.max(at, rested)
    return s.inLanes + s.behind > LOOK_UNASKED_MAX ? Number.POSITIVE_INFINITY : Math.max(unknown, rested)
  }
}
