/** Receivers that wait at a queue: who is served when something becomes ready, and when. */
import type { Clock } from '../core/clock.js'
import type { Delivery } from './ordered-api.js'
import { Waiters } from './waiters.js'

/** Long polls of one queue that may wait at a time. */
const WAITERS_MAX = 10_000

export interface Served {
  readonly hasReady: boolean
  readonly state: { readonly deleted: boolean }
  onReady: (() => void) | null
  lease(max: number, lease_ms: number, bytes_max?: number): Delivery[]
}

/** What a receiver takes. */
export interface Wanted {
  readonly max: number
  readonly lease_ms: number
  readonly bytes_max: number | undefined
}

export class Polls {
  private readonly queue: Served
  private readonly waiters: Waiters
  private waking = false

  constructor(queue: Served, clock: Clock) {
    this.queue = queue
    this.waiters = new Waiters(clock, WAITERS_MAX)
  }

  get size(): number {
    return this.waiters.size
  }

  endAll(): void {
    this.waiters.endAll()
  }

  /** Waits for messages for `wait_ms`; resolves with none when the time is up, the line is full, or `signal` says that it went away. */
  join({ max, lease_ms, bytes_max }: Wanted, wait_ms: number, signal: AbortSignal | undefined): Promise<Delivery[]> {
    return new Promise((resolve, reject) => {
      const settle = (got: Delivery[]): void => {
        signal?.removeEventListener('abort', left)
        resolve(got)
      }
      const serve = (): void => {
        try {
          settle(this.queue.lease(max, lease_ms, bytes_max))
        } catch (error) {
          reject(error)
        }
      }
      const place = this.waiters.join({ max, lease_ms, ended: () => settle([]), serve }, wait_ms)
      const left = (): void => {
        place?.leave()
        settle([])
      }
      if (place === undefined) settle([])
      else signal?.addEventListener('abort', left, { once: true })
    })
  }

  /** Something is ready. In a microtask: a batch wakes once, and whoever is served does not run inside a sender's call. */
  wake(): void {
    const { queue } = this
    if (this.waking || (this.size === 0 && queue.onReady === null)) return
    this.waking = true
    queueMicrotask(() => {
      this.waking = false
      this.serve()
      if (queue.onReady !== null && !queue.state.deleted && queue.hasReady) queue.onReady()
    })
  }

  /** Hands what is ready to those who wait, in the order they came. */
  serve(): void {
    while (this.size > 0 && !this.queue.state.deleted && this.queue.hasReady) this.waiters.take()?.serve()
  }
}
