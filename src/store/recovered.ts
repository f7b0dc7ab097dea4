/**
 * What the commit rows say at a start: where the sequence stands, which entries were acknowledged since the last checkpoint, and whether a
 * commit is missing between two that are there.
 */
import { AqueductError, hasCode } from '../core/errors.js'
import type { Log } from '../core/log.js'
import { getU48, putU48 } from './bytes.js'
import type { Damaged, Disk } from './disk.js'
import * as keys from './keys.js'
import { ackQueueId, ackSeq, commitRow } from './rows.js'

export interface RecoveredLog {
  /** Number of the last commit that is on the disk; 0 in an empty store. */
  readonly commit: number
  readonly checkpointCommit: number
  readonly nextSeq: number
  /** What `nextSeq` was before the last commit that stored messages. */
  readonly grownFrom: number
  /** First extent that may have rows. */
  readonly oldestExtent: number
  /** Acknowledged since the checkpoint: sequences by queue. */
  readonly acks: Map<number, Set<number>>
  /** Commits that are missing before the last one. */
  readonly missing: number
}

const CHECKPOINT_VERSION = 1
const CHECKPOINT_BYTES = 19
const COMMIT_KEY_BYTES = 7
/** A damaged row with a number that is further away from the last good one has a damaged key. */
const COMMITS_LOST_MAX = 100_000
const NONE = { commit: 0, nextSeq: 1, oldestExtent: 0 }
const checkpointKey = keys.metaKey('checkpoint')

export function checkpointRow(commit: number, nextSeq: number, oldestExtent: number): { key: Buffer; value: Buffer } {
  const value = Buffer.allocUnsafe(CHECKPOINT_BYTES)
  value[0] = CHECKPOINT_VERSION
  putU48(value, 1, commit)
  putU48(value, 7, nextSeq)
  putU48(value, 13, oldestExtent)
  return { key: checkpointKey, value }
}

interface Checkpoint {
  readonly commit: number
  readonly nextSeq: number
  readonly oldestExtent: number
}

/** Rejects with `store_damaged` when the numbers that the log goes on with cannot be known. */
export async function recoverCommits(disk: Disk, log: Log): Promise<RecoveredLog> {
  const read = await readCheckpoint(disk)
  const checkpoint = read ?? NONE
  const acks = new Map<number, Set<number>>()
  let { nextSeq } = checkpoint
  // Without the checkpoint's row the commit rows say it all: those before it are deleted, its own is there.
  let first = checkpoint.commit
  let commit = first === 0 ? 0 : first - 1
  let missing = 0
  let grownFrom = nextSeq
  /** Highest number that a damaged row has; its key may be damaged as well. */
  let damaged = 0
  const onDamaged = ({ key, lt }: Damaged): void => {
    if (lt !== undefined) {
      missing++
      log.warn(
        {},
        'commits are missing from the store; which, cannot be read. Messages that they acknowledged may be delivered again',
      )
    } else if (key.length === COMMIT_KEY_BYTES) damaged = Math.max(damaged, keys.rowNumber(key))
  }
  for await (const { key, value } of disk.scan(keys.commitRows(first), { onDamaged })) {
    const number = keys.rowNumber(key)
    const row = key.length === COMMIT_KEY_BYTES ? commitRow(value) : undefined
    if (row === undefined) {
      damaged = Math.max(damaged, number)
      continue
    }
    if (read === undefined && first === 0) {
      first = number
      commit = number - 1
      grownFrom = nextSeq = row.nextSeq
    }
    if (number !== commit + 1) missing += gap(log, commit + 1, number - 1)
    commit = number
    if (row.nextSeq > nextSeq) {
      grownFrom = nextSeq
      nextSeq = row.nextSeq
    }
    takeAcks(acks, value, row.acks)
  }
  if (read === undefined && first === 0) throw unknowable()
  if (damaged > commit && damaged - commit < COMMITS_LOST_MAX) {
    missing += gap(log, commit + 1, damaged)
    commit = damaged
  }
  if (commit < checkpoint.commit) {
    missing++
    log.warn({ from: commit + 1, to: checkpoint.commit }, 'the commit of the last checkpoint is missing from the store')
    commit = checkpoint.commit
  }
  if (read === undefined) log.error({ commit: first }, 'the row of the last checkpoint is damaged; what it said was found again')
  return { commit, checkpointCommit: first, nextSeq, grownFrom, oldestExtent: checkpoint.oldestExtent, acks, missing }
}

/** Undefined when it cannot be read. */
async function readCheckpoint(disk: Disk): Promise<Checkpoint | undefined> {
  try {
    const row = await disk.get(checkpointKey)
    if (row === undefined) return (await isYoung(disk)) ? NONE : undefined
    if (row.length !== CHECKPOINT_BYTES || row[0] !== CHECKPOINT_VERSION) return undefined
    return { commit: getU48(row, 1), nextSeq: getU48(row, 7), oldestExtent: getU48(row, 13) }
  } catch (error) {
    if (hasCode(error, 'store_damaged')) return undefined
    throw error
  }
}

/** Without a checkpoint so far, all commits there ever were have their rows. */
async function isYoung(disk: Disk): Promise<boolean> {
  for await (const { key } of disk.scan(keys.commitRows(0), { limit: 1 })) return keys.rowNumber(key) === 1
  return true
}

function takeAcks(acks: Map<number, Set<number>>, row: Buffer, count: number): void {
  for (let i = 0; i < count; i++) {
    const queueId = ackQueueId(row, i)
    let set = acks.get(queueId)
    if (set === undefined) {
      set = new Set()
      acks.set(queueId, set)
    }
    set.add(ackSeq(row, i))
  }
}

function gap(log: Log, from: number, to: number): number {
  log.warn(
    { from, to },
    'commits are missing from the store; what they held is lost, and messages that they acknowledged may be delivered again',
  )
  return to - from + 1
}

function unknowable(): AqueductError {
  return new AqueductError(
    'store_damaged',
    'The row of the last checkpoint is damaged, and no commit behind it can be read: what was acknowledged cannot be known. Nothing was changed. Restore store.path from a copy, or move it away to start empty.',
  )
}
