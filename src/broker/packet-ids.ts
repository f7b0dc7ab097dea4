/**
 * The QoS 2 packet identifiers of one session's publishing side: which are *open* (PUBLISH was taken, PUBREL has not come), and which were *completed*
 * lately.
 *
 * Always true: it takes 10 KiB at most, however many of the 65,535 identifiers are open; an identifier that is open is not completed.
 */

/** From here on a bit for each identifier is smaller than a set of numbers. */
const SET_MAX = 128
const BITS_BYTES = 8 * 1024
/** Identifiers that are remembered as completed: as many as clients in use have under way at once. */
const COMPLETED_MAX = 1024
const COMPLETED_FIRST = 16

export class PacketIds {
  /** How many are open. */
  size = 0
  private few: Set<number> | null = new Set()
  private bits: Uint8Array | null = null
  /** A ring, oldest first; 0 is no identifier. */
  private completed: Uint16Array | null = null
  private next = 0

  has(id: number): boolean {
    if (this.few !== null) return this.few.has(id)
    return ((this.bits as Uint8Array)[id >> 3] & (1 << (id & 7))) !== 0
  }

  /** Opens `id`. */
  add(id: number): void {
    if (this.has(id)) return
    this.size++
    if (this.few !== null) {
      this.few.add(id)
      if (this.few.size > SET_MAX) this.spread(this.few)
      return
    }
    this.mark(id)
  }

  /** Closes `id` and remembers it as completed; false when it was not open. */
  complete(id: number): boolean {
    if (!this.delete(id)) return false
    this.remember(id)
    return true
  }

  /** Closes `id`, whose message was not taken after all; false when it was not open. */
  delete(id: number): boolean {
    if (!this.has(id)) return false
    this.size--
    if (this.few !== null) this.few.delete(id)
    else (this.bits as Uint8Array)[id >> 3] &= ~(1 << (id & 7))
    if (this.size === 0) {
      this.few = new Set()
      this.bits = null
    }
    return true
  }

  /** Completed lately: its PUBCOMP may have been lost. */
  wasCompleted(id: number): boolean {
    return this.completed?.includes(id) === true
  }

  /** Those that are open, in no order. */
  *[Symbol.iterator](): Generator<number> {
    if (this.few !== null) {
      yield* this.few
      return
    }
    for (let id = 1; id < BITS_BYTES * 8; id++) if (this.has(id)) yield id
  }

  private spread(few: ReadonlySet<number>): void {
    this.bits = new Uint8Array(BITS_BYTES)
    this.few = null
    for (const id of few) this.mark(id)
  }

  private mark(id: number): void {
    ;(this.bits as Uint8Array)[id >> 3] |= 1 << (id & 7)
  }

  private remember(id: number): void {
    let ring = this.completed ?? new Uint16Array(COMPLETED_FIRST)
    if (this.next === ring.length) {
      if (ring.length < COMPLETED_MAX) {
        const longer = new Uint16Array(ring.length * 4)
        longer.set(ring)
        ring = longer
      } else {
        this.next = 0
      }
    }
    ring[this.next++] = id
    this.completed = ring
  }
}
