/**
 * A pull or dead-letter queue as a source: members lease from it like every other consumer, so one queue is consumed through all doors at once and a
 * message has one holder.
 *
 * A lease is short and is extended while a connection holds the message: it does not run out under a client that lives, however long that works on it, and
 * after a kill the message is free again within LEASE_MAX_MS. PUBACK is the acknowledgement. A connection that goes ends the hand-out, which counts as an
 * attempt.
 */
import type { Clock } from '../../core/clock.js'
import { AqueductError } from '../../core/errors.js'
import type { Log } from '../../core/log.js'
import type { Delivery } from '../../queue/ordered-api.js'
import type { OrderedQueue } from '../../queue/ordered-queue.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import { READ_AGAIN_MS } from '../../queue/reading.js'
import { isLost } from '../../store/log.js'
import type { MessageView } from '../../store/message.js'
import type { Store } from '../../store/store.js'
import { type Distribution, hashOf, isHash } from './distribution.js'
import { Item, NO_KEY, type Source } from './item.js'

/** A queue's own `lease_ms` is used between these. */
const LEASE_MIN_MS = 10_000
const LEASE_MAX_MS = 60_000
/** Messages leased at a time. */
const FETCH_MAX = 64

export interface PullQueueOptions {
  readonly ordered: OrderedQueues
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly distribution: Distribution
}

export class PullQueue implements Source {
  onReady: (inHand: boolean) => void = () => {}
  readonly name: string
  private readonly o: PullQueueOptions
  private queue: OrderedQueue | undefined
  /** Leased and not done with. */
  private readonly out = new Set<PullItem>()
  /** Of those: leased, stored so, in memory, and not handed to anybody yet. */
  private readonly arrived: PullItem[] = []
  private fetching = false
  private ended = false

  constructor(name: string, o: PullQueueOptions) {
    this.name = name
    this.o = o
    this.look()
  }

  /** A queue of this name that was made after the last one was deleted. */
  private look(): void {
    const found = this.o.ordered.get(this.name)
    if (found === this.queue) return
    this.queue = found
    if (found === undefined) return
    found.onReady = () => this.onReady(false)
    this.onReady(false)
  }

  /** Called about once a second: extends what is held. */
  tick(): void {
    this.look()
    const { queue } = this
    if (queue === undefined || this.out.size === 0 || this.o.store.journal.failed) return
    const lease_ms = leaseOf(queue)
    const due = this.o.clock.now() + lease_ms / 2
    const held = [...this.out].filter((item) => item.until < due && item.queue === queue)
    const results = queue.extend(
      held.map((item) => item.receipt),
      lease_ms,
    )
    for (let i = 0; i < held.length; i++) {
      if (results[i] === 'ok') held[i].until = this.o.clock.now() + lease_ms
      else this.out.delete(held[i])
    }
  }

  end(): void {
    this.ended = true
    if (this.queue?.state.deleted === false) this.queue.onReady = null
  }

  next(want: number): Item | undefined {
    const item = this.arrived.shift()
    if (item !== undefined) return item
    const { queue } = this
    if (queue === undefined || queue.state.deleted || this.fetching || this.ended) return undefined
    const got = queue.lease(Math.min(Math.max(want, 1), FETCH_MAX), leaseOf(queue))
    if (got.length > 0) void this.fetch(queue, got)
    return undefined
  }

  /** Hands out only what is stored as leased, or a kill could give it to two. */
  private async fetch(queue: OrderedQueue, got: readonly Delivery[]): Promise<void> {
    this.fetching = true
    const items = got.map((d) => new PullItem(this, queue, d))
    for (const item of items) this.out.add(item)
    let brought = 0
    try {
      await queue.committed()
      for (; brought < items.length; brought++) {
        if (await this.bring(items[brought])) this.arrived.push(items[brought])
      }
    } catch (error) {
      if (!this.ended && !this.o.store.journal.failed) {
        this.o.log.error({ err: error, queue: this.name }, 'a queue cannot be read; it is tried again')
      }
      for (const item of items.slice(brought)) item.back(false)
      await new Promise<void>((resolve) => this.o.clock.after(READ_AGAIN_MS, resolve))
    }
    this.fetching = false
    if (this.ended) this.idle()
    else this.onReady(true)
  }

  /** False when the message is damaged: it leaves. */
  private async bring(item: PullItem): Promise<boolean> {
    try {
      while (this.o.store.messages.read(item.seq) === undefined) await item.load()
    } catch (error) {
      if (!isLost(error)) throw error
      item.damaged()
      return false
    }
    if (isHash(this.o.distribution)) item.hash = this.hashFor(item)
    return true
  }

  /** A queue does not remember who published: the message's own key stands for the publisher, and its topic where it has none. */
  private hashFor(item: PullItem): number {
    if (this.o.distribution === 'hash_client' && item.key !== '') return hashOf(item.key)
    const view = item.read()
    if (view === undefined) return NO_KEY
    const start = view.bodyStart + 2
    return hashOf(view.buffer.toString('utf8', start, start + view.buffer.readUInt16BE(view.bodyStart)))
  }

  idle(): void {
    for (const item of this.arrived.splice(0)) item.back(false)
  }

  /* ---- for its items ---- */

  message(item: PullItem): MessageView | undefined {
    try {
      return this.o.store.messages.read(item.seq)
    } catch (error) {
      if (isLost(error)) return undefined
      throw error
    }
  }

  async load(item: PullItem): Promise<void> {
    const { messages } = this.o.store
    await messages.load(item.seq)
    // Its row may be there and not have it: whoever waits must hear of that.
    messages.read(item.seq)
  }

  /** The hand-out ends. A queue or store that is gone has nothing to end. */
  finish(item: PullItem, act: (queue: OrderedQueue) => unknown): void {
    if (!this.out.delete(item)) return
    if (item.queue.state.deleted || this.o.store.journal.failed) return
    try {
      act(item.queue)
    } catch (error) {
      if (!(error instanceof AqueductError)) throw error
      this.o.log.warn({ err: error, queue: this.name }, 'a hand-out could not be ended: its lease runs out')
    }
  }
}

class PullItem extends Item {
  /** The client says when it is done with it, however long that takes. */
  protected readonly movable = false
  readonly durable = true
  override hash = NO_KEY
  until: number
  readonly queue: OrderedQueue
  readonly seq: number
  readonly key: string
  readonly receipt: string
  private readonly delivery: Delivery
  private readonly home: PullQueue

  constructor(home: PullQueue, queue: OrderedQueue, d: Delivery) {
    super(1, NO_KEY)
    this.home = home
    this.queue = queue
    this.delivery = d
    this.seq = d.seq
    this.key = d.key
    this.receipt = d.receipt
    this.until = d.leasedUntil
  }

  read(): MessageView | undefined {
    return this.home.message(this)
  }

  load(): Promise<void> {
    return this.home.load(this)
  }

  done(): void {
    this.home.finish(this, (queue) => queue.ack([this.receipt]))
  }

  protected refused(): void {
    this.home.finish(this, (queue) => queue.reject([this.receipt]))
  }

  expired(): void {
    this.home.finish(this, (queue) => queue.release(this.receipt, 'expired'))
  }

  damaged(): void {
    this.home.finish(this, (queue) => queue.release(this.receipt, 'damaged'))
  }

  kept(): void {
    this.home.finish(this, (queue) => queue.release(this.receipt, 'refused'))
  }

  back(counted: boolean): void {
    this.home.finish(this, (queue) => (counted ? queue.nack([this.receipt]) : queue.takeBack([this.delivery])))
  }
}

function leaseOf(queue: OrderedQueue): number {
  return Math.min(Math.max(queue.attributes.lease_ms, LEASE_MIN_MS), LEASE_MAX_MS)
}
