/**
 * The engine of plain and volatile queues: makes them, puts messages in, tells consumers after a commit, writes heads at checkpoints.
 *
 * Always true: of the queues here only those with a definition row survive a restart; ids of durable queues are never used again; volatile
 * ones have ids from VOLATILE_ID on.
 */
import type { Clock } from '../core/clock.js'
import { AqueductError } from '../core/errors.js'
import { QUEUE_INDEX_ENTRIES_MAX } from '../core/limits.js'
import type { Log } from '../core/log.js'
import type { HeadWriter, PutRow } from '../store/checkpoint.js'
import type { Contributor } from '../store/journal.js'
import { headKey, queueKey } from '../store/keys.js'
import type { MessageLog } from '../store/log.js'
import { type MessageView, messageBytes } from '../store/message.js'
import type { Store } from '../store/store.js'
import { type Departures, newDepartures } from './departures.js'
import type { PlainHost } from './host.js'
import { INDEX_PAGE_ENTRIES } from './index-page.js'
import { SHARED_WAITING_MAX, SlabCopies } from './own-copy.js'
import { Pager } from './paging.js'
import { PlainQueue } from './plain.js'
import type { Admission, Departure, QueueKind, QueueLimits, SessionQueue } from './queue.js'
import { type Definition, definitionRow, headRow, nextQueueIdKey, nextQueueIdRow } from './records.js'
import { recoverQueues } from './recover.js'
import { Tail } from './tail.js'
import { Touched } from './touched.js'
import type { Trace } from './trace.js'
import { VolatileQueue } from './volatile.js'

/** Ids of queues in memory begin here. */
const VOLATILE_ID = 0x8000_0000

export interface EngineOptions {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Waiting entries that a plain queue keeps in memory; for tests. */
  readonly ringEntriesMax?: number
  /** Remembers departures. */
  readonly trace?: Trace | null
  /** Recovers who else holds messages of the log (ordered queues, through `retain`), before anything may be deleted. */
  readonly recoverOthers?: (engine: Engine) => Promise<void>
  /** Says what plain queues were whose definitions are damaged, where another row tells. */
  readonly define?: (ids: ReadonlySet<number>) => Promise<Map<number, Definition>>
}

/** Opens the engine on a store and recovers every plain queue. */
export async function openEngine(o: EngineOptions): Promise<Engine> {
  const engine = new Engine(o)
  await engine.recover()
  await o.recoverOthers?.(engine)
  o.store.messages.recovered()
  engine.redefine()
  return engine
}

export class Engine implements Admission, PlainHost, Contributor, HeadWriter {
  readonly departures: Departures = newDepartures()
  readonly trace: Trace | null
  readonly log: MessageLog
  readonly ringEntriesMax: number
  private readonly store: Store
  private readonly said: Log
  private readonly pager: Pager
  private readonly pageEntries: number
  private recovered = false
  private readonly byId = new Map<number, PlainQueue>()
  /** By kind and name: durable queues, and volatile ones that are not sessions (of those there may be many, and nobody asks for them). */
  private readonly names = new Map<string, SessionQueue>()
  private nextId = 1
  private nextVolatileId = VOLATILE_ID
  private dirty: PlainQueue[] = []
  private readonly touchedQueues = new Touched()
  private closed = false
  private readonly define: EngineOptions['define']
  private redefined: readonly PlainQueue[] = []

  /* the open message */
  private message: MessageView | undefined
  private copy: MessageView | undefined
  private lastingCopyOfOpen: MessageView | undefined
  /** Some queue keeps the open message for long; one kept the message before. */
  private waitsLong = false
  private waitedLong = false
  private readonly soon = SlabCopies.soon()
  private readonly lasting = SlabCopies.lasting()
  private stored = false

  constructor(o: EngineOptions) {
    this.store = o.store
    this.trace = o.trace ?? null
    this.log = o.store.messages
    this.said = o.log
    this.define = o.define
    this.ringEntriesMax = o.ringEntriesMax ?? QUEUE_INDEX_ENTRIES_MAX
    this.pageEntries = Math.min(INDEX_PAGE_ENTRIES, this.ringEntriesMax >>> 1)
    const { journal, disk } = o.store
    this.pager = new Pager({
      log: this.log,
      journal,
      disk,
      said: o.log,
      ringMax: this.ringEntriesMax,
      pageEntries: this.pageEntries,
      trace: this.trace,
    })
    this.log.checkpoint.heads = this
    this.log.tidier.alive = (queueId, seq) => this.byId.get(queueId)?.alive(seq) === true
    o.store.journal.contribute(this)
  }

  /** Entries recovered. */
  async recover(): Promise<number> {
    const make = (id: number, d: { kind: QueueKind; name: string; limits: QueueLimits }): PlainQueue => {
      const queue = new PlainQueue(this, id, d.kind, d.name, d.limits)
      this.byId.set(id, queue)
      this.names.set(nameOf(d.kind, d.name), queue)
      return queue
    }
    const { nextId, entries, redefined } = await recoverQueues({
      store: this.store,
      log: this.said,
      make,
      dirty: (queue) => this.becameDirty(queue),
      lost: (kind, name, messages) => {
        this.departures[kind].damaged += messages
        this.store.damage.lost(kind, name, messages)
      },
      define: this.define,
    })
    this.redefined = redefined
    this.nextId = nextId
    this.recovered = true
    this.pager.tidy((id) => this.byId.get(id))
    return entries
  }

  /** Writes definitions again that were damaged and made up for. */
  redefine(): void {
    for (const queue of this.redefined) this.store.journal.put(queueKey(queue.id), definitionRow(queue))
    this.redefined = []
  }

  /* ---- Admission ---- */

  begin(message: MessageView): void {
    this.message = message
    this.copy = undefined
    this.lastingCopyOfOpen = undefined
    this.waitedLong = this.waitsLong
    this.waitsLong = false
    this.stored = false
    this.log.begin(message)
  }

  append(queue: SessionQueue, flags: number, extra?: Buffer): boolean {
    const { message } = this
    if (message === undefined) throw new AqueductError('internal', 'No message is open.')
    const bytes = messageBytes(message)
    if (queue instanceof PlainQueue) {
      if (!queue.admits(bytes)) return false
      this.stored = true
      queue.push(this.log.store(), bytes, flags, extra)
      return true
    }
    const q = queue as VolatileQueue
    if (!q.admits(bytes)) return false
    if (q.waiting < SHARED_WAITING_MAX) q.push(this.sharedCopy(message), bytes, flags, extra)
    else {
      this.waitsLong = true
      q.push(this.lastingCopy(message), bytes, flags, extra)
    }
    return true
  }

  /**
   * One copy for all queues in which the open message leaves soon; the lasting one where there is one anyway, as there most likely is when the message
   * before had one: a consumer that does not read must not cost the others a second copy.
   */
  private sharedCopy(message: MessageView): MessageView {
    this.copy ??= this.waitedLong ? this.lastingCopy(message) : this.soon.copy(message)
    return this.copy
  }

  /** One for all in which it waits. */
  private lastingCopy(message: MessageView): MessageView {
    this.lastingCopyOfOpen ??= this.lasting.copy(message)
    return this.lastingCopyOfOpen
  }

  get durable(): boolean {
    return this.stored
  }

  /* ---- queues ---- */

  /** Makes a queue. Durable: its definition joins the open group. Throws `queue_exists`. */
  createQueue(o: { name: string; kind: QueueKind; limits: QueueLimits; durable: boolean }): SessionQueue {
    const key = nameOf(o.kind, o.name)
    if (!o.durable) {
      const queue = new VolatileQueue(this.nextVolatileId++, o.kind, o.name, o.limits, this.departures[o.kind])
      if (o.kind !== 'session') this.addName(key, queue)
      return queue
    }
    const queue = new PlainQueue(this, this.nextId++, o.kind, o.name, o.limits)
    this.addName(key, queue)
    this.byId.set(queue.id, queue)
    const { journal } = this.store
    journal.put(nextQueueIdKey, nextQueueIdRow(this.nextId))
    journal.put(queueKey(queue.id), definitionRow(o))
    journal.put(headKey(queue.id), headRow(0, 0, 0, [], []))
    return queue
  }

  /** Ends a queue: all that is in it leaves (`deleted`). Its definition goes in the open group; what remains on the disk is dead with it. */
  deleteQueue(queue: SessionQueue): void {
    if (queue instanceof PlainQueue) {
      if (queue.deleted) return
      queue.purge(true, 'deleted')
      queue.deleted = true
      this.byId.delete(queue.id)
      this.names.delete(nameOf(queue.kind, queue.name))
      this.store.journal.del(queueKey(queue.id))
      this.store.journal.del(headKey(queue.id))
    } else {
      const q = queue as VolatileQueue
      q.purge(true, 'deleted')
      const key = nameOf(q.kind, q.name)
      if (this.names.get(key) === q) this.names.delete(key)
    }
    queue.onReady = null
  }

  /** A queue in memory gives up its name: what is in it stays with who holds it. */
  unname(queue: SessionQueue): void {
    const { kind, name } = queue as VolatileQueue
    const key = nameOf(kind, name)
    if (this.names.get(key) === queue) this.names.delete(key)
  }

  /** A durable queue by its id. */
  queue(id: number): SessionQueue | undefined {
    return this.byId.get(id)
  }

  byName(kind: QueueKind, name: string): SessionQueue | undefined {
    return this.names.get(nameOf(kind, name))
  }

  /** Durable queues. */
  queues(): Iterable<PlainQueue> {
    return this.byId.values()
  }

  /** An id for a queue that is kept elsewhere (ordered), from the same numbers. The next one joins the open group. */
  takeQueueId(): number {
    const id = this.nextId++
    this.store.journal.put(nextQueueIdKey, nextQueueIdRow(this.nextId))
    return id
  }

  /** Stops what runs beside the hot path. The store is closed by who opened it. */
  close(): Promise<void> {
    this.closed = true
    return this.pager.close()
  }

  /** Resolves when no page is loading and no messages are being released: for tests and orderly ends. */
  idle(): Promise<void> {
    return this.pager.idle()
  }

  /* ---- PlainHost ---- */

  damaged({ kind, name }: PlainQueue): void {
    this.store.damage.lost(kind, name, 1)
  }

  touched(queue: PlainQueue): void {
    this.touchedQueues.add(queue, this.store.journal.openGroup)
  }

  becameDirty(queue: PlainQueue): void {
    queue.dirty = true
    this.dirty.push(queue)
  }

  spill(seq: number): Tail {
    return new Tail(seq, this.pageEntries)
  }

  pageFull(queue: PlainQueue, row: Buffer): void {
    // What recovery reads has been written before, as far as it ever was.
    if (this.recovered) this.pager.put(queue, row)
  }

  wantPage(queue: PlainQueue, tail: Tail): void {
    this.pager.want(queue, tail)
  }

  abandon(queue: PlainQueue, tail: Tail, why: Departure): void {
    this.pager.abandon(queue, tail, why)
  }

  purged(queue: PlainQueue): void {
    // The head says that all below the next sequence is gone: what is appended from now on must be above.
    if (this.message !== undefined) this.log.begin(this.message)
    this.store.journal.put(headKey(queue.id), this.headOf(queue))
  }

  /* ---- HeadWriter ---- */

  get dirtyHeads(): number {
    return this.dirty.length
  }

  writeHeads(put: PutRow): void {
    for (const queue of this.dirty) {
      queue.dirty = false
      if (!queue.deleted) put(headKey(queue.id), this.headOf(queue))
    }
    this.dirty = []
  }

  private headOf(queue: PlainQueue): Buffer {
    const { book } = queue
    const { nextIndex } = queue
    const cursorIndex = nextIndex - queue.waiting
    return headRow(queue.cursor(), nextIndex, cursorIndex, book === null ? [] : book.leased, book === null ? [] : book.returned)
  }

  /* ---- Contributor ---- */

  seal(): void {
    this.touchedQueues.seal()
    // The open message ends with its group: a later copy would have no row to go to.
    this.message = undefined
  }

  committed(): void {
    this.touchedQueues.committed()
  }

  /** After the acknowledgements of a commit: consumers hear what came in with it. */
  settled(): void {
    this.touchedQueues.settle(this.tell)
  }

  private readonly tell = (queue: PlainQueue): void => {
    if (this.closed) return
    if (queue.tail !== null) this.pager.want(queue, queue.tail)
    if (queue.onReady !== null && queue.hasReady) queue.onReady()
  }

  private addName(key: string, queue: SessionQueue): void {
    if (this.names.has(key)) throw new AqueductError('queue_exists', `There is already a queue ${key}.`)
    this.names.set(key, queue)
  }
}

function nameOf(kind: QueueKind, name: string): string {
  return `${kind}/${name}`
}
