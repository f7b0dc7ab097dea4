/** Entries of plain and volatile queues, and the book of those that are handed out or came back. */
import type { MessageView } from '../store/message.js'
import type { Entry } from './queue.js'

/** Where an entry is: its place among the leased ones, or one of these. */
export const RETURNED = -1
export const GONE = -2

export class QueueEntry implements Entry {
  readonly seq: number
  readonly index: number
  readonly flags: number
  readonly extra: Buffer | undefined
  readonly bytes: number
  attempts = 0
  /** Place in `leased`, or RETURNED, or GONE. */
  slot = RETURNED
  /** The message itself in a volatile queue; a plain queue reads it from the log. */
  readonly view: MessageView | undefined

  constructor(
    seq: number,
    index: number,
    flags: number,
    extra: Buffer | undefined,
    bytes: number,
    view: MessageView | undefined,
  ) {
    this.seq = seq
    this.index = index
    this.flags = flags
    this.extra = extra
    this.bytes = bytes
    this.view = view
  }
}

/**
 * What one queue has handed out (`leased`, in no order) and got back (`returned`, in order of index). Always true: every index here is below
 * all those that the queue has not handed out yet, so what came back goes out first.
 */
export class LeaseBook {
  leased: QueueEntry[] = []
  returned: QueueEntry[] = []

  get empty(): boolean {
    return this.leased.length === 0 && this.returned.length === 0
  }

  /** Bytes of what is handed out. */
  leasedBytes(): number {
    let bytes = 0
    for (const entry of this.leased) bytes += entry.bytes
    return bytes
  }

  lease(entry: QueueEntry): QueueEntry {
    entry.attempts++
    entry.slot = this.leased.push(entry) - 1
    return entry
  }

  holds(entry: QueueEntry): boolean {
    return entry.slot >= 0 && this.leased[entry.slot] === entry
  }

  /** Takes a leased entry out, for good. */
  remove(entry: QueueEntry): void {
    const last = this.leased.pop() as QueueEntry
    if (last !== entry) {
      this.leased[entry.slot] = last
      last.slot = entry.slot
    }
    entry.slot = GONE
  }

  /** Puts a leased entry back to its old place. */
  release(entry: QueueEntry): void {
    this.remove(entry)
    entry.slot = RETURNED
    this.giveBack(entry)
  }

  /** Puts an entry that is not leased to its place among those that came back. */
  giveBack(entry: QueueEntry): void {
    const { returned } = this
    let low = 0
    let high = returned.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (returned[middle].index < entry.index) low = middle + 1
      else high = middle
    }
    if (low === returned.length) returned.push(entry)
    else returned.splice(low, 0, entry)
  }

  releaseAll(): void {
    if (this.leased.length === 0) return
    for (const entry of this.leased) entry.slot = RETURNED
    this.returned = this.returned.length === 0 ? this.leased : this.returned.concat(this.leased)
    this.returned.sort((a, b) => a.index - b.index)
    this.leased = []
  }
}
