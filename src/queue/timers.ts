/**
 * Wakes queues at their nearest due moment: a lease that ends, a delay that is over, a message that expires. One armed timer for
 * all queues, a heap of (moment, queue) beneath.
 *
 * Always true: moments are on the wall clock; what is armed is never later than the earliest moment, seen from the clock at the
 * time of arming, and never further away than a minute, so that a step of the clock shows within that.
 */
import type { Clock, Timer } from '../core/clock.js'

/** Something with due moments. The fields are the heap's own. */
export interface Due {
  /** Does what is due at `now`; returns the next moment (milliseconds since 1970) or Infinity. */
  due(now: number): number
  /** Place in the heap, -1 when it waits for nothing. */
  dueSlot: number
  dueAt: number
}

const ARM_MS_MAX = 60_000

export class DueTimers {
  private readonly clock: Clock
  private readonly heap: Due[] = []
  private timer: Timer | null = null
  private armedFor = Number.POSITIVE_INFINITY
  private closed = false
  private running = false

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** `item` wants to be called at `at`; Infinity: not at all. Replaces what it wanted before. */
  set(item: Due, at: number): void {
    if (at === Number.POSITIVE_INFINITY) {
      if (item.dueSlot >= 0) this.remove(item)
      return
    }
    if (item.dueSlot < 0) {
      item.dueAt = at
      item.dueSlot = this.heap.length
      this.heap.push(item)
      this.up(item.dueSlot)
    } else if (at < item.dueAt) {
      item.dueAt = at
      this.up(item.dueSlot)
    } else if (at > item.dueAt) {
      item.dueAt = at
      this.down(item.dueSlot)
    }
    if (!this.running) this.arm()
  }

  close(): void {
    this.closed = true
    this.timer?.cancel()
    this.timer = null
  }

  private arm(): void {
    if (this.closed || this.heap.length === 0) return
    const at = this.heap[0].dueAt
    if (this.timer !== null && this.armedFor <= at) return
    this.timer?.cancel()
    const now = this.clock.now()
    const wait = Math.min(Math.max(0, at - now), ARM_MS_MAX)
    this.armedFor = now + wait
    this.timer = this.clock.after(wait, () => this.fire())
  }

  private fire(): void {
    this.timer = null
    this.armedFor = Number.POSITIVE_INFINITY
    if (this.closed) return
    const now = this.clock.now()
    this.running = true
    // Each item once: one that asks for `now` again has more than a turn's worth of work and comes back in the next turn.
    const ready: Due[] = []
    while (this.heap.length > 0 && this.heap[0].dueAt <= now) {
      const item = this.heap[0]
      this.remove(item)
      ready.push(item)
    }
    try {
      for (const item of ready) this.set(item, item.due(now))
    } finally {
      this.running = false
      this.arm()
    }
  }

  private remove(item: Due): void {
    const slot = item.dueSlot
    const last = this.heap.pop() as Due
    item.dueSlot = -1
    if (last === item) return
    this.heap[slot] = last
    last.dueSlot = slot
    this.up(slot)
    this.down(last.dueSlot)
  }

  private up(slot: number): void {
    const heap = this.heap
    const item = heap[slot]
    while (slot > 0) {
      const parent = (slot - 1) >> 1
      const above = heap[parent]
      if (above.dueAt <= item.dueAt) break
      heap[slot] = above
      above.dueSlot = slot
      slot = parent
    }
    heap[slot] = item
    item.dueSlot = slot
  }

  private down(slot: number): void {
    const heap = this.heap
    const item = heap[slot]
    for (;;) {
      let child = 2 * slot + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1].dueAt < heap[child].dueAt) child++
      if (heap[child].dueAt >= item.dueAt) break
      heap[slot] = heap[child]
      heap[slot].dueSlot = slot
      slot = child
    }
    heap[slot] = item
    item.dueSlot = slot
  }
}
