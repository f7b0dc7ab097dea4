/**
 * Things that come due at a moment, the earliest first: a binary heap in which each thing knows its place, so that a moment can be
 * moved or taken back. It has no timer: who owns it looks from time to time, or arms one for the first. Moments are on the clock of whoever asks
 * what is due; in a broker that is `BrokerTime`.
 *
 * Always true: a thing is in here at most once; its `slot` is its place, -1 when it is not in here; nothing is earlier than the first.
 */
export interface Moment {
  /** Milliseconds. Whoever changes it calls `place` right afterwards. */
  readonly dueAt: number
  /** The heap's own. */
  slot: number
}

export class Moments<T extends Moment> {
  private readonly heap: T[] = []

  get size(): number {
    return this.heap.length
  }

  /** The earliest. */
  get first(): T | undefined {
    return this.heap[0]
  }

  /** The earliest, if it is due at `now`. */
  firstDue(now: number): T | undefined {
    const first = this.heap[0]
    return first !== undefined && first.dueAt <= now ? first : undefined
  }

  /** Adds `item`, or moves it to where its moment belongs now. */
  place(item: T): void {
    if (item.slot < 0) item.slot = this.heap.push(item) - 1
    this.up(item, item.slot)
    this.down(item, item.slot)
  }

  delete(item: T): void {
    const { heap } = this
    const { slot } = item
    if (slot < 0) return
    item.slot = -1
    const last = heap.pop() as T
    if (last === item) return
    last.slot = slot
    heap[slot] = last
    this.place(last)
  }

  private up(item: T, from: number): void {
    const { heap } = this
    let slot = from
    while (slot > 0) {
      const parent = (slot - 1) >> 1
      const above = heap[parent]
      if (above.dueAt <= item.dueAt) break
      heap[slot] = above
      above.slot = slot
      slot = parent
    }
    heap[slot] = item
    item.slot = slot
  }

  private down(item: T, from: number): void {
    const { heap } = this
    let slot = from
    for (;;) {
      let child = 2 * slot + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1].dueAt < heap[child].dueAt) child++
      const below = heap[child]
      if (below.dueAt >= item.dueAt) break
      heap[slot] = below
      below.slot = slot
      slot = child
    }
    heap[slot] = item
    item.slot = slot
  }
}
