/**
 * Stored records of plain queues.
 *
 * Definition (key `Q` queue id): u8 version · u8 kind · u8 overflow · u8 0 · u48 max messages · u48 max bytes · name. Since version 2 the queue has a
 * head from the commit on that makes it.
 * Head (key `H` queue id): u8 version · u48 cursor · u48 next index · (since version 2) u48 index of the first entry at or behind the cursor · per
 * outstanding entry: u48 seq · u16 attempts
 * Next queue id (meta): u32
 *
 * Limits above 2^48 - 1 are stored as that.
 */

import { QUEUE_KINDS } from '../core/queue-words.js'
import { getU16, getU32, getU48, putU16, putU32, putU48, U48_MAX } from '../store/bytes.js'
import { metaKey } from '../store/keys.js'
import type { Overflow, QueueKind, QueueLimits } from './queue.js'

const DEFINITION_VERSION = 2
const HEAD_VERSION = 2
/** Order is stored: append only. */
const OVERFLOWS: readonly Overflow[] = ['reject', 'drop_oldest', 'drop_newest']
const DEFINITION_BYTES = 16
const HEAD_BYTES = 19
const HEAD_BYTES_1 = 13
const OUTSTANDING_BYTES = 8

export const nextQueueIdKey = metaKey('next-queue')

export function nextQueueIdRow(id: number): Buffer {
  const b = Buffer.allocUnsafe(4)
  putU32(b, 0, id)
  return b
}

/** Undefined when it cannot be read. */
export function readNextQueueId(row: Buffer): number | undefined {
  return row.length === 4 ? getU32(row, 0) : undefined
}

export interface Definition {
  readonly kind: QueueKind
  readonly name: string
  readonly limits: QueueLimits
  /** The queue has had a head since it was made. */
  readonly headed: boolean
}

export function definitionRow(d: Omit<Definition, 'headed'>): Buffer {
  const b = Buffer.alloc(DEFINITION_BYTES + Buffer.byteLength(d.name))
  b[0] = DEFINITION_VERSION
  b[1] = QUEUE_KINDS.indexOf(d.kind)
  b[2] = OVERFLOWS.indexOf(d.limits.overflow)
  putU48(b, 4, Math.min(d.limits.max_messages, U48_MAX))
  putU48(b, 10, Math.min(d.limits.max_bytes, U48_MAX))
  b.write(d.name, DEFINITION_BYTES)
  return b
}

/** Undefined when it cannot be read. */
export function readDefinition(row: Buffer): Definition | undefined {
  const kind = QUEUE_KINDS[row[1]]
  const overflow = OVERFLOWS[row[2]]
  const known = row.length >= DEFINITION_BYTES && row[0] >= 1 && row[0] <= DEFINITION_VERSION
  if (!known || kind === undefined || overflow === undefined) return undefined
  return {
    kind,
    name: row.toString('utf8', DEFINITION_BYTES),
    limits: { max_messages: getU48(row, 4), max_bytes: getU48(row, 10), overflow },
    headed: row[0] >= 2,
  }
}

/** What the disk knows of a queue beside its entries. */
export interface Head {
  readonly cursor: number
  readonly nextIndex: number
  /** Index of the first entry whose sequence is not below the cursor; undefined in a head of version 1. */
  readonly cursorIndex: number | undefined
  /** Entries below the cursor that are not gone, with their hand-outs so far. */
  readonly outstanding: Map<number, number>
}

/** Entries that were handed out and not acknowledged. */
interface Outstanding {
  readonly seq: number
  readonly attempts: number
}

export function headRow(
  cursor: number,
  nextIndex: number,
  cursorIndex: number,
  leased: readonly Outstanding[],
  returned: readonly Outstanding[],
): Buffer {
  const b = Buffer.allocUnsafe(HEAD_BYTES + (leased.length + returned.length) * OUTSTANDING_BYTES)
  b[0] = HEAD_VERSION
  putU48(b, 1, cursor)
  putU48(b, 7, nextIndex)
  putU48(b, 13, cursorIndex)
  let at = HEAD_BYTES
  for (const list of [leased, returned]) {
    for (const e of list) {
      putU48(b, at, e.seq)
      putU16(b, at + 6, Math.min(e.attempts, 0xffff))
      at += OUTSTANDING_BYTES
    }
  }
  return b
}

/** Undefined when it cannot be read. */
export function readHead(row: Buffer): Head | undefined {
  const start = row[0] === 1 ? HEAD_BYTES_1 : HEAD_BYTES
  if (row[0] < 1 || row[0] > HEAD_VERSION || row.length < start || (row.length - start) % OUTSTANDING_BYTES !== 0)
    return undefined
  const outstanding = new Map<number, number>()
  for (let at = start; at < row.length; at += OUTSTANDING_BYTES) outstanding.set(getU48(row, at), getU16(row, at + 6))
  const cursorIndex = start === HEAD_BYTES ? getU48(row, 13) : undefined
  return { cursor: getU48(row, 1), nextIndex: getU48(row, 7), cursorIndex, outstanding }
}
