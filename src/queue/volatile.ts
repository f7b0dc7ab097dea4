/**
 * A queue in memory: of a clean session, gone with the broker. Entries hold the message's bytes (a copy shared by all volatile queues that
 * took it) and may be handed out at once.
 *
 * Always true: `waiting` is in order of index, and every index in it is above all those in the book.
 */
import { type MessageView, messageBytes } from '../store/message.js'
import type { Tally } from './departures.js'
import { GONE, LeaseBook, QueueEntry } from './entry.js'
import type { Departure, Entry, QueueCounts, QueueKind, QueueLimits, SessionQueue } from './queue.js'

const CAPACITY_MIN = 8
const NO_FLAGS = new Uint8Array(0)

export class VolatileQueue implements SessionQueue {
  readonly id: number
  readonly durable = false
  limits: QueueLimits
  onReady: (() => void) | null = null
  readonly kind: QueueKind
  readonly name: string
  private readonly tally: Tally
  private nextIndex = 0
  private bytes = 0
  /** A ring of what waits, or null. An entry is made of it when it is handed out: a long line costs no more objects than it must. */
  private ring: (MessageView | undefined)[] | null = null
  /** Flags of what waits, at the same places. */
  private flags = NO_FLAGS
  /** By index; nearly nobody has any. */
  private extras: Map<number, Buffer> | null = null
  private head = 0
  private length = 0
  private book: LeaseBook | null = null

  constructor(id: number, kind: QueueKind, name: string, limits: QueueLimits, tally: Tally) {
    this.id = id
    this.kind = kind
    this.name = name
    this.limits = limits
    this.tally = tally
  }

  counts(): QueueCounts {
    const { book } = this
    const back = book === null ? 0 : book.returned.length
    return { ready: this.length + back, leased: book === null ? 0 : book.leased.length, delayed: 0, bytes: this.bytes }
  }

  /** Entries that were never handed out. */
  get waiting(): number {
    return this.length
  }

  get hasReady(): boolean {
    return this.length > 0 || (this.book !== null && this.book.returned.length > 0)
  }

  peekIndex(): number {
    const { book } = this
    if (book !== null && book.returned.length > 0) return book.returned[0].index
    return this.length > 0 ? this.nextIndex - this.length : -1
  }

  /** True when a message of `bytes` may come in; makes room for it where the limit says so. A refusal is counted. */
  admits(bytes: number): boolean {
    const { max_messages, max_bytes, overflow } = this.limits
    if (this.held < max_messages && this.bytes + bytes <= max_bytes) return true
    if (overflow === 'drop_oldest' && this.roomBeyondLeased(bytes)) {
      while (this.held >= max_messages || this.bytes + bytes > max_bytes) this.dropOldest()
      return true
    }
    if (overflow === 'drop_newest') this.tally.dropped_newest++
    else this.tally.refused++
    return false
  }

  /** Takes a message that `admits` let in. */
  push(view: MessageView, bytes: number, flags: number, extra: Buffer | undefined): void {
    const wasReady = this.hasReady
    const index = this.nextIndex++
    const ring = this.ringForOneMore()
    const at = (this.head + this.length) & (ring.length - 1)
    ring[at] = view
    this.flags[at] = flags
    if (extra !== undefined) {
      this.extras ??= new Map()
      this.extras.set(index, extra)
    }
    this.length++
    this.bytes += bytes
    if (!wasReady && this.onReady !== null) this.onReady()
  }

  lease(): Entry | undefined {
    let book = this.book
    if (book !== null && book.returned.length > 0) return book.lease(book.returned.shift() as QueueEntry)
    const entry = this.shift()
    if (entry === undefined) return undefined
    if (book === null) book = this.book = new LeaseBook()
    return book.lease(entry)
  }

  read(entry: Entry): MessageView | undefined {
    return (entry as QueueEntry).view
  }

  load(_entry: Entry): Promise<void> {
    return Promise.resolve()
  }

  ack(entry: Entry, why: Departure = 'acked'): void {
    const e = entry as QueueEntry
    const { book } = this
    if (book === null || !book.holds(e)) return
    book.remove(e)
    this.left(e, why)
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
    let count = 0
    const { book } = this
    if (book !== null) {
      if (leased) book.releaseAll()
      for (const entry of book.returned) {
        entry.slot = GONE
        this.left(entry, why)
        count++
      }
      book.returned = []
    }
    for (let entry = this.shift(); entry !== undefined; entry = this.shift()) {
      entry.slot = GONE
      this.left(entry, why)
      count++
    }
    return count
  }

  private get held(): number {
    return this.length + (this.book === null ? 0 : this.book.leased.length + this.book.returned.length)
  }

  /** Could a message of `bytes` come in if all that waits were dropped? What is leased never is. */
  private roomBeyondLeased(bytes: number): boolean {
    const { max_messages, max_bytes } = this.limits
    const { book } = this
    if (book === null) return max_messages > 0 && bytes <= max_bytes
    return book.leased.length < max_messages && book.leasedBytes() + bytes <= max_bytes
  }

  /** Something waits: there is room beyond what is leased, and there was none with it. */
  private dropOldest(): void {
    const entry = this.book?.returned.shift() ?? this.shift()
    if (entry === undefined) return
    entry.slot = GONE
    this.left(entry, 'dropped_oldest')
  }

  private left(entry: QueueEntry, why: Departure): void {
    this.bytes -= entry.bytes
    this.tally[why]++
  }

  /** Takes the oldest waiting message off the ring, as the entry that it now becomes. */
  private shift(): QueueEntry | undefined {
    const { ring, head } = this
    if (ring === null || this.length === 0) return undefined
    const index = this.nextIndex - this.length
    const view = ring[head] as MessageView
    const entry = new QueueEntry(index, index, this.flags[head], this.takeExtra(index), messageBytes(view), view)
    ring[head] = undefined
    this.head = (head + 1) & (ring.length - 1)
    this.length--
    // A burst's ring goes with the burst.
    if (this.length === 0 && ring.length > CAPACITY_MIN * 8) this.ring = null
    return entry
  }

  private takeExtra(index: number): Buffer | undefined {
    const { extras } = this
    if (extras === null) return undefined
    const extra = extras.get(index)
    extras.delete(index)
    if (extras.size === 0) this.extras = null
    return extra
  }

  private ringForOneMore(): (MessageView | undefined)[] {
    const { ring } = this
    if (ring !== null && this.length < ring.length) return ring
    const capacity = ring === null ? CAPACITY_MIN : ring.length * 2
    const next = new Array<MessageView | undefined>(capacity).fill(undefined)
    const flags = new Uint8Array(capacity)
    for (let i = 0; i < this.length; i++) {
      const at = (this.head + i) & (this.length - 1)
      next[i] = (ring as (MessageView | undefined)[])[at]
      flags[i] = this.flags[at]
    }
    this.head = 0
    this.ring = next
    this.flags = flags
    return next
  }
}
