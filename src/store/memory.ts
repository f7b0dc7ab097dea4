/**
 * A `Disk` in memory, for `store.durability = "memory"` and for tests: rows in key order, in chunks, so that adding at the end and
 * taking away at the front of a range stay cheap however many rows there are.
 *
 * Always true: chunks are in order, none is empty, and none holds more than CHUNK_ROWS_MAX rows. A batch is applied at once, in
 * the turn of the call; its promise only reports it. A scan sees a row written while it runs, or not.
 */
import { AqueductError } from '../core/errors.js'
import type { Disk, KeyRange, Op, Row, ScanOptions } from './disk.js'

const CHUNK_ROWS_MAX = 512
const NO_VALUE = Buffer.alloc(0)

interface Chunk {
  /** Keys as one character a byte: comparing these is comparing the bytes. */
  keys: string[]
  values: Buffer[]
}

export class MemoryDisk implements Disk {
  private readonly chunks: Chunk[] = []
  private closed = false

  write(ops: readonly Op[], _sync: boolean): Promise<void> {
    if (this.closed) return Promise.reject(new AqueductError('store_failed', 'The store is closed.'))
    for (const op of ops) {
      const key = op.key.toString('latin1')
      if (op.type === 'put') this.put(key, Buffer.from(op.value))
      else this.remove(key)
    }
    return Promise.resolve()
  }

  get(key: Buffer): Promise<Buffer | undefined> {
    return Promise.resolve(this.getSync(key))
  }

  getSync(key: Buffer): Buffer | undefined {
    const text = key.toString('latin1')
    const chunk = this.chunks[this.chunkOf(text)]
    if (chunk === undefined) return undefined
    const i = lowerBound(chunk.keys, text)
    return chunk.keys[i] === text ? chunk.values[i] : undefined
  }

  async *scan(range: KeyRange, options: ScanOptions = {}): AsyncIterable<Row> {
    let left = options.limit ?? Number.POSITIVE_INFINITY
    let low = range.gte.toString('latin1')
    let high = range.lt.toString('latin1')
    while (left-- > 0) {
      // Looked up anew for each row: others may write between two steps.
      const row = options.reverse === true ? this.below(high) : this.from(low)
      if (row === undefined || row.key < low || row.key >= high) return
      if (options.reverse === true) high = row.key
      else low = `${row.key}\0`
      yield { key: Buffer.from(row.key, 'latin1'), value: options.keysOnly === true ? NO_VALUE : row.value }
    }
  }

  compact(_range: KeyRange): Promise<void> {
    return Promise.resolve()
  }

  approximateBytes(range: KeyRange): Promise<number> {
    const low = range.gte.toString('latin1')
    const high = range.lt.toString('latin1')
    let bytes = 0
    for (let c = this.chunkOf(low); c < this.chunks.length; c++) {
      const chunk = this.chunks[c]
      if (chunk.keys[0] >= high) break
      for (let i = lowerBound(chunk.keys, low); i < chunk.keys.length && chunk.keys[i] < high; i++) {
        bytes += chunk.keys[i].length + chunk.values[i].length
      }
    }
    return Promise.resolve(bytes)
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(Number.POSITIVE_INFINITY)
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }

  /** The chunk that holds `key` or would: the last one that begins at or before it. */
  private chunkOf(key: string): number {
    let low = 0
    let high = this.chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.chunks[middle].keys[0] <= key) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }

  private put(key: string, value: Buffer): void {
    const c = this.chunkOf(key)
    const chunk = this.chunks[c]
    if (chunk === undefined) {
      this.chunks.push({ keys: [key], values: [value] })
      return
    }
    const i = lowerBound(chunk.keys, key)
    if (chunk.keys[i] === key) {
      chunk.values[i] = value
      return
    }
    if (chunk.keys.length === CHUNK_ROWS_MAX) {
      // Appending is the rule, so the full chunk stays full and the new one begins at the end.
      const cut = i === CHUNK_ROWS_MAX ? CHUNK_ROWS_MAX : CHUNK_ROWS_MAX >>> 1
      const next: Chunk = { keys: chunk.keys.splice(cut), values: chunk.values.splice(cut) }
      if (i >= cut) {
        next.keys.splice(i - cut, 0, key)
        next.values.splice(i - cut, 0, value)
      } else {
        chunk.keys.splice(i, 0, key)
        chunk.values.splice(i, 0, value)
      }
      this.chunks.splice(c + 1, 0, next)
      return
    }
    chunk.keys.splice(i, 0, key)
    chunk.values.splice(i, 0, value)
  }

  private remove(key: string): void {
    const c = this.chunkOf(key)
    const chunk = this.chunks[c]
    if (chunk === undefined) return
    const i = lowerBound(chunk.keys, key)
    if (chunk.keys[i] !== key) return
    chunk.keys.splice(i, 1)
    chunk.values.splice(i, 1)
    if (chunk.keys.length === 0) this.chunks.splice(c, 1)
  }

  private from(low: string): { key: string; value: Buffer } | undefined {
    let c = this.chunkOf(low)
    let chunk = this.chunks[c]
    if (chunk === undefined) return undefined
    let i = lowerBound(chunk.keys, low)
    if (i === chunk.keys.length) {
      c++
      i = 0
      chunk = this.chunks[c]
    }
    return chunk === undefined ? undefined : { key: chunk.keys[i], value: chunk.values[i] }
  }

  private below(high: string): { key: string; value: Buffer } | undefined {
    const c = this.chunkOf(high)
    let chunk = this.chunks[c]
    if (chunk === undefined) return undefined
    let i = lowerBound(chunk.keys, high) - 1
    if (i < 0) {
      chunk = this.chunks[c - 1]
      if (chunk === undefined) return undefined
      i = chunk.keys.length - 1
    }
    return { key: chunk.keys[i], value: chunk.values[i] }
  }
}

/** The first place whose key is not below `key`. */
function lowerBound(keys: string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle] < key) low = middle + 1
    else high = middle
  }
  return low
}
