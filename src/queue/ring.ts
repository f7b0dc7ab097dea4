/**
 * Waiting entries of one plain queue as numbers in a ring: 13 bytes each. Indexes are consecutive, so only the first is kept by the queue.
 *
 * Always true: what is in the ring was neither handed out nor removed; it leaves at the head only.
 */

const CAPACITY_MIN = 16

export class Ring {
  private seqs = new Float64Array(CAPACITY_MIN)
  /** Bytes of the message, which are below 2^29. */
  private sizes = new Uint32Array(CAPACITY_MIN)
  private marks = new Uint8Array(CAPACITY_MIN)
  private mask = CAPACITY_MIN - 1
  private head = 0
  length = 0

  push(seq: number, bytes: number, flags: number): void {
    if (this.length > this.mask) this.grow()
    const at = (this.head + this.length) & this.mask
    this.seqs[at] = seq
    this.sizes[at] = bytes
    this.marks[at] = flags
    this.length++
  }

  shift(): void {
    this.head = (this.head + 1) & this.mask
    this.length--
  }

  /* of the head; the ring is not empty */
  get seq(): number {
    return this.seqs[this.head]
  }

  get bytes(): number {
    return this.sizes[this.head]
  }

  get flags(): number {
    return this.marks[this.head]
  }

  /** Seq of the entry that is `i` behind the head. */
  seqAt(i: number): number {
    return this.seqs[(this.head + i) & this.mask]
  }

  bytesAt(i: number): number {
    return this.sizes[(this.head + i) & this.mask]
  }

  flagsAt(i: number): number {
    return this.marks[(this.head + i) & this.mask]
  }

  clear(): void {
    this.head = 0
    this.length = 0
  }

  get small(): boolean {
    return this.mask === CAPACITY_MIN - 1
  }

  private grow(): void {
    const capacity = (this.mask + 1) * 2
    const seqs = new Float64Array(capacity)
    const sizes = new Uint32Array(capacity)
    const marks = new Uint8Array(capacity)
    for (let i = 0; i < this.length; i++) {
      const at = (this.head + i) & this.mask
      seqs[i] = this.seqs[at]
      sizes[i] = this.sizes[at]
      marks[i] = this.marks[at]
    }
    this.seqs = seqs
    this.sizes = sizes
    this.marks = marks
    this.mask = capacity - 1
    this.head = 0
  }
}

const SPARE_MAX = 1_024
const spare: Ring[] = []

/** A ring that held little is used again: queues that are mostly empty take and give one per burst. */
export function takeRing(): Ring {
  return spare.pop() ?? new Ring()
}

export function giveRing(ring: Ring): void {
  if (!ring.small || spare.length >= SPARE_MAX) return
  ring.clear()
  spare.push(ring)
}
