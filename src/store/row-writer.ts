/**
 * Builds one message row and the entry row beside it, message by message, in scratch buffers that are used again for the next row.
 *
 * Always true: between `begin` and `finish` the rows hold whole messages; entries belong to the message added last.
 */
import { EXTENT_SEQUENCES, LOG_ROW_BYTES_MAX } from '../core/limits.js'
import { putU16, putU32, putU48 } from './bytes.js'
import { type MessageView, messageBytes } from './message.js'
import {
  ENTRY_COUNT,
  ENTRY_DELAY,
  ENTRY_EXTRA,
  ENTRY_SEQ_DELTA,
  ENTRY_WIDE_BYTES,
  ENTRY_WIDE_INDEX,
  MESSAGE_EXPIRES,
  MESSAGE_PROPERTIES,
  ROW_HEADER_BYTES,
  ROW_VERSION,
  TABLE_ENTRY_BYTES,
} from './rows.js'

/** Room for a message's own fields in a message row: flags, expiry, length of properties. */
const MESSAGE_OVERHEAD = 1 + 6 + 4
/** Room for a message's own fields in an entry row. */
const ENTRY_HEADER_MAX = 1 + 2 + 2 + 4 + 6 + 4
/** Scratch that grew beyond this for one large message is not kept. */
const SCRATCH_KEPT_MAX = 2 * LOG_ROW_BYTES_MAX
/** Below this a loop beats the call into C++ that a copy is. */
const COPY_BY_LOOP_MAX = 48

export class RowWriter {
  /** Sequence of the first message of the row; 0 when the row is empty. */
  firstSeq = 0
  /** Messages in the row. */
  count = 0

  private m: Buffer = Buffer.allocUnsafeSlow(SCRATCH_KEPT_MAX)
  private mLength = 0
  private e: Buffer = Buffer.allocUnsafeSlow(SCRATCH_KEPT_MAX)
  private eLength = 0
  private readonly deltas = new Uint16Array(EXTENT_SEQUENCES)
  private readonly delays = new Uint16Array(EXTENT_SEQUENCES)
  private readonly offsets = new Uint32Array(EXTENT_SEQUENCES)
  private acceptedAt = 0
  private entryCount = 0
  private keyedBy = 0
  private controlAt = 0
  private entriesAt = 0
  private lastDelta = -1
  private lastDelay = 0

  /** The row shall be known by `firstSeq`, although that message may not be in it (the sweep keeps keys). */
  start(firstSeq: number): void {
    this.keyedBy = firstSeq
  }

  /** True when a message of these bytes, taken at this moment, may join the row. An empty row takes any. */
  fits(bytes: number, acceptedAt: number): boolean {
    if (this.count === 0) return true
    const later = acceptedAt - this.acceptedAt
    return (
      this.count < EXTENT_SEQUENCES &&
      this.mLength + bytes + MESSAGE_OVERHEAD + (this.count + 1) * TABLE_ENTRY_BYTES + 2 <= LOG_ROW_BYTES_MAX &&
      this.eLength <= LOG_ROW_BYTES_MAX &&
      later >= 0 &&
      later <= 0xffff
    )
  }

  /** Adds a message. Returns the bytes that it took in both rows. */
  message(seq: number, view: MessageView): number {
    if (this.count === 0) this.begin(seq, view.acceptedAt)
    else this.endMessage()
    const { properties, expiresAt } = view
    const body = view.end - view.bodyStart
    const bytes = messageBytes(view)
    const start = this.mLength
    const delta = seq - this.firstSeq
    const delay = view.acceptedAt - this.acceptedAt
    if (start + bytes + MESSAGE_OVERHEAD > this.m.length) this.m = grow(this.m, start, bytes + MESSAGE_OVERHEAD)
    const { m } = this
    let at = start + 1
    let flags = 0
    if (expiresAt !== 0) {
      flags = MESSAGE_EXPIRES
      putU48(m, at, expiresAt)
      at += 6
    }
    if (properties !== undefined) {
      flags |= MESSAGE_PROPERTIES
      putU32(m, at, properties.length)
      m.set(properties, at + 4)
      at += 4 + properties.length
    }
    m[start] = flags
    if (body <= COPY_BY_LOOP_MAX) {
      const from = view.buffer
      for (let i = view.bodyStart; i < view.end; i++) m[at++] = from[i]
    } else {
      view.buffer.copy(m, at, view.bodyStart, view.end)
      at += body
    }
    this.mLength = at
    const i = this.count++
    this.deltas[i] = delta
    this.delays[i] = delay
    this.offsets[i] = start

    return at - start + TABLE_ENTRY_BYTES + this.entryHeader(delta, delay, bytes, expiresAt)
  }

  /** Adds an entry of the last message. Returns the bytes it took. */
  entry(queueId: number, index: number, flags: number, extra: Buffer | undefined): number {
    if (this.entryCount === 1) this.makeRoomForCount()
    let at = this.eLength
    const room = 14 + (extra === undefined ? 0 : extra.length)
    if (at + room > this.e.length) this.e = grow(this.e, at, room)
    const { e } = this
    putU32(e, at, queueId)
    e[at + 4] = flags
    let control = 0
    if (index <= 0xffff_ffff) {
      putU32(e, at + 6, index)
      e[at + 5] = 0
      at += 10
    } else {
      control = ENTRY_WIDE_INDEX
      putU48(e, at + 6, index)
      e[at + 5] = control
      at += 12
    }
    if (extra !== undefined) {
      e[this.eLength + 5] = control | ENTRY_EXTRA
      putU16(e, at, extra.length)
      e.set(extra, at + 2)
      at += 2 + extra.length
    }
    const bytes = at - this.eLength
    this.eLength = at
    this.entryCount++
    return bytes
  }

  /** Copies an entry record as it stands in another row. */
  rawEntry(row: Buffer, start: number, end: number): void {
    if (this.entryCount === 1) this.makeRoomForCount()
    if (this.eLength + end - start > this.e.length) this.e = grow(this.e, this.eLength, end - start)
    row.copy(this.e, this.eLength, start, end)
    this.eLength += end - start
    this.entryCount++
  }

  /** Ends the row: two buffers of their exact size. The writer is empty afterwards. */
  finish(): { message: Buffer; entry: Buffer } {
    this.endMessage()
    const { count } = this
    const table = this.mLength
    const message = Buffer.allocUnsafe(table + count * TABLE_ENTRY_BYTES + 2)
    this.m.copy(message, 0, 0, table)
    let at = table
    for (let i = 0; i < count; i++) {
      putU16(message, at, this.deltas[i])
      putU16(message, at + 2, this.delays[i])
      putU32(message, at + 4, this.offsets[i])
      at += TABLE_ENTRY_BYTES
    }
    putU16(message, at, count)
    const entry = Buffer.allocUnsafe(this.eLength)
    this.e.copy(entry, 0, 0, this.eLength)
    this.firstSeq = 0
    this.count = 0
    if (this.m.length > SCRATCH_KEPT_MAX) this.m = Buffer.allocUnsafeSlow(SCRATCH_KEPT_MAX)
    if (this.e.length > SCRATCH_KEPT_MAX) this.e = Buffer.allocUnsafeSlow(SCRATCH_KEPT_MAX)
    return { message, entry }
  }

  private begin(seq: number, acceptedAt: number): void {
    this.firstSeq = this.keyedBy === 0 ? seq : this.keyedBy
    this.keyedBy = 0
    this.acceptedAt = acceptedAt
    header(this.m, acceptedAt)
    header(this.e, acceptedAt)
    this.mLength = ROW_HEADER_BYTES
    this.eLength = ROW_HEADER_BYTES
    this.entryCount = 0
    this.lastDelta = -1
    this.lastDelay = 0
  }

  /** The message's part of the entry row. Returns the bytes it took. */
  private entryHeader(delta: number, delay: number, bytes: number, expiresAt: number): number {
    const start = this.eLength
    if (start + ENTRY_HEADER_MAX > this.e.length) this.e = grow(this.e, start, ENTRY_HEADER_MAX)
    const { e } = this
    let at = start + 1
    let control = 0
    if (delta !== this.lastDelta + 1) {
      control = ENTRY_SEQ_DELTA
      putU16(e, at, delta)
      at += 2
    }
    if (delay !== this.lastDelay) {
      control |= ENTRY_DELAY
      putU16(e, at, delay)
      at += 2
    }
    if (bytes > 0xffff) {
      control |= ENTRY_WIDE_BYTES
      putU32(e, at, bytes)
      at += 4
    } else {
      putU16(e, at, bytes)
      at += 2
    }
    if (expiresAt !== 0) {
      control |= MESSAGE_EXPIRES
      putU48(e, at, expiresAt)
      at += 6
    }
    e[start] = control
    this.lastDelta = delta
    this.lastDelay = delay
    this.controlAt = start
    this.entriesAt = at
    this.eLength = at
    return at - start
  }

  /** Most messages have one entry and need no count; the second one moves the first. */
  private makeRoomForCount(): void {
    if (this.eLength + 4 > this.e.length) this.e = grow(this.e, this.eLength, 4)
    this.e.copyWithin(this.entriesAt + 4, this.entriesAt, this.eLength)
    this.e[this.controlAt] |= ENTRY_COUNT
    this.eLength += 4
  }

  private endMessage(): void {
    if (this.entryCount === 0) this.makeRoomForCount()
    if (this.entryCount !== 1) putU32(this.e, this.entriesAt, this.entryCount)
    this.entryCount = 0
  }
}

function header(b: Buffer, acceptedAt: number): void {
  b[0] = ROW_VERSION
  b[1] = 0
  putU48(b, 2, acceptedAt)
}

function grow(b: Buffer, used: number, room: number): Buffer {
  const next = Buffer.allocUnsafeSlow(Math.max(b.length * 2, used + room))
  b.copy(next, 0, 0, used)
  return next
}
