/**
 * Reading the packed log: messages by sequence through the row cache, entry rows in order for paging, sweeping and recovery.
 *
 * Always true: it goes extent by extent over those that have rows, so that no read walks over what was deleted.
 */
import { AqueductError, hasCode } from '../core/errors.js'
import { EXTENT_SEQUENCES } from '../core/limits.js'
import type { CheckedDisk } from './checked.js'
import { type Extent, type Extents, extentOf } from './extents.js'
import * as keys from './keys.js'
import type { RowCache } from './row-cache.js'
import { EntryReader, findMessage, StoredMessage, wholeEntryRow, wholeMessageRow } from './rows.js'

/** Message bytes read at once for a consumer that lags: it will want the next rows too. */
const READ_AHEAD_BYTES = 192 * 1024

/** One entry row. */
export interface EntryRow {
  readonly firstSeq: number
  readonly row: Buffer
}

/**
 * How reading a row ended. `changed`: rows of the extent were replaced meanwhile, so look again. `damaged`: it should be there, and is not or cannot
 * be read.
 */
type Outcome = 'read' | 'gone' | 'changed' | 'damaged'

export class LogReader {
  private readonly disk: CheckedDisk
  private readonly extents: Extents
  private readonly cache: RowCache
  private readonly loading = new Map<number, Promise<Outcome>>()
  /** The row read last: neighbours in a queue are mostly neighbours in a row. */
  private lastFirst = -1
  private lastRow: Buffer | undefined

  constructor(disk: CheckedDisk, extents: Extents, cache: RowCache) {
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

  async load(seq: number): Promise<void> {
    for (;;) {
      const first = this.extents.rowOf(seq)
      if (first < 0) throw notFound(seq)
      if (this.cache.has(first)) return
      let promise = this.loading.get(first)
      if (promise === undefined) {
        promise = this.readAhead(first, seq).finally(() => this.loading.delete(first))
        this.loading.set(first, promise)
      }
      const outcome = await promise
      if (outcome === 'read') return
      if (outcome === 'gone') throw notFound(seq)
      if (outcome === 'damaged') throw damaged(seq)
      await this.extents.get(extentOf(seq))?.tidying
    }
  }

  /** Reads rows from `first` on into the cache. */
  private async readAhead(first: number, seq: number): Promise<Outcome> {
    const end = (extentOf(seq) + 1) * EXTENT_SEQUENCES
    const rows: { at: number; value: Buffer }[] = []
    const before = this.extents.get(extentOf(seq))
    const version = before === undefined || before.tidying !== undefined ? -1 : before.version
    let bytes = 0
    for await (const { key, value } of this.disk.scan(keys.messageRows(first, end))) {
      if (wholeMessageRow(value)) rows.push({ at: keys.rowNumber(key), value })
      else this.disk.damage.note({ key })
      bytes += value.length
      if (bytes >= READ_AHEAD_BYTES) break
    }
    // LevelDB loses the rest of a damaged block in a scan, and finds some of it by key.
    if (rows[0]?.at !== first) {
      const value = await this.alone(first)
      if (value !== undefined) rows.unshift({ at: first, value })
    }
    const extent = this.extents.get(extentOf(seq))
    if (extent === undefined) return 'gone'
    // Rows that were being replaced may be the old or the new ones: only with a table that stood still are they surely its own.
    if (extent.tidying !== undefined || extent.version !== version) return 'changed'
    if (rows[0]?.at !== first) return 'damaged'
    // The row asked for goes in last: whatever else must make room for it.
    for (let i = rows.length - 1; i >= 0; i--) {
      const { at, value } = rows[i]
      if (this.extents.rowOf(at) === at && !this.cache.has(at)) this.cache.set(at, value)
    }
    return 'read'
  }

  /** One row by its key; undefined when it is not there or damaged. */
  private async alone(first: number): Promise<Buffer | undefined> {
    try {
      const value = await this.disk.get(keys.messageRowKey(first))
      return value !== undefined && wholeMessageRow(value) ? value : undefined
    } catch (error) {
      if (hasCode(error, 'store_damaged')) return undefined
      throw error
    }
  }

  /** Ids of the plain queues that took the message, as long as its row has them: what has left may be left out. */
  async queuesOf(seq: number): Promise<number[]> {
    const extent = this.extents.get(extentOf(seq))
    if (extent === undefined) return []
    const reader = new EntryReader()
    const queues: number[] = []
    for (const { firstSeq, row } of await this.entriesOf(extent, extent.lastSeq)) {
      if (firstSeq > seq) break
      reader.open(row, firstSeq)
      while (reader.next()) if (reader.seq === seq) queues.push(reader.queueId)
    }
    return queues
  }

  /** Entry rows of all extents from that of `from` on that begin at or below `to`, in order. Only what is committed is seen. */
  async *entryRows(from: number, to: number): AsyncIterable<EntryRow> {
    const last = extentOf(to)
    for (let id = extentOf(from); id <= last; id++) {
      const extent = this.extents.get(id)
      if (extent === undefined || extent.rowCount === 0) continue
      yield* await this.entriesOf(extent, id === last ? to : extent.lastSeq)
    }
  }

  /** Entry rows of one extent as of one moment: rows that are merged meanwhile must not be missed, nor seen twice. */
  private async entriesOf(extent: Extent, to: number): Promise<EntryRow[]> {
    for (;;) {
      const { tidying, version } = extent
      if (tidying !== undefined) {
        await tidying
        continue
      }
      const rows: EntryRow[] = []
      for await (const { key, value } of this.disk.scan(keys.entryRows(extent.firstSeq, to + 1))) {
        const firstSeq = keys.rowNumber(key)
        if (wholeEntryRow(value, firstSeq)) rows.push({ firstSeq, row: value })
        else this.disk.damage.note({ key })
      }
      if (extent.tidying === undefined && extent.version === version) return rows
    }
  }
}

function damaged(seq: number): AqueductError {
  return new AqueductError('store_damaged', `Message ${seq} is damaged on the disk.`)
}

function notFound(seq: number): AqueductError {
  return new AqueductError('message_not_found', `Message ${seq} is no longer there.`)
}
