/**
 * LevelDB's log format, which its write-ahead logs and its MANIFEST have: blocks of 32 KiB, in them records of masked CRC32C (4 bytes), length (2) and
 * type (1), long ones in fragments. Read as LevelDB's `log_reader.cc` reads it, only that here nothing is passed over in silence.
 *
 * Always true: what `readLog` hands out is exactly what LevelDB takes from the same bytes, if `Tail.recordAfter` is undefined.
 */

import { getU32le } from './coding.js'
import { crc32c, masked } from './crc32c.js'

const BLOCK_BYTES = 32 * 1024
const HEADER_BYTES = 7
const FULL = 1
const FIRST = 2
const MIDDLE = 3
const LAST = 4

/** How a log ends that does not end with a whole record. */
export interface Tail {
  /** Where the whole records end. */
  readonly at: number
  /** What is there: `cut`, the file ends inside a record; `zeros`, a page that was never written; `damaged`, anything else. */
  readonly kind: 'cut' | 'zeros' | 'damaged'
  /** Where a whole record begins after all: so bytes have changed or are missing in the middle. */
  readonly recordAfter: number | undefined
}

type Fragment = { type: number; start: number; end: number }

/**
 * Calls `onRecord` for each whole record from the beginning. What follows the first bad byte is searched for a whole record that `isRecord`
 * takes for one.
 */
export function readLog(
  bytes: Buffer,
  onRecord: (record: Buffer, at: number) => void,
  isRecord: (record: Buffer) => boolean = () => true,
): Tail | undefined {
  const end = walk(bytes, 0, (record, at) => {
    onRecord(record, at)
    return true
  })
  if (end === undefined) return undefined
  return { ...end, recordAfter: findRecord(bytes, end.bad, isRecord) }
}

/** Whole records from `from` on, while `onRecord` says so. Undefined at a clean end or when it said no. */
function walk(
  bytes: Buffer,
  from: number,
  onRecord: (record: Buffer, at: number) => boolean,
): { at: number; bad: number; kind: Tail['kind'] } | undefined {
  let at = from
  let begun = -1
  let parts: Buffer[] = []
  for (;;) {
    at = skipTrailer(at)
    if (at >= bytes.length) return begun < 0 ? undefined : { at: begun, bad: bytes.length, kind: 'cut' }
    const f = fragment(bytes, at)
    if (typeof f === 'string') return { at: begun < 0 ? at : begun, bad: at, kind: f }
    const expected = begun < 0 ? f.type === FULL || f.type === FIRST : f.type === MIDDLE || f.type === LAST
    if (!expected) return { at: begun < 0 ? at : begun, bad: begun < 0 ? f.end : at, kind: 'damaged' }
    if (f.type === FULL) {
      if (!onRecord(bytes.subarray(f.start, f.end), at)) return undefined
    } else {
      if (f.type === FIRST) begun = at
      parts.push(bytes.subarray(f.start, f.end))
      if (f.type === LAST) {
        if (!onRecord(Buffer.concat(parts), begun)) return undefined
        begun = -1
        parts = []
      }
    }
    at = f.end
  }
}

/** The physical record at `at`, or what is wrong with it. */
function fragment(bytes: Buffer, at: number): Fragment | Tail['kind'] {
  if (bytes.length - at < HEADER_BYTES) return 'cut'
  const length = bytes[at + 4] | (bytes[at + 5] << 8)
  const type = bytes[at + 6]
  const start = at + HEADER_BYTES
  const end = start + length
  if (type === 0 && length === 0 && getU32le(bytes, at) === 0) return 'zeros'
  if (HEADER_BYTES + length > BLOCK_BYTES - (at % BLOCK_BYTES)) return 'damaged'
  if (end > bytes.length) return 'cut'
  if (type < FULL || type > LAST) return 'damaged'
  if (masked(crc32c(bytes, at + 6, end)) !== getU32le(bytes, at)) return 'damaged'
  return { type, start, end }
}

/** A block's last bytes that no header fits into are not used. */
function skipTrailer(at: number): number {
  const left = BLOCK_BYTES - (at % BLOCK_BYTES)
  return left < HEADER_BYTES ? at + left : at
}

/** Looks at every offset from `from` on: a length that changed says nothing about where the next record begins. */
function findRecord(bytes: Buffer, from: number, isRecord: (record: Buffer) => boolean): number | undefined {
  let at = from
  while (at + HEADER_BYTES <= bytes.length) {
    at = skipTrailer(at)
    const f = fragment(bytes, at)
    if (typeof f === 'string') {
      at++
      continue
    }
    if (f.type === FULL || f.type === FIRST) {
      let found = false
      walk(bytes, at, (record) => {
        found = isRecord(record)
        return false
      })
      if (found) return at
    }
    at = f.end
  }
  return undefined
}
