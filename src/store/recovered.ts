/**
 * What the commit rows say at a start: where the sequence stands, which entries were acknowledged since the last checkpoint, and whether a
 * commit is missing between two that are there.
 */
import type { Log } from '../core/log.js'
import { getU48, putU48 } from './bytes.js'
import type { Disk } from './disk.js'
import * as keys from './keys.js'
import { ackQueueId, ackSeq, commitRow } from './rows.js'

export interface RecoveredLog {
  /** Number of the last commit that is on the disk; 0 in an empty store. */
  readonly commit: number
  readonly checkpointCommit: number
  readonly nextSeq: number
  /** First extent that may have rows. */
  readonly oldestExtent: number
  /** Acknowledged since the checkpoint: sequences by queue. */
  readonly acks: Map<number, Set<number>>
  /** Commits that are missing before the last one. */
  readonly missing: number
}

const CHECKPOINT_VERSION = 1
const checkpointKey = keys.metaKey('checkpoint')

export function checkpointRow(commit: number, nextSeq: number, oldestExtent: number): { key: Buffer; value: Buffer } {
  const value = Buffer.allocUnsafe(19)
  value[0] = CHECKPOINT_VERSION
  putU48(value, 1, commit)
  putU48(value, 7, nextSeq)
  putU48(value, 13, oldestExtent)
  return { key: checkpointKey, value }
}

export async function recoverCommits(disk: Disk, log: Log): Promise<RecoveredLog> {
  const checkpoint = await disk.get(checkpointKey)
  const checkpointCommit = checkpoint === undefined ? 0 : getU48(checkpoint, 1)
  let nextSeq = checkpoint === undefined ? 1 : getU48(checkpoint, 7)
  const oldestExtent = checkpoint === undefined ? 0 : getU48(checkpoint, 13)
  const acks = new Map<number, Set<number>>()
  let commit = checkpointCommit === 0 ? 0 : checkpointCommit - 1
  let missing = 0
  for await (const { key, value } of disk.scan(keys.commitRows(checkpointCommit))) {
    const number = keys.rowNumber(key)
    if (number !== commit + 1) {
      missing += number - commit - 1
      log.error({ from: commit + 1, to: number - 1 }, 'commits are missing from the store; what they held is lost')
    }
    commit = number
    const row = commitRow(value)
    if (row.nextSeq > nextSeq) nextSeq = row.nextSeq
    for (let i = 0; i < row.acks; i++) {
      const queueId = ackQueueId(value, i)
      let set = acks.get(queueId)
      if (set === undefined) {
        set = new Set()
        acks.set(queueId, set)
      }
      set.add(ackSeq(value, i))
    }
  }
  if (commit < checkpointCommit) {
    missing++
    log.error({ from: commit + 1, to: checkpointCommit }, 'the commit of the last checkpoint is missing from the store')
    commit = checkpointCommit
  }
  return { commit, checkpointCommit, nextSeq, oldestExtent, acks, missing }
}
