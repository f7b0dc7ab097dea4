/**
 * Ordered group commit: what is put in one turn, or while a commit is on its way to the disk, is one group, written as one atomic batch.
 *
 * States: *idle* (nothing asked for) → *asked* (a commit starts at the end of this turn) → *in flight* (one batch is at the disk; the next
 * group collects) → idle or in flight again. From any of them → *failed* or *closed*, for good.
 *
 * Always true:
 * - at most one batch is at the disk; groups are committed in order and numbered without gaps, also over restarts;
 * - a waiter is told `committed` only after its group's batch was written as strongly as the durability says, in the order of the `wait`
 *   calls, and the next batch is on its way before the first waiter is told;
 * - after one failed write nothing is written any more: every waiter there is and every later one is told `commitFailed`.
 */
import type { Clock, Timer } from '../core/clock.js'
import { AqueductError } from '../core/errors.js'
import { COMMIT_BYTES_MAX } from '../core/limits.js'
import type { Log } from '../core/log.js'
import type { Disk, Op } from './disk.js'
import { WaitList } from './wait-list.js'
import type { CommitPoint, Waiter } from './waiter.js'

/** How long something that nobody waits for may lie before it is written; acknowledgements of subscribers ride with messages. */
export const LAZY_MS = 20

/** Who collects rows of its own for each group (packed rows, index pages). */
export interface Contributor {
  /** The open group is about to be written: put what belongs to it, now. */
  seal(put: (key: Buffer, value: Buffer) => void, del: (key: Buffer) => void): void
  /** `group` is on the disk. Called before any waiter of the group. */
  committed(group: number): void
  /** The waiters of `group` have been told. */
  settled?(group: number): void
}

export interface JournalOptions {
  readonly disk: Disk
  /** Flush every commit. Mixed flushed and unflushed commits would not keep their order over a power cut, so it is all or none. */
  readonly sync: boolean
  readonly clock: Clock
  readonly log: Log
  /** Number of the last commit that is on the disk. */
  readonly committed: number
}

export class Journal implements CommitPoint {
  /** Bytes given to the disk since the start. */
  bytesWritten = 0
  /** Called once when a commit failed. */
  onFailed: ((error: AqueductError) => void) | null = null

  private readonly disk: Disk
  private readonly sync: boolean
  private readonly clock: Clock
  private readonly log: Log
  private readonly contributors: Contributor[] = []

  private open: number
  private done: number
  private ops: Op[] = []
  private openBytes = 0
  private flightBytes = 0
  private openWaiters = new WaitList()
  private flightWaiters = new WaitList()
  private readonly spareWaiters: WaitList[] = []

  private inFlight = false
  private asked = false
  private scheduled = false
  private dirty = false
  private lazy: Timer | null = null
  private failure: AqueductError | null = null
  private closed = false

  constructor(o: JournalOptions) {
    this.disk = o.disk
    this.sync = o.sync
    this.clock = o.clock
    this.log = o.log
    this.open = o.committed + 1
    this.done = o.committed
  }

  get openGroup(): number {
    return this.open
  }

  get committedGroup(): number {
    return this.done
  }

  get failed(): boolean {
    return this.failure !== null
  }

  /** True when so much waits for the disk that whoever brings more should pause. It ends with a commit: `wait` for the open group. */
  get congested(): boolean {
    return this.openBytes > COMMIT_BYTES_MAX
  }

  /** True when something waits to be written or is being written. */
  get busy(): boolean {
    return this.dirty || this.inFlight
  }

  contribute(contributor: Contributor): void {
    this.contributors.push(contributor)
  }

  /** Joins the open group, in order, and asks for its commit. The buffers are the journal's from now on. */
  put(key: Buffer, value: Buffer): void {
    this.putLazily(key, value)
    this.request()
  }

  del(key: Buffer): void {
    this.delLazily(key)
    this.request()
  }

  /** As `put`, for what nobody waits for: it rides with a later commit. */
  putLazily(key: Buffer, value: Buffer): void {
    if (this.failure !== null) return
    this.ops.push({ type: 'put', key, value })
    this.openBytes += key.length + value.length
    this.requestLazily()
  }

  delLazily(key: Buffer): void {
    if (this.failure !== null) return
    this.ops.push({ type: 'del', key })
    this.openBytes += key.length
    this.requestLazily()
  }

  /** A contributor holds `bytes` more for the open group. */
  weigh(bytes: number): void {
    this.openBytes += bytes
  }

  wait(waiter: Waiter, token: number, group: number): void {
    if (group === this.open) {
      this.openWaiters.add(waiter, token)
      this.request()
    } else if (group === this.open - 1 && this.inFlight) {
      this.flightWaiters.add(waiter, token)
    } else if (group <= this.done) {
      throw new AqueductError('internal', `Commit ${group} is already on the disk.`)
    } else {
      throw new AqueductError('internal', `There is no commit ${group} to wait for.`)
    }
    if (this.failure !== null || this.closed) setImmediate(this.fail)
  }

  /** Asks for a commit soon: at the end of this turn when idle, else as soon as the one in flight is on the disk. */
  request(): void {
    this.dirty = true
    this.asked = true
    if (this.scheduled || this.inFlight) return
    this.scheduled = true
    setImmediate(this.turnEnded)
  }

  /** Asks for a commit within LAZY_MS, unless one comes sooner. */
  requestLazily(): void {
    this.dirty = true
    if (this.asked || this.lazy !== null) return
    this.lazy = this.clock.after(LAZY_MS, this.lazyEnded)
  }

  /** Resolves when everything put so far is committed; rejects with `store_failed`. */
  flush(): Promise<void> {
    if (this.failure !== null) return Promise.reject(this.failure)
    if (!this.dirty && !this.inFlight) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        committed: () => resolve(),
        commitFailed: () => reject(this.failure ?? new AqueductError('store_failed', 'The store was closed.')),
      }
      this.wait(waiter, 0, this.dirty ? this.open : this.open - 1)
    })
  }

  /** Commits what is open and takes nothing any more. Who still waits after a failure has been told. */
  async close(): Promise<void> {
    while (this.busy && this.failure === null) await this.flush().catch(() => {})
    this.closed = true
    this.lazy?.cancel()
    this.lazy = null
  }

  private readonly lazyEnded = (): void => {
    this.lazy = null
    if (this.dirty) this.request()
  }

  private readonly turnEnded = (): void => {
    this.scheduled = false
    if (!this.inFlight && this.asked) this.start()
  }

  private readonly put1 = (key: Buffer, value: Buffer): void => {
    this.ops.push({ type: 'put', key, value })
    this.openBytes += key.length + value.length
  }

  private readonly del1 = (key: Buffer): void => {
    this.ops.push({ type: 'del', key })
    this.openBytes += key.length
  }

  /** Seals the open group and gives it to the disk. */
  private start(): void {
    if (this.failure !== null || this.closed) return
    this.lazy?.cancel()
    this.lazy = null
    for (const contributor of this.contributors) contributor.seal(this.put1, this.del1)
    const ops = this.ops
    this.ops = []
    this.flightBytes = this.openBytes
    this.openBytes = 0
    this.asked = false
    this.dirty = false
    this.inFlight = true
    this.open++
    this.flightWaiters = this.openWaiters
    this.openWaiters = this.spareWaiters.pop() ?? new WaitList()
    this.disk.write(ops, this.sync).then(this.written, this.refused)
  }

  private readonly written = (): void => {
    if (this.failure !== null) return
    const group = this.open - 1
    const waiters = this.flightWaiters
    this.done = group
    this.inFlight = false
    this.bytesWritten += this.flightBytes
    for (const contributor of this.contributors) contributor.committed(group)
    // The disk works on the next group while we answer this one.
    if (this.asked) this.start()
    waiters.committed(this.log)
    this.spareWaiters.push(waiters)
    for (const contributor of this.contributors) contributor.settled?.(group)
  }

  private readonly refused = (error: unknown): void => {
    if (this.failure !== null) return
    this.failure =
      error instanceof AqueductError ? error : new AqueductError('store_failed', 'A commit failed.', { cause: error })
    this.lazy?.cancel()
    this.lazy = null
    this.log.error({ err: this.failure, group: this.open - 1 }, 'a commit failed; the store takes nothing any more')
    this.fail()
    this.onFailed?.(this.failure)
  }

  private readonly fail = (): void => {
    const told = new Set<Waiter>()
    this.flightWaiters.failed(this.log, told)
    this.openWaiters.failed(this.log, told)
    this.ops = []
    this.openBytes = 0
  }
}
