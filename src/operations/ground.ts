/**
 * What the operations stand on: the broker and the queues of the store that is open now. The store may fail and be opened again at any moment, so
 * nothing of it is kept between two calls.
 */
import type { Broker } from '../broker/broker.js'
import type { Stored } from '../broker/state.js'
import { AqueductError } from '../core/errors.js'
import type { DurableQueues } from '../plugins/durable-queues/index.js'
import type { Engine } from '../queue/engine.js'
import type { OrderedQueue } from '../queue/ordered-queue.js'
import type { OrderedQueues } from '../queue/ordered-queues.js'
import type { Trace } from '../queue/trace.js'
import { Turns } from './turns.js'

const SEARCHES_AT_ONCE = 1
const SEARCHES_WAITING_MAX = 64

export class Ground {
  readonly broker: Broker
  private readonly queues: DurableQueues | undefined
  /** Reads of much of the store, one at a time. */
  readonly searches = new Turns(SEARCHES_AT_ONCE, SEARCHES_WAITING_MAX, () => this.broker.state.refusals.count('searches'))

  constructor(broker: Broker) {
    this.broker = broker
    this.queues = broker.offer<DurableQueues>('durable-queues')
  }

  /** On the broker's own time, as whatever is stored. */
  now(): number {
    return this.broker.state.clock.now()
  }

  /** A stored moment as a calendar says it: milliseconds since 1970, 0 for one before that (the wall clock was set to 1970 since). */
  calendar(moment: number): number {
    return Math.max(0, this.broker.state.clock.calendar(moment))
  }

  /** The same of a moment that may be none: null for 0. */
  calendarOrNull(moment: number): number | null {
    return moment === 0 ? null : this.calendar(moment)
  }

  /** Sessions, retained messages and the store itself. Throws `store_failed` while there is none to stand on. */
  get stored(): Stored {
    const { stored } = this.broker.state
    if (stored === null) throw new AqueductError('store_failed', 'The store is not open: try again when the broker is ready.')
    return stored
  }

  /** Pull and dead-letter queues. Throws `store_failed`. */
  get ordered(): OrderedQueues {
    const { queues, stored } = this
    if (queues === undefined) throw new AqueductError('internal', 'There are no queues: add the durable-queues plugin.')
    if (stored.store.journal.failed || queues.ordered === undefined)
      throw new AqueductError('store_failed', 'The store takes nothing until it is open again.')
    return queues.ordered
  }

  /** Queues of sessions and groups. Throws `store_failed`. */
  get engine(): Engine {
    void this.ordered
    return (this.queues as DurableQueues).engine as Engine
  }

  /** How messages left, where that is remembered. */
  get trace(): Trace | undefined {
    return this.queues?.trace
  }

  /** Throws `queue_not_found`. */
  queue(name: string): OrderedQueue {
    const queue = this.ordered.get(name)
    if (queue === undefined) throw new AqueductError('queue_not_found', `There is no queue ${show(name)}.`)
    return queue
  }
}

/** A name that came from outside, fit for a sentence. */
export function show(name: string): string {
  const text = JSON.stringify(name)
  return text.length > 82 ? `${text.slice(0, 80)}…"` : text
}
