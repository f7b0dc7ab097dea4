/**
 * The queues that rules copy into: found by name, made when they are not there.
 *
 * Always true: of the queues that rules made by themselves at most `max` are there; each has a row that says so, from the commit that makes it.
 */
import { AqueductError } from '../../core/errors.js'
import type { Log } from '../../core/log.js'
import { queueNameValid } from '../../queue/attributes.js'
import type { OrderedQueue } from '../../queue/ordered-queue.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import type { Wanted } from '../../queue/ordered-room.js'
import { autoQueueId, autoQueueKey, autoQueues } from '../../store/keys.js'
import type { Store } from '../../store/store.js'
import type { Refusal } from './counts.js'
import { madeRow } from './record.js'

/** How often queues that users deleted are looked for once the bound is reached. */
const RECOUNT_MS = 1_000

export interface TargetOptions {
  readonly max: number
  readonly log: Log
  /** Uptime, roughly. */
  readonly uptime_ms: () => number
}

export class Targets {
  readonly ordered: OrderedQueues
  private readonly store: Store
  private readonly options: TargetOptions
  private readonly made = new Set<number>()
  private recounted = Number.NEGATIVE_INFINITY

  constructor(ordered: OrderedQueues, store: Store, options: TargetOptions) {
    this.ordered = ordered
    this.store = store
    this.options = options
  }

  /** Reads which queues rules made. */
  async load(): Promise<void> {
    for await (const { key } of this.store.disk.scan(autoQueues)) this.made.add(autoQueueId(key))
    this.recount()
  }

  /** Queues that rules made and nobody deleted, as last counted. */
  get count(): number {
    return this.made.size
  }

  /** The queue of this name, made if need be, or why there is none. `keyed`: copies have keys, so a new queue keeps the order of each key. */
  find(name: string, keyed: boolean): OrderedQueue | Refusal {
    const queue = this.ordered.get(name)
    if (queue !== undefined) return queue
    const refusal = this.refusal(name)
    if (refusal !== undefined) return refusal
    try {
      return this.make(name, keyed)
    } catch (error) {
      this.options.log.error({ err: error, queue: name }, 'a bridge rule could not make its queue')
      return 'too_many_queues'
    }
  }

  /**
   * As `find`, without making anything: whether all of these would find room. What is no name of a queue never lacks room.
   */
  roomFor(name: string, wanted: readonly Wanted[]): boolean {
    const queue = this.ordered.get(name)
    if (queue !== undefined) return queue.fits(wanted)
    const refusal = this.refusal(name)
    return (
      refusal === 'bad_name' ||
      (refusal === undefined && wanted.every(({ bytes }) => bytes <= this.ordered.standard.max_message_bytes))
    )
  }

  /** Makes the queue in the open commit group. Throws `limit_reached` beyond the bound, and what `create` throws. */
  make(name: string, keyed: boolean): OrderedQueue {
    if (this.full()) {
      throw new AqueductError(
        'limit_reached',
        `There is no queue ${name}, and bridge rules have made as many queues as bridge.max_auto_queues allows: ${this.options.max}.`,
      )
    }
    const queue = this.ordered.create(name, 'pull', keyed ? { fifo: true } : {})
    this.made.add(queue.id)
    this.store.journal.put(autoQueueKey(queue.id), madeRow)
    return queue
  }

  private refusal(name: string): Refusal | undefined {
    if (!queueNameValid(name)) return 'bad_name'
    return this.full() ? 'too_many_queues' : undefined
  }

  private full(): boolean {
    if (this.made.size < this.options.max) return false
    const now = this.options.uptime_ms()
    if (now - this.recounted >= RECOUNT_MS) {
      this.recounted = now
      this.recount()
    }
    return this.made.size >= this.options.max
  }

  private recount(): void {
    for (const id of this.made) {
      if (this.ordered.byId(id) !== undefined) continue
      this.made.delete(id)
      this.store.journal.del(autoQueueKey(id))
    }
  }
}
