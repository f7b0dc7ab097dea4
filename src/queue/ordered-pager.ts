/**
 * Decides which rows of a queue come into memory, and when: for who reads, for what is due, for what must be dropped, and now and then a
 * few for a queue that nobody reads, to see whether they have expired.
 *
 * Always true: at most one page per lane is on its way. A page that could not be read is not asked for again by itself: who wants it is
 * told, and asks again or gives up.
 */
import { BATCH_MESSAGES_MAX } from '../core/limits.js'
import type { Disk } from '../store/disk.js'
import { readPage } from './ordered-pages.js'
import type { OrderedState } from './ordered-state.js'
import type { Window } from './ordered-window.js'

/** Rows brought in for a queue that nobody reads. */
const LOOK_ENTRIES = 64

export interface PagerHost {
  arrived(): void
  failed(error: unknown): void
}

export class Pager {
  private readonly state: OrderedState
  private readonly disk: Disk
  private readonly host: PagerHost
  private readonly pages = new Set<Promise<boolean>>()

  constructor(state: OrderedState, disk: Disk, host: PagerHost) {
    this.state = state
    this.disk = disk
    this.host = host
  }

  get busy(): boolean {
    return this.pages.size > 0
  }

  /** Resolves when the page that is longest on its way has come; false when it could not be read. */
  async next(): Promise<boolean> {
    for (const page of this.pages) return page
    return true
  }

  async idle(): Promise<void> {
    while (this.busy) await this.next()
  }

  /** Somebody takes from the queue: the next rows of the lane that is taken from. */
  forReader(): void {
    for (const lane of this.state.lanes) {
      if (lane === undefined || lane.total === 0) continue
      if (lane.wantsPage) this.page(lane, this.state.sizes.page)
      return
    }
  }

  /** What is due at `now` and on disk only; what may have to be dropped soon and is. */
  forClock(now: number): void {
    const s = this.state
    const { delayed } = s
    if (delayed.starved && delayed.markRank <= now) this.page(delayed, s.sizes.page)
    const { overflow, max_messages, max_bytes, max_message_bytes } = s.attributes
    if (overflow !== 'drop_oldest') return
    // In time: what is on disk only when it has to go lets something newer go in its place.
    if (s.count + BATCH_MESSAGES_MAX <= max_messages && s.bytes + max_message_bytes <= max_bytes) return
    for (const w of s.windows) if (w.wantsPage) this.page(w, s.sizes.page)
  }

  /** A few rows of each lane that has none in memory. */
  look(): void {
    for (const w of this.state.windows) if (w.starved) this.page(w, LOOK_ENTRIES)
  }

  private page(window: Window, limit: number): void {
    if (window.page !== null || !window.spilled) return
    const s = this.state
    const running = readPage(s, window, limit, this.disk)
      .then(
        () => {
          s.becameReady ||= window.size > 0
          return true
        },
        (error: unknown) => {
          this.host.failed(error)
          return false
        },
      )
      .then((read) => {
        this.pages.delete(running)
        if (read) this.host.arrived()
        return read
      })
    this.pages.add(running)
  }
}
