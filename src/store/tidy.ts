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
import { AqueductError } from '../core/errors.js'
import { LOG_ROW_BYTES_MAX } from '../core/limits.js'
import type { Log } from '../core/log.js'
import type { Checkpoint } from './checkpoint.js'
import type { Disk } from './disk.js'
import type { Extent, Extents } from './extents.js'
import type { Journal } from './journal.js'
import * as keys from './keys.js'
import type { LogReader } from './log-reader.js'
import { RowWriter } from './row-writer.js'
import { EntryReader, findMessage, StoredMessage, wholeEntryRow, wholeMessageRow } from './rows.js'

/** An extent is sparse when less than one in SPARSE_RATIO of its entries is alive. */
const SPARSE_RATIO = 4
/** It is fragmented when it has this many rows, and FRAGMENT_RATIO times what its bytes would need. */
const FRAGMENTS_MIN = 32
const FRAGMENT_RATIO = 4
/** Entry rows of a sparse extent are held in memory while it is tidied; one with more bytes is left alone. */
const EXTENT_BYTES_MAX = 64 * 1024 * 1024
/** A run in the background rests after so many rows: an extent in one go held up acknowledgements for a tenth of a second. */
const ROWS_PER_SLICE = 32
/** With more extents waiting it rests less, or it would never get through. */
const REST_MS = 10
/** Old rows that one commit replaces, in the background; each is two deletions. */
const ROWS_PER_COMMIT = 128

/** Does `queueId` still need the entry of `seq`? */
export type Alive = (queueId: number, seq: number) => boolean

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
  /** Extents that are due, the one being tidied included; 0 when this run does not rest. */
  private waiting = 0
  /** First sequences of the old rows that the writer's row will replace, and the bytes of the first one's entries. */
  private old: number[] = []
  private oldEntryBytes = 0
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
    for (const [i, extent] of due.entries()) {
      if (this.closed) return
      this.waiting = rests ? due.length - i : 0
      if (extent.live > 0) await this.tidy(extent, eager)
    }
    this.writer = undefined
  }

  /** Called with each row: takes a rest when it is time for one. */
  private async rest(row: number): Promise<void> {
    if (this.waiting === 0 || row % ROWS_PER_SLICE !== 0) return
    await new Promise<void>((resolve) => {
      this.wake = resolve
      this.o.clock.after(Math.max(1, REST_MS + 1 - this.waiting), resolve)
    })
  }

  private async tidy(extent: Extent, eager: boolean): Promise<void> {
    const keep = eager || isSparse(extent) ? await this.aliveNow(extent) : undefined
    if (!this.stillThere(extent)) return
    extent.tidiedLive = extent.live
    extent.tidiedRows = extent.rowCount
    this.writer ??= new RowWriter()
    this.keptEntries = 0
    this.keptBytes = 0
    this.entryAt = 0
    let done = false
    try {
      done = await this.rewrite(extent, keep)
    } finally {
      // Half a run: what is in the writer and what it would have replaced belong to this extent only.
      if (!done) {
        this.writer = undefined
        this.old = []
      }
    }
    if (!done) return
    this.o.checkpoint.freed(extent.firstSeq, extent.lastSeq + 1, Math.max(0, extent.bytes - this.keptBytes))
    extent.total = Math.max(extent.live, this.keptEntries)
    extent.bytes = this.keptBytes
  }

  /** Goes once over the rows of both kinds, side by side. False when it had to stop before the end. */
  private async rewrite(extent: Extent, keep: Uint8Array | undefined): Promise<boolean> {
    const { disk } = this.o
    const end = extent.lastSeq + 1
    const rows = extent.rowCount
    const some = { rowsAtOnce: ROWS_PER_SLICE }
    // In one pass and not row by row: at a low rate there are thousands, and each read of its own would go through the threads that commits need.
    const entryRows = disk.scan(keys.entryRows(extent.firstSeq, end), some)[Symbol.asyncIterator]()
    let n = 0
    let table = 0
    try {
      for await (const { key, value: message } of disk.scan(keys.messageRows(extent.firstSeq, end), some)) {
        const { value: beside } = await entryRows.next()
        const firstSeq = keys.rowNumber(key)
        if (!this.goesOn(extent)) return false
        if (beside === undefined || keys.rowNumber(beside.key) !== firstSeq) return false
        const entry: Buffer = beside.value
        // A row that cannot be read is not among them, and takes its place in the table all the same: what is there stays as it is.
        if (extent.row(table + this.old.length) !== firstSeq) return false
        if (!wholeMessageRow(message) || !wholeEntryRow(entry, firstSeq)) return false
        if (this.old.length > 0 && !this.fits(firstSeq, entry, message)) {
          if (await this.emit(extent, table)) table++
          if (!this.goesOn(extent)) return false
        }
        this.copy(firstSeq, entry, message, keep)
        await this.rest(++n)
      }
      if (n !== rows || !this.goesOn(extent)) return false
      await this.emit(extent, table)
      return this.goesOn(extent)
    } finally {
      await entryRows.return?.()
    }
  }

  /** Everything of an old row fits behind what the writer has. */
  private fits(firstSeq: number, entry: Buffer, message: Buffer): boolean {
    const writer = this.writer as RowWriter
    const { entries } = this
    if (this.waiting > 0 && this.old.length >= ROWS_PER_COMMIT) return false
    if (entry.length + message.length > LOG_ROW_BYTES_MAX) return false
    entries.open(entry, firstSeq)
    while (entries.nextMessage()) {
      if (!writer.fits(message.length + entry.length, entries.acceptedAt)) return false
      while (entries.nextEntry());
    }
    return true
  }

  /** Puts what is to be kept of an old row behind what the writer has. Without `keep` that is everything. */
  private copy(firstSeq: number, entry: Buffer, message: Buffer, keep: Uint8Array | undefined): void {
    const { entries } = this
    const writer = this.writer as RowWriter
    if (this.old.push(firstSeq) === 1) {
      this.oldEntryBytes = entry.length
      writer.start(firstSeq)
    }
    entries.open(entry, firstSeq)
    while (entries.nextMessage()) {
      let begun = false
      if (keep === undefined) begun = this.copyMessage(writer, message, entries.seq, firstSeq)
      while (entries.nextEntry()) {
        if (keep !== undefined && keep[this.entryAt++] === 0) continue
        if (!begun) begun = this.copyMessage(writer, message, entries.seq, firstSeq)
        writer.rawEntry(entry, entries.entryAt, entries.entryEnd)
        this.keptEntries++
      }
    }
  }

  private copyMessage(writer: RowWriter, row: Buffer, seq: number, first: number): true {
    const i = findMessage(row, seq - first)
    if (i < 0) throw new AqueductError('store_damaged', `Message ${seq} of the store has entries and is not there.`)
    writer.message(seq, new StoredMessage(row, i))
    return true
  }

  /** Replaces the old rows, whose first is the `table`th of the extent now, by what the writer has. True when a row took their place. */
  private async emit(extent: Extent, table: number): Promise<boolean> {
    const { journal, reader } = this.o
    const writer = this.writer as RowWriter
    const { old } = this
    this.old = []
    const made = writer.count === 0 ? undefined : writer.finish()
    if (made !== undefined) this.keptBytes += made.message.length + made.entry.length
    if (made !== undefined && old.length === 1 && made.entry.length === this.oldEntryBytes) return true
    for (let i = made === undefined ? 0 : 1; i < old.length; i++) {
      journal.delLazily(keys.messageRowKey(old[i]))
      journal.delLazily(keys.entryRowKey(old[i]))
    }
    if (made !== undefined) {
      journal.putLazily(keys.messageRowKey(old[0]), made.message)
      journal.putLazily(keys.entryRowKey(old[0]), made.entry)
    }
    extent.tidying = journal.flush()
    await extent.tidying
    extent.tidying = undefined
    if (!this.stillThere(extent)) return made !== undefined
    for (const firstSeq of old) reader.forget(firstSeq)
    extent.replaceRows(table, table + old.length, made === undefined ? undefined : old[0])
    return made !== undefined
  }

  /**
   * Which entries, in order, are alive at this moment. Undefined when the extent has other holders: of ordered queues, or of a tail that was
   * purged and whose entries are still being released by reading them here. Then nothing may be left out.
   */
  private async aliveNow(extent: Extent): Promise<Uint8Array | undefined> {
    const { alive, entries } = this
    if (alive === undefined) return undefined
    const rows: { firstSeq: number; entry: Buffer }[] = []
    const range = keys.entryRows(extent.firstSeq, extent.lastSeq + 1)
    for await (const { key, value } of this.o.disk.scan(range, { rowsAtOnce: ROWS_PER_SLICE })) {
      await this.rest(rows.push({ firstSeq: keys.rowNumber(key), entry: value }))
      if (!this.goesOn(extent)) return undefined
    }
    let total = 0
    for (const { entry, firstSeq } of rows) {
      if (!wholeEntryRow(entry, firstSeq)) return undefined
      entries.open(entry, firstSeq)
      while (entries.nextMessage()) {
        total += entries.entryCount
        while (entries.nextEntry());
      }
    }
    const keep = new Uint8Array(total)
    let at = 0
    let n = 0
    for (const { entry, firstSeq } of rows) {
      entries.open(entry, firstSeq)
      for (; entries.next(); at++) {
        if (!alive(entries.queueId, entries.seq)) continue
        keep[at] = 1
        n++
      }
    }
    return n === extent.live ? keep : undefined
  }

  private goesOn(extent: Extent): boolean {
    return !this.closed && this.stillThere(extent)
  }

  private stillThere(extent: Extent): boolean {
    return this.o.extents.get(extent.id) === extent && !this.o.journal.failed
  }
}

function needsIt(extent: Extent, eager: boolean): boolean {
  if (extent.live === 0 || extent.bytes > EXTENT_BYTES_MAX) return false
  if (eager || isSparse(extent)) return true
  const { rowCount } = extent
  const ideal = Math.ceil(extent.bytes / LOG_ROW_BYTES_MAX)
  return rowCount >= FRAGMENTS_MIN && rowCount > ideal * FRAGMENT_RATIO && extent.tidiedRows < 0
}

function isSparse({ live, total, tidiedLive }: Extent): boolean {
  return live * SPARSE_RATIO < total && live * 2 <= (tidiedLive < 0 ? total : tidiedLive)
}
