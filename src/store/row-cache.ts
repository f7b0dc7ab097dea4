/**
 * Message rows in memory, by first sequence: the ones just committed, since live consumers read them next, and the ones read for those
 * that lag. Bounded by bytes; a row read since it came in gets a second round before it goes.
 */

/** What a row costs beside its bytes. */
const ROW_OVERHEAD_BYTES = 160

interface Cached {
  readonly row: Buffer
  used: boolean
}

export class RowCache {
  private readonly bytesMax: number
  private readonly rows = new Map<number, Cached>()
  private bytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get(firstSeq: number): Buffer | undefined {
    const cached = this.rows.get(firstSeq)
    if (cached === undefined) return undefined
    cached.used = true
    return cached.row
  }

  has(firstSeq: number): boolean {
    return this.rows.has(firstSeq)
  }

  /** A row larger than the cache stays too, until the next one comes: who asked for it must be able to read it. */
  set(firstSeq: number, row: Buffer): void {
    this.delete(firstSeq)
    this.rows.set(firstSeq, { row, used: false })
    this.bytes += row.length + ROW_OVERHEAD_BYTES
    while (this.bytes > this.bytesMax && this.rows.size > 1) this.evict(firstSeq)
  }

  delete(firstSeq: number): void {
    const cached = this.rows.get(firstSeq)
    if (cached === undefined) return
    this.rows.delete(firstSeq)
    this.bytes -= cached.row.length + ROW_OVERHEAD_BYTES
  }

  private evict(keep: number): void {
    const first = this.rows.entries().next().value
    if (first === undefined) return
    const [seq, cached] = first
    this.rows.delete(seq)
    if (cached.used || seq === keep) {
      cached.used = false
      this.rows.set(seq, cached)
      return
    }
    this.bytes -= cached.row.length + ROW_OVERHEAD_BYTES
  }
}
