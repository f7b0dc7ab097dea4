/**
 * The rows of ordered queues: which key of `store/keys.ts` holds what, and the values that are not an entry's.
 *
 * | row | key | value |
 * | --- | --- | --- |
 * | definition | ordered state (queue, 1) | kind, name, attributes as JSON |
 * | head | ordered state (queue, 0) | counts, next place, where each lane begins; rewritten by each commit that touches the queue |
 * | entry | ordered index (queue, class, rank, slot) | `ordered-entry.ts` |
 * | key | de-duplication (queue, `k` key) | first and last entry of a FIFO key; the waiting entry of a last-value key |
 * | id | de-duplication (queue, `i` id) | the message that was sent with it, and until when it is remembered |
 * | id's end | ordered index (queue, 6, until, place) | the id |
 */
import { getU32, getU48, putU32, putU48 } from '../store/bytes.js'
import type { KeyRange } from '../store/disk.js'
import { dedupKey, dedupOf, orderedIndexKey, orderedIndexOf, orderedStateKey } from '../store/keys.js'
import { type EntryClass, READY } from './ordered-entry.js'

/** Class of the rows that say when a de-duplication id is forgotten. */
export const ID_END = 6

const HEAD_SLOT = 0
const DEFINITION_SLOT = 1

export const headKey = (queue: number): Buffer => orderedStateKey(queue, HEAD_SLOT)
export const definitionKey = (queue: number): Buffer => orderedStateKey(queue, DEFINITION_SLOT)
export const isHeadSlot = (slot: number): boolean => slot === HEAD_SLOT
export const isDefinitionSlot = (slot: number): boolean => slot === DEFINITION_SLOT

export const entryKey = orderedIndexKey

/** Rows of one lane (one rank) from `slot` on. */
export function laneRows(queue: number, cls: EntryClass, rank: number, slot: number): KeyRange {
  return { gte: orderedIndexKey(queue, cls, rank, slot), lt: orderedIndexKey(queue, cls, rank + 1, 0) }
}

/** Rows of the lanes that have any, each from its beginning, urgent first. */
export function* readyRows(queue: number, lanes: Iterable<Lane | undefined>, nextSlot: number): Iterable<KeyRange> {
  const low = { rank: 0, slot: 0 }
  for (const lane of lanes) {
    if (lane === undefined || lane.total === 0) continue
    lane.low(low, nextSlot)
    yield laneRows(queue, READY, low.rank, low.slot)
  }
}

interface Lane {
  readonly total: number
  low(out: { rank: number; slot: number }, nextSlot: number): void
}

/** Rows of one class from (rank, slot) on. */
export function classRows(queue: number, cls: number, rank: number, slot: number): KeyRange {
  return orderedIndexOf(queue, cls, rank, slot)
}

export const keyRowKey = (queue: number, key: string): Buffer => dedupKey(queue, `k${key}`)
export const idRowKey = (queue: number, id: string): Buffer => dedupKey(queue, `i${id}`)

/** All key rows of a queue. */
export function keyRows(queue: number): KeyRange {
  return { gte: dedupKey(queue, 'k'), lt: dedupKey(queue, 'l') }
}

/** The message key that a key row's key names. */
export const keyOfKeyRow = (key: Buffer): string => key.toString('utf8', dedupOf(0).gte.length + 1)

/* ---- head ---- */

export interface LaneHead {
  rank: number
  /** Nothing of the lane is before this slot. */
  slot: number
  total: number
}

/** What a queue needs to go on after a restart without reading its index. */
export interface Head {
  nextPlace: number
  /** Purges so far; rows of an older number are dead. `swept` is the number up to which they have been deleted. */
  epoch: number
  swept: number
  bytes: number
  behind: number
  retained: number
  retainedBytes: number
  delayed: number
  delayedRank: number
  delayedSlot: number
  /** No id ends before this moment. */
  idEnd: number
  ids: number
  retainedSlot: number
  deleted: boolean
  lanes: LaneHead[]
}

/** Entries that a head counts: all but the leased ones. */
export function entriesIn({ lanes, behind, delayed, retained }: Head): number {
  let n = behind + delayed + retained
  for (const { total } of lanes) n += total
  return n
}

const HEAD_VERSION = 1

export function encodeHead(h: Readonly<Head>): Buffer {
  const b = Buffer.allocUnsafe(74 + h.lanes.length * 13)
  b[0] = HEAD_VERSION
  b[1] = h.deleted ? 1 : 0
  putU48(b, 2, h.nextPlace)
  putU32(b, 8, h.epoch)
  putU32(b, 12, h.swept)
  putU48(b, 16, h.bytes)
  putU48(b, 22, h.behind)
  putU48(b, 28, h.retained)
  putU48(b, 34, h.retainedBytes)
  putU48(b, 40, h.delayed)
  putU48(b, 46, h.delayedRank)
  putU48(b, 52, h.delayedSlot)
  putU48(b, 58, h.idEnd)
  putU32(b, 64, h.ids)
  putU48(b, 68, h.retainedSlot)
  let at = 74
  for (const lane of h.lanes) {
    b[at] = lane.rank
    putU48(b, at + 1, lane.slot)
    putU48(b, at + 7, lane.total)
    at += 13
  }
  return b
}

/** Undefined when it is not a head of ours. */
export function decodeHead(b: Buffer): Head | undefined {
  if (b.length < 74 || b[0] !== HEAD_VERSION || (b.length - 74) % 13 !== 0) return undefined
  const lanes: LaneHead[] = []
  for (let at = 74; at < b.length; at += 13) lanes.push({ rank: b[at], slot: getU48(b, at + 1), total: getU48(b, at + 7) })
  return {
    deleted: (b[1] & 1) !== 0,
    nextPlace: getU48(b, 2),
    epoch: getU32(b, 8),
    swept: getU32(b, 12),
    bytes: getU48(b, 16),
    behind: getU48(b, 22),
    retained: getU48(b, 28),
    retainedBytes: getU48(b, 34),
    delayed: getU48(b, 40),
    delayedRank: getU48(b, 46),
    delayedSlot: getU48(b, 52),
    idEnd: getU48(b, 58),
    ids: getU32(b, 64),
    retainedSlot: getU48(b, 68),
    lanes,
  }
}

/* ---- key row ---- */

/**
 * What a message key has in the queue. FIFO: `head` is the first living entry, `tail` the last. Last value without FIFO: the waiting
 * entry (head = tail). The rest says where the head is, kept only for last-value queues.
 */
export interface KeyRecord {
  readonly epoch: number
  readonly head: number
  readonly tail: number
  readonly cls: EntryClass
  readonly rank: number
  readonly seq: number
  readonly bytes: number
}

export function encodeKeyRecord(k: KeyRecord): Buffer {
  const b = Buffer.allocUnsafe(34)
  b[0] = 1
  b[1] = k.cls
  putU32(b, 2, k.epoch)
  putU48(b, 6, k.head)
  putU48(b, 12, k.tail)
  putU48(b, 18, k.rank)
  putU48(b, 24, k.seq)
  putU32(b, 30, k.bytes)
  return b
}

export function decodeKeyRecord(b: Buffer): KeyRecord | undefined {
  if (b.length !== 34 || b[0] !== 1) return undefined
  return {
    cls: b[1] as EntryClass,
    epoch: getU32(b, 2),
    head: getU48(b, 6),
    tail: getU48(b, 12),
    rank: getU48(b, 18),
    seq: getU48(b, 24),
    bytes: getU32(b, 30),
  }
}

/* ---- id row ---- */

export interface IdRecord {
  readonly seq: number
  readonly until: number
  /** Third field of the row that says when it ends. */
  readonly slot: number
}

export function encodeIdRecord(r: IdRecord): Buffer {
  const b = Buffer.allocUnsafe(19)
  b[0] = 1
  putU48(b, 1, r.seq)
  putU48(b, 7, r.until)
  putU48(b, 13, r.slot)
  return b
}

export function decodeIdRecord(b: Buffer): IdRecord | undefined {
  if (b.length !== 19 || b[0] !== 1) return undefined
  return { seq: getU48(b, 1), until: getU48(b, 7), slot: getU48(b, 13) }
}
