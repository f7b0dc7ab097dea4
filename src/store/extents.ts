/**
 * What is known of the log without reading it: the sequence space cut into extents of EXTENT_SEQUENCES, and for each extent that has rows
 * how many of its entries are alive and where its rows begin. A few hundred bytes an extent, two a row.
 *
 * Always true: extents are kept in ascending order; `live` counts the queue entries that still need a message of the extent; an extent
 * leaves only in the commit that deletes its rows.
 */
import { EXTENT_SEQUENCES } from '../core/limits.js'

export class Extent {
  readonly id: number
  /** Entries that wait or are leased. */
  live = 0
  /** Entries that its rows hold, alive or gone. */
  total = 0
  /** Bytes of its rows. */
  bytes = 0
  /** Rows by first sequence, minus the extent's own first, ascending. */
  private rows = new Uint16Array(4)
  rowCount = 0
  /** While a row of it is being replaced: the table changes when this resolves. */
  tidying: Promise<void> | undefined
  /** Grows with each change of its rows but by appending. */
  version = 0
  /** `live` and `rowCount` when it was tidied last, or -1. */
  tidiedLive = -1
  tidiedRows = -1

  constructor(id: number) {
    this.id = id
  }

  get firstSeq(): number {
    return this.id * EXTENT_SEQUENCES
  }

  get lastSeq(): number {
    return this.firstSeq + EXTENT_SEQUENCES - 1
  }

  /** First sequence of its `i`th row. */
  row(i: number): number {
    return this.firstSeq + this.rows[i]
  }

  /** Rows are added in ascending order. */
  addRow(firstSeq: number): void {
    if (this.rowCount === this.rows.length) {
      const rows = new Uint16Array(Math.min(EXTENT_SEQUENCES, this.rows.length * 2))
      rows.set(this.rows)
      this.rows = rows
    }
    this.rows[this.rowCount++] = firstSeq - this.firstSeq
  }

  /** As `addRow`, for one that may not be the last. Nothing when it is there. */
  insertRow(firstSeq: number): void {
    const at = this.rowIndexOf(firstSeq) + 1
    if (at > 0 && this.row(at - 1) === firstSeq) return
    this.addRow(firstSeq)
    this.rows.copyWithin(at + 1, at, this.rowCount - 1)
    this.rows[at] = firstSeq - this.firstSeq
    this.version++
  }

  /** Replaces rows `from` ≤ i < `to` by the one that begins at `firstSeq`, or by none. */
  replaceRows(from: number, to: number, firstSeq: number | undefined): void {
    const keep = firstSeq === undefined ? 0 : 1
    if (firstSeq !== undefined) this.rows[from] = firstSeq - this.firstSeq
    this.rows.copyWithin(from + keep, to, this.rowCount)
    this.rowCount -= to - from - keep
    this.version++
  }

  /** Which row holds `seq` if any does: the last that begins at or before it, or -1. */
  rowIndexOf(seq: number): number {
    const delta = seq - this.firstSeq
    const { rows } = this
    let low = 0
    let high = this.rowCount
    while (low < high) {
      const middle = (low + high) >>> 1
      if (rows[middle] <= delta) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

export function extentOf(seq: number): number {
  return Math.floor(seq / EXTENT_SEQUENCES)
}

export class Extents {
  private readonly byId = new Map<number, Extent>()
  /** Consecutive calls are nearly always about the same extent. */
  private last: Extent | undefined

  get(id: number): Extent | undefined {
    const { last } = this
    if (last !== undefined && last.id === id) return last
    const extent = this.byId.get(id)
    if (extent !== undefined) this.last = extent
    return extent
  }

  /** The extent `id`, made when it is not there. New ones come in ascending order. */
  need(id: number): Extent {
    let extent = this.get(id)
    if (extent === undefined) {
      extent = new Extent(id)
      this.byId.set(id, extent)
      this.last = extent
    }
    return extent
  }

  /** As `need`, for one that may be older than those that are there. */
  insert(id: number): Extent {
    const there = this.get(id)
    if (there !== undefined) return there
    const extent = this.need(id)
    const all = [...this.byId.values()].sort((a, b) => a.id - b.id)
    this.byId.clear()
    for (const e of all) this.byId.set(e.id, e)
    return extent
  }

  delete(extent: Extent): void {
    this.byId.delete(extent.id)
    if (this.last === extent) this.last = undefined
  }

  /** In ascending order. */
  all(): Iterable<Extent> {
    return this.byId.values()
  }

  get size(): number {
    return this.byId.size
  }

  oldest(): Extent | undefined {
    return this.byId.values().next().value
  }

  /** First sequence of the row that holds `seq` if any does, or -1. */
  rowOf(seq: number): number {
    const extent = this.get(extentOf(seq))
    if (extent === undefined) return -1
    const i = extent.rowIndexOf(seq)
    return i < 0 ? -1 : extent.row(i)
  }
}
