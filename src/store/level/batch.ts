/**
 * LevelDB's write batch, which is what one record of a write-ahead log holds: first sequence (u64), count (u32), then puts and deletions. All
 * little-endian.
 */
import { Cursor, getU32le, getU64le, Malformed } from './coding.js'

const HEADER_BYTES = 12
const DELETION = 0
const VALUE = 1

export interface Batch {
  /** LevelDB's own number of its first change; each change takes one. */
  readonly sequence: number
  readonly count: number
}

/** The changes of a batch in order; `value` undefined is a deletion. Keys and values are views. Throws `Malformed`. */
export function readBatch(record: Buffer, onChange: (key: Buffer, value: Buffer | undefined) => void): Batch {
  const head = batchHead(record)
  const c = new Cursor(record, HEADER_BYTES)
  let found = 0
  for (; !c.done; found++) {
    const kind = c.byte()
    if (kind !== VALUE && kind !== DELETION) throw new Malformed(`a write batch has a change of kind ${kind}`)
    const key = c.slice()
    onChange(key, kind === VALUE ? c.slice() : undefined)
  }
  if (found !== head.count) throw new Malformed(`a write batch has ${found} changes and says ${head.count}`)
  return head
}

export function batchHead(record: Buffer): Batch {
  if (record.length < HEADER_BYTES) throw new Malformed('a write batch is too short')
  return { sequence: getU64le(record, 0), count: getU32le(record, 8) }
}
