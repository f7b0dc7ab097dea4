/**
 * Message rows in memory, by first sequence: the ones just committed, since live consumers read them next, and the ones read for those
 * that lag. Bounded by bytes.
 *
 * Small rows are copied into chunks, one behind the other, and found by tables of numbers, one for each extent that has any: as objects in a
 * map, which live for seconds and come and go by the thousand, they kept the collector at work, and its pauses were the tail of
 * acknowledged writes.
 *
 * Always true: a chunk is only ever appended to, so that what was handed out stays as it is; it leaves as a whole, the oldest first, but one
 * that was read since it came gets a second round.
 */
import { EXTENT_SEQUENCES } from '../core/limits.js'
import { extentOf } from './extents.js'

const CHUNK_BYTES = 64 * 1024
/** From here on a row is a chunk by itself, as it is. */
const OWN_CHUNK_BYTES = 8 * 1024
/** What a chunk costs beside its bytes, a row beside its own, and an extent that has rows here. */
const CHUNK_OVERHEAD_BYTES = 256
const ROW_OVERHEAD_BYTES = 32
const SHELF_BYTES = EXTENT_SEQUENCES * 4 + 256

/** Where a row is: a chunk's number times this, plus its place among the chunk's rows; plus 1, as 0 means that it is not here. */
const ROWS_PER_CHUNK = 2_048

class Chunk {
  readonly bytes: Buffer
  /** Bytes that are taken. */
  length = 0
  /** Of each row: its first sequence, and where it ends. */
  readonly seqs: number[] = []
  readonly ends: number[] = []
  /** Rows that were not forgotten. */
  live = 0
  used = false

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get cost(): number {
    return CHUNK_OVERHEAD_BYTES + this.bytes.length + this.seqs.length * ROW_OVERHEAD_BYTES
  }
}

/** Where the rows of one extent are, by the first sequence of each. */
class Shelf {
  readonly places = new Int32Array(EXTENT_SEQUENCES)
  rows = 0
}

export class RowCache {
  private readonly bytesMax: number
  /** By extent. */
  private readonly shelves = new Map<number, Shelf>()
  /** By number, oldest first. Numbers of chunks that left are used again: places must fit 31 bits. */
  private readonly chunks = new Map<number, Chunk>()
  private readonly freeNumbers: number[] = []
  private growing = -1
  private bytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get(firstSeq: number): Buffer | undefined {
    const place = this.placeOf(firstSeq)
    if (place === 0) return undefined
    const i = (place - 1) % ROWS_PER_CHUNK
    const chunk = this.chunks.get((place - 1 - i) / ROWS_PER_CHUNK) as Chunk
    chunk.used = true
    return chunk.bytes.subarray(i === 0 ? 0 : chunk.ends[i - 1], chunk.ends[i])
  }

  has(firstSeq: number): boolean {
    return this.placeOf(firstSeq) !== 0
  }

  /** A row larger than the cache stays too, until the next one comes: who asked for it must be able to read it. */
  set(firstSeq: number, row: Buffer): void {
    this.delete(firstSeq)
    const own = row.length >= OWN_CHUNK_BYTES
    let number = this.growing
    let chunk = this.chunks.get(number)
    if (own || chunk === undefined || chunk.length + row.length > CHUNK_BYTES || chunk.seqs.length === ROWS_PER_CHUNK) {
      number = this.freeNumbers.pop() ?? this.chunks.size
      chunk = new Chunk(own ? row : Buffer.allocUnsafeSlow(CHUNK_BYTES))
      this.chunks.set(number, chunk)
      this.bytes += chunk.cost
      if (!own) this.growing = number
    }
    if (!own) chunk.bytes.set(row, chunk.length)
    chunk.length += row.length
    this.put(firstSeq, 1 + number * ROWS_PER_CHUNK + chunk.seqs.length)
    chunk.seqs.push(firstSeq)
    chunk.ends.push(chunk.length)
    chunk.live++
    this.bytes += ROW_OVERHEAD_BYTES
    while (this.bytes > this.bytesMax && this.chunks.size > 1) this.evict(number)
  }

  delete(firstSeq: number): void {
    const place = this.placeOf(firstSeq)
    if (place === 0) return
    this.forget(firstSeq)
    const number = Math.floor((place - 1) / ROWS_PER_CHUNK)
    const chunk = this.chunks.get(number) as Chunk
    if (--chunk.live === 0) this.drop(number, chunk)
  }

  private placeOf(firstSeq: number): number {
    const shelf = this.shelves.get(extentOf(firstSeq))
    return shelf === undefined ? 0 : shelf.places[firstSeq % EXTENT_SEQUENCES]
  }

  private put(firstSeq: number, place: number): void {
    const id = extentOf(firstSeq)
    let shelf = this.shelves.get(id)
    if (shelf === undefined) {
      shelf = new Shelf()
      this.shelves.set(id, shelf)
      this.bytes += SHELF_BYTES
    }
    shelf.places[firstSeq % EXTENT_SEQUENCES] = place
    shelf.rows++
  }

  /** Of a row that is here: that it is. */
  private forget(firstSeq: number): void {
    const id = extentOf(firstSeq)
    const shelf = this.shelves.get(id) as Shelf
    shelf.places[firstSeq % EXTENT_SEQUENCES] = 0
    if (--shelf.rows > 0) return
    this.shelves.delete(id)
    this.bytes -= SHELF_BYTES
  }

  /** Lets the oldest chunk go, or sends it round; `keep` has the row that came just now. */
  private evict(keep: number): void {
    const first = this.chunks.entries().next().value
    if (first === undefined) return
    const [number, chunk] = first
    if (chunk.used || number === keep) {
      chunk.used = false
      this.chunks.delete(number)
      this.chunks.set(number, chunk)
      return
    }
    for (const [i, seq] of chunk.seqs.entries()) {
      if (this.placeOf(seq) === 1 + number * ROWS_PER_CHUNK + i) this.forget(seq)
    }
    this.drop(number, chunk)
  }

  private drop(number: number, chunk: Chunk): void {
    this.chunks.delete(number)
    this.freeNumbers.push(number)
    this.bytes -= chunk.cost
    if (this.growing === number) this.growing = -1
  }
}
