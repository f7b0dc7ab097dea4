/**
 * The entries of one class and lane that are in memory: a sorted run from the front, the rest only on disk.
 *
 * Always true: every entry of this lane whose (rank, slot) is before the mark is in `items`; from the mark on none is (no mark:
 * all are). `total` counts both. `items` never holds more than `sizes.entries`. Nothing exists before `low()`, so a scan that
 * starts there, or at the mark, crosses no tombstones of what was consumed.
 */
import type { EntryClass, OrderedEntry } from './ordered-entry.js'

/** How much of a queue is kept in memory. */
export interface WindowSizes {
  /** Entries in memory per lane; one more and the back half is left to the disk. */
  readonly entries: number
  /** Rows that one page brings in, */
  readonly page: number
  /** and the number in memory below which the next is fetched. */
  readonly ahead: number
  /** Rows of keys, links and ids kept in memory, each. */
  readonly lookaside: number
}

export const WINDOW_SIZES: WindowSizes = { entries: 4_096, page: 1_024, ahead: 512, lookaside: 8_192 }

/** A page on its way: what was asked, and from when. */
export interface PageRequest {
  readonly window: Window
  readonly fromRank: number
  readonly fromSlot: number
  /** Groups up to this one were committed when it was asked: the scan sees them. */
  readonly sawGroup: number
}

export class Window {
  readonly cls: EntryClass
  /** The lane's rank (priority), or -1 when ranks differ within it (due moments). */
  readonly lane: number
  total = 0
  spilled = false
  markRank = 0
  markSlot = 0
  page: PageRequest | null = null
  /** No entry in memory expires before this; may be too early, never too late. */
  minExpiresAt = Number.POSITIVE_INFINITY
  /** No entry that is on disk only expires before this; may be too early, never too late; 0: not known. */
  unseenExpiresAt = Number.POSITIVE_INFINITY
  private readonly sizes: WindowSizes
  private items: OrderedEntry[] = []
  private start = 0

  constructor(cls: EntryClass, lane: number, sizes: WindowSizes) {
    this.sizes = sizes
    this.cls = cls
    this.lane = lane
  }

  /** Entries in memory. */
  get size(): number {
    return this.items.length - this.start
  }

  get first(): OrderedEntry | undefined {
    return this.items[this.start]
  }

  at(i: number): OrderedEntry | undefined {
    return this.items[this.start + i]
  }

  /** True when an entry with this key is, or would be, in memory. */
  covers(rank: number, slot: number): boolean {
    return !this.spilled || rank < this.markRank || (rank === this.markRank && slot < this.markSlot)
  }

  find(rank: number, slot: number): OrderedEntry | undefined {
    const i = this.search(rank, slot)
    const e = this.items[i]
    return e !== undefined && e.rank === rank && e.slot === slot ? e : undefined
  }

  /** The entry of this place, if it is in memory. */
  findPlace(place: number): OrderedEntry | undefined {
    if (this.lane >= 0) return this.find(this.lane, place)
    for (let i = this.start; i < this.items.length; i++) if (this.items[i].place === place) return this.items[i]
    return undefined
  }

  /** Adds an entry whose rank and slot are set. */
  add(e: OrderedEntry): void {
    this.total++
    if (this.covers(e.rank, e.slot) && this.size >= this.sizes.entries) {
      if (before(e, this.items[this.items.length - 1])) this.cut(this.sizes.entries >> 1)
      else this.mark(e.rank, e.slot)
    }
    if (this.covers(e.rank, e.slot)) this.insert(e)
    else this.leftToDisk(e)
  }

  /** Takes an entry out, wherever it is. */
  remove(e: OrderedEntry): void {
    this.total--
    if (!this.covers(e.rank, e.slot)) return
    if (this.items[this.start] === e) {
      this.shift()
      return
    }
    const i = this.search(e.rank, e.slot)
    const found = this.items[i]
    if (found !== undefined && found.rank === e.rank && found.slot === e.slot) this.items.splice(i, 1)
  }

  /** Forgets everything; the disk is being swept by somebody else. */
  clear(): void {
    this.total = 0
    this.items = []
    this.start = 0
    this.spilled = false
    this.page = null
    this.minExpiresAt = Number.POSITIVE_INFINITY
    this.unseenExpiresAt = Number.POSITIVE_INFINITY
  }

  /** After a restart: nothing in memory, `total` entries on disk, none before (rank, slot). */
  recover(total: number, rank: number, slot: number): void {
    this.clear()
    this.total = total
    if (total === 0) return
    this.mark(rank, slot)
    this.unseenExpiresAt = 0
  }

  get wantsPage(): boolean {
    return this.spilled && this.page === null && this.size < this.sizes.ahead
  }

  /** True when the next entry is on disk only. */
  get starved(): boolean {
    return this.spilled && this.size === 0
  }

  beginPage(committedGroup: number): PageRequest {
    this.page = { window: this, fromRank: this.markRank, fromSlot: this.markSlot, sawGroup: committedGroup }
    return this.page
  }

  /**
   * Takes in what a scan from the mark found: `rows` in key order, `exhausted` when there were no more, else where they ended. `touched`
   * are the entries that changed in groups which the scan may not have seen, in the order of change: for these memory is right and rows
   * are not. Rows of an older epoch than `epoch` were purged.
   */
  endPage(
    request: PageRequest,
    rows: readonly OrderedEntry[],
    exhausted: boolean,
    end: { rank: number; slot: number } | undefined,
    now: { readonly touched: readonly OrderedEntry[]; readonly epoch: number },
  ): void {
    if (this.page !== request) return
    this.page = null
    // The mark moved back meanwhile: what was read is not next any more.
    if (!this.spilled || this.markRank !== request.fromRank || this.markSlot !== request.fromSlot) return
    const changed = new Map<number, OrderedEntry>()
    for (const e of now.touched) if (e.group > request.sawGroup) changed.set(e.place, e)
    if (exhausted || end === undefined) this.spilled = false
    else this.mark(end.rank, end.slot)
    for (const e of rows) if (e.epoch === now.epoch && !changed.has(e.place)) this.insert(e)
    for (const e of changed.values()) {
      if (e.cls !== this.cls || (this.lane >= 0 && e.rank !== this.lane)) continue
      const wasCovered = e.rank < request.fromRank || (e.rank === request.fromRank && e.slot < request.fromSlot)
      if (!wasCovered && this.covers(e.rank, e.slot)) this.insert(e)
    }
    if (this.size > this.sizes.entries) this.cut(this.sizes.entries)
  }

  /** The page did not come; somebody else deals with why. */
  abandonPage(request: PageRequest): void {
    if (this.page === request) this.page = null
  }

  /** Calls `gone` for every entry in memory that expired at `now`; `gone` must remove it. */
  expire(now: number, gone: (e: OrderedEntry) => void): void {
    const expired: OrderedEntry[] = []
    let min = Number.POSITIVE_INFINITY
    for (let i = this.start; i < this.items.length; i++) {
      const at = this.items[i].expiresAt
      if (at === 0) continue
      if (at <= now) expired.push(this.items[i])
      else if (at < min) min = at
    }
    this.minExpiresAt = min
    for (const e of expired) if (e.cls === this.cls) gone(e)
  }

  /** The first key that an entry may have: where a scan after a restart begins. */
  low(out: { rank: number; slot: number }, nextSlot: number): void {
    const first = this.first
    if (first !== undefined) {
      out.rank = first.rank
      out.slot = first.slot
    } else if (this.spilled) {
      out.rank = this.markRank
      out.slot = this.markSlot
    } else {
      out.rank = Math.max(0, this.lane)
      out.slot = nextSlot
    }
  }

  private mark(rank: number, slot: number): void {
    this.spilled = true
    this.markRank = rank
    this.markSlot = slot
  }

  private cut(keep: number): void {
    const first = this.items[this.start + keep]
    this.mark(first.rank, first.slot)
    for (let i = this.start + keep; i < this.items.length; i++) this.leftToDisk(this.items[i])
    this.items.length = this.start + keep
  }

  private leftToDisk(e: OrderedEntry): void {
    if (e.expiresAt !== 0 && e.expiresAt < this.unseenExpiresAt) this.unseenExpiresAt = e.expiresAt
  }

  private shift(): void {
    this.items[this.start] = undefined as unknown as OrderedEntry
    this.start++
    if (this.start === this.items.length) {
      if (this.start > 64) this.items = []
      else this.items.length = 0
      this.start = 0
    } else if (this.start > 1_024 && this.start * 2 > this.items.length) {
      this.items.splice(0, this.start)
      this.start = 0
    }
  }

  private insert(e: OrderedEntry): void {
    if (e.expiresAt !== 0 && e.expiresAt < this.minExpiresAt) this.minExpiresAt = e.expiresAt
    const last = this.items[this.items.length - 1]
    if (this.size === 0 || before(last, e)) {
      this.items.push(e)
      return
    }
    const i = this.search(e.rank, e.slot)
    if (i === this.start && this.start > 0) this.items[--this.start] = e
    else this.items.splice(i, 0, e)
  }

  /** Index in `items` of the first entry at or after (rank, slot). */
  private search(rank: number, slot: number): number {
    let lo = this.start
    let hi = this.items.length
    while (lo < hi) {
      const mid = (lo + hi) >> 1
      const e = this.items[mid]
      if (e.rank < rank || (e.rank === rank && e.slot < slot)) lo = mid + 1
      else hi = mid
    }
    return lo
  }
}

function before(a: OrderedEntry, b: OrderedEntry): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.slot < b.slot)
}
