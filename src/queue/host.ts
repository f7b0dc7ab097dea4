/** What a plain queue asks of the engine that holds it. */
import type { MessageLog } from '../store/log.js'
import type { Departures } from './departures.js'
import type { PlainQueue } from './plain.js'
import type { Departure } from './queue.js'
import type { Tail } from './tail.js'
import type { Trace } from './trace.js'

export interface PlainHost {
  readonly log: MessageLog
  readonly departures: Departures
  /** Remembers departures; null: nobody does. */
  readonly trace: Trace | null
  /** Waiting entries that a queue keeps in memory. */
  readonly ringEntriesMax: number
  /** A message of the queue is damaged, and has left. */
  damaged(queue: PlainQueue): void
  /** Something was appended in the open group: tell the queue's consumer after the commit. */
  touched(queue: PlainQueue): void
  /** Something left: a head is due at the next checkpoint. */
  becameDirty(queue: PlainQueue): void
  /** The ring is full: entries from `seq` on are on the disk only. */
  spill(seq: number): Tail
  /** A page of the tail, with the entry appended last, is complete. */
  pageFull(queue: PlainQueue, row: Buffer): void
  /** The ring shrank: see whether the next page of the tail should come in. */
  wantPage(queue: PlainQueue, tail: Tail): void
  /** All of the tail is gone: release its messages in the background. */
  abandon(queue: PlainQueue, tail: Tail, why: Departure): void
  /** What waited was removed as a whole: write a head that says so into the open group. */
  purged(queue: PlainQueue): void
}
