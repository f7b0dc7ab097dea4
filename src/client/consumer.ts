/**
 * Takes messages from a queue and hands them to a function, several at a time; acknowledges what it did, gives back what it could not do.
 *
 * Always true: a message is acknowledged only after its handler has resolved, at most once with success, and never after its lease is known to be lost; no
 * more than `concurrency` messages are in hand; every message in hand is acknowledged, given back, or left to its lease.
 */
import type { Clock, Timer } from '../core/clock.js'
import type { Random } from '../core/random.js'
import { BackOff } from './back-off.js'
import { type ConsumeOptions, type Filled, fill } from './consume-options.js'
import { Job, Stopped } from './job.js'
import { Leases } from './leases.js'
import { Settling } from './settling.js'
import type { Received, Source } from './source.js'

/** What a handler gets beside the message. */
export interface Handling {
  /** Aborted when the message is no longer this handler's: nothing that it does from then on is acknowledged. Its reason is a `Stopped`. */
  readonly signal: AbortSignal
}

/** Resolves when the message is done; throws to have it handed out again later. */
export type Handler = (message: Received, handling: Handling) => unknown

export interface ConsumerCounts {
  received: number
  acknowledged: number
  /** The handler threw, and the message was given back. */
  failed: number
  /** Given back because the consumer stops. */
  returned: number
  /** The lease was lost, or the server could not be told: the message is handed out again. */
  lost: number
  /** Messages in hand now. */
  running: number
}

export interface Consumer {
  /** Numbers since the start. */
  readonly counts: Readonly<ConsumerCounts>
  /**
   * Resolves when it has stopped; rejects when the server refuses what no later try can mend, such as a queue that is not there. Without `on_trouble` and
   * with nobody who listens here, that ends the process: a worker without its queue should not look alive.
   */
  readonly ended: Promise<void>
  /**
   * Receives no more, lets running handlers finish, gives the messages of those that do not finish in time back at once (their signals are aborted), and
   * resolves. Calling it again changes nothing.
   */
  stop(o?: { readonly within_ms?: number }): Promise<void>
}

export interface ConsumerNeeds {
  readonly clock: Clock
  readonly random: Random
  /** Where trouble is said that the program did not ask for: a line. Default: stderr. */
  readonly warn?: (line: string) => void
  /** Called when it has ended, however. */
  readonly onEnded?: () => void
}

const RECEIVE_FIRST_MS = 100
const RECEIVE_MOST_MS = 10_000
const SETTLE_FIRST_MS = 100
const SETTLE_MOST_MS = 2_000
const STOP_WITHIN_MS = 10_000

/** Starts at once. Throws a `RangeError` for an option that cannot be. */
export function startConsumer(source: Source, handler: Handler, options: ConsumeOptions, needs: ConsumerNeeds): Consumer {
  const { warn = (line) => void process.stderr.write(`${line}\n`) } = needs
  return new Loop(source, handler, fill(options, needs.clock, warn), needs)
}

class Loop implements Consumer {
  readonly counts: ConsumerCounts = { received: 0, acknowledged: 0, failed: 0, returned: 0, lost: 0, running: 0 }
  readonly ended: Promise<void>
  private readonly source: Source
  private readonly handler: Handler
  private readonly o: Filled
  private readonly clock: Clock
  private readonly backOff: BackOff
  private readonly jobs = new Set<Job>()
  private readonly leases: Leases
  private readonly settling: Settling
  /** Aborted when no more is received. */
  private readonly stopping = new AbortController()
  /** Aborted to leave a receive that is under way. */
  private readonly leaving = new AbortController()
  private receive_ms = 0
  private received: Promise<void> = Promise.resolve()
  private stopped: Promise<void> | undefined
  private refusal: unknown
  /** When there was last something to do, on the uptime clock. */
  private busy_ms: number
  /** Called when a job is over. */
  private onOver: (() => void) | undefined

  constructor(source: Source, handler: Handler, o: Filled, { clock, random, onEnded }: ConsumerNeeds) {
    this.source = source
    this.handler = handler
    this.o = o
    this.clock = clock
    this.busy_ms = clock.uptime_ms()
    this.backOff = new BackOff(RECEIVE_FIRST_MS, RECEIVE_MOST_MS, random)
    const trouble = (error: unknown): void => this.trouble(error)
    this.leases = new Leases(source, clock, o.lease_ms, this.jobs, {
      trouble,
      lost: (job, why) => {
        this.trouble(why, job.message)
        this.over(job, 'lost')
      },
    })
    this.settling = new Settling(source, clock, new BackOff(SETTLE_FIRST_MS, SETTLE_MOST_MS, random), {
      trouble,
      settled: (job, acknowledged, ok) =>
        this.over(job, !ok ? 'lost' : acknowledged ? 'acknowledged' : job.threw ? 'failed' : 'returned'),
    })
    if (o.signal?.aborted === true) this.stopping.abort()
    o.signal?.addEventListener('abort', () => void this.stop(), { once: true, signal: this.stopping.signal })
    this.ended = onEnded === undefined ? this.run() : this.run().finally(onEnded)
    // Whoever is told of trouble has been told of this, too; otherwise it is for Node to say.
    if (o.told) this.ended.catch(() => {})
  }

  stop({ within_ms = STOP_WITHIN_MS }: { readonly within_ms?: number } = {}): Promise<void> {
    this.stopped ??= this.finish(within_ms)
    return this.stopped
  }

  private async run(): Promise<void> {
    this.received = this.receiving()
    await this.received
    // At its own end it waits for its handlers as long as they take; told to stop, or refused, it waits as long as a stop does.
    while (this.refusal === undefined && !this.stopping.signal.aborted && this.jobs.size > 0) await this.untilOver()
    await this.stop()
    if (this.refusal !== undefined) throw this.refusal
  }

  private async receiving(): Promise<void> {
    const { signal } = this.stopping
    const { concurrency, limit, max_batch, lease_ms, idle_ms } = this.o
    const wait_ms = Math.min(this.o.wait_ms, idle_ms)
    while (!signal.aborted && this.counts.received < limit) {
      const max = Math.min(concurrency - this.jobs.size, limit - this.counts.received, max_batch)
      if (max <= 0) {
        await this.untilOver()
        continue
      }
      const began_ms = this.clock.uptime_ms()
      this.receive_ms = began_ms
      try {
        const messages = await this.source.receive({ max, wait_ms, lease_ms, signal: this.leaving.signal })
        for (const message of messages) this.begin(message)
        const now = this.clock.uptime_ms()
        if (messages.length > 0) this.backOff.reset()
        else if (this.jobs.size === 0 && now - this.busy_ms >= idle_ms) return
        // Nothing, before the wait was over: the server is closing, or waits for nobody. Do not ask it without a pause.
        else if (now - began_ms < wait_ms / 2) await this.pause(this.backOff.next())
      } catch (error) {
        if (signal.aborted) return
        this.trouble(error)
        if (!this.source.passing(error)) {
          this.refusal = error
          return
        }
        await this.pause(this.backOff.next())
      }
    }
  }

  private begin(message: Received): void {
    const job = new Job(message)
    job.held(this.clock.uptime_ms(), this.o.lease_ms)
    this.counts.received++
    this.jobs.add(job)
    this.counts.running = this.jobs.size
    // It came while we were told to stop: nobody has seen it.
    if (this.stopping.signal.aborted) {
      this.settling.giveBack(job)
      return
    }
    this.leases.watch(job)
    void this.handle(job)
  }

  private async handle(job: Job): Promise<void> {
    const { message, signal } = job
    try {
      await this.handler(message, { signal })
      if (job.state === 'handling') this.settling.ack(job)
    } catch (error) {
      if (job.state !== 'handling') return
      job.threw = true
      this.trouble(error, message)
      this.settling.nack(job, this.o.retry_ms(message.attempts, error))
    }
  }

  private over(job: Job, how: 'acknowledged' | 'failed' | 'returned' | 'lost'): void {
    this.counts[how]++
    this.jobs.delete(job)
    this.busy_ms = this.clock.uptime_ms()
    this.counts.running = this.jobs.size
    this.onOver?.()
  }

  private async finish(within_ms: number): Promise<void> {
    this.stopping.abort()
    const leave = this.leave()
    let late = false
    const timer = this.clock.after(within_ms, () => {
      late = true
      this.settling.hurry()
      for (const job of this.jobs) {
        if (job.state !== 'handling') continue
        this.settling.giveBack(job)
        job.abort(new Stopped('stopping', 'The consumer stops; the message was given back.'))
      }
    })
    await this.received
    leave.cancel()
    while (this.jobs.size > 0) await this.untilOver()
    if (!late) timer.cancel()
    this.leases.stop()
  }

  /**
   * Ends the receive that is under way. One that has just begun may be about to answer, and what it brings would be nobody's until its lease is over: it is
   * given the time to, and its messages go back unseen.
   */
  private leave(): Timer {
    const left_ms = this.receive_ms + this.source.answers_within_ms - this.clock.uptime_ms()
    const timer = this.clock.after(left_ms, () => this.leaving.abort())
    if (left_ms <= 0) this.leaving.abort()
    return timer
  }

  /** Resolves when a job is over. One caller at a time waits for room, another for the end: both are called. */
  private untilOver(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.onOver
      this.onOver = () => {
        this.onOver = undefined
        before?.()
        resolve()
      }
    })
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.stopping
      const end = (): void => {
        timer.cancel()
        signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = this.clock.after(ms, end)
      signal.addEventListener('abort', end)
      if (signal.aborted) end()
    })
  }

  private trouble(error: unknown, message?: Received): void {
    try {
      this.o.on_trouble(error, message)
    } catch {
      // Whoever cannot hear of trouble does not stop the work.
    }
  }
}
