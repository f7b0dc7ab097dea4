/**
 * Index pages: what a queue needs to know of consecutive entries of its tail, in one row, so that bringing them back reads only its own and
 * not the entry rows that all queues share. They only make it faster: a page that is missing is made up for from the entry rows.
 *
 * Row (key `I` queue id, page start): u8 version · u48 index of the first entry · per entry: u48 seq · u32 bytes · u8 flags · u16 length, extra bytes
 *
 * Always true: a page holds consecutive indexes of one aligned range of `entries` (0–1,023, 1,024–2,047 …), up to the range's end once it is
 * written; its first may lie inside the range, where the tail began.
 */
import { getU16, getU32, getU48, putU16, putU32, putU48 } from '../store/bytes.js'

export const INDEX_PAGE_ENTRIES = 1_024
const VERSION = 1
const HEADER_BYTES = 7
const ENTRY_BYTES = 13

/** The page that collects the newest entries of a tail. */
export class OpenPage {
  /** Entries of a full page. */
  readonly entries: number
  firstIndex = 0
  count = 0
  private buffer: Buffer
  private length = HEADER_BYTES

  constructor(entries: number) {
    this.entries = entries
    this.buffer = Buffer.allocUnsafe(HEADER_BYTES + ENTRY_BYTES * Math.min(entries, 64))
  }

  /** Adds the next entry. True when it was the last of the page's range: `take` it. */
  add(seq: number, index: number, bytes: number, flags: number, extra: Buffer | undefined): boolean {
    if (this.count === 0) this.firstIndex = index
    const extraLength = extra === undefined ? 0 : extra.length
    const at = this.length
    if (at + ENTRY_BYTES + extraLength > this.buffer.length) this.grow(ENTRY_BYTES + extraLength)
    const { buffer } = this
    putU48(buffer, at, seq)
    putU32(buffer, at + 6, bytes)
    buffer[at + 10] = flags
    putU16(buffer, at + 11, extraLength)
    if (extra !== undefined) buffer.set(extra, at + ENTRY_BYTES)
    this.length = at + ENTRY_BYTES + extraLength
    this.count++
    return (index + 1) % this.entries === 0
  }

  /** The page as a row; the open page is empty afterwards. */
  take(): Buffer {
    const row = Buffer.from(this.view())
    this.count = 0
    this.length = HEADER_BYTES
    return row
  }

  /** The page as it is now, valid until the next `add` or `take`. */
  view(): Buffer {
    this.buffer[0] = VERSION
    putU48(this.buffer, 1, this.firstIndex)
    return this.buffer.subarray(0, this.length)
  }

  private grow(room: number): void {
    const next = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length + room))
    this.buffer.copy(next, 0, 0, this.length)
    this.buffer = next
  }
}

/** Walks the entries of a page. */
export class PageReader {
  index = 0
  seq = 0
  bytes = 0
  flags = 0
  private row: Buffer = Buffer.alloc(0)
  private at = 0
  private extraLength = 0

  /** Starts on `row`. False when its form is not known. */
  open(row: Buffer): boolean {
    if (row[0] !== VERSION) return false
    this.row = row
    this.index = getU48(row, 1) - 1
    this.at = HEADER_BYTES
    return true
  }

  next(): boolean {
    const { row, at } = this
    if (at >= row.length) return false
    this.index++
    this.seq = getU48(row, at)
    this.bytes = getU32(row, at + 6)
    this.flags = row[at + 10]
    this.extraLength = getU16(row, at + 11)
    this.at = at + ENTRY_BYTES + this.extraLength
    return true
  }

  /** A copy of the extra bytes of the entry, or undefined. */
  extra(): Buffer | undefined {
    return this.extraLength === 0 ? undefined : Buffer.from(this.row.subarray(this.at - this.extraLength, this.at))
  }
}
