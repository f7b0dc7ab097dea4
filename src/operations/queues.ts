/** Queues as things: made, changed, found, listed, emptied and ended. What goes through them is in `messages.ts`. */
import { AqueductError } from '../core/errors.js'
import { ATTRIBUTES, type QueueAttributes } from '../queue/attributes.js'
import type { OrderedQueue } from '../queue/ordered-queue.js'
import { type Ground, show } from './ground.js'
import { type Page, type PageOptions, pageOf } from './page.js'

export type { QueueAttributes }

/** A queue and how it is doing. All of it is known without reading anything. */
export interface QueueInfo {
  readonly name: string
  /** `dead`: made by the engine for dead letters; its name begins with `$dead/`. */
  readonly kind: 'pull' | 'dead'
  readonly attributes: QueueAttributes
  readonly counts: {
    /** Can be received, now or when an earlier message of the same FIFO key is done. */
    readonly ready: number
    readonly leased: number
    readonly delayed: number
    /** What waits in its dead-letter queue (of whichever queue they came, when several share one). */
    readonly dead: number
    /** Acknowledged and kept for `seek`. */
    readonly retained: number
    /** Bytes of what is ready, leased or delayed. */
    readonly bytes: number
  }
  /** Receivers that wait for a message now. */
  readonly receivers: number
}

export interface Put {
  readonly queue: QueueInfo
  readonly created: boolean
}

export class QueueDefinitions {
  protected readonly ground: Ground

  constructor(ground: Ground) {
    this.ground = ground
  }

  /** Every attribute with its kind, range, default (as the settings have it) and a sentence. */
  get attributes(): typeof ATTRIBUTES {
    const { standard } = this.ground.ordered
    const rows = Object.entries(ATTRIBUTES).map(([name, row]) => [
      name,
      { ...row, standard: standard[name as keyof QueueAttributes] },
    ])
    return Object.fromEntries(rows) as typeof ATTRIBUTES
  }

  /**
   * Makes the queue, or lays `attributes` over those that it has: what is not named stays as it is. Resolves when that is stored. Throws
   * `name_invalid`, `attribute_invalid`.
   */
  async put(name: string, attributes: Partial<QueueAttributes> = {}): Promise<Put> {
    const { ordered } = this.ground
    const known = ordered.get(name)
    if (known !== undefined) ordered.update(known, attributes)
    const queue = known ?? ordered.create(name, 'pull', attributes)
    await ordered.committed()
    return { queue: this.info(queue), created: known === undefined }
  }

  /** Throws `queue_not_found`. */
  get(name: string): QueueInfo {
    return this.info(this.ground.queue(name))
  }

  list(o: PageOptions = {}): Page<QueueInfo> {
    const { items, next } = pageOf(this.ground.ordered.all(), (queue) => queue.name, o)
    return { items: items.map((queue) => this.info(queue)), next }
  }

  /** The queue and all that is in it are gone when this resolves. Throws `queue_not_found`. */
  async delete(name: string): Promise<void> {
    const { ordered } = this.ground
    ordered.delete(this.ground.queue(name))
    await ordered.committed()
  }

  protected info(queue: OrderedQueue): QueueInfo {
    const { ready, leased, delayed, bytes } = queue.counts()
    const dead = this.ground.ordered.deadOf(queue)?.counts()
    return {
      name: queue.name,
      kind: queue.kind === 'dead' ? 'dead' : 'pull',
      attributes: queue.attributes,
      counts: {
        ready,
        leased,
        delayed,
        dead: dead === undefined ? 0 : dead.ready + dead.delayed + dead.leased,
        retained: queue.kept().retained,
        bytes,
      },
      receivers: queue.waiting,
    }
  }

  /** A queue that messages may be sent to. */
  protected open(name: string): OrderedQueue {
    const queue = this.ground.queue(name)
    if (queue.kind === 'dead')
      throw new AqueductError('not_authorised', `${show(name)} takes dead letters only; nothing can be sent to it.`)
    return queue
  }
}
