/**
 * A durable queue whose entries live in the packed log: of a persistent session, of a group.
 *
 * An entry is *waiting* (in the ring, or in the tail that is only on the disk) → *leased* → gone, or → *returned* → leased again.
 * What the disk knows: the entry row; a head (cursor, next index, the outstanding below the cursor); acknowledgements since the head.
 *
 * Always true:
 * - indexes of returned and leased entries < those in the ring < those in the tail; ring and tail have no holes;
 * - all entries of this queue with a sequence below `cursor()` are gone, but for the leased and returned ones;
 * - an entry is handed out only when its sequence is at most the log's `committedSeq`;
 * - the tail exists only while the ring alone could not hold all that waits.
 */
import type { MessageView } from '../store/message.js'
import { GONE, LeaseBook, QueueEntry } from './entry.js'
import type { PlainHost } from './host.js'
import type { Departure, Entry, QueueCounts, QueueKind, QueueLimits, SessionQueue } from './queue.js'
import { giveRing, type Ring, takeRing } from './ring.js'
import type { Tail } from './tail.js'

export class PlainQueue implements SessionQueue {
  readonly id: number
  readonly durable = true
  readonly kind: QueueKind
  readonly name: string
  limits: QueueLimits
  onReady: (() => void) | null = null
  /** Entries below this index were here when the process started: a client may have seen them before. */
  recoveredBelow = 0
  /** Commit group that last touched it, so that it is told once per commit. */
  touchedGroup = 0
  /** Changed since its last head. */
  dirty = false
  deleted = false
  /** Index that the next append gets. */
  nextIndex = 0
  /** Waiting entries in memory, or null when there are none. */
  ring: Ring | null = null
  tail: Tail | null = null
  book: LeaseBook | null = null
  bytes = 0
  /** Extra bytes of entries in the ring, by sequence; made when one has any. */
  extras: Map<number, Buffer> | null = null
  private readonly host: PlainHost

  constructor(host: PlainHost, id: number, kind: QueueKind, name: string, limits: QueueLimits) {
    this.host = host
    this.id = id
    this.kind = kind
    this.name = name
    this.limits = limits
  }

  counts(): QueueCounts {
    const { book } = this
    const back = book === null ? 0 : book.returned.length
    return { ready: this.waiting + back, leased: book === null ? 0 : book.leased.length, delayed: 0, bytes: this.bytes }
  }

  get hasReady(): boolean {
    if (this.book !== null && this.book.returned.length > 0) return true
    return this.ring !== null && this.ring.length > 0 && this.ring.seq <= this.host.log.committedSeq
  }

  peekIndex(): number {
    const { book } = this
    if (book !== null && book.returned.length > 0) return book.returned[0].index
    return this.hasReady ? this.nextIndex - this.waiting : -1
  }

  /** Sequence, flags and attempts so far of what the next `lease` would hand out; -1, 0 and 0 when that is nothing. */
  get frontSeq(): number {
    const back = this.book?.returned[0]
    if (back !== undefined) return back.seq
    return this.hasReady && this.ring !== null ? this.ring.seq : -1
  }

  get frontFlags(): number {
    const back = this.book?.returned[0]
    if (back !== undefined) return back.flags
    return this.hasReady && this.ring !== null ? this.ring.flags : 0
  }

  get frontAttempts(): number {
    return this.book?.returned[0]?.attempts ?? 0
  }

  /** True when a message of `bytes` may come in; makes room for it where the limit says so. A refusal is counted. */
  admits(bytes: number): boolean {
    if (this.deleted) return false
    const { max_messages, max_bytes, overflow } = this.limits
    if (this.held < max_messages && this.bytes + bytes <= max_bytes) return true
    if (overflow === 'drop_oldest' && this.roomBeyondLeased(bytes)) {
      // When the oldest is on the disk only, its page is on its way and the limit is made good when it is in.
      while (this.held >= max_messages || this.bytes + bytes > max_bytes) if (!this.dropOldest()) break
      return true
    }
    const tally = this.host.departures[this.kind]
    if (overflow === 'drop_newest') tally.dropped_newest++
    else tally.refused++
    return false
  }

  /** Takes the log's open message, stored as `seq`. */
  push(seq: number, bytes: number, flags: number, extra: Buffer | undefined): void {
    const index = this.nextIndex++
    this.bytes += bytes
    this.host.log.entry(this.id, index, flags, extra)
    this.place(seq, index, bytes, flags, extra)
    this.host.touched(this)
  }

  /** Puts an entry behind all that wait: into the ring, or the tail once that has begun. */
  place(seq: number, index: number, bytes: number, flags: number, extra: Buffer | undefined): void {
    if (this.tail === null) {
      let ring = this.ring
      if (ring === null) ring = this.ring = takeRing()
      if (ring.length < this.host.ringEntriesMax) {
        ring.push(seq, bytes, flags)
        if (extra !== undefined) this.keepExtra(seq, extra)
        return
      }
      this.tail = this.host.spill(seq)
    }
    const page = this.tail.add(seq, index, bytes, flags, extra)
    if (page !== undefined) this.host.pageFull(this, page)
  }

  /** Forgets what a start has put here, so that it can be put here anew. */
  clearRecovered(): void {
    this.dropRing()
    this.tail = null
    this.book = null
    this.extras = null
    this.bytes = 0
  }

  keepExtra(seq: number, extra: Buffer): void {
    if (this.extras === null) this.extras = new Map()
    this.extras.set(seq, extra)
  }

  lease(): Entry | undefined {
    let book = this.book
    if (book !== null && book.returned.length > 0) return book.lease(book.returned.shift() as QueueEntry)
    const { ring } = this
    if (ring === null || ring.length === 0 || ring.seq > this.host.log.committedSeq) return undefined
    // The next head says that it was handed out.
    if (!this.dirty) this.host.becameDirty(this)
    if (book === null) book = this.book = new LeaseBook()
    return book.lease(this.shift(ring))
  }

  read(entry: Entry): MessageView | undefined {
    return this.host.log.read(entry.seq)
  }

  load(entry: Entry): Promise<void> {
    return this.host.log.load(entry.seq)
  }

  ack(entry: Entry, why: Departure = 'acked'): void {
    const e = entry as QueueEntry
    const { book } = this
    if (book === null || !book.holds(e)) return
    book.remove(e)
    this.left(e.seq, e.bytes, why, e.attempts)
    if (book.empty) this.book = null
  }

  release(entry: Entry, countAttempt = true): void {
    const e = entry as QueueEntry
    const { book } = this
    if (book === null || !book.holds(e)) return
    if (!countAttempt) e.attempts--
    book.release(e)
  }

  releaseAll(): void {
    this.book?.releaseAll()
  }

  /** Removes what waits; what is leased too when `leased`. Returns how many. */
  purge(leased = false, why: Departure = 'purged'): number {
    const { book } = this
    let count = 0
    if (book !== null) {
      if (leased) book.releaseAll()
      for (const entry of book.returned) {
        entry.slot = GONE
        this.forget(entry.seq, entry.bytes, why, entry.attempts)
        count++
      }
      book.returned = []
      if (book.empty) this.book = null
    }
    const { ring, tail } = this
    if (ring !== null) {
      for (; ring.length > 0; ring.shift()) {
        this.forget(ring.seq, ring.bytes, why, 0)
        count++
      }
    }
    this.dropRing()
    this.extras = null
    if (tail !== null) {
      this.tail = null
      this.bytes -= tail.bytes
      this.host.departures[this.kind][why] += tail.count
      count += tail.count
      this.host.abandon(this, tail, why)
    }
    if (count > 0) this.host.purged(this)
    return count
  }

  /** Sequence below which all of this queue is gone, but for the leased and returned entries. */
  cursor(): number {
    if (this.ring !== null && this.ring.length > 0) return this.ring.seq
    if (this.tail !== null) return this.tail.fromSeq
    return this.host.log.nextSeq
  }

  /** Entries that were never handed out. */
  get waiting(): number {
    return (this.ring === null ? 0 : this.ring.length) + (this.tail === null ? 0 : this.tail.count)
  }

  /** All entries. */
  get held(): number {
    return this.waiting + (this.book === null ? 0 : this.book.leased.length + this.book.returned.length)
  }

  /** Does the queue still need the entry? For the sweep. */
  alive(seq: number): boolean {
    if (this.deleted) return false
    if (seq >= this.cursor()) return true
    const { book } = this
    return book !== null && (book.leased.some((e) => e.seq === seq) || book.returned.some((e) => e.seq === seq))
  }

  /** The entry of the message `seq`, as it is now. */
  find(seq: number): { readonly state: 'ready' | 'leased'; readonly attempts: number } | undefined {
    if (this.deleted) return undefined
    if (seq >= this.cursor()) return { state: 'ready', attempts: 0 }
    const leased = this.book?.leased.find((e) => e.seq === seq)
    if (leased !== undefined) return { state: 'leased', attempts: leased.attempts }
    const back = this.book?.returned.find((e) => e.seq === seq)
    return back === undefined ? undefined : { state: 'ready', attempts: back.attempts }
  }

  /** Drops the oldest waiting entries until the limits hold again: after a page came in. */
  enforceLimits(): void {
    if (this.limits.overflow !== 'drop_oldest') return
    while (this.held > this.limits.max_messages || this.bytes > this.limits.max_bytes) if (!this.dropOldest()) return
  }

  /** Could a message of `bytes` come in if all that waits were dropped? What is leased never is. */
  private roomBeyondLeased(bytes: number): boolean {
    const { max_messages, max_bytes } = this.limits
    const { book } = this
    if (book === null) return max_messages > 0 && bytes <= max_bytes
    return book.leased.length < max_messages && book.leasedBytes() + bytes <= max_bytes
  }

  private dropOldest(): boolean {
    const { book } = this
    const back = book?.returned.shift()
    if (back !== undefined) {
      back.slot = GONE
      this.left(back.seq, back.bytes, 'dropped_oldest', back.attempts)
      return true
    }
    const { ring } = this
    if (ring === null || ring.length === 0) return false
    const entry = this.shift(ring)
    entry.slot = GONE
    this.left(entry.seq, entry.bytes, 'dropped_oldest', 0)
    return true
  }

  /** Takes the head of the ring. */
  private shift(ring: Ring): QueueEntry {
    const { seq } = ring
    let extra: Buffer | undefined
    if (this.extras !== null) {
      extra = this.extras.get(seq)
      if (extra !== undefined) this.extras.delete(seq)
    }
    const entry = new QueueEntry(seq, this.nextIndex - this.waiting, ring.flags, extra, ring.bytes, undefined)
    ring.shift()
    if (this.tail !== null) this.host.wantPage(this, this.tail)
    else if (ring.length === 0) this.dropRing()
    return entry
  }

  private dropRing(): void {
    if (this.ring === null) return
    giveRing(this.ring)
    this.ring = null
  }

  /** An entry is gone: counted, written, and its message released. */
  private left(seq: number, bytes: number, why: Departure, attempts: number): void {
    this.forget(seq, bytes, why, attempts)
    this.host.log.ack(this.id, seq)
    if (!this.dirty) this.host.becameDirty(this)
  }

  /** As `left`, when a head that is written at once says it. */
  private forget(seq: number, bytes: number, why: Departure, attempts: number): void {
    const { host } = this
    this.bytes -= bytes
    host.departures[this.kind][why]++
    host.log.drop(seq)
    if (why === 'damaged') host.damaged(this)
    if (host.trace !== null) host.trace.left(this, seq, why, attempts)
  }
}
