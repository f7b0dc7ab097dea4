/**
 * One ordered queue as doors and drivers use it: a thin runner that gives the rules (`ordered-decide.ts`) the moment, brings pages
 * in, wakes who waits, and hands out answers once the commit that they speak of is on the disk.
 *
 * Always true: everything that changes the queue happens synchronously in one turn and joins the open commit group; what is
 * asynchronous only reads, or waits for that group. A hand-out may be answered only after its group is committed.
 */
import type { Clock } from '../core/clock.js'
import { AqueductError } from '../core/errors.js'
import { BATCH_MESSAGES_MAX } from '../core/limits.js'
import type { Log } from '../core/log.js'
import { messageBytes } from '../store/message.js'
import type { Store } from '../store/store.js'
import { PRIORITY_STANDARD, type QueueAttributes } from './attributes.js'
import type { GroupGate } from './group-gate.js'
import {
  checkOutgoing,
  type Delivery,
  delivery,
  type OutgoingMessage,
  type ReceiptResult,
  type ReceiveOptions,
  type SendResult,
} from './ordered-api.js'
import * as decide from './ordered-decide.js'
import type { OrderedEntry } from './ordered-entry.js'
import { LEASES_MAX } from './ordered-leases.js'
import { Looks } from './ordered-look.js'
import { Pager } from './ordered-pager.js'
import { leave } from './ordered-place.js'
import { Polls } from './ordered-polls.js'
import type { OrderedKind } from './ordered-recover.js'
import { fits, makeRoom, roomForAll, shed, type Wanted } from './ordered-room.js'
import type { OrderedState } from './ordered-state.js'
import { nextDue, purge, tick } from './ordered-tick.js'
import type { Departure, QueueCounts } from './queue.js'
import { formatReceipt, type NonceSource, parseReceipt } from './receipt.js'
import type { Settled, SettledHow } from './settled.js'
import type { Due, DueTimers } from './timers.js'

/** Between two looks for ids and retained messages that have had their time. */
const HOUSEKEEPING_MS = 15_000
/** What all ordered queues of a store share. */
export interface Shared {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly nonces: NonceSource
  readonly timers: DueTimers
  readonly gate: GroupGate
  readonly settled: Settled
  /** Starts the background work that `queue` needs: sweep after a purge, forgetting of ids and retained messages. */
  housekeep(queue: OrderedQueue): void
  /** Looks through the rows of `queue` for what expired unseen. */
  expire(queue: OrderedQueue): Promise<void>
}

export class OrderedQueue implements Due {
  readonly name: string
  readonly kind: OrderedKind
  readonly state: OrderedState
  /** Called when something can be received and nothing could before. Set by a consumer that takes with `lease`. */
  onReady: (() => void) | null = null
  /**
   * True: delays that are over and leases that ended wait for whoever drives the queue, who hears of them by `onReady` and leases. So what came due
   * leaves in the order in which it did.
   */
  driven = false
  slot = -1
  dueAt = 0
  private readonly shared: Shared
  private readonly polls: Polls
  private readonly pager: Pager
  private readonly looks: Looks
  private nextHousekeeping = 0
  private readonly nonce = { high: 0, low: 0 }
  private readonly arrival: decide.Arrival = {
    seq: 0,
    bytes: 0,
    acceptedAt: 0,
    expiresAt: 0,
    delay_ms: -1,
    priority: 0,
    key: '',
    tag: '',
    dedupId: '',
    origin: 0,
  }

  constructor(name: string, kind: OrderedKind, state: OrderedState, shared: Shared) {
    this.name = name
    this.kind = kind
    this.state = state
    this.shared = shared
    this.polls = new Polls(this, shared.clock)
    this.looks = new Looks(state, shared.clock, () => shared.expire(this))
    this.pager = new Pager(state, shared.store.disk, {
      arrived: () => {
        if (shared.store.journal.failed) return
        shed(state, shared.clock.now())
        this.after()
      },
      failed: (error) => shared.log.error({ err: error, queue: name }, 'reading a queue failed'),
    })
  }

  get id(): number {
    return this.state.id
  }

  get attributes(): QueueAttributes {
    return this.state.attributes
  }

  /** O(1). `ready` counts those that wait behind an earlier message of their key too. */
  counts(): QueueCounts {
    const s = this.state
    return { ready: s.inLanes + s.behind, leased: s.leases.size, delayed: s.delayed.total, bytes: s.bytes }
  }

  /** Acknowledged messages that are kept for `seek`, and ids that are remembered. */
  kept(): { retained: number; retainedBytes: number; ids: number } {
    const s = this.state
    return { retained: s.retained, retainedBytes: s.retainedBytes, ids: s.idCount }
  }

  /** When something is due next: milliseconds since 1970, or Infinity. */
  nextDue(): number {
    return nextDue(this.state)
  }

  /** Long polls that wait. */
  get waiting(): number {
    return this.polls.size
  }

  /** True when rows are on their way into memory: `lease` may have more afterwards. */
  get paging(): boolean {
    return this.pager.busy
  }

  /** Resolves when no page is on its way; for tests and whoever must see all that is due. */
  idle(): Promise<void> {
    return this.pager.idle()
  }

  /* ---- in ---- */

  /**
   * Adds messages to the open commit group, in order; answer the sender once that group is committed (`committed()`). Checks all of them
   * first and throws `attribute_invalid`, `message_too_large` or `store_full` before anything is added. Several for which there is no room
   * together are all refused.
   */
  send(messages: readonly OutgoingMessage[]): SendResult[] {
    this.usable()
    if (this.shared.store.full) throw new AqueductError('store_full', 'The store is nearly full: no new messages are taken.')
    for (const m of messages) checkOutgoing(m, this.attributes)
    const log = this.shared.store.messages
    const now = this.shared.clock.now()
    tick(this.state, now)
    const results: SendResult[] = []
    if (messages.length > 1 && !this.roomFor(messages, now)) return messages.map(() => ({ seq: 0, outcome: 'refused' }))
    for (const m of messages) {
      log.begin(m.view)
      results.push(this.admit(m, now))
    }
    this.after()
    return results
  }

  /**
   * Adds the message that is open in the store's message log, so that one message is stored once for all queues that take it. Never throws:
   * a message that is too large, and any to a queue that has been deleted, is refused. Options are as `checkOutgoing` wants them.
   */
  offer(m: OutgoingMessage): SendResult {
    if (this.state.deleted) return { seq: 0, outcome: 'refused' }
    const now = this.shared.clock.now()
    tick(this.state, now)
    const result = this.admit(m, now)
    this.after()
    return result
  }

  /** Whether `offer` would take all of these, one after the other. */
  fits(wanted: readonly Wanted[]): boolean {
    if (this.state.deleted) return false
    tick(this.state, this.shared.clock.now())
    return fits(this.state, wanted)
  }

  /**
   * Adds a message that is in the store already, as a dead letter of a queue of another kind does. In the turn in which it leaves there, so
   * that both are one commit. False when there is no room.
   */
  bring(m: { readonly seq: number; readonly bytes: number; readonly acceptedAt: number }): boolean {
    this.usable()
    const now = this.shared.clock.now()
    tick(this.state, now)
    const room = makeRoom(this.state, { bytes: m.bytes, key: '' }, now)
    if (room === 'room') {
      const { seq, bytes, acceptedAt } = m
      decide.arrive(
        this.state,
        {
          seq,
          bytes,
          acceptedAt,
          expiresAt: 0,
          delay_ms: 0,
          priority: PRIORITY_STANDARD,
          key: '',
          tag: '',
          dedupId: '',
          origin: 0,
        },
        now,
      )
    }
    this.after()
    return room !== 'refused'
  }

  /** Room for all of a batch that are no duplicates, of each other neither. */
  private roomFor(messages: readonly OutgoingMessage[], now: number): boolean {
    const ids = new Set<string>()
    const wanted: Wanted[] = []
    for (const { dedup_id: id = '', key = '', view } of messages) {
      if (id !== '' && this.attributes.dedup_window_s > 0) {
        if (ids.has(id) || decide.knownId(this.state, id, now) !== 0) continue
        ids.add(id)
      }
      wanted.push({ bytes: messageBytes(view), key })
    }
    return roomForAll(this.state, wanted, wanted.length)
  }

  private admit(m: OutgoingMessage, now: number): SendResult {
    const s = this.state
    const id = m.dedup_id ?? ''
    if (id !== '' && this.attributes.dedup_window_s > 0) {
      const seq = decide.knownId(s, id, now)
      if (seq !== 0) return { seq, outcome: 'duplicate' }
    }
    const bytes = messageBytes(m.view)
    if (bytes > this.attributes.max_message_bytes) {
      s.effects.departed(s, 'refused', 1)
      return { seq: 0, outcome: 'refused' }
    }
    const a = this.arrival
    a.bytes = bytes
    a.key = m.key ?? ''
    const room = makeRoom(s, a, now)
    if (room !== 'room') return { seq: 0, outcome: room }
    const seq = this.shared.store.messages.store()
    a.seq = seq
    a.acceptedAt = m.view.acceptedAt
    a.expiresAt = m.expires_at ?? m.view.expiresAt
    a.delay_ms = m.delay_ms ?? -1
    a.priority = m.priority ?? PRIORITY_STANDARD
    a.tag = m.tag ?? ''
    a.dedupId = id
    decide.arrive(s, a, now)
    return { seq, outcome: 'stored' }
  }

  /* ---- out ---- */

  /** True when `lease` would hand something out now. */
  get hasReady(): boolean {
    return this.state.leases.size < LEASES_MAX && decide.firstReady(this.state, this.shared.clock.now()) !== undefined
  }

  /**
   * Hands out at most `max` entries at once. The answer may leave only when the open group is committed; read payloads after that. Empty
   * does not mean that the queue is: the next entries may be on disk, and `onReady` follows.
   */
  lease(max: number, lease_ms = this.attributes.lease_ms, bytes_max = Number.POSITIVE_INFINITY): Delivery[] {
    this.usable()
    const s = this.state
    const now = this.shared.clock.now()
    tick(s, now)
    const out: Delivery[] = []
    let bytes = 0
    while (out.length < max && s.leases.size < LEASES_MAX) {
      const e = decide.firstReady(s, now)
      if (e === undefined) break
      bytes += e.bytes
      if (bytes > bytes_max && out.length > 0) break
      this.shared.nonces.draw(this.nonce)
      e.high = this.nonce.high
      e.low = this.nonce.low
      decide.lend(s, e, lease_ms, now)
      out.push(delivery(e, formatReceipt(s.id, e.place, e)))
    }
    this.after(true)
    return out
  }

  /** Hands out messages with their payloads, after the commit; waits for some when there are none. */
  async receive(o: ReceiveOptions = {}): Promise<Delivery[]> {
    const max = Math.min(o.max ?? 1, BATCH_MESSAGES_MAX)
    const lease_ms = o.lease_ms ?? this.attributes.lease_ms
    const wait_ms = o.wait_ms ?? this.attributes.wait_ms
    const { leave = o.signal } = o
    const gone = (): boolean => o.signal?.aborted === true
    const left = (): boolean => leave?.aborted === true
    // Who waits already goes first.
    this.polls.serve()
    for (;;) {
      const got = this.lease(max, lease_ms, o.bytes_max)
      if (got.length > 0) return this.deliver(got, gone)
      if (!this.paging || gone()) break
      if (!(await this.pager.next())) throw new AqueductError('store_failed', 'The queue could not be read.')
    }
    if (wait_ms <= 0 || left()) return []
    const got = await this.polls.join({ max, lease_ms, bytes_max: o.bytes_max }, wait_ms, leave)
    return got.length === 0 ? got : this.deliver(got, left)
  }

  private async deliver(got: Delivery[], gone: () => boolean): Promise<Delivery[]> {
    await this.committed()
    try {
      for (const d of got) {
        d.message = await this.shared.store.messages.fetch(d.seq)
        // Damaged on the disk: it leaves, counted and said.
        if (d.message === undefined && !this.state.deleted) this.release(d.receipt, 'damaged')
      }
    } catch (error) {
      // The disk may be back soon: nobody has seen these.
      this.takeBack(got)
      throw error
    }
    if (!gone()) return got.filter((d) => d.message !== undefined)
    this.takeBack(got)
    return []
  }

  /** The hand-outs never reached anybody: they do not count as attempts. */
  takeBack(deliveries: readonly Delivery[]): void {
    const now = this.shared.clock.now()
    tick(this.state, now)
    for (const d of deliveries) {
      const e = this.holder(d.receipt)
      if (e !== undefined) decide.takeBack(this.state, e, 0, now)
    }
    this.after()
  }

  /* ---- answers ---- */

  /** The messages are done. Per receipt `ok` or `receipt_invalid`; tell the caller after `committed()`. Saying it again for a while changes nothing. */
  ack(receipts: readonly string[]): ReceiptResult[] {
    return this.each(receipts, (e, now) => decide.acknowledge(this.state, e, now), 'ack')
  }

  /** Back into the queue, at once or after `delay_ms`. `count` false: nobody worked on them, so it was no attempt. */
  nack(receipts: readonly string[], delay_ms = 0, count = true): ReceiptResult[] {
    const back = count ? decide.giveBack : decide.takeBack
    return this.each(receipts, (e, now) => back(this.state, e, delay_ms, now), 'nack')
  }

  /** Whoever holds them will not have them: to the dead-letter queue where attempts are limited, else they are done with. */
  reject(receipts: readonly string[]): ReceiptResult[] {
    return this.each(receipts, (e, now) => decide.reject(this.state, e, now))
  }

  /** The lease now ends `lease_ms` from now. */
  extend(receipts: readonly string[], lease_ms = this.attributes.lease_ms): ReceiptResult[] {
    return this.each(receipts, (e, now) => decide.extend(this.state, e, lease_ms, now))
  }

  private each(receipts: readonly string[], act: (e: OrderedEntry, now: number) => void, how?: SettledHow): ReceiptResult[] {
    this.usable()
    const now = this.shared.clock.now()
    tick(this.state, now)
    const crowded = this.state.leases.size >= LEASES_MAX
    const results = receipts.map((receipt): ReceiptResult => {
      const e = this.holder(receipt)
      // A lease that is over is over, even if there is more due than one turn puts back.
      if (e === undefined || e.until <= now) return this.wasSettled(receipt, how) ? 'ok' : 'receipt_invalid'
      act(e, now)
      if (how !== undefined) this.shared.settled.add(receipt, how, this.shared.clock.uptime_ms())
      return 'ok'
    })
    if (crowded) this.state.becameReady = true
    this.after()
    return results
  }

  /** A leased message leaves for another reason than being done. False when the receipt is not valid (any more). */
  release(receipt: string, why: Departure): boolean {
    return this.each([receipt], (e, now) => leave(this.state, e, why, now))[0] === 'ok'
  }

  private wasSettled(receipt: string, how: SettledHow | undefined): boolean {
    if (how === undefined || !this.shared.settled.knows(receipt, how, this.shared.clock.uptime_ms())) return false
    return parseReceipt(receipt)?.queue === this.id
  }

  private holder(receipt: string): OrderedEntry | undefined {
    const r = parseReceipt(receipt)
    if (r === undefined || r.queue !== this.id) return undefined
    return decide.holder(this.state, r.place, r.high, r.low)
  }

  /* ---- the whole ---- */

  /** All that waits leaves; what is leased stays. Returns how many. */
  purge(): number {
    this.usable()
    tick(this.state, this.shared.clock.now())
    const n = purge(this.state)
    this.after()
    this.shared.housekeep(this)
    return n
  }

  /** Resolves when everything done so far is on the disk; rejects with `store_failed`. */
  committed(): Promise<void> {
    return this.shared.gate.committed()
  }

  /** Changes attributes; the manager has checked them and writes the definition. */
  reconfigure(attributes: QueueAttributes): void {
    this.state.attributes = attributes
    tick(this.state, this.shared.clock.now())
    this.after()
  }

  /** Does what is due; called by the timers. */
  due(now: number): number {
    if (this.state.deleted || this.shared.store.journal.failed) return Number.POSITIVE_INFINITY
    if (this.driven && nextDue(this.state) <= now) {
      this.onReady?.()
      return Number.POSITIVE_INFINITY
    }
    const next = tick(this.state, now)
    if (now >= this.lookDue()) void this.expireUnseen()
    if (now >= this.nextHousekeeping) {
      this.nextHousekeeping = now + HOUSEKEEPING_MS
      this.shared.housekeep(this)
      this.pager.look()
    }
    this.afterTick()
    return Math.min(next, this.housekeepingDue(), this.lookDue())
  }

  /** No more waiting: long polls end empty. */
  close(): void {
    this.onReady = null
    this.polls.endAll()
    this.shared.timers.set(this, Number.POSITIVE_INFINITY)
  }

  /** To be called after anything that changed the state from outside. */
  after(demand = false): void {
    if (this.state.deleted) return
    this.afterTick(demand)
    this.shared.timers.set(this, Math.min(nextDue(this.state), this.housekeepingDue(), this.lookDue()))
  }

  private afterTick(demand = false): void {
    const s = this.state
    if (demand || this.polls.size > 0 || this.onReady !== null) this.pager.forReader()
    this.pager.forClock(this.shared.clock.now())
    if (!s.becameReady) return
    s.becameReady = false
    this.polls.wake()
  }

  private housekeepingDue(): number {
    const s = this.state
    if (s.idCount === 0 && s.retained === 0 && s.waiting === 0 && s.swept === s.epoch) return Number.POSITIVE_INFINITY
    if (this.nextHousekeeping === 0) this.nextHousekeeping = this.shared.clock.now() + HOUSEKEEPING_MS
    return this.nextHousekeeping
  }

  /** True when there may be room for these as soon as what expired unseen has been let go: `expireUnseen` does that. */
  mayLackRoom(messages: readonly OutgoingMessage[]): boolean {
    const bytes = messages.reduce((sum, { view }) => sum + messageBytes(view), 0)
    return this.looks.mayMakeRoom(messages.length, bytes)
  }

  /** Resolves when no message that waits has expired. */
  async expireUnseen(): Promise<void> {
    await this.looks.run()
    this.after()
  }

  private lookDue(): number {
    return this.driven ? Number.POSITIVE_INFINITY : this.looks.due(this.housekeepingDue())
  }

  private usable(): void {
    if (this.state.deleted) throw new AqueductError('queue_not_found', `Queue ${this.name} has been deleted.`)
    if (this.shared.store.journal.failed)
      throw new AqueductError('store_failed', 'The store takes nothing until it is open again.')
  }
}
