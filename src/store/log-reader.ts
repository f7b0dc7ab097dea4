/**
 * Reading the packed log: messages by sequence through the row cache, entry rows in order for paging, sweeping and recovery.
 *
 * Always true: it starts at a row that is known to be there, extent by extent, so that no read walks over what was deleted.
 */
import { AqueductError } from '../core/errors.js'
import { EXTENT_SEQUENCES } from '../core/limits.js'
import type { Disk } from './disk.js'
import { type Extents, extentOf } from './extents.js'
import * as keys from './keys.js'
import type { RowCache } from './row-cache.js'
import { findMessage, StoredMessage } from './rows.js'

/** Message bytes read at once for a consumer that lags: it will want the next rows too. */
const READ_AHEAD_BYTES = 192 * 1024

/** One entry row. */
export interface EntryRow {
  readonly firstSeq: number
  readonly row: Buffer
}

export class LogReader {
  private readonly disk: Disk
  private readonly extents: Extents
  private readonly cache: RowCache
  private readonly loading = new Map<number, Promise<void>>()
  /** The row read last: neighbours in a queue are mostly neighbours in a row. */
  private lastFirst = -1
  private lastRow: Buffer | undefined

  constructor(disk: Disk, extents: Extents, cache: RowCache) {
    this.disk = disk
    this.extents = extents
    this.cache = cache
  }

  read(seq: number): StoredMessage | undefined {
    const first = this.extents.rowOf(seq)
    if (first < 0) throw notFound(seq)
    let row = this.lastRow
    if (row === undefined || first !== this.lastFirst) {
      row = this.cache.get(first)
      if (row === undefined) return undefined
      this.lastRow = row
      this.lastFirst = first
    }
    const i = findMessage(row, seq - first)
    if (i < 0) throw notFound(seq)
    return new StoredMessage(row, i)
  }

  /** Forgets a row that is deleted or rewritten. */
  forget(firstSeq: number): void {
    this.cache.delete(firstSeq)
    if (this.lastFirst === firstSeq) {
      this.lastFirst = -1
      this.lastRow = undefined
    }
  }

  load(seq: number): Promise<void> {
    const first = this.extents.rowOf(seq)
    if (first < 0) return Promise.reject(notFound(seq))
    if (this.cache.has(first)) return Promise.resolve()
    let promise = this.loading.get(first)
    if (promise === undefined) {
      promise = this.readAhead(first, seq).finally(() => this.loading.delete(first))
      this.loading.set(first, promise)
    }
    return promise
  }

  private async readAhead(first: number, seq: number): Promise<void> {
    const end = (extentOf(seq) + 1) * EXTENT_SEQUENCES
    const rows: { at: number; value: Buffer }[] = []
    let bytes = 0
    for await (const { key, value } of this.disk.scan(keys.messageRows(first, end))) {
      rows.push({ at: keys.rowNumber(key), value })
      bytes += value.length
      if (bytes >= READ_AHEAD_BYTES) break
    }
    if (rows.length === 0 || rows[0].at !== first) throw notFound(seq)
    // The row asked for goes in last: whatever else must make room for it.
    for (let i = rows.length - 1; i >= 0; i--) {
      const { at, value } = rows[i]
      // A row that the extent no longer knows was deleted or merged while we read.
      if (this.extents.rowOf(at) === at && !this.cache.has(at)) this.cache.set(at, value)
    }
  }

  /** Entry rows that hold sequences `from` ≤ seq ≤ `to`, in order. Only what is committed is seen. */
  async *entryRows(from: number, to: number): AsyncIterable<EntryRow> {
    const last = extentOf(to)
    for (let id = extentOf(from); id <= last; id++) {
      const extent = this.extents.get(id)
      if (extent === undefined || extent.rowCount === 0) continue
      const start = id === extentOf(from) ? this.extents.rowOf(from) : -1
      const end = id === last ? to + 1 : extent.firstSeq + EXTENT_SEQUENCES
      const range = keys.entryRows(start < 0 ? extent.row(0) : start, end)
      for await (const { key, value } of this.disk.scan(range)) yield { firstSeq: keys.rowNumber(key), row: value }
    }
  }
}

function notFound(seq: number): AqueductError {
  return new AqueductError('message_not_found', `Message ${seq} is no longer there.`)
}
