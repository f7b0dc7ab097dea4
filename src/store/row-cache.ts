/**
 * Message rows in memory, by first sequence: the ones just committed, since live consumers read them next, and the ones read for those
 * that lag. Bounded by bytes.
 *
 * Small rows are copied into chunks, one behind the other, and what is known of them are numbers: as objects of their own, which live for
 * seconds, thousands a second kept the collector at work, and its pauses were the tail of acknowledged writes.
 *
 * Always true: a chunk is only ever appended to, so that what was handed out stays as it is; it leaves as a whole, the oldest first, but one
 * that was read since it came gets a second round.
 */

const CHUNK_BYTES = 64 * 1024
/** From here on a row is a chunk by itself, as it is. */
const OWN_CHUNK_BYTES = 8 * 1024
/** What a chunk costs beside its bytes, and a row beside its own. */
const CHUNK_OVERHEAD_BYTES = 256
const ROW_OVERHEAD_BYTES = 64

/** Where a row is: a chunk's number times this, plus its place among the chunk's rows. */
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

export class RowCache {
  private readonly bytesMax: number
  private readonly places = new Map<number, number>()
  /** By number, oldest first. */
  private readonly chunks = new Map<number, Chunk>()
  private nextChunk = 0
  private growing = -1
  private bytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get(firstSeq: number): Buffer | undefined {
    const place = this.places.get(firstSeq)
    if (place === undefined) return undefined
    const i = place % ROWS_PER_CHUNK
    const chunk = this.chunks.get((place - i) / ROWS_PER_CHUNK) as Chunk
    chunk.used = true
    return chunk.bytes.subarray(i === 0 ? 0 : chunk.ends[i - 1], chunk.ends[i])
  }

  has(firstSeq: number): boolean {
    return this.places.has(firstSeq)
  }

  /** A row larger than the cache stays too, until the next one comes: who asked for it must be able to read it. */
  set(firstSeq: number, row: Buffer): void {
    this.delete(firstSeq)
    const own = row.length >= OWN_CHUNK_BYTES
    let chunk = this.chunks.get(this.growing)
    let number = this.growing
    if (own || chunk === undefined || chunk.length + row.length > CHUNK_BYTES || chunk.seqs.length === ROWS_PER_CHUNK) {
      number = this.nextChunk++
      chunk = new Chunk(own ? row : Buffer.allocUnsafeSlow(CHUNK_BYTES))
      this.chunks.set(number, chunk)
      this.bytes += chunk.cost
      if (!own) this.growing = number
    }
    if (!own) chunk.bytes.set(row, chunk.length)
    chunk.length += row.length
    this.places.set(firstSeq, number * ROWS_PER_CHUNK + chunk.seqs.length)
    chunk.seqs.push(firstSeq)
    chunk.ends.push(chunk.length)
    chunk.live++
    this.bytes += ROW_OVERHEAD_BYTES
    while (this.bytes > this.bytesMax && this.chunks.size > 1) this.evict(number)
  }

  delete(firstSeq: number): void {
    const place = this.places.get(firstSeq)
    if (place === undefined) return
    this.places.delete(firstSeq)
    const number = Math.floor(place / ROWS_PER_CHUNK)
    const chunk = this.chunks.get(number) as Chunk
    if (--chunk.live === 0) this.drop(number, chunk)
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
      if (this.places.get(seq) === number * ROWS_PER_CHUNK + i) this.places.delete(seq)
    }
    this.drop(number, chunk)
  }

  private drop(number: number, chunk: Chunk): void {
    this.chunks.delete(number)
    this.bytes -= chunk.cost
    if (this.growing === number) this.growing = -1
  }
}
