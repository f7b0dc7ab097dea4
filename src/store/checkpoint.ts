/**
 * Checkpoints: now and then one commit writes a head row per queue that changed, deletes the commit rows that those cover, and deletes the
 * rows of extents that nobody needs any more. Afterwards the freed range is compacted in the background.
 *
 * Always true: a checkpoint is complete in itself: heads, mark and deletions are one batch.
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

/** A checkpoint comes after so many commits, */
const COMMITS_MAX = 2_000
/** so many bytes of acknowledgements, */
const ACK_BYTES_MAX = 1024 * 1024
/** so many bytes in dead extents; the last two more if many queues have to write a head, */
const DEAD_BYTES_MAX = 4 * 1024 * 1024
const BYTES_PER_HEAD = 1_024
/** and when nothing was committed for a while and there is something to tidy up. */
export const IDLE_CHECKPOINT_MS = 10_000
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
    const something = this.changed || (this.heads?.dirtyHeads ?? 0) > 0
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
    if (!this.due(commit)) return false
    this.heads?.writeHeads(put)
    for (let n = this.lastCommit; n < commit; n++) if (n > 0) del(keys.commitRowKey(n))
    for (const extent of this.deadExtents) if (extent.live === 0) this.deleteExtent(extent, del)
    this.deadExtents = []
    this.deadBytes = 0
    this.ackBytes = 0
    this.wanted = false
    this.changed = false
    this.lastCommit = commit
    const row = checkpointRow(commit, nextSeq, this.extents.oldest()?.id ?? extentOf(nextSeq))
    put(row.key, row.value)
    return true
  }

  /** After a commit: gives freed space back, in the background and never two at a time. */
  settled(): void {
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
    if (this.wanted || commit - this.lastCommit >= COMMITS_MAX) return true
    const heads = (this.heads?.dirtyHeads ?? 0) * BYTES_PER_HEAD
    return this.ackBytes >= Math.max(ACK_BYTES_MAX, heads) || this.deadBytes >= Math.max(DEAD_BYTES_MAX, heads)
  }

  private deleteExtent(extent: Extent, del: (key: Buffer) => void): void {
    // Twice in the list when it came back to life in between.
    if (this.extents.get(extent.id) !== extent) return
    for (let i = 0; i < extent.rowCount; i++) {
      const seq = extent.row(i)
      del(keys.messageRowKey(seq))
      del(keys.entryRowKey(seq))
      this.cache.delete(seq)
    }
    this.extents.delete(extent)
    this.freed(extent.firstSeq, extent.firstSeq + EXTENT_SEQUENCES, extent.bytes)
  }
}
