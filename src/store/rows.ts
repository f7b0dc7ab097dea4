/**
 * The packed rows of the log, as bytes. Written by `RowWriter` (`row-writer.ts`) and by the sweep, read here.
 *
 * Message row (key `M` first seq). All numbers big-endian:
 *
 *   u8 version · u8 0 · u48 accepted-at of the row
 *   per message: u8 flags (1 expires, 2 properties) · [u48 expires-at] · [u32 length, property block] · body (`message.ts`)
 *   per message, at the end: u16 seq minus first seq · u16 accepted-at minus the row's · u32 offset
 *   u16 number of messages
 *
 * Entry row (key `E` first seq of the message row beside it):
 *
 *   u8 version · u8 0 · u48 accepted-at of the row
 *   per message: u8 control · [u16 seq minus first seq] (4; else one more than before) · [u16 accepted-at minus the row's] (8; else as before)
 *     · u16 or (16) u32 bytes · (1) [u48 expires-at] · (32) [u32 number of entries] (else 1)
 *   per entry: u32 queue id · u8 flags · u8 control (1 index is u48, 2 extra) · u32 or u48 index · [u16 length, extra bytes]
 *
 * Commit row (key `A` commit number): u8 version · u48 next seq · per acknowledgement: u32 queue id · u48 seq
 *
 * Always true: messages of a row are in order of seq and in one extent; a row that was swept may lack some.
 */
import { AqueductError, hasCode } from '../core/errors.js'
import { getU16, getU32, getU48 } from './bytes.js'
import type { MessageView } from './message.js'

export const ROW_VERSION = 1
export const ROW_HEADER_BYTES = 8
export const TABLE_ENTRY_BYTES = 8
export const MESSAGE_EXPIRES = 1
export const MESSAGE_PROPERTIES = 2
export const ENTRY_SEQ_DELTA = 4
export const ENTRY_DELAY = 8
export const ENTRY_WIDE_BYTES = 16
export const ENTRY_COUNT = 32
export const ENTRY_WIDE_INDEX = 1
export const ENTRY_EXTRA = 2
export const COMMIT_HEADER_BYTES = 7
export const ACK_BYTES = 10

/** A message inside a row of the log. The row is never written again, so the view may be kept; it keeps the row. */
export class StoredMessage implements MessageView {
  readonly buffer: Buffer
  readonly bodyStart: number
  readonly payloadStart: number
  readonly end: number
  readonly properties: Buffer | undefined
  readonly acceptedAt: number
  readonly expiresAt: number

  /** The `i`th message of message row `row`. */
  constructor(row: Buffer, i: number) {
    const count = messageCount(row)
    const table = tableStart(row, count)
    const slot = table + i * TABLE_ENTRY_BYTES
    let at = getU32(row, slot + 4)
    const flags = row[at++]
    let expiresAt = 0
    let properties: Buffer | undefined
    if (flags !== 0) {
      if ((flags & MESSAGE_EXPIRES) !== 0) {
        expiresAt = getU48(row, at)
        at += 6
      }
      if ((flags & MESSAGE_PROPERTIES) !== 0) {
        const length = getU32(row, at)
        properties = row.subarray(at + 4, at + 4 + length)
        at += 4 + length
      }
    }
    this.buffer = row
    this.bodyStart = at
    this.payloadStart = at + 4 + getU16(row, at)
    this.end = i + 1 < count ? getU32(row, slot + TABLE_ENTRY_BYTES + 4) : table
    this.properties = properties
    this.acceptedAt = getU48(row, 2) + getU16(row, slot + 2)
    this.expiresAt = expiresAt
  }
}

export function messageCount(row: Buffer): number {
  return getU16(row, row.length - 2)
}

export function tableStart(row: Buffer, count: number): number {
  return row.length - 2 - count * TABLE_ENTRY_BYTES
}

/** False when it is no message row of ours: the views of its messages would not be within it. */
export function wholeMessageRow(row: Buffer): boolean {
  if (row.length < ROW_HEADER_BYTES + 2 || row[0] !== ROW_VERSION) return false
  const count = messageCount(row)
  const table = tableStart(row, count)
  if (table < ROW_HEADER_BYTES || count === 0) return false
  let before = -1
  let from = ROW_HEADER_BYTES
  for (let i = 0; i < count; i++) {
    const slot = table + i * TABLE_ENTRY_BYTES
    const delta = getU16(row, slot)
    const end = i + 1 < count ? getU32(row, slot + TABLE_ENTRY_BYTES + 4) : table
    // Flags, and a body with a topic's length and the room for an identifier at least.
    if (delta <= before || getU32(row, slot + 4) !== from || end < from + 5 || end > table) return false
    const message = new StoredMessage(row, i)
    if (message.bodyStart + 4 > end || message.payloadStart > end) return false
    before = delta
    from = end
  }
  return true
}

/** Where in the row the message with seq `first + delta` is, or -1. */
export function findMessage(row: Buffer, delta: number): number {
  const count = messageCount(row)
  const table = tableStart(row, count)
  // A row that was never swept has every sequence.
  if (delta < count && getU16(row, table + delta * TABLE_ENTRY_BYTES) === delta) return delta
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (getU16(row, table + middle * TABLE_ENTRY_BYTES) < delta) low = middle + 1
    else high = middle
  }
  return low < count && getU16(row, table + low * TABLE_ENTRY_BYTES) === delta ? low : -1
}

/** False when it is no entry row of ours. */
export function wholeEntryRow(row: Buffer, first: number): boolean {
  if (row.length < ROW_HEADER_BYTES || row[0] !== ROW_VERSION) return false
  const reader = new EntryReader()
  try {
    reader.open(row, first)
    while (reader.next());
    return true
  } catch (error) {
    if (hasCode(error, 'store_damaged')) return false
    throw error
  }
}

function unreadable(first: number): AqueductError {
  return new AqueductError('store_damaged', `Entry row ${first} of the store cannot be read.`)
}

/** Walks the entries of an entry row without making an object for any of them. Throws `store_damaged` where the row ends too early. */
export class EntryReader {
  /* the message */
  seq = 0
  acceptedAt = 0
  expiresAt = 0
  bytes = 0
  entryCount = 0
  /* the entry */
  queueId = 0
  flags = 0
  index = 0
  entryAt = 0
  entryEnd = 0

  private row: Buffer = Buffer.alloc(0)
  private first = 0
  private base = 0
  private delta = -1
  private delay = 0
  private at = 0
  private left = 0
  private extraAt = 0

  /** Starts on `row`, whose first sequence is `first`. */
  open(row: Buffer, first: number): void {
    this.row = row
    this.first = first
    this.base = getU48(row, 2)
    this.delta = -1
    this.delay = 0
    this.at = ROW_HEADER_BYTES
    this.left = 0
  }

  /** Goes to the next entry, over messages. False at the end. */
  next(): boolean {
    while (this.left === 0) if (!this.nextMessage()) return false
    return this.nextEntry()
  }

  /** Goes to the next message and stands before its first entry. False at the end. Entries not yet read must have been. */
  nextMessage(): boolean {
    const { row } = this
    let at = this.at
    if (at >= row.length) return false
    const control = row[at++]
    if ((control & ENTRY_SEQ_DELTA) !== 0) {
      this.delta = getU16(row, at)
      at += 2
    } else {
      this.delta++
    }
    if ((control & ENTRY_DELAY) !== 0) {
      this.delay = getU16(row, at)
      at += 2
    }
    this.seq = this.first + this.delta
    this.acceptedAt = this.base + this.delay
    if ((control & ENTRY_WIDE_BYTES) !== 0) {
      this.bytes = getU32(row, at)
      at += 4
    } else {
      this.bytes = getU16(row, at)
      at += 2
    }
    if ((control & MESSAGE_EXPIRES) !== 0) {
      this.expiresAt = getU48(row, at)
      at += 6
    } else {
      this.expiresAt = 0
    }
    if ((control & ENTRY_COUNT) !== 0) {
      this.left = this.entryCount = getU32(row, at)
      at += 4
    } else {
      this.left = this.entryCount = 1
    }
    if (at > row.length) throw unreadable(this.first)
    this.at = at
    return true
  }

  /** Goes to the next entry of the message. False when it has no more. */
  nextEntry(): boolean {
    if (this.left === 0) return false
    this.left--
    const { row } = this
    let at = this.at
    this.entryAt = at
    this.queueId = getU32(row, at)
    this.flags = row[at + 4]
    const control = row[at + 5]
    if (control === 0) {
      this.index = getU32(row, at + 6)
      this.extraAt = 0
      at += 10
    } else {
      const wide = (control & ENTRY_WIDE_INDEX) !== 0
      this.index = wide ? getU48(row, at + 6) : getU32(row, at + 6)
      at += wide ? 12 : 10
      this.extraAt = 0
      if ((control & ENTRY_EXTRA) !== 0) {
        this.extraAt = at
        at += 2 + getU16(row, at)
      }
    }
    if (at > row.length) throw unreadable(this.first)
    this.at = this.entryEnd = at
    return true
  }

  /** A copy of the extra bytes of the entry, or undefined. */
  extra(): Buffer | undefined {
    const at = this.extraAt
    return at === 0 ? undefined : Buffer.from(this.row.subarray(at + 2, at + 2 + getU16(this.row, at)))
  }
}

/** What one commit row says. */
export interface CommitRow {
  readonly nextSeq: number
  readonly acks: number
}

/** Undefined when it is none of ours. */
export function commitRow(row: Buffer): CommitRow | undefined {
  if (row[0] !== ROW_VERSION || row.length < COMMIT_HEADER_BYTES || (row.length - COMMIT_HEADER_BYTES) % ACK_BYTES !== 0) {
    return undefined
  }
  return { nextSeq: getU48(row, 1), acks: (row.length - COMMIT_HEADER_BYTES) / ACK_BYTES }
}

export function ackQueueId(row: Buffer, i: number): number {
  return getU32(row, COMMIT_HEADER_BYTES + i * ACK_BYTES)
}

export function ackSeq(row: Buffer, i: number): number {
  return getU48(row, COMMIT_HEADER_BYTES + i * ACK_BYTES + 4)
}
