/**
 * CURRENT and MANIFEST: which tables and logs a database consists of. MANIFEST is a log of edits; the state is their sum.
 */
import { Cursor, Malformed } from './coding.js'
import { readLog } from './log-file.js'

const LEVELS = 7
const COMPARATOR = 'leveldb.BytewiseComparator'
/** A key inside LevelDB ends with its sequence and kind. */
export const KEY_TRAILER_BYTES = 8

export interface TableFile {
  readonly number: number
  readonly level: number
  readonly size: number
  /** With the trailer of a key inside LevelDB. */
  readonly smallest: Buffer
  readonly largest: Buffer
}

export interface Manifest {
  readonly tables: readonly TableFile[]
  /** The oldest log that is needed, 0 for none yet. */
  readonly logNumber: number
  readonly lastSequence: number
  /** The file ends inside an edit, as after a power cut while it was written. */
  readonly torn: boolean
}

/** The name that CURRENT holds. Throws `Malformed`. */
export function readCurrent(bytes: Buffer): string {
  const found = /^(MANIFEST-\d+)\n$/.exec(bytes.toString('latin1'))
  if (found === null) throw new Malformed('it does not name a MANIFEST')
  return found[1]
}

/** Throws `Malformed`. */
export function readManifest(bytes: Buffer): Manifest {
  const state = new State()
  const tail = readLog(bytes, (record) => state.apply(record))
  if (tail !== undefined && (tail.kind === 'damaged' || tail.recordAfter !== undefined)) {
    throw new Malformed(`bytes at ${tail.at} have changed`)
  }
  return state.finish(tail !== undefined)
}

class State {
  private readonly tables = new Map<string, TableFile>()
  private logNumber: number | undefined
  private nextFile: number | undefined
  private lastSequence: number | undefined

  apply(record: Buffer): void {
    const c = new Cursor(record)
    const added: TableFile[] = []
    while (!c.done) this.field(c, added)
    // Within one edit deletions come first, whatever their place.
    for (const table of added) this.tables.set(`${table.level}:${table.number}`, table)
  }

  private field(c: Cursor, added: TableFile[]): void {
    const tag = c.varint()
    if (tag === 1) {
      const name = c.slice().toString('latin1')
      if (name !== COMPARATOR) throw new Malformed(`it wants the order ${name}`)
    } else if (tag === 2) this.logNumber = c.varint()
    else if (tag === 3) this.nextFile = c.varint()
    else if (tag === 4) this.lastSequence = c.varint()
    else if (tag === 9) c.varint()
    else if (tag === 5) {
      level(c)
      key(c)
    } else if (tag === 6) {
      const at = level(c)
      this.tables.delete(`${at}:${c.varint()}`)
    } else if (tag === 7) {
      const at = level(c)
      added.push({ level: at, number: c.varint(), size: c.varint(), smallest: key(c), largest: key(c) })
    } else throw new Malformed(`an edit has a field ${tag}`)
  }

  finish(torn: boolean): Manifest {
    const { logNumber, nextFile, lastSequence } = this
    if (logNumber === undefined || nextFile === undefined || lastSequence === undefined) throw new Malformed('it is not complete')
    const tables = [...this.tables.values()]
    refuseOverlap(tables)
    return { tables, logNumber, lastSequence, torn }
  }
}

/** LevelDB ends the process when two tables of one level overlap. */
function refuseOverlap(tables: readonly TableFile[]): void {
  for (let l = 1; l < LEVELS; l++) {
    const row = tables.filter((t) => t.level === l).sort((a, b) => compareKeys(a.smallest, b.smallest))
    for (let i = 1; i < row.length; i++) {
      if (compareKeys(row[i - 1].largest, row[i].smallest) < 0) continue
      throw new Malformed(`tables ${row[i - 1].number} and ${row[i].number} overlap`)
    }
  }
}

/** LevelDB's order of keys inside it: by key, then the newer first. */
export function compareKeys(a: Buffer, b: Buffer): number {
  const inA = a.length - KEY_TRAILER_BYTES
  const inB = b.length - KEY_TRAILER_BYTES
  const byKey = a.compare(b, 0, inB, 0, inA)
  if (byKey !== 0) return byKey
  // The trailer is a little-endian number; the larger comes first.
  for (let i = KEY_TRAILER_BYTES - 1; i >= 0; i--) if (a[inA + i] !== b[inB + i]) return b[inB + i] - a[inA + i]
  return 0
}

function level(c: Cursor): number {
  const n = c.varint()
  if (n >= LEVELS) throw new Malformed(`an edit names level ${n}`)
  return n
}

function key(c: Cursor): Buffer {
  const bytes = c.slice()
  if (bytes.length < KEY_TRAILER_BYTES) throw new Malformed('an edit has a key that is too short')
  return Buffer.from(bytes)
}
