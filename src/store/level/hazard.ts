/**
 * What LevelDB does with a block whose checksum is wrong. It does not look at the checksum, so it reads on: most damage ends in an error or in altered
 * rows, but a key that is too short or out of order ends the process (assertions in `dbformat.h` and `table_builder.cc`), at a read or at the next
 * compaction.
 */
import { Cursor, getU32le, Malformed } from './coding.js'
import { compareKeys, KEY_TRAILER_BYTES } from './manifest.js'
import { blockContents } from './table.js'

/** `altered`: LevelDB reads it and rows may be wrong; `unreadable`: it says so; `deadly`: it may end the process. */
export type Hazard = 'altered' | 'unreadable' | 'deadly'

/** `low`: no key of the block is below it, and none equal unless it is `first`'s own; `high`: none is above it. */
export interface Bounds {
  readonly low: Buffer
  readonly mayEqualLow: boolean
  readonly high: Buffer
}

export function hazardOf(block: Buffer, bounds: Bounds): Hazard {
  let bytes: Buffer
  try {
    bytes = blockContents(block)
  } catch (error) {
    if (error instanceof Malformed) return 'unreadable'
    throw error
  }
  if (bytes.length < 4) return 'unreadable'
  const restarts = getU32le(bytes, bytes.length - 4)
  const end = bytes.length - 4 - restarts * 4
  if (end < 0 || restarts === 0) return 'unreadable'
  return new Walk(bytes, end, bounds).judge(restarts)
}

class Walk {
  private readonly bytes: Buffer
  private readonly end: number
  private readonly bounds: Bounds
  private before: Buffer | undefined
  private deadly = false

  constructor(bytes: Buffer, end: number, bounds: Bounds) {
    this.bytes = bytes
    this.end = end
    this.bounds = bounds
  }

  judge(restarts: number): Hazard {
    const starts = new Set<number>()
    let stopped = this.walk(0, starts)
    let broken = stopped < this.end
    for (let i = 0; i < restarts && !this.deadly; i++) {
      const at = getU32le(this.bytes, this.end + i * 4)
      if (at >= this.end || starts.has(at)) continue
      // A search may begin there: what is behind a broken entry, or where no entry begins.
      if (at < stopped) return 'deadly'
      stopped = this.walk(at, starts)
      broken = true
    }
    if (this.deadly) return 'deadly'
    return broken ? 'unreadable' : 'altered'
  }

  /** Entries from `from` on as LevelDB takes them apart; returns where it stops. */
  private walk(from: number, starts: Set<number>): number {
    const c = new Cursor(this.bytes, from, this.end)
    let key: Buffer = Buffer.alloc(0)
    while (!c.done) {
      const at = c.at
      try {
        const shared = c.varint()
        const own = c.varint()
        const length = c.varint()
        if (shared > key.length) return at
        key = Buffer.concat([key.subarray(0, shared), c.take(own)])
        c.take(length)
      } catch (error) {
        if (error instanceof Malformed) return at
        throw error
      }
      starts.add(at)
      if (!this.sound(key)) {
        this.deadly = true
        return at
      }
    }
    return this.end
  }

  private sound(key: Buffer): boolean {
    if (key.length < KEY_TRAILER_BYTES) return false
    const { low, mayEqualLow, high } = this.bounds
    const first = this.before === undefined
    const order = compareKeys(this.before ?? low, key)
    this.before = key
    return (order < 0 || (order === 0 && first && mayEqualLow)) && compareKeys(key, high) <= 0
  }
}
