/**
 * Who waits for one commit group: pairs of waiter and token in two arrays that are kept and used again, so that waiting costs no
 * closure, promise or allocation.
 */
import type { Log } from '../core/log.js'
import type { Waiter } from './waiter.js'

/** Fills released places, so that a kept array does not hold on to closed connections. */
const nobody: Waiter = { committed() {}, commitFailed() {} }

/** Places kept for the next group; a larger burst gives its arrays back to the collector. */
const KEPT_MAX = 16_384

export class WaitList {
  private waiters: Waiter[] = []
  private tokens: number[] = []
  private length = 0

  add(waiter: Waiter, token: number): void {
    this.waiters[this.length] = waiter
    this.tokens[this.length++] = token
  }

  get empty(): boolean {
    return this.length === 0
  }

  /** Calls each waiter in order. What one of them throws is logged and does not keep the next from its answer. */
  committed(log: Log): void {
    const n = this.length
    for (let i = 0; i < n; i++) {
      const waiter = this.waiters[i]
      this.waiters[i] = nobody
      try {
        waiter.committed(this.tokens[i])
      } catch (error) {
        log.error({ err: error }, 'an answer to a commit failed')
      }
    }
    this.reset()
  }

  /** Tells each waiter once, however many tokens it has here. */
  failed(log: Log, told: Set<Waiter>): void {
    const n = this.length
    for (let i = 0; i < n; i++) {
      const waiter = this.waiters[i]
      this.waiters[i] = nobody
      if (told.has(waiter)) continue
      told.add(waiter)
      try {
        waiter.commitFailed(this.tokens[i])
      } catch (error) {
        log.error({ err: error }, 'an answer to a failed commit failed')
      }
    }
    this.reset()
  }

  private reset(): void {
    this.length = 0
    if (this.waiters.length > KEPT_MAX) {
      this.waiters = []
      this.tokens = []
    }
  }
}
