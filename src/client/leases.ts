/**
 * Keeps the leases of messages that are being handled: at half of a lease it is extended, several together where they come due together.
 * When the server says that a lease is gone, or when it cannot be asked until the lease is over, the handler is told.
 */
import type { Clock, Timer } from '../core/clock.js'
import { type Job, Stopped } from './job.js'
import { BATCH_MAX, type Source } from './source.js'

/** Jobs that come due within this part of a lease are extended by the same call. */
const TOGETHER = 1 / 16

export interface LeaseHooks {
  /** The job's lease is gone; it is `over` by now. */
  lost(job: Job, why: Stopped): void
  trouble(error: unknown): void
}

export class Leases {
  private readonly source: Source
  private readonly clock: Clock
  private readonly lease_ms: number
  private readonly hooks: LeaseHooks
  private readonly jobs: ReadonlySet<Job>
  private timer: Timer | undefined
  private due_ms = Infinity
  private asking = false

  constructor(source: Source, clock: Clock, lease_ms: number, jobs: ReadonlySet<Job>, hooks: LeaseHooks) {
    this.source = source
    this.clock = clock
    this.lease_ms = lease_ms
    this.jobs = jobs
    this.hooks = hooks
  }

  /** Call it when a job has begun. */
  watch(job: Job): void {
    if (job.extend_at_ms < this.due_ms) this.arm(job.extend_at_ms)
  }

  stop(): void {
    this.timer?.cancel()
    this.due_ms = Infinity
  }

  private arm(at_ms: number): void {
    this.timer?.cancel()
    this.due_ms = at_ms
    this.timer = this.clock.after(at_ms - this.clock.uptime_ms(), () => {
      this.due_ms = Infinity
      void this.extend()
    })
  }

  private async extend(): Promise<void> {
    // One call at a time; when it has answered, what came due meanwhile is asked for.
    if (this.asking) return
    this.asking = true
    const now = this.clock.uptime_ms()
    const due: Job[] = []
    for (const job of this.jobs) {
      if (job.state !== 'handling') continue
      if (job.until_ms <= now) this.lose(job, 'The lease ran out before it could be extended.')
      else if (job.extend_at_ms <= now + this.lease_ms * TOGETHER && due.length < BATCH_MAX) due.push(job)
    }
    if (due.length > 0) await this.ask(due)
    this.asking = false
    this.next()
  }

  private async ask(due: readonly Job[]): Promise<void> {
    const asked_ms = this.clock.uptime_ms()
    try {
      const results = await this.source.extend(
        due.map((job) => job.message.receipt),
        this.lease_ms,
      )
      for (const [i, job] of due.entries()) {
        if (job.state !== 'handling') continue
        if (results[i] === 'ok') job.held(asked_ms, this.lease_ms)
        else this.lose(job, 'The message is no longer ours: its lease was over, or it was deleted.')
      }
    } catch (error) {
      this.hooks.trouble(error)
      const now = this.clock.uptime_ms()
      for (const job of due) {
        if (job.state !== 'handling') continue
        if (this.source.passing(error)) job.extend_at_ms = Math.min(job.until_ms, now + this.lease_ms * TOGETHER)
        else this.lose(job, 'The lease cannot be extended.')
      }
    }
  }

  private next(): void {
    let at_ms = Infinity
    for (const job of this.jobs) if (job.state === 'handling') at_ms = Math.min(at_ms, job.extend_at_ms)
    if (at_ms < this.due_ms) this.arm(at_ms)
  }

  private lose(job: Job, text: string): void {
    job.state = 'over'
    const why = new Stopped('lease_lost', text)
    job.abort(why)
    this.hooks.lost(job, why)
  }
}
