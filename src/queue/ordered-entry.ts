/**
 * One message in an ordered queue, and its stored row.
 *
 *            ┌────────── delay over ──────────┐
 *   send ─▶ DELAYED ◀── nack with delay ──┐   ▼
 *   send ─────────────────────────────▶ READY ──▶ LEASED ──▶ gone (acknowledged, dead …)
 *   send ─▶ BEHIND (an earlier message of the same FIFO key is there) ─▶ READY or DELAYED when that one is gone
 *                                                     LEASED ──▶ RETAINED (acknowledged, kept for seek) ─▶ READY by seek
 *
 * Always true: an entry has exactly one row, and the row's class is its state; a move deletes one row and puts another in one
 * commit. So a count can never disagree with an index, and a lease, its attempts and its receipt come back after a restart.
 */
import { getU32, getU48, putU32, putU48 } from '../store/bytes.js'

/** Where an entry is. The numbers are stored (in row keys) and never change their meaning. */
export const GONE = 0
export const READY = 1
export const BEHIND = 2
export const DELAYED = 3
export const LEASED = 4
export const RETAINED = 5
export type EntryClass = 0 | 1 | 2 | 3 | 4 | 5

export class OrderedEntry {
  /** Place in the queue: counted from 1, never reused; order of acceptance into this queue. */
  place: number
  /** Store sequence of the message. */
  seq: number
  cls: EntryClass = GONE
  /** Second field of the row's key: priority when ready, the moment at which it is due or expires when delayed, else 0. */
  rank = 0
  /** Third field of the row's key: its place; when BEHIND the place of the one before it. */
  slot = 0
  priority: number
  bytes: number
  /** Moments in milliseconds since 1970; 0 for none. */
  acceptedAt: number
  expiresAt: number
  due = 0
  attempts = 0
  firstLeasedAt = 0
  /** Message key, '' for none. */
  key: string
  /** A word for consumers, '' for none. */
  tag = ''
  /** Dead entries: the queue it died in, 0 for none; and when. */
  origin = 0
  diedAt = 0
  /** Purges of the queue when this row was written: a row of an older number is dead. */
  epoch: number
  /** LEASED: the end of the lease and the random bits of this hand-out. RETAINED: `until` is when it was acknowledged. */
  until = 0
  high = 0
  low = 0
  /** Commit group in which its row changed last; 0 when it came from the disk. */
  group = 0

  constructor(
    place: number,
    seq: number,
    priority: number,
    bytes: number,
    acceptedAt: number,
    expiresAt: number,
    key: string,
    epoch: number,
  ) {
    this.place = place
    this.seq = seq
    this.priority = priority
    this.bytes = bytes
    this.acceptedAt = acceptedAt
    this.expiresAt = expiresAt
    this.key = key
    this.epoch = epoch
  }
}

const VERSION = 1
/** As version 1, and at the end: u8 length, tag. */
const VERSION_TAG = 2
const HAS_KEY = 1
const HAS_ORIGIN = 2
const HAS_LEASE = 4
const HAS_PLACE = 8

/** The row's value. */
export function encodeEntry(e: OrderedEntry): Buffer {
  const b = encodeUntagged(e)
  if (e.tag === '') return b
  const tag = Buffer.from(e.tag)
  const tagged = Buffer.concat([b, Buffer.of(tag.length), tag])
  tagged[0] = VERSION_TAG
  return tagged
}

/** Fields that the key holds (rank, slot) are not repeated, but for a BEHIND row, whose key names another's place. */
function encodeUntagged(e: OrderedEntry): Buffer {
  const keyBytes = e.key === '' ? 0 : Buffer.byteLength(e.key)
  let flags = 0
  let size = 41
  if (keyBytes > 0) {
    flags |= HAS_KEY
    size += 1 + keyBytes
  }
  if (e.origin !== 0) {
    flags |= HAS_ORIGIN
    size += 10
  }
  if (e.cls === LEASED || e.cls === RETAINED) {
    flags |= HAS_LEASE
    size += 18
  }
  if (e.cls === BEHIND) {
    flags |= HAS_PLACE
    size += 6
  }
  const b = Buffer.allocUnsafe(size)
  b[0] = VERSION
  b[1] = flags
  b[2] = e.priority
  putU32(b, 3, e.epoch)
  putU48(b, 7, e.seq)
  putU32(b, 13, e.bytes)
  putU48(b, 17, e.acceptedAt)
  putU48(b, 23, e.expiresAt)
  putU48(b, 29, e.due)
  putU48(b, 35, e.firstLeasedAt)
  let at = 41
  // Attempts of a fresh message are 0: the field rides in the upper flag bits while it is small.
  if (e.attempts < 15) b[1] = flags | (e.attempts << 4)
  if (keyBytes > 0) {
    b[at] = keyBytes
    b.write(e.key, at + 1)
    at += 1 + keyBytes
  }
  if (e.origin !== 0) {
    putU32(b, at, e.origin)
    putU48(b, at + 4, e.diedAt)
    at += 10
  }
  if ((flags & HAS_LEASE) !== 0) {
    putU48(b, at, e.until)
    putU48(b, at + 6, e.high)
    putU48(b, at + 12, e.low)
    at += 18
  }
  if ((flags & HAS_PLACE) !== 0) putU48(b, at, e.place)
  if (e.attempts < 15) return b
  b[1] = flags | 0xf0
  const more = Buffer.allocUnsafe(4)
  putU32(more, 0, e.attempts)
  return Buffer.concat([b, more])
}

/** The entry of a row, or undefined when it is not one of ours (a newer version, a torn value). */
export function decodeEntry(cls: EntryClass, rank: number, slot: number, b: Buffer): OrderedEntry | undefined {
  if (b.length < 41 || (b[0] !== VERSION && b[0] !== VERSION_TAG)) return undefined
  const flags = b[1]
  const e = new OrderedEntry(slot, getU48(b, 7), b[2], getU32(b, 13), getU48(b, 17), getU48(b, 23), '', getU32(b, 3))
  e.cls = cls
  e.rank = rank
  e.slot = slot
  e.due = getU48(b, 29)
  e.firstLeasedAt = getU48(b, 35)
  let at = 41
  if ((flags & HAS_KEY) !== 0) {
    e.key = b.toString('utf8', at + 1, at + 1 + b[at])
    at += 1 + b[at]
  }
  if ((flags & HAS_ORIGIN) !== 0) {
    e.origin = getU32(b, at)
    e.diedAt = getU48(b, at + 4)
    at += 10
  }
  if ((flags & HAS_LEASE) !== 0) {
    e.until = getU48(b, at)
    e.high = getU48(b, at + 6)
    e.low = getU48(b, at + 12)
    at += 18
  }
  if ((flags & HAS_PLACE) !== 0) {
    e.place = getU48(b, at)
    at += 6
  }
  if (flags >> 4 === 15) {
    e.attempts = getU32(b, at)
    at += 4
  } else e.attempts = flags >> 4
  if (b[0] === VERSION_TAG) {
    e.tag = b.toString('utf8', at + 1, at + 1 + b[at])
    at += 1 + b[at]
  }
  return at === b.length ? e : undefined
}
