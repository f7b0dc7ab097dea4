/**
 * Tidies old extents of the log in the background: those that are mostly dead are rewritten without what is gone (one stuck queue would
 * otherwise pin whole rows), and those with many small rows, as a low rate writes them, are merged (each row costs its own read at a start).
 *
 * One output row at a time: it replaces a run of old rows, in one commit, under the key of the run's first. The extent's table of rows changes
 * only when that commit is done; until then `extent.tidying` is set, and who finds the table and the disk at odds waits for it.
 *
 * Always true: a message is left out only when no plain queue needs it and the extent has no other holders; whatever a crash leaves is a
 * set of whole rows with the same messages.
 */
import type { Clock } from '../core/clock.js'
import { LOG_ROW_BYTES_MAX } from '../core/limits.js'
import type { Log } from '../core/log.js'
import type { Checkpoint } from './checkpoint.js'
import type { Disk } from './disk.js'
import type { Extent, Extents } from './extents.js'
import type { Journal } from './journal.js'
import * as keys from './keys.js'
import type { LogReader } from './log-reader.js'
import { RowWriter } from './row-writer.js'
import { EntryReader, findMessage, StoredMessage } from './rows.js'

/** An extent is sparse when less than one in SPARSE_RATIO of its entries is alive. */
const SPARSE_RATIO = 4
/** It is fragmented when it has this many rows, and FRAGMENT_RATIO times what its bytes would need. */
const FRAGMENTS_MIN = 32
const FRAGMENT_RATIO = 4
/** Entry rows of one extent are held in memory while it is tidied; one with more bytes is left alone. */
const EXTENT_BYTES_MAX = 64 * 1024 * 1024
/** A run in the background rests after so many rows: an extent in one go held up acknowledgements for a tenth of a second. */
const ROWS_PER_SLICE = 32
const REST_MS = 10

/** Does `queueId` still need the entry of `seq`? */
export type Alive = (queueId: number, seq: number) => boolean

interface OldRow {
  readonly firstSeq: number
  readonly entry: Buffer
}

export interface TidierOptions {
  readonly disk: Disk
  readonly journal: Journal
  readonly extents: Extents
  readonly reader: LogReader
  readonly checkpoint: Checkpoint
  readonly log: Log
  readonly clock: Clock
}

export class Tidier {
  /** Set by who holds the plain queues; without it nothing is ever left out. */
  alive: Alive | undefined
  private readonly o: TidierOptions
  private readonly entries = new EntryReader()
  private writer: RowWriter | undefined
  private running: Promise<void> | undefined
  private closed = false
  /** Ends the rest that is being taken. */
  private wake: (() => void) | undefined
  /** Of the extent being tidied: what its rows hold afterwards. */
  private keptEntries = 0
  private entryAt = 0
  private keptBytes = 0

  constructor(o: TidierOptions) {
    this.o = o
  }

  /**
   * Looks for extents to tidy, all but the one that grows (`current`); one run at a time. `eager` takes those that hardly need it, too; `rests`:
   * it has all the time of the world, and commits come first.
   */
  run(current: number, eager = false, rests = false): Promise<void> {
    if (this.closed || this.o.journal.failed) return Promise.resolve()
    this.running ??= this.tidyAll(current, eager, rests)
      .catch((error: unknown) => {
        if (!this.closed && !this.o.journal.failed) this.o.log.warn({ err: error }, 'tidying the store failed')
      })
      .finally(() => {
        this.running = undefined
      })
    return this.running
  }

  async close(): Promise<void> {
    this.closed = true
    this.wake?.()
    await this.running
  }

  private async tidyAll(current: number, eager: boolean, rests: boolean): Promise<void> {
    const due = [...this.o.extents.all()].filter((e) => e.id < current && needsIt(e, eager))
    for (const extent of due) {
      if (this.closed) return
      if (extent.live > 0) await this.tidy(extent, rests)
    }
    this.writer = undefined
  }

  private rest(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve
      this.o.clock.after(REST_MS, resolve)
    })
  }

  private async tidy(extent: Extent, rests: boolean): Promise<void> {
    const rows: OldRow[] = []
    for await (const { firstSeq, row } of this.o.reader.entryRows(extent.firstSeq, extent.lastSeq))
      rows.push({ firstSeq, entry: row })
    if (!this.stillThere(extent) || rows.length !== extent.rowCount) return
    const keep = this.aliveNow(rows, extent.live)
    extent.tidiedLive = extent.live
    extent.tidiedRows = extent.rowCount
    this.writer ??= new RowWriter()
    this.keptEntries = 0
    this.keptBytes = 0
    this.entryAt = 0
    let first = 0
    let table = 0
    let i = 0
    // In one pass and not row by row: at a low rate there are thousands, and each read of its own would go through the threads that commits need.
    for await (const { key, value: message } of this.o.disk.scan(keys.messageRows(extent.firstSeq, extent.lastSeq + 1))) {
      if (this.closed || !this.stillThere(extent)) return this.abandon()
      if (i === rows.length || keys.rowNumber(key) !== rows[i].firstSeq) return this.abandon()
      if (i > first && !this.fits(rows[i], message)) {
        table += (await this.emit(extent, rows, first, i, table)) ? 1 : 0
        if (this.closed || !this.stillThere(extent)) return
        first = i
      }
      if (i === first) this.writer.start(rows[i].firstSeq)
      this.copy(rows[i], message, keep)
      i++
      if (rests && i % ROWS_PER_SLICE === 0) await this.rest()
    }
    if (i < rows.length || this.closed || !this.stillThere(extent)) return this.abandon()
    await this.emit(extent, rows, first, rows.length, table)
    if (this.closed || !this.stillThere(extent)) return
    this.o.checkpoint.freed(extent.firstSeq, extent.lastSeq + 1, Math.max(0, extent.bytes - this.keptBytes))
    extent.total = Math.max(extent.live, this.keptEntries)
    extent.bytes = this.keptBytes
  }

  /** Everything of an old row fits behind what the writer has. */
  private fits(row: OldRow, message: Buffer): boolean {
    const writer = this.writer as RowWriter
    const { entries } = this
    if (row.entry.length + message.length > LOG_ROW_BYTES_MAX) return false
    entries.open(row.entry, row.firstSeq)
    while (entries.nextMessage()) {
      if (!writer.fits(message.length + row.entry.length, entries.acceptedAt)) return false
      while (entries.nextEntry());
    }
    return true
  }

  /** Puts what is to be kept of an old row behind what the writer has. Without `keep` that is everything. */
  private copy(row: OldRow, message: Buffer, keep: Uint8Array | undefined): void {
    const { entries } = this
    const writer = this.writer as RowWriter
    entries.open(row.entry, row.firstSeq)
    while (entries.nextMessage()) {
      let begun = false
      if (keep === undefined) begun = this.copyMessage(writer, message, entries.seq, row.firstSeq)
      while (entries.nextEntry()) {
        if (keep !== undefined && keep[this.entryAt++] === 0) continue
        if (!begun) begun = this.copyMessage(writer, message, entries.seq, row.firstSeq)
        writer.rawEntry(row.entry, entries.entryAt, entries.entryEnd)
        this.keptEntries++
      }
    }
  }

  private copyMessage(writer: RowWriter, row: Buffer, seq: number, first: number): true {
    writer.message(seq, new StoredMessage(row, findMessage(row, seq - first)))
    return true
  }

  /** Replaces old rows `from` ≤ i < `to`, whose first is the `table`th of the extent now. True when a row took their place. */
  private async emit(extent: Extent, rows: OldRow[], from: number, to: number, table: number): Promise<boolean> {
    const { journal, reader } = this.o
    const writer = this.writer as RowWriter
    const key = rows[from].firstSeq
    const kept = writer.count
    const made = kept === 0 ? undefined : writer.finish()
    if (made !== undefined) this.keptBytes += made.message.length + made.entry.length
    if (made !== undefined && to - from === 1 && made.entry.length === rows[from].entry.length) return true
    for (let i = made === undefined ? from : from + 1; i < to; i++) {
      journal.delLazily(keys.messageRowKey(rows[i].firstSeq))
      journal.delLazily(keys.entryRowKey(rows[i].firstSeq))
    }
    if (made !== undefined) {
      journal.putLazily(keys.messageRowKey(key), made.message)
      journal.putLazily(keys.entryRowKey(key), made.entry)
    }
    extent.tidying = journal.flush()
    await extent.tidying
    extent.tidying = undefined
    if (!this.stillThere(extent)) return made !== undefined
    for (let i = from; i < to; i++) reader.forget(rows[i].firstSeq)
    extent.replaceRows(table, table + to - from, made === undefined ? undefined : key)
    return made !== undefined
  }

  /**
   * Which entries, in order, are alive at this moment. Undefined when the extent has other holders: of ordered queues, or of a tail that was
   * purged and whose entries are still being released by reading them here. Then nothing may be left out.
   */
  private aliveNow(rows: OldRow[], live: number): Uint8Array | undefined {
    const { alive, entries } = this
    if (alive === undefined) return undefined
    let total = 0
    for (const row of rows) {
      entries.open(row.entry, row.firstSeq)
      while (entries.nextMessage()) {
        total += entries.entryCount
        while (entries.nextEntry());
      }
    }
    const keep = new Uint8Array(total)
    let at = 0
    let n = 0
    for (const row of rows) {
      entries.open(row.entry, row.firstSeq)
      for (; entries.next(); at++) {
        if (!alive(entries.queueId, entries.seq)) continue
        keep[at] = 1
        n++
      }
    }
    return n === live ? keep : undefined
  }

  private abandon(): void {
    this.writer = undefined
  }

  private stillThere(extent: Extent): boolean {
    return this.o.extents.get(extent.id) === extent && !this.o.journal.failed
  }
}

function needsIt(extent: Extent, eager: boolean): boolean {
  if (extent.live === 0 || extent.bytes > EXTENT_BYTES_MAX) return false
  if (eager) return true
  const { live, tidiedLive, rowCount, tidiedRows } = extent
  const sparse = live * SPARSE_RATIO < extent.total && live * 2 <= (tidiedLive < 0 ? extent.total : tidiedLive)
  const ideal = Math.ceil(extent.bytes / LOG_ROW_BYTES_MAX)
  const fragmented = rowCount >= FRAGMENTS_MIN && rowCount > ideal * FRAGMENT_RATIO && tidiedRows < 0
  return sparse || fragmented
}
