/**
 * Stored records of plain queues.
 *
 * Definition (key `Q` queue id): u8 version · u8 kind · u8 overflow · u8 0 · u48 max messages · u48 max bytes · name
 * Head (key `H` queue id): u8 version · u48 cursor · u48 next index · per outstanding entry: u48 seq · u16 attempts
 * Next queue id (meta): u32
 *
 * Limits above 2^48 - 1 are stored as that.
 */

import { AqueductError } from '../core/errors.js'
import { QUEUE_KINDS } from '../core/queue-words.js'
import { getU16, getU32, getU48, putU16, putU32, putU48, U48_MAX } from '../store/bytes.js'
import { metaKey } from '../store/keys.js'
import type { Overflow, QueueKind, QueueLimits } from './queue.js'

const VERSION = 1
/** Order is stored: append only. */
const OVERFLOWS: readonly Overflow[] = ['reject', 'drop_oldest', 'drop_newest']
const DEFINITION_BYTES = 16
const HEAD_BYTES = 13
const OUTSTANDING_BYTES = 8

export const nextQueueIdKey = metaKey('next-queue')

export function nextQueueIdRow(id: number): Buffer {
  const b = Buffer.allocUnsafe(4)
  putU32(b, 0, id)
  return b
}

export function readNextQueueId(row: Buffer): number {
  return getU32(row, 0)
}

export interface Definition {
  readonly kind: QueueKind
  readonly name: string
  readonly limits: QueueLimits
}

export function definitionRow(d: Definition): Buffer {
  const b = Buffer.alloc(DEFINITION_BYTES + Buffer.byteLength(d.name))
  b[0] = VERSION
  b[1] = QUEUE_KINDS.indexOf(d.kind)
  b[2] = OVERFLOWS.indexOf(d.limits.overflow)
  putU48(b, 4, Math.min(d.limits.max_messages, U48_MAX))
  putU48(b, 10, Math.min(d.limits.max_bytes, U48_MAX))
  b.write(d.name, DEFINITION_BYTES)
  return b
}

export function readDefinition(row: Buffer): Definition {
  const kind = QUEUE_KINDS[row[1]]
  const overflow = OVERFLOWS[row[2]]
  if (row[0] !== VERSION || kind === undefined || overflow === undefined) {
    throw new AqueductError(
      'store_damaged',
      'A queue definition in the store cannot be read. Nothing was changed. Restore the store from a copy.',
    )
  }
  return {
    kind,
    name: row.toString('utf8', DEFINITION_BYTES),
    limits: { max_messages: getU48(row, 4), max_bytes: getU48(row, 10), overflow },
  }
}

/** What the disk knows of a queue beside its entries. */
export interface Head {
  readonly cursor: number
  readonly nextIndex: number
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
  leased: readonly Outstanding[],
  returned: readonly Outstanding[],
): Buffer {
  const b = Buffer.allocUnsafe(HEAD_BYTES + (leased.length + returned.length) * OUTSTANDING_BYTES)
  b[0] = VERSION
  putU48(b, 1, cursor)
  putU48(b, 7, nextIndex)
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

export function readHead(row: Buffer): Head {
  const outstanding = new Map<number, number>()
  for (let at = HEAD_BYTES; at < row.length; at += OUTSTANDING_BYTES) outstanding.set(getU48(row, at), getU16(row, at + 6))
  return { cursor: getU48(row, 1), nextIndex: getU48(row, 7), outstanding }
}
