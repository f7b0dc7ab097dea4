/**
 * How messages left their queues, remembered for a while: one row per departure, lazily, so that an acknowledgement costs no commit of its own.
 *
 * A row's key begins with the moment until which it is kept, rounded up to one of 64 steps of the time that is kept: so what is over is a range, and a
 * message is found with one read per step, however many rows there are. Always true: with a time of 0 there is no `Trace`, and a departure costs one
 * comparison.
 */
import type { Clock, Timer } from '../core/clock.js'
import type { Log } from '../core/log.js'
import { DEPARTURES, QUEUE_KINDS } from '../core/queue-words.js'
import { getU16, getU48, putU16, putU48 } from '../store/bytes.js'
import type { Disk } from '../store/disk.js'
import type { Journal } from '../store/journal.js'
import { departureFields, departureKey, departures, departuresOf, departuresUntil } from '../store/keys.js'
import type { Departure, QueueKind } from './queue.js'

/** A departure, as it is found again. */
export interface Left {
  readonly queue: string
  readonly kind: QueueKind
  readonly why: Departure
  /** Milliseconds since 1970. */
  readonly at: number
  /** Hand-outs until then. */
  readonly attempts: number
}

/** Whoever a message leaves. */
export interface Leaving {
  readonly id: number
  readonly kind: QueueKind
  readonly name: string
}

export interface TraceOptions {
  /** Seconds, above 0. */
  readonly retain_s: number
  readonly max_bytes: number
}

const STEPS = 64
const SWEEP_MS = 15_000
const SWEEP_ROWS = 1_000
const FOUND_MAX = 1_000
const VERSION = 1

export class Trace {
  private readonly o: TraceOptions
  private readonly disk: Disk
  private readonly journal: Journal
  private readonly clock: Clock
  private readonly step_ms: number
  private readonly timer: Timer
  private sweeping: Promise<void> | undefined

  constructor(o: TraceOptions, store: { readonly disk: Disk; readonly journal: Journal }, clock: Clock, log: Log) {
    this.o = o
    this.disk = store.disk
    this.journal = store.journal
    this.clock = clock
    this.step_ms = Math.max(1_000, Math.ceil((o.retain_s * 1_000) / STEPS))
    this.timer = clock.every(SWEEP_MS, () => {
      this.sweep().catch((error: unknown) => {
        if (!this.journal.failed) log.error({ err: error }, 'forgetting old departures failed')
      })
    })
  }

  /** `seq` left `queue`, in the open commit group or a later one. */
  left(queue: Leaving, seq: number, why: Departure, attempts: number): void {
    const at = this.clock.now()
    const until = Math.ceil((at + this.o.retain_s * 1_000) / this.step_ms) * this.step_ms
    const name = Buffer.from(queue.name)
    const row = Buffer.allocUnsafe(11 + name.length)
    row[0] = VERSION
    row[1] = QUEUE_KINDS.indexOf(queue.kind)
    row[2] = DEPARTURES.indexOf(why)
    putU16(row, 3, Math.min(attempts, 0xffff))
    putU48(row, 5, at)
    name.copy(row, 11)
    this.journal.putLazily(departureKey(until, seq, queue.id), row)
  }

  /** Departures of the message that are still remembered, in order of time; at most 1,000. What is not committed yet is not seen. */
  async find(seq: number): Promise<Left[]> {
    const found: Left[] = []
    const now = this.clock.now()
    let until = 0
    while (found.length < FOUND_MAX) {
      const step = await this.stepFrom(until)
      if (step === undefined) break
      until = step + 1
      if (step <= now) continue
      for await (const { value } of this.disk.scan(departuresOf(step, seq), { limit: FOUND_MAX })) {
        const left = decode(value)
        if (left !== undefined) found.push(left)
      }
    }
    return found.sort((a, b) => a.at - b.at)
  }

  /** Forgets what is over, and the oldest when all together take too much. */
  sweep(): Promise<void> {
    if (this.journal.failed) return Promise.resolve()
    this.sweeping ??= this.sweepOnce().finally(() => {
      this.sweeping = undefined
    })
    return this.sweeping
  }

  private async sweepOnce(): Promise<void> {
    await this.forget(this.clock.now())
    while ((await this.disk.approximateBytes(departures)) > this.o.max_bytes) {
      const oldest = await this.stepFrom(0)
      if (oldest === undefined || !(await this.forget(oldest))) break
      await this.disk.compact(departuresUntil(oldest))
    }
  }

  close(): void {
    this.timer.cancel()
  }

  /** Deletes the rows that were to be kept until `moment` or less. False when there were none. */
  private async forget(moment: number): Promise<boolean> {
    let any = false
    for (;;) {
      let n = 0
      for await (const { key } of this.disk.scan(departuresUntil(moment), { limit: SWEEP_ROWS })) {
        this.journal.delLazily(key)
        n++
      }
      if (n === 0) return any
      any = true
      await this.journal.flush()
    }
  }

  /** The first step at or behind `until` that has rows. */
  private async stepFrom(until: number): Promise<number | undefined> {
    for await (const { key } of this.disk.scan(departuresUntil(undefined, until), { limit: 1 })) return departureFields(key).until
    return undefined
  }
}

function decode(row: Buffer): Left | undefined {
  if (row.length < 11 || row[0] !== VERSION) return undefined
  const kind = QUEUE_KINDS[row[1]]
  const why = DEPARTURES[row[2]]
  if (kind === undefined || why === undefined) return undefined
  return { queue: row.toString('utf8', 11), kind, why, at: getU48(row, 5), attempts: getU16(row, 3) }
}
