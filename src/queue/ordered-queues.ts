/**
 * All ordered queues of a store: making, finding, changing and deleting them, dead-letter queues, recovery, and the rows that
 * every commit writes for those that it touched.
 *
 * Always true: a queue's definition and head rows are there from the commit that made it to the commit that ends its sweep; ids are
 * never reused; of a deleted queue nothing can be received from the moment of its deletion, also when the process dies during the sweep.
 */
import type { Clock } from '../core/clock.js'
import { AqueductError, hasCode } from '../core/errors.js'
import type { Log } from '../core/log.js'
import type { Random } from '../core/random.js'
import type { Contributor } from '../store/journal.js'
import type { MessageView } from '../store/message.js'
import type { Store } from '../store/store.js'
import { checkQueueName, parseAttributes, type QueueAttributes } from './attributes.js'
import { type Departures, newDepartures } from './departures.js'
import { GroupGate } from './group-gate.js'
import { arrive } from './ordered-decide.js'
import type { OrderedEntry } from './ordered-entry.js'
import { type FoundEntries, findEntries } from './ordered-find.js'
import { headOf, takeUp } from './ordered-head.js'
import { Holds } from './ordered-holds.js'
import { lose } from './ordered-lose.js'
import { mendKeys } from './ordered-mend.js'
import {
  type Peeked,
  type PeekOptions,
  peek,
  type Redriven,
  type RedriveOptions,
  redrive,
  redriveTo,
  type SeekOptions,
  seek,
} from './ordered-moves.js'
import { OrderedQueue, type Shared } from './ordered-queue.js'
import { encodeDefinition, type FoundQueue, type OrderedKind, readQueues } from './ordered-recover.js'
import { makeRoom } from './ordered-room.js'
import { definitionKey, encodeHead, entriesIn, type Head, headKey } from './ordered-rows.js'
import { type Effects, OrderedState } from './ordered-state.js'
import { type Sweeping, sweepDeleted, sweepIds, sweepPurged, sweepRetained } from './ordered-sweep.js'
import { Totals } from './ordered-totals.js'
import type { WindowSizes } from './ordered-window.js'
import type { Departure } from './queue.js'
import { NonceSource } from './receipt.js'
import { DueTimers } from './timers.js'
import type { Leaving, Trace } from './trace.js'

export interface OrderedOptions {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** The next queue id, stored in the open group: the numbers are those of the plain queues, so that an id means one queue. */
  readonly takeId: () => number
  /** Attributes of new pull queues where whoever makes one says nothing. */
  readonly standard?: Partial<QueueAttributes>
  readonly trace?: Trace | null
  /** For tests. */
  readonly sizes?: WindowSizes
}

export type { OrderedKind }

/** Names of dead-letter queues that the engine makes itself. */
export const deadNameOf = (queue: string): string => `$dead/queue/${queue}`

/** Dead letters stay longer than what they were: 14 days. */
const DEAD_RETENTION_S = 1_209_600

/** Opens what the store holds. After the plain queues are recovered and before anything is committed. */
export async function openOrderedQueues(o: OrderedOptions): Promise<OrderedQueues> {
  const queues = new OrderedQueues(o)
  await queues.recover()
  return queues
}

export class OrderedQueues implements Effects {
  /** Entries that left since the store was opened, by kind of queue and reason. Session and group stay 0. */
  readonly departures: Departures = newDepartures()
  readonly holds: Holds
  /** What waits in all queues of a kind, as of the last commit that was begun. */
  readonly totals = new Totals()
  /** What a new pull queue has where nothing is said. */
  readonly standard: QueueAttributes
  /** Remembers departures; null: nobody does. */
  private readonly trace: Trace | null
  /** Deleted queues whose rows are not all gone. */
  private readonly doomed = new Map<number, Leaving>()
  private readonly store: Store
  private readonly sizes: WindowSizes | undefined
  private readonly log: Log
  private readonly shared: Shared
  private readonly sweeping: Sweeping
  private readonly byNameMap = new Map<string, OrderedQueue>()
  /** Those that are no users' business: by name, too. */
  private readonly internals = new Map<string, OrderedQueue>()
  private readonly byIdMap = new Map<number, OrderedQueue>()
  private dirty: OrderedState[] = []
  private flight: OrderedState[] = []
  private readonly busy = new Set<OrderedState>()
  /** Queues with damaged rows whose keys have not been looked through since. */
  private readonly broken = new Set<OrderedState>()
  private readonly takeId: () => number
  private closed = false

  constructor(o: OrderedOptions) {
    this.store = o.store
    this.standard = parseAttributes(o.standard)
    this.trace = o.trace ?? null
    this.sizes = o.sizes
    this.takeId = o.takeId
    this.log = o.log
    this.holds = new Holds(o.store.messages)
    const gate = new GroupGate(o.store.journal)
    this.shared = {
      store: o.store,
      clock: o.clock,
      log: o.log,
      nonces: new NonceSource(o.random),
      timers: new DueTimers(o.clock),
      gate,
      housekeep: (queue) => this.housekeep(queue),
    }
    this.sweeping = { disk: o.store.disk, committed: () => gate.committed(), now: () => o.clock.now() }
    o.store.journal.contribute(this.contributor)
  }

  /* ---- queues ---- */

  /**
   * Makes a queue, in the open commit group. `attributes` may come from a wire; throws `name_invalid`, `attribute_invalid`, `queue_exists`.
   * Names of dead-letter queues (`$dead/…`) are the caller's to check.
   */
  create(name: string, kind: OrderedKind, attributes: unknown): OrderedQueue {
    this.usable()
    if (kind === 'pull') checkQueueName(name)
    if (this.byNameMap.has(name)) throw new AqueductError('queue_exists', `There is a queue ${name} already.`)
    const parsed = this.check(name, parseAttributes(attributes, kind === 'pull' ? this.standard : undefined))
    const queue = this.adopt(name, kind, new OrderedState(this.takeId(), parsed, this, this.sizes))
    this.define(queue)
    queue.state.change()
    return queue
  }

  /** Lays `attributes` over those of the queue. `fifo` and `last_value` change only while it is empty. Throws `attribute_invalid`. */
  update(queue: OrderedQueue, attributes: unknown): void {
    this.usable()
    const parsed = this.check(queue.name, parseAttributes(attributes, queue.attributes))
    const was = queue.attributes
    if ((parsed.fifo !== was.fifo || parsed.last_value !== was.last_value) && queue.state.count > 0) {
      throw new AqueductError('attribute_invalid', 'fifo and last_value can be changed only while the queue is empty.')
    }
    queue.reconfigure(parsed)
    this.define(queue)
  }

  /** The queue is gone at once, everything in it with it; its rows go in the background. */
  delete(queue: OrderedQueue): void {
    this.usable()
    const s = queue.state
    if (s.deleted) return
    const n = s.count
    if (n > 0) this.departed(s, 'deleted', n)
    s.deleted = true
    s.change()
    queue.close()
    this.byNameMap.delete(queue.name)
    this.byIdMap.delete(queue.id)
    this.bringDown(s, queue)
  }

  get(name: string): OrderedQueue | undefined {
    return this.byNameMap.get(name)
  }

  byId(id: number): OrderedQueue | undefined {
    return this.byIdMap.get(id)
  }

  all(): Iterable<OrderedQueue> {
    return this.byNameMap.values()
  }

  get size(): number {
    return this.byNameMap.size
  }

  /** The queue that takes the dead letters of `queue`, if there is one yet. */
  deadOf(queue: OrderedQueue): OrderedQueue | undefined {
    const named = queue.attributes.dead_letter
    return (named === '' ? undefined : this.get(named)) ?? this.get(deadNameOf(queue.name))
  }

  peek(queue: OrderedQueue, o: PeekOptions): Promise<Peeked[]> {
    return peek(queue, this.store.messages, this.sweeping, o)
  }

  redrive(dead: OrderedQueue, o: RedriveOptions): Promise<Redriven> {
    return redrive(dead, (id) => this.byId(id), this.sweeping, o)
  }

  /** The engine's own dead-letter queue of this name (`$dead/…`), made with `attributes` when it is not there. */
  dead(name: string, attributes: Partial<QueueAttributes> = {}): OrderedQueue {
    return this.get(name) ?? this.create(name, 'dead', { retention_s: DEAD_RETENTION_S, ...attributes })
  }

  /** All of them, `internal` ones too. */
  every(): Iterable<OrderedQueue> {
    return this.byIdMap.values()
  }

  /** The `internal` queue of this name: a plugin's own, in no list. */
  internal(name: string): OrderedQueue | undefined {
    return this.internals.get(name)
  }

  redriveTo(dead: OrderedQueue, max: number, home: (message: MessageView) => boolean): Promise<number> {
    return redriveTo(dead, max, home)
  }

  /** Where the message `seq` is. Reads at most `rows_max` rows. */
  find(seq: number, rows_max: number): Promise<FoundEntries> {
    return findEntries(this, this.sweeping, seq, rows_max)
  }

  seek(queue: OrderedQueue, o: SeekOptions): Promise<number> {
    return seek(queue, this.sweeping, o)
  }

  /** Resolves when everything done so far is on the disk. */
  committed(): Promise<void> {
    return this.shared.gate.committed()
  }

  /** Ends long polls and timers. The store is closed by whoever opened it. */
  close(): void {
    this.closed = true
    for (const queue of this.byIdMap.values()) queue.close()
    this.shared.timers.close()
  }

  private check(name: string, a: QueueAttributes): QueueAttributes {
    if (a.dead_letter === name) throw new AqueductError('attribute_invalid', 'A queue cannot be its own dead_letter.')
    return a
  }

  private adopt(name: string, kind: OrderedKind, state: OrderedState): OrderedQueue {
    const queue = new OrderedQueue(name, kind, state, this.shared)
    const named = kind === 'internal' ? this.internals : this.byNameMap
    named.set(name, queue)
    this.byIdMap.set(state.id, queue)
    this.totals.update(state, kind)
    return queue
  }

  private define(queue: OrderedQueue): void {
    this.put(definitionKey(queue.id), encodeDefinition(queue))
  }

  private usable(): void {
    if (this.closed || this.store.journal.failed)
      throw new AqueductError('store_failed', 'The store takes nothing until it is open again.')
  }

  /* ---- Effects ---- */

  get openGroup(): number {
    return this.store.journal.openGroup
  }

  get committedGroup(): number {
    return this.store.journal.committedGroup
  }

  put(key: Buffer, value: Buffer): void {
    this.store.journal.put(key, value)
  }

  del(key: Buffer): void {
    this.store.journal.del(key)
  }

  fetch(key: Buffer): Buffer | undefined {
    try {
      return this.store.disk.getSync(key)
    } catch (error) {
      if (!hasCode(error, 'store_damaged')) throw error
      return undefined
    }
  }

  damaged(state: OrderedState): void {
    if (this.broken.has(state)) return
    this.broken.add(state)
    const queue = this.byIdMap.get(state.id)
    if (queue !== undefined) setImmediate(() => this.housekeep(queue))
  }

  hold(seq: number): void {
    this.holds.hold(seq)
  }

  drop(seq: number): void {
    this.holds.drop(seq)
  }

  departed(state: OrderedState, why: Departure, count: number, e?: OrderedEntry): void {
    const queue = this.byIdMap.get(state.id)
    this.departures[queue?.kind ?? 'pull'][why] += count
    if (why === 'damaged') this.store.damage.lost(queue?.kind ?? 'pull', queue?.name ?? `number ${state.id}`, count)
    if (this.trace !== null && e !== undefined && queue !== undefined) this.trace.left(queue, e.seq, why, e.attempts)
  }

  swept(state: OrderedState, why: Departure, e: OrderedEntry): void {
    if (this.trace === null) return
    const queue = this.byIdMap.get(state.id) ?? this.doomed.get(state.id)
    if (queue !== undefined) this.trace.left(queue, e.seq, why, e.attempts)
  }

  changed(state: OrderedState): void {
    this.dirty.push(state)
    this.store.journal.request()
  }

  bury(state: OrderedState, e: OrderedEntry, now: number): boolean {
    const queue = this.byIdMap.get(state.id)
    if (queue === undefined || queue.kind === 'dead') return false
    const dead = this.deadOf(queue) ?? this.dead(deadNameOf(queue.name))
    const room = makeRoom(dead.state, e.bytes, now)
    if (room === 'refused') return false
    if (room === 'room') {
      const { seq, bytes, acceptedAt, priority, key, tag } = e
      arrive(
        dead.state,
        { seq, bytes, acceptedAt, expiresAt: 0, delay_ms: 0, priority, key, tag, dedupId: '', origin: state.id },
        now,
      )
    }
    dead.after()
    return true
  }

  /* ---- commits ---- */

  /** An object of its own: `committed` of a contributor and of the queues mean different things. */
  private readonly contributor: Contributor = {
    seal: (put, del) => {
      const states = this.dirty
      this.dirty = this.flight
      this.flight = states
      for (const s of states) {
        s.dirty = false
        this.totals.update(s)
        put(headKey(s.id), encodeHead(headOf(s)))
      }
      this.holds.seal(put, del)
    },
    committed: () => {
      for (const s of this.flight) s.settle()
      this.flight.length = 0
    },
  }

  /* ---- background ---- */

  private housekeep(queue: OrderedQueue): void {
    const s = queue.state
    if (this.closed || s.deleted || this.busy.has(s)) return
    if (s.swept === s.epoch && s.idCount === 0 && s.retained === 0 && !this.broken.has(s)) return
    this.background(s, async () => {
      await this.mend(queue)
      await sweepPurged(s, this.sweeping)
      await sweepIds(s, this.sweeping)
      await sweepRetained(s, this.sweeping)
    })
  }

  private async mend(queue: OrderedQueue): Promise<void> {
    if (!this.broken.delete(queue.state)) return
    await mendKeys(queue.state, this.sweeping)
    queue.after()
  }

  private bringDown(s: OrderedState, queue: Leaving): void {
    this.doomed.set(s.id, { id: s.id, kind: queue.kind, name: queue.name })
    this.background(s, async () => {
      await sweepDeleted(s, this.sweeping)
      this.doomed.delete(s.id)
    })
  }

  private background(s: OrderedState, work: () => Promise<void>): void {
    this.busy.add(s)
    const ended = (): void => {
      this.busy.delete(s)
      // A purge that came while other work was under way.
      const queue = this.byIdMap.get(s.id)
      if (queue !== undefined && (s.swept < s.epoch || this.broken.has(s))) this.housekeep(queue)
    }
    work().then(ended, (error: unknown) => {
      this.busy.delete(s)
      if (!this.closed && !this.store.journal.failed) this.log.error({ err: error, queue: s.id }, 'tidying up a queue failed')
    })
  }

  /** Resolves when no background work is under way; for tests and an orderly close. */
  async quiet(): Promise<void> {
    while (this.busy.size > 0 && !this.store.journal.failed) await new Promise<void>((resolve) => setImmediate(resolve))
  }

  /* ---- recovery ---- */

  /** Says what of a queue is damaged, and has it mended. */
  private takeBroken({ name: queue, kind, state }: OrderedQueue, { lostLeases, rebuilt }: FoundQueue): void {
    lose(state, lostLeases)
    if (lostLeases > 0) this.damaged(state)
    if (!rebuilt) return
    state.change()
    this.damaged(state)
    const what = 'the head of a queue is damaged: it is made anew from its entries; what was purged just before comes back'
    this.log.error({ queue, kind, messages: state.count }, what)
  }

  private sayNameless(id: number, head: Head): void {
    const messages = entriesIn(head)
    if (messages === 0) return
    this.store.damage.lost('pull', `number ${id}`, messages)
    this.departures.pull.damaged += messages
    this.log.error(
      { id, messages },
      'the definition of a queue is damaged: its name is not known, and its messages are not served; they stay on the disk',
    )
  }

  async recover(): Promise<void> {
    const { disk } = this.store
    const { queues, nameless } = await readQueues(disk)
    let entries = 0
    for (const { head, leased } of queues) if (!head.deleted) entries += entriesIn(head) + leased.length
    await this.holds.recover(disk, entries)
    const doomed: [OrderedState, Leaving][] = []
    for (const found of queues) {
      const state = new OrderedState(found.id, found.attributes, this, this.sizes)
      takeUp(state, found.head, found.leased)
      if (state.deleted) doomed.push([state, found])
      else this.takeBroken(this.adopt(found.name, found.kind, state), found)
    }
    for (const { id, head } of nameless) if (!head.deleted) this.sayNameless(id, head)
    // Only now: nothing may be due, or commit, before all is known.
    for (const [state, found] of doomed) this.bringDown(state, found)
    for (const queue of this.byIdMap.values()) {
      queue.after()
      this.housekeep(queue)
    }
  }
}
