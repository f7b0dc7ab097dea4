/**
 * The queue of a shared group as a source. In memory while all members are clean sessions; once a durable one joins it is in the store, and what waits
 * moves over, in order. What was with members at that moment ends where it was.
 */
import { FLAG_EXPIRES, FLAG_RETAIN } from '../../broker/ports.js'
import type { Clock } from '../../core/clock.js'
import type { Log } from '../../core/log.js'
import type { Engine } from '../../queue/engine.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import { PlainQueue } from '../../queue/plain.js'
import type { Departure, Entry, QueueLimits, SessionQueue } from '../../queue/queue.js'
import { READ_AGAIN_MS, readEntry } from '../../queue/reading.js'
import { isLost } from '../../store/log.js'
import type { MessageView } from '../../store/message.js'
import type { Store } from '../../store/store.js'
import { Held } from '../qos-retry/held.js'
import { Item, NO_KEY, type Source } from './item.js'

/** First byte of the extra bytes of an entry of a group's queue: the hash of its key follows, u32. Not used in sessions' queues. */
const EXTRA_HASH = 0x10

/** Expired messages that leave in one look. */
const EXPIRED_PER_LOOK = 256

/** Bounds of a group's dead-letter queue. */
const DEAD_LIMITS = { max_messages: 10_000, max_bytes: 64 * 1024 * 1024, overflow: 'drop_oldest' } as const

export interface GroupQueueOptions {
  readonly engine: Engine
  readonly ordered: OrderedQueues
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly limits: QueueLimits
  /** Hand-outs after which a message goes to the dead-letter queue; 0: no limit. */
  readonly max_attempts: number
}

export class GroupQueue implements Source {
  onReady: (inHand: boolean) => void = () => {}
  /** `{group}/{filter}`. */
  readonly name: string
  private readonly o: GroupQueueOptions
  private queue: SessionQueue
  /** The queue in memory that came before, while members hold messages of it. */
  private old: SessionQueue | null = null
  private held: Held | null = null
  private loading: Entry | null = null
  private loaded: { queue: SessionQueue; entry: Entry } | null = null
  private ended = false

  constructor(name: string, durable: boolean, o: GroupQueueOptions) {
    this.name = name
    this.o = o
    const stored = o.engine.byName('group', name)
    if (stored !== undefined) stored.limits = o.limits
    this.queue = stored ?? o.engine.createQueue({ name, kind: 'group', limits: o.limits, durable })
    this.listen()
  }

  get durable(): boolean {
    return this.queue.durable
  }

  /* ---- in ---- */

  /**
   * Takes the open message `m`. `held`: a QoS 2 copy in memory waits for the open group. True when it is stored in that group.
   */
  put(m: MessageView, qos: number, retain: boolean, held: boolean, hash: number): boolean {
    const flags = qos | (retain ? FLAG_RETAIN : 0) | (m.expiresAt !== 0 ? FLAG_EXPIRES : 0)
    const extra = hash === NO_KEY ? undefined : hashBytes(hash)
    const { queue } = this
    if (!queue.durable && qos === 2 && (held || this.held?.empty === false)) {
      this.holder().add(m, flags, extra)
      return false
    }
    return this.o.engine.append(queue, flags, extra) && queue.durable
  }

  private holder(): Held {
    if (this.held !== null) return this.held
    const { engine, store } = this.o
    const append = (_: SessionQueue, message: MessageView, flags: number, extra?: Buffer): boolean => {
      if (this.ended) return false
      engine.begin(message)
      return engine.append(this.queue, flags, extra)
    }
    this.held = new Held(this.queue, { append, commit: store.journal })
    return this.held
  }

  /** The first durable member joins. Joins the open group. */
  makeDurable(): void {
    const old = this.queue
    if (old.durable) return
    const { engine, limits } = this.o
    this.idle(true)
    engine.unname(old)
    old.onReady = null
    this.queue = engine.createQueue({ name: this.name, kind: 'group', limits, durable: true })
    this.old = old
    this.moveOver()
    this.listen()
  }

  /** What waits in memory goes behind what is stored. */
  private moveOver(): void {
    const { old } = this
    if (old === null) return
    const { engine } = this.o
    for (let entry = old.hasReady ? old.lease() : undefined; entry !== undefined; entry = old.lease()) {
      const view = old.read(entry)
      if (view !== undefined) {
        engine.begin(view)
        engine.append(this.queue, entry.flags, entry.extra)
      }
      old.ack(entry)
    }
    if (old.counts().leased === 0) this.old = null
  }

  private listen(): void {
    this.queue.onReady = () => this.onReady(false)
  }

  /** The group is over: what waits goes with it. */
  end(): void {
    this.ended = true
    const { engine } = this.o
    if (this.old !== null) engine.deleteQueue(this.old)
    engine.deleteQueue(this.queue)
  }

  /* ---- out ---- */

  next(): Item | undefined {
    while (this.loading === null && !this.ended) {
      const lent = this.lend()
      if (lent === undefined) return undefined
      const { queue, entry } = lent
      const message = this.bring(queue, entry)
      if (message === undefined) return undefined
      if (message === null) {
        this.done(queue, entry, 'damaged')
        continue
      }
      const { max_attempts } = this.o
      if (max_attempts === 0 || entry.attempts <= max_attempts) return new QueueItem(this, queue, entry)
      this.bury(queue, entry, message)
    }
    return undefined
  }

  /** The entry that was waited for, or the next. What came back to the queue in memory is older than all that is stored. */
  private lend(): { queue: SessionQueue; entry: Entry } | undefined {
    const { loaded } = this
    this.loaded = null
    if (loaded !== null) return loaded
    const queue = this.old?.hasReady === true ? this.old : this.queue
    const entry = queue.lease()
    return entry === undefined ? undefined : { queue, entry }
  }

  /** The message of a lent entry; undefined: it is on its way; null: it is damaged. */
  private bring(queue: SessionQueue, entry: Entry): MessageView | undefined | null {
    const message = readEntry(queue, entry)
    if (message !== undefined) return message
    this.loading = entry
    const loaded = (): void => {
      this.loading = null
      if (this.ended) return
      this.loaded = { queue, entry }
      this.onReady(true)
    }
    queue.load(entry).then(loaded, (error: unknown) => {
      if (isLost(error)) {
        this.loading = null
        this.done(queue, entry, 'damaged')
        if (!this.ended) this.onReady(true)
        return
      }
      if (!this.ended) this.o.log.error({ err: error, group: this.name }, 'a waiting message cannot be read; it is tried again')
      queue.release(entry, false)
      this.o.clock.after(READ_AGAIN_MS, () => {
        this.loading = null
        if (!this.ended) this.onReady(true)
      })
    })
    return undefined
  }

  /** What has expired at the front leaves, though nobody is there to take it. Called now and then. */
  expire(now: number): void {
    const { queue } = this
    if (!(queue instanceof PlainQueue) || this.o.store.journal.failed) return
    for (let n = 0; n < EXPIRED_PER_LOOK && (queue.frontFlags & FLAG_EXPIRES) !== 0; n++) {
      const entry = queue.lease()
      if (entry === undefined) return
      const message = readOf(queue, entry)
      if (message === undefined || message.expiresAt > now) {
        queue.release(entry, false)
        // One that cannot be read is told of when it is delivered.
        if (message === undefined) void queue.load(entry).catch(() => {})
        return
      }
      this.done(queue, entry, 'expired')
    }
  }

  idle(here: boolean): void {
    if (this.loaded !== null) this.loaded.queue.release(this.loaded.entry, false)
    this.loaded = null
    // What came back to the queue in memory must not wait there for somebody to come: it would be lost with this process.
    if (!here && this.old?.hasReady === true && !this.ended) queueMicrotask(() => this.settleOld())
  }

  private settleOld(): void {
    if (this.ended || this.o.store.journal.failed) return
    this.moveOver()
    this.onReady(false)
  }

  /* ---- for its items ---- */

  done(queue: SessionQueue, entry: Entry, why?: Departure): void {
    queue.ack(entry, why)
    if (queue === this.old && queue.counts().leased === 0 && !queue.hasReady) this.old = null
  }

  back(queue: SessionQueue, entry: Entry, counted: boolean): void {
    queue.release(entry, counted)
    this.onReady(queue === this.old)
  }

  refused(queue: SessionQueue, entry: Entry): void {
    const message = this.o.max_attempts === 0 || this.ended ? undefined : readOf(queue, entry)
    if (message === undefined) this.done(queue, entry, 'refused')
    else this.bury(queue, entry, message)
  }

  /** To the dead-letter queue, in the group in which it leaves here. A stored message is not stored again. */
  private bury(queue: SessionQueue, entry: Entry, message: MessageView): void {
    const { ordered, engine } = this.o
    const dead = ordered.dead(`$dead/share/${this.name}`, DEAD_LIMITS)
    if (queue.durable) dead.bring({ seq: entry.seq, bytes: entry.bytes, acceptedAt: message.acceptedAt })
    else {
      engine.begin(message)
      dead.offer({ view: message, expires_at: 0 })
    }
    this.done(queue, entry, 'dead')
  }
}

class QueueItem extends Item {
  protected readonly movable = true
  private readonly home: GroupQueue
  private readonly queue: SessionQueue
  private readonly entry: Entry

  constructor(home: GroupQueue, queue: SessionQueue, entry: Entry) {
    super(entry.flags, hashIn(entry.extra))
    this.home = home
    this.queue = queue
    this.entry = entry
  }

  get durable(): boolean {
    return this.queue.durable
  }

  read(): MessageView | undefined {
    return readOf(this.queue, this.entry)
  }

  async load(): Promise<void> {
    await this.queue.load(this.entry)
    // Its row may be there and not have it: whoever waits must hear of that.
    this.queue.read(this.entry)
  }

  done(): void {
    this.home.done(this.queue, this.entry)
  }

  protected refused(): void {
    this.home.refused(this.queue, this.entry)
  }

  expired(): void {
    this.home.done(this.queue, this.entry, 'expired')
  }

  damaged(): void {
    this.home.done(this.queue, this.entry, 'damaged')
  }

  kept(): void {
    this.home.done(this.queue, this.entry, 'refused')
  }

  back(counted: boolean): void {
    this.home.back(this.queue, this.entry, counted)
  }
}

/** Undefined when it must be loaded, or is gone with its queue. */
function readOf(queue: SessionQueue, entry: Entry): MessageView | undefined {
  return readEntry(queue, entry) ?? undefined
}

function hashBytes(hash: number): Buffer {
  const b = Buffer.allocUnsafe(5)
  b[0] = EXTRA_HASH
  b.writeUInt32BE(hash, 1)
  return b
}

function hashIn(extra: Buffer | undefined): number {
  return extra !== undefined && extra.length === 5 && extra[0] === EXTRA_HASH ? extra.readUInt32BE(1) : NO_KEY
}
