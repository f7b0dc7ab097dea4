/**
 * Acknowledges and gives back what handlers are done with. One call is under way at a time, what is done meanwhile goes with the next, so that a fast
 * handler costs a part of a request. A call that fails for a passing reason is made again as long as the lease lasts: the receipt makes sure that
 * it can touch no other delivery.
 */
import type { Clock } from '../core/clock.js'
import type { BackOff } from './back-off.js'
import type { Job } from './job.js'
import { BATCH_MAX, type Source } from './source.js'

interface Wish {
  readonly job: Job
  /** Undefined: acknowledge. */
  readonly nack_ms: number | undefined
  /** Giving it back is an attempt: somebody worked on it. */
  readonly count: boolean
}

export interface SettleHooks {
  /** `ok`: the server has done it. Otherwise the message is handed out again when its lease is over, unless an answer was lost on the way. */
  settled(job: Job, acknowledged: boolean, ok: boolean): void
  trouble(error: unknown): void
}

export class Settling {
  private readonly source: Source
  private readonly clock: Clock
  private readonly backOff: BackOff
  private readonly hooks: SettleHooks
  private wishes: Wish[] = []
  private busy = false
  private insist = true

  constructor(source: Source, clock: Clock, backOff: BackOff, hooks: SettleHooks) {
    this.source = source
    this.clock = clock
    this.backOff = backOff
    this.hooks = hooks
  }

  ack(job: Job): void {
    this.add({ job, nack_ms: undefined, count: true })
  }

  nack(job: Job, delay_ms: number): void {
    this.add({ job, nack_ms: delay_ms, count: true })
  }

  /** Gives it back at once, as if it had not been received. */
  giveBack(job: Job): void {
    this.add({ job, nack_ms: 0, count: false })
  }

  /** From now on each call is made once more at most. */
  hurry(): void {
    this.insist = false
    this.wake?.()
  }

  private wake: (() => void) | undefined

  private add(wish: Wish): void {
    wish.job.state = 'settling'
    this.wishes.push(wish)
    if (!this.busy) {
      this.busy = true
      // At the end of this turn: what is done together goes together.
      queueMicrotask(() => void this.work())
    }
  }

  private async work(): Promise<void> {
    while (this.wishes.length > 0) {
      const { nack_ms, count } = this.wishes[0] as Wish
      const batch: Wish[] = []
      const rest: Wish[] = []
      for (const wish of this.wishes) {
        const alike = wish.nack_ms === nack_ms && wish.count === count
        ;(alike && batch.length < BATCH_MAX ? batch : rest).push(wish)
      }
      this.wishes = rest
      await this.settle(batch, nack_ms, count)
    }
    this.busy = false
  }

  private async settle(batch: readonly Wish[], nack_ms: number | undefined, count: boolean): Promise<void> {
    const receipts = batch.map(({ job }) => job.message.receipt)
    const last = !this.insist
    try {
      const results = await (nack_ms === undefined ? this.source.ack(receipts) : this.source.nack(receipts, nack_ms, count))
      this.backOff.reset()
      for (const [i, { job }] of batch.entries()) this.done(job, nack_ms, results[i] === 'ok')
    } catch (error) {
      this.hooks.trouble(error)
      const again = this.source.passing(error) && !last
      const pause_ms = again ? this.backOff.next() : 0
      const then = this.clock.uptime_ms() + pause_ms
      const left: Wish[] = []
      for (const wish of batch) {
        if (again && wish.job.until_ms > then) left.push(wish)
        else this.done(wish.job, nack_ms, false)
      }
      this.wishes = [...left, ...this.wishes]
      if (left.length > 0) await this.pause(pause_ms)
    }
  }

  private done(job: Job, nack_ms: number | undefined, ok: boolean): void {
    job.state = 'over'
    this.hooks.settled(job, nack_ms === undefined, ok)
  }

  private async pause(ms: number): Promise<void> {
    if (!this.insist) return
    await new Promise<void>((resolve) => {
      const timer = this.clock.after(ms, resolve)
      this.wake = () => {
        timer.cancel()
        resolve()
      }
    })
    this.wake = undefined
  }
}
