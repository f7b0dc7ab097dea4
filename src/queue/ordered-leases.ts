/**
 * The leased entries of one queue and the order in which their leases end. All of them are in memory (and each has its row), so
 * their number is bounded: LEASES_MAX.
 *
 * Always true: `size` entries are leased; the heap holds at least one (moment, entry) pair for each, and pairs of leases that were
 * extended or ended are recognised and dropped when they come up.
 */
import { LEASED, type OrderedEntry } from './ordered-entry.js'

/** Deliveries of one queue that may be out at a time. A receive beyond it gets nothing until some are acknowledged. */
export const LEASES_MAX = 100_000

export class Leases {
  /** Of all that is leased. */
  bytes = 0
  private readonly byPlace = new Map<number, OrderedEntry>()
  private moments: number[] = []
  private entries: OrderedEntry[] = []

  get size(): number {
    return this.byPlace.size
  }

  get(place: number): OrderedEntry | undefined {
    return this.byPlace.get(place)
  }

  all(): IterableIterator<OrderedEntry> {
    return this.byPlace.values()
  }

  /** `e.until` is set. */
  add(e: OrderedEntry): void {
    this.byPlace.set(e.place, e)
    this.bytes += e.bytes
    this.push(e.until, e)
  }

  /** `e.until` has changed. */
  extended(e: OrderedEntry): void {
    if (this.moments.length > 2 * this.byPlace.size + 64) this.rebuild()
    else this.push(e.until, e)
  }

  remove(e: OrderedEntry): void {
    if (this.byPlace.delete(e.place)) this.bytes -= e.bytes
    if (this.byPlace.size === 0) {
      this.moments = []
      this.entries = []
    }
  }

  /** When the next lease ends, Infinity when nothing is leased. */
  get nextEnd(): number {
    this.clean()
    return this.moments.length === 0 ? Number.POSITIVE_INFINITY : this.moments[0]
  }

  /** The entry whose lease ends next. */
  get next(): OrderedEntry | undefined {
    this.clean()
    return this.entries[0]
  }

  private clean(): void {
    while (this.moments.length > 0) {
      const e = this.entries[0]
      if (e.cls === LEASED && e.until === this.moments[0] && this.byPlace.get(e.place) === e) return
      this.pop()
    }
  }

  private rebuild(): void {
    this.moments = []
    this.entries = []
    for (const e of this.byPlace.values()) this.push(e.until, e)
  }

  private push(at: number, e: OrderedEntry): void {
    let i = this.moments.length
    this.moments.push(at)
    this.entries.push(e)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (this.moments[parent] <= at) break
      this.moments[i] = this.moments[parent]
      this.entries[i] = this.entries[parent]
      i = parent
    }
    this.moments[i] = at
    this.entries[i] = e
  }

  private pop(): void {
    const at = this.moments.pop() as number
    const e = this.entries.pop() as OrderedEntry
    const n = this.moments.length
    if (n === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= n) break
      if (child + 1 < n && this.moments[child + 1] < this.moments[child]) child++
      if (this.moments[child] >= at) break
      this.moments[i] = this.moments[child]
      this.entries[i] = this.entries[child]
      i = child
    }
    this.moments[i] = at
    this.entries[i] = e
  }
}
