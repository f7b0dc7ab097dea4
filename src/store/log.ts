/**
 * The packed message log: each message's bytes once, its queue entries beside them, acknowledgements in commit rows.
 *
 * Who holds messages (plain queues through their entries, ordered queues through rows of their own) uses it like this:
 * `begin(view)` → `store()` once someone wants the message → `entry(...)` per plain queue → after the commit `read`/`load` → `drop` when the
 * entry is gone (with `ack`, so that a restart knows it too).
 *
 * Always true:
 * - sequences grow, are never reused once committed, and start at 1; those of one message's copies are the same;
 * - `committedSeq` is the highest sequence that is on the disk: what is above it may not be handed out;
 * - every commit writes exactly one commit row, so that a restart can see a gap;
 * - rows of an extent are deleted only after a checkpoint, never before the heads that make its entries unnecessary: whatever a crash
 *   leaves, entry rows that are still there and acknowledgements that are not are never combined.
 */
import type { Clock } from '../core/clock.js'
import { AqueductError, hasCode } from '../core/errors.js'
import { EXTENT_SEQUENCES, ROW_CACHE_BYTES_MAX } from '../core/limits.js'
import type { Log } from '../core/log.js'
import { putU32, putU48 } from './bytes.js'
import type { CheckedDisk } from './checked.js'
import { Checkpoint } from './checkpoint.js'
import { type Extent, Extents, extentOf } from './extents.js'
import type { Contributor, Journal } from './journal.js'
import * as keys from './keys.js'
import { LogReader } from './log-reader.js'
import { type MessageView, messageBytes } from './message.js'
import type { RecoveredLog } from './recovered.js'
import { RowCache } from './row-cache.js'
import { RowWriter } from './row-writer.js'
import { ACK_BYTES, COMMIT_HEADER_BYTES, ROW_VERSION, type StoredMessage } from './rows.js'
import { Tidier } from './tidy.js'

/** An extent that holds this much is closed early, so that a few large messages do not wait for thousands of others to be freed. */
const EXTENT_BYTES_MAX = 4 * 1024 * 1024

interface PendingRow {
  readonly firstSeq: number
  readonly message: Buffer
  readonly entry: Buffer
}

/** True when an error of reading a message says that it will never be there again. Whoever still has an entry of it lets go of that: `damaged`. */
export function isLost(error: unknown): boolean {
  return hasCode(error, 'message_not_found') || hasCode(error, 'store_damaged')
}

export class MessageLog implements Contributor {
  /** Highest sequence that is on the disk. */
  committedSeq: number
  readonly extents = new Extents()
  readonly checkpoint: Checkpoint
  readonly reader: LogReader
  readonly tidier: Tidier
  /** For recovery: what was acknowledged since the last checkpoint, sequences by queue; and the first extent that may have rows. */
  readonly recoveredAcks: Map<number, Set<number>>
  readonly oldestExtent: number
  /** For recovery: sequences from here to `nextSeq` were given by the last commit that stored messages. */
  readonly grownFrom: number
  /** Commits are missing: what they acknowledged is not known, and comes again. */
  acksLost: boolean

  private readonly journal: Journal
  private readonly cache = new RowCache(ROW_CACHE_BYTES_MAX)
  private readonly writer = new RowWriter()
  private next: number
  private message: MessageView | undefined
  private currentSeq = 0
  private extent: Extent | undefined
  private pending: PendingRow[] = []
  private flight: PendingRow[] = []
  private flightSeq: number
  private acks: Buffer = Buffer.allocUnsafeSlow(64 * 1024)
  private ackBytes = COMMIT_HEADER_BYTES

  constructor(o: { disk: CheckedDisk; journal: Journal; clock: Clock; log: Log; recovered: RecoveredLog }) {
    this.journal = o.journal
    this.next = o.recovered.nextSeq
    this.recoveredAcks = o.recovered.acks
    this.oldestExtent = o.recovered.oldestExtent
    this.grownFrom = o.recovered.grownFrom
    this.acksLost = o.recovered.missing > 0
    this.committedSeq = this.next - 1
    this.flightSeq = this.committedSeq
    this.checkpoint = new Checkpoint({
      extents: this.extents,
      journal: o.journal,
      disk: o.disk,
      log: o.log,
      clock: o.clock,
      cache: this.cache,
    })
    this.checkpoint.lastCommit = o.recovered.checkpointCommit
    this.reader = new LogReader(o.disk, this.extents, this.cache)
    const { disk, journal, log } = o
    this.tidier = new Tidier({
      disk,
      journal,
      extents: this.extents,
      reader: this.reader,
      checkpoint: this.checkpoint,
      log,
      clock: o.clock,
    })
    journal.contribute(this)
  }

  /** The sequence that the next stored message gets, at least. */
  get nextSeq(): number {
    return this.next
  }

  /** Opens a message; nothing is copied before `store`. The view need not outlive the turn. */
  begin(message: MessageView): void {
    this.message = message
    this.currentSeq = 0
  }

  /** Sequence of the open message, 0 while it is not stored. */
  get openSeq(): number {
    return this.currentSeq
  }

  /** Stores the open message in the open group, the first time it is called for it, and returns its sequence. */
  store(): number {
    if (this.currentSeq !== 0) return this.currentSeq
    const view = this.message
    if (view === undefined) throw new AqueductError('internal', 'No message is open.')
    const { writer } = this
    if (writer.count > 0 && (this.next % EXTENT_SEQUENCES === 0 || !writer.fits(messageBytes(view), view.acceptedAt)))
      this.cutRow()
    let extent = this.extent
    if (extent === undefined || this.next % EXTENT_SEQUENCES === 0 || extent.bytes >= EXTENT_BYTES_MAX) extent = this.openExtent()
    const seq = this.next++
    const bytes = writer.message(seq, view)
    extent.bytes += bytes
    this.journal.weigh(bytes)
    this.journal.request()
    this.currentSeq = seq
    return seq
  }

  /** Adds an entry of the stored open message to the entry row, alive from now on. */
  entry(queueId: number, index: number, flags: number, extra: Buffer | undefined): void {
    const bytes = this.writer.entry(queueId, index, flags, extra)
    const extent = this.extent as Extent
    extent.bytes += bytes
    extent.live++
    extent.total++
    this.journal.weigh(bytes)
  }

  /** One more holder of `seq` that has no entry row: an ordered queue, or recovery. */
  retain(seq: number): void {
    const extent = this.extents.need(extentOf(seq))
    extent.live++
    extent.total++
  }

  /** A holder of `seq` is done with it. Its rows go in a later checkpoint when it was the last of the extent. */
  drop(seq: number): void {
    const extent = this.extents.get(extentOf(seq))
    if (extent === undefined) return
    if (--extent.live === 0 && extent !== this.extent) this.checkpoint.dead(extent)
  }

  /** Writes into the open group's commit row that `seq` left the plain queue `queueId`. Rides with a later commit. */
  ack(queueId: number, seq: number): void {
    let at = this.ackBytes
    if (at + ACK_BYTES > this.acks.length) {
      const acks = Buffer.allocUnsafeSlow(this.acks.length * 2)
      this.acks.copy(acks, 0, 0, at)
      this.acks = acks
    }
    putU32(this.acks, at, queueId)
    putU48(this.acks, at + 4, seq)
    at += ACK_BYTES
    this.ackBytes = at
    this.journal.requestLazily()
  }

  /** The message if its row is in memory; undefined: `load` it. Throws `message_not_found` when it is gone. */
  read(seq: number): StoredMessage | undefined {
    return this.reader.read(seq)
  }

  /**
   * Brings the row of `seq`, and some that follow it, into memory. Rejects with `message_not_found`, `store_damaged` (`isLost` of both) or
   * `store_failed` (try again later).
   */
  load(seq: number): Promise<void> {
    return this.reader.load(seq)
  }

  /** The message, from wherever it is; undefined when it is gone or damaged. Rejects with `store_failed`. */
  async fetch(seq: number): Promise<StoredMessage | undefined> {
    try {
      for (;;) {
        const message = this.reader.read(seq)
        if (message !== undefined) return message
        await this.reader.load(seq)
      }
    } catch (error) {
      if (isLost(error)) return undefined
      throw error
    }
  }

  /* ---- Contributor ---- */

  seal(put: (key: Buffer, value: Buffer) => void, del: (key: Buffer) => void): void {
    this.cutRow()
    // The open message may have been sealed away: a later entry of it would have no row to go to.
    this.message = undefined
    this.currentSeq = 0
    for (const row of this.pending) {
      put(keys.messageRowKey(row.firstSeq), row.message)
      put(keys.entryRowKey(row.firstSeq), row.entry)
    }
    const flight = this.flight
    this.flight = this.pending
    this.pending = flight
    this.pending.length = 0
    this.flightSeq = this.next - 1
    const commit = this.journal.openGroup
    let bytes = this.ackBytes
    // A checkpoint's heads say all that the acknowledgements of its own commit would.
    if (this.checkpoint.seal(put, del, commit, this.next, bytes)) bytes = COMMIT_HEADER_BYTES
    const row = Buffer.allocUnsafe(bytes)
    this.acks.copy(row, 0, 0, bytes)
    row[0] = ROW_VERSION
    putU48(row, 1, this.next)
    put(keys.commitRowKey(commit), row)
    this.ackBytes = COMMIT_HEADER_BYTES
  }

  committed(): void {
    this.committedSeq = this.flightSeq
    for (const row of this.flight) this.cache.set(row.firstSeq, row.message)
    this.flight.length = 0
  }

  settled(): void {
    this.checkpoint.settled()
  }

  /** `seq` and all below are taken: by a row that recovery saw although the commit rows did not name it, or as a gap. */
  skipTo(seq: number): void {
    if (seq < this.next) return
    this.next = seq + 1
    this.committedSeq = this.flightSeq = seq
  }

  /** Called about once a second: what has nothing to do with a single message. */
  tick(): void {
    this.checkpoint.tick()
    // Up to the one that grows, or whose last rows are still on their way to the disk.
    const current = Math.min(this.extent?.id ?? extentOf(this.next), extentOf(this.committedSeq + 1))
    if (this.checkpoint.enabled) void this.tidier.run(current, false, true)
  }

  /** All holders have said (`retain`) what they still need. Before this nothing is deleted. */
  recovered(): void {
    for (const extent of this.extents.all()) if (extent.live === 0) this.checkpoint.dead(extent)
    // The extent that grows is never deleted, so it may not be one that was recovered.
    const id = extentOf(this.next)
    if (this.extents.get(id) !== undefined) this.skipTo((id + 1) * EXTENT_SEQUENCES - 1)
    this.checkpoint.enabled = true
  }

  private cutRow(): void {
    const { writer } = this
    if (writer.count === 0) return
    const firstSeq = writer.firstSeq
    const { message, entry } = writer.finish()
    this.extents.need(extentOf(firstSeq)).addRow(firstSeq)
    this.pending.push({ firstSeq, message, entry })
  }

  private openExtent(): Extent {
    const before = this.extent
    if (before !== undefined && before.bytes >= EXTENT_BYTES_MAX && extentOf(this.next) === before.id) {
      this.cutRow()
      this.next = (before.id + 1) * EXTENT_SEQUENCES
    }
    const extent = this.extents.need(extentOf(this.next))
    this.extent = extent
    if (before !== undefined && before !== extent && before.live === 0) this.checkpoint.dead(before)
    return extent
  }
}
