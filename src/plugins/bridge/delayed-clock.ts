/**
 * Publishes delayed messages when they are due, in the order in which they come due.
 *
 * Always true: a message leaves the queue in the commit in which all copies of it are stored, so that a crash publishes it once; one that cannot be
 * admitted (no room) stays and is tried again. What was handed out and not published when a process died is handed out again at the next start.
 */
import { DROPPED } from '../../broker/admission.js'
import { topicOf } from '../../broker/message.js'
import type { BrokerApi } from '../../broker/plugin.js'
import { Seldom } from '../../core/seldom.js'
import { queueNameValid } from '../../queue/attributes.js'
import { type Delivery, delivery } from '../../queue/ordered-api.js'
import type { OrderedQueue } from '../../queue/ordered-queue.js'
import { deadNameOf, type OrderedQueues } from '../../queue/ordered-queues.js'
import { DUE_PER_TURN } from '../../queue/ordered-tick.js'
import { formatReceipt } from '../../queue/receipt.js'
import { type MessageView, messageBytes } from '../../store/message.js'
import type { Store } from '../../store/store.js'
import { laterOf, publishedOf } from './delayed-space.js'
import { QUEUE_LEVEL } from './queue-space.js'

/** How long a message waits again that could not be admitted. */
const AGAIN_MS = 5_000

export class DelayedClock {
  /** Delayed messages that went out. */
  published = 0
  private readonly api: BrokerApi
  private readonly queue: OrderedQueue
  private readonly store: Store
  private readonly ordered: OrderedQueues
  private readonly seldom: Seldom
  private begun = false
  private running = false
  private wanted = false
  private stopped = false

  constructor(api: BrokerApi, queue: OrderedQueue, store: Store, ordered: OrderedQueues) {
    this.api = api
    this.ordered = ordered
    this.seldom = new Seldom(api.log, () => api.coarse_ms())
    this.queue = queue
    this.store = store
    queue.driven = true
    queue.onReady = () => this.wake()
    // Nobody else leases here, so these were handed out by a process that is gone.
    const held = [...queue.state.leases.all()].map((e) => delivery(e, formatReceipt(queue.id, e.place, e)))
    if (held.length > 0) queue.takeBack(held)
  }

  /** Messages can be published from now on: what comes due while a store is being opened waits for that. */
  begin(): void {
    this.begun = true
    this.wake()
  }

  /** Looks for what is due, soon: never in the middle of an admission. */
  wake(): void {
    this.wanted = true
    if (this.running || this.stopped || !this.begun) return
    this.running = true
    setImmediate(() => void this.run())
  }

  stop(): void {
    this.stopped = true
  }

  private async run(): Promise<void> {
    try {
      while (this.wanted && !this.over) {
        this.wanted = false
        await this.round()
      }
    } catch (error) {
      if (!this.over)
        this.api.log.error({ err: error }, 'publishing delayed messages failed; it is tried again with the next one')
    } finally {
      this.running = false
    }
  }

  /** The store is gone: whoever comes after it starts anew. */
  private get over(): boolean {
    return this.stopped || this.store.journal.failed
  }

  private async round(): Promise<void> {
    const { queue } = this
    while (!this.over) {
      // All that is due, so that it can be put in order: a queue hands out by acceptance.
      const due = queue.lease(10 * DUE_PER_TURN)
      if (due.length === 0) {
        if (!queue.paging) return
        await queue.idle()
        continue
      }
      due.sort((a, b) => publishedOf(a).due - publishedOf(b).due || a.place - b.place)
      for (const d of due) {
        const message = await this.read(d)
        if (this.over) return
        this.send(d, message)
        if (this.api.turnSpent()) await nextTurn()
      }
    }
  }

  private async read(d: Delivery): Promise<MessageView | undefined> {
    const { messages } = this.store
    // A delay shorter than the commit that stores the message.
    if (d.seq > messages.committedSeq) await this.queue.committed()
    return messages.fetch(d.seq)
  }

  /** Into the dead-letter queue of the queue that is gone, in the commit in which it leaves here. It is not stored again. */
  private bury(topic: string, d: Delivery, message: MessageView): boolean {
    if (!queueNameValid(nameIn(topic))) return false
    const { acceptedAt } = message
    return this.ordered.dead(deadNameOf(nameIn(topic))).bring({ seq: d.seq, bytes: messageBytes(message), acceptedAt })
  }

  /** Both in one turn, and so in one commit: the message goes in, its entry goes. */
  private send(d: Delivery, message: MessageView | undefined): void {
    const { api, queue } = this
    // Reading took too long: it is handed out again.
    if (d.leasedUntil <= api.clock.now()) return
    if (message === undefined) {
      queue.release(d.receipt, 'damaged')
      return
    }
    const { qos, retain } = publishedOf(d)
    const topic = laterOf(topicOf(message))?.topic ?? ''
    const payload = message.buffer.subarray(message.payloadStart, message.end)
    const { properties, expiresAt } = message
    const outcome = api.publish({ topic, payload, qos, retain, properties, expiresAt })
    if (typeof outcome === 'number' && outcome < 0 && outcome !== DROPPED) {
      queue.nack([d.receipt], AGAIN_MS)
      return
    }
    if (typeof outcome === 'number' && outcome >= 0) {
      queue.release(d.receipt, 'acked')
      this.published++
      return
    }
    const buried = outcome === DROPPED && this.bury(topic, d, message)
    const why = typeof outcome === 'string' ? outcome : 'nothing_there'
    this.seldom.warn(
      { topic, why, dead_letter: buried ? deadNameOf(nameIn(topic)) : '' },
      'a delayed message has lost its target',
    )
    queue.release(d.receipt, buried ? 'dead' : 'refused')
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** The name in `$queue/{name}`. */
function nameIn(topic: string): string {
  return topic.slice(QUEUE_LEVEL.length + 1)
}
