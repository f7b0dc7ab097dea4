/**
 * Checkpoints: now and then one commit writes a head row per queue that changed, deletes the commit rows that those cover, and condemns the
 * extents that nobody needs any more: nobody can read them from then on, and their rows go in slices with the commits that follow. Freed
 * ranges are compacted in the background.
 *
 * Always true: heads, mark and the deletion of commit rows are one batch; the rows of an extent go only after the heads that make its
 * entries unnecessary, with that batch or a later one, and the mark does not pass them before.
 */
import type { Clock } from '../core/clock.js'
import { EXTENT_SEQUENCES } from '../core/limits.js'
import type { Log } from '../core/log.js'
import type { Disk } from './disk.js'
import type { Extent, Extents } from './extents.js'
import { extentOf } from './extents.js'
import type { Journal } from './journal.js'
import * as keys from './keys.js'
import { checkpointRow } from './recovered.js'
import type { RowCache } from './row-cache.js'

/** A checkpoint comes after so many commits: as many as heads have to be written, within these bounds, */
const COMMITS_MIN = 256
const COMMITS_MAX = 2_000
/** so many bytes of acknowledgements, */
const ACK_BYTES_MAX = 1024 * 1024
/** so many bytes in dead extents; the last two more if many queues have to write a head, */
const DEAD_BYTES_MAX = 4 * 1024 * 1024
const BYTES_PER_HEAD = 1_024
/** and when nothing was committed for a while and there is something to tidy up. */
export const IDLE_CHECKPOINT_MS = 10_000
/** Rows of condemned extents that go with one commit, at least: all at once held up acknowledgements for a tenth of a second. */
const CONDEMNED_SLICE_ROWS = 128
/** With more waiting, this share of them goes, so that they never pile up. */
const CONDEMNED_SLICE_SHARE = 64
/** Freed bytes after which the dead range is compacted. */
const COMPACT_BYTES = 8 * 1024 * 1024

export type PutRow = (key: Buffer, value: Buffer) => void

/** Who writes heads at a checkpoint: the engine of the plain queues. */
export interface HeadWriter {
  /** Queues that changed since their last head. */
  readonly dirtyHeads: number
  writeHeads(put: PutRow): void
}

export class Checkpoint {
  /** Number of the commit that made the last checkpoint. */
  lastCommit = 0
  heads: HeadWriter | undefined
  /** False until all holders are recovered: before, an extent without live entries may only look dead. */
  enabled = false

  private readonly extents: Extents
  private readonly journal: Journal
  private readonly disk: Disk
  private readonly log: Log
  private readonly clock: Clock
  private readonly cache: RowCache
  private deadExtents: Extent[] = []
  /** Out of `extents`, but with rows on the disk; and how many of the first one's have gone. */
  private readonly condemned: Extent[] = []
  private condemnedRows = 0
  private slicedRows = 0
  private finishing = false
  private deadBytes = 0
  private ackBytes = 0
  private wanted = false
  private changedAt = 0
  private changed = false
  private freedBytes = 0
  private freedFrom = Number.POSITIVE_INFINITY
  private freedTo = 0
  private compacting: Promise<void> | undefined

  constructor(o: { extents: Extents; journal: Journal; disk: Disk; log: Log; clock: Clock; cache: RowCache }) {
    this.extents = o.extents
    this.journal = o.journal
    this.disk = o.disk
    this.log = o.log
    this.clock = o.clock
    this.cache = o.cache
  }

  /** `extent` has no live entry any more. */
  dead(extent: Extent): void {
    this.deadExtents.push(extent)
    this.deadBytes += extent.bytes
  }

  /** The next commit shall be a checkpoint. */
  request(): void {
    this.wanted = true
    this.journal.request()
  }

  /** The last commit before the store closes is a checkpoint, so that the next start has little to read. */
  finish(): void {
    const something = this.changed || this.condemned.length > 0 || (this.heads?.dirtyHeads ?? 0) > 0
    this.finishing = true
    if (this.enabled && something && !this.journal.failed) this.request()
  }

  /** Called about once a second: an idle store with something to tidy up gets one last commit. */
  tick(): void {
    if (!this.enabled || !this.changed || this.journal.busy || this.journal.failed) return
    if (this.clock.uptime_ms() - this.changedAt >= IDLE_CHECKPOINT_MS) this.request()
  }

  /** Puts a checkpoint into the commit that is being sealed if one is due. True when it did. */
  seal(put: PutRow, del: (key: Buffer) => void, commit: number, nextSeq: number, ackRowBytes: number): boolean {
    this.ackBytes += ackRowBytes
    this.changedAt = this.clock.uptime_ms()
    this.changed = true
    const due = this.due(commit)
    if (due) {
      for (const extent of this.deadExtents) if (extent.live === 0) this.condemn(extent)
      this.deadExtents = []
    }
    if (this.condemned.length > 0) this.deleteSlice(del)
    if (!due) return false
    this.heads?.writeHeads(put)
    for (let n = this.lastCommit; n < commit; n++) if (n > 0) del(keys.commitRowKey(n))
    this.deadBytes = 0
    this.ackBytes = 0
    this.wanted = false
    this.changed = false
    this.lastCommit = commit
    const oldest = this.extents.oldest()?.id ?? extentOf(nextSeq)
    const row = checkpointRow(
      commit,
      nextSeq,
      this.condemned.reduce((id, extent) => Math.min(id, extent.id), oldest),
    )
    put(row.key, row.value)
    return true
  }

  /** After a commit: gives freed space back, in the background and never two at a time. */
  settled(): void {
    if (this.condemned.length > 0) this.journal.requestLazily()
    if (this.freedBytes < COMPACT_BYTES || this.compacting !== undefined) return
    const from = this.freedFrom
    const to = this.freedTo
    this.freedBytes = 0
    this.freedFrom = Number.POSITIVE_INFINITY
    this.freedTo = 0
    this.compacting = this.disk
      .compact(keys.messageRows(from, to))
      .then(() => this.disk.compact(keys.entryRows(from, to)))
      .catch((error: unknown) => this.log.warn({ err: error }, 'compacting the store failed'))
      .finally(() => {
        this.compacting = undefined
      })
  }

  /** Resolves when no compaction is running. */
  async quiet(): Promise<void> {
    await this.compacting
  }

  /** Rows were deleted outside a checkpoint, by a sweep. */
  freed(firstSeq: number, endSeq: number, bytes: number): void {
    this.freedBytes += bytes
    if (firstSeq < this.freedFrom) this.freedFrom = firstSeq
    if (endSeq > this.freedTo) this.freedTo = endSeq
  }

  private due(commit: number): boolean {
    if (!this.enabled) return false
    const dirty = this.heads?.dirtyHeads ?? 0
    if (this.wanted || commit - this.lastCommit >= Math.min(COMMITS_MAX, Math.max(COMMITS_MIN, dirty))) return true
    const heads = dirty * BYTES_PER_HEAD
    return this.ackBytes >= Math.max(ACK_BYTES_MAX, heads) || this.deadBytes >= Math.max(DEAD_BYTES_MAX, heads)
  }

  /** From now on nobody finds `extent`; its rows go slice by slice. */
  private condemn(extent: Extent): void {
    // Twice in the list when it came back to life in between.
    if (this.extents.get(extent.id) !== extent) return
    this.extents.delete(extent)
    this.condemned.push(extent)
    this.condemnedRows += extent.rowCount
  }

  private deleteSlice(del: (key: Buffer) => void): void {
    let rows = Math.max(CONDEMNED_SLICE_ROWS, Math.ceil(this.condemnedRows / CONDEMNED_SLICE_SHARE))
    if (this.finishing) rows = this.condemnedRows
    let done = 0
    for (; done < this.condemned.length; done++) {
      const extent = this.condemned[done]
      const end = Math.min(extent.rowCount, this.slicedRows + rows)
      for (let i = this.slicedRows; i < end; i++) {
        const seq = extent.row(i)
        del(keys.messageRowKey(seq))
        del(keys.entryRowKey(seq))
        this.cache.delete(seq)
      }
      rows -= end - this.slicedRows
      this.condemnedRows -= end - this.slicedRows
      this.slicedRows = end
      if (end < extent.rowCount) break
      this.slicedRows = 0
      this.freed(extent.firstSeq, extent.firstSeq + EXTENT_SEQUENCES, extent.bytes)
    }
    this.condemned.splice(0, done)
  }
}
