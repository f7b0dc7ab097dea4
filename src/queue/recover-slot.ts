/**
 * One plain queue while it is being rebuilt: what becomes of each of its entries, and how many there should have been.
 *
 * A head counts: from the index of its first entry at or behind the cursor to the next index all entries must be there, but for those that were
 * acknowledged since and whose rows the tidier has left out.
 */
import type { EntryReader } from '../store/rows.js'
import type { PlainQueue } from './plain.js'
import type { Head } from './records.js'

export class Slot {
  /** Undefined: its definition is lost, and its entries are only counted. */
  readonly queue: PlainQueue | undefined
  /** It should have a head and has none: any of its entries may have been acknowledged, all were perhaps handed out. */
  readonly headLost: boolean
  nextIndex: number
  /** Entries that are not gone. */
  seen = 0
  /** Of the entry seen last: hand-outs, or -1 when it waits. */
  attempts = -1
  private readonly head: Head | undefined
  private readonly acks: Set<number> | undefined
  /** Below it, what is not acknowledged was handed out before. */
  private readonly lastAck: number
  /** Acknowledged entries of which the row was seen, at or behind the cursor. */
  private acked = 0
  private ackedBehind = 0
  /** Entries seen at or behind the cursor. */
  private behind = 0
  private outstanding = 0
  private firstIndex = -1
  private lastIndex = -1
  /** Index of the first that waits behind the last hole, or -1. */
  private holeEnd = -1

  constructor(queue: PlainQueue | undefined, head: Head | undefined, acks: Set<number> | undefined, headLost: boolean) {
    this.queue = queue
    this.head = head
    this.acks = acks
    this.headLost = headLost
    this.nextIndex = head?.nextIndex ?? 0
    let lastAck = 0
    if (acks !== undefined) for (const seq of acks) if (seq > lastAck) lastAck = seq
    this.lastAck = lastAck
    const cursor = head?.cursor ?? 0
    if (acks !== undefined) for (const seq of acks) if (seq >= cursor) this.ackedBehind++
  }

  get hasHole(): boolean {
    return this.holeEnd >= 0
  }

  /** Takes note of the entry that `reader` stands on. False when it is gone. */
  see(reader: EntryReader): boolean {
    const { head } = this
    const { seq, index } = reader
    if (index >= this.nextIndex) this.nextIndex = index + 1
    const isBehind = head === undefined || seq >= head.cursor
    if (isBehind) this.behind++
    if (this.acks?.has(seq) === true) {
      if (isBehind) this.acked++
      return false
    }
    if (!this.fate(seq)) return false
    this.seen++
    if (this.attempts < 0) {
      if (this.firstIndex < 0) this.firstIndex = index
      else if (index !== this.lastIndex + 1) this.holeEnd = index
      this.lastIndex = index
    } else if (!isBehind) this.outstanding++
    return true
  }

  /** Before the entries are gone through once more. */
  again(): void {
    this.attempts = -1
  }

  /** As `see`, the second time: what waits before the last hole comes back, with no hand-out. */
  seeAgain({ seq, index }: EntryReader): boolean {
    if (this.acks?.has(seq) === true || !this.fate(seq)) return false
    if (this.attempts < 0 && index < this.holeEnd) this.attempts = 0
    return true
  }

  /** Entries that should be there and are not, as far as that can be known. */
  get missing(): number {
    const { head, queue } = this
    if (queue === undefined || this.headLost) return 0
    const outstanding = this.outstandingDue - this.outstanding
    if (head !== undefined && head.cursorIndex === undefined) {
      // An older head does not count: what is between the first that waits and the end must be there.
      return outstanding + (this.firstIndex < 0 ? 0 : this.nextIndex - this.firstIndex - queue.waiting)
    }
    const due = this.nextIndex - (head?.cursorIndex ?? 0)
    return outstanding + Math.max(0, due - this.behind - (this.ackedBehind - this.acked))
  }

  private get outstandingDue(): number {
    let n = 0
    if (this.head !== undefined) for (const seq of this.head.outstanding.keys()) if (this.acks?.has(seq) !== true) n++
    return n
  }

  /** Sets `attempts`. False when the entry is gone. */
  private fate(seq: number): boolean {
    const { head } = this
    if (this.headLost) this.attempts = 1
    else if (head !== undefined && seq < head.cursor) {
      const attempts = head.outstanding.get(seq)
      if (attempts === undefined) return false
      this.attempts = attempts
    } else {
      // A later one is acknowledged, so this one was handed out at least once.
      this.attempts = seq < this.lastAck ? 1 : -1
    }
    return true
  }
}
