/** What goes into a queue and comes out of it: send, receive, acknowledge. Payloads are bytes. */
import { payloadOf, topicOf, viewOf } from '../broker/message.js'
import { AqueductError } from '../core/errors.js'
import { BATCH_MESSAGES_MAX, DELAY_MS_MAX, LEASE_MS_MAX, READ_BYTES_MAX, RETENTION_S_MAX, WAIT_MS_MAX } from '../core/limits.js'
import { hasUtf8, NO_UTF8 } from '../core/utf8.js'
import type { Delivery, OutgoingMessage, ReceiptResult } from '../queue/ordered-api.js'
import type { OrderedQueue } from '../queue/ordered-queue.js'
import type { MessageView } from '../store/message.js'
import { topicFault } from '../topics/names.js'
import { some, whole } from './checks.js'
import type { Ground } from './ground.js'
import { messageId } from './ids.js'
import { QueueMoves } from './moves.js'
import { type MessageProperties, propertyBlock, shownProperties } from './properties.js'

export interface NewMessage {
  /** Text is taken as its UTF-8. */
  readonly body: Uint8Array | string
  /** Default: `$queue/` and the queue's name. */
  readonly topic?: string
  /** Up to 255 bytes: which messages belong together in `fifo` and `last_value` queues. */
  readonly key?: string
  /** Up to 255 bytes: a word that receivers may choose by. */
  readonly tag?: string
  /** 1 (first) to 16 (last); default 8. */
  readonly priority?: number
  /** Default: the queue's. */
  readonly delay_ms?: number
  /** A message with an id that was sent within the queue's `dedup_window_s` is not stored again. */
  readonly dedup_id?: string
  /** How long it is worth receiving; the queue's retention bounds it. */
  readonly ttl_s?: number
  readonly properties?: MessageProperties
}

export interface Sent {
  /** Null when the queue was full and drops new messages then (`overflow`). */
  readonly id: string | null
  /** `duplicate`: nothing was stored, `id` is the earlier message's. `dropped`: nothing was stored. */
  readonly outcome: 'stored' | 'duplicate' | 'dropped'
}

export interface ReceiveOptions {
  /** 1 to 256; default 1. */
  readonly max?: number
  /** How long to wait for a message when there is none, up to 30,000; default the queue's. */
  readonly wait_ms?: number
  /** How long the messages are the receiver's alone; default the queue's. */
  readonly lease_ms?: number
  /** Aborted when whoever asked is gone: it is then given nothing. */
  readonly signal?: AbortSignal
  /** Aborted when whoever asked is not to be kept waiting: it is given what is there. One that waits already has gone. */
  readonly leave?: AbortSignal
}

/** A message that was handed out. Moments are milliseconds since 1970. */
export interface Received {
  readonly id: string
  /** Names this delivery in `ack`, `nack` and `extend`. */
  readonly receipt: string
  readonly topic: string
  readonly body: Buffer
  /** Hand-outs so far, this one included. */
  readonly attempts: number
  /** Empty for none. */
  readonly key: string
  /** Empty for none. */
  readonly tag: string
  readonly priority: number
  readonly accepted_at: number
  readonly first_leased_at: number
  readonly leased_until: number
  /** Null for never. */
  readonly expires_at: number | null
  /** What an MQTT 5 publisher, or a sender, gave it along; null for nothing. */
  readonly properties: MessageProperties | null
}

/** What became of each receipt, in the order in which they were given. An expired or foreign one is `receipt_invalid`. */
export type { ReceiptResult }

export class Queues extends QueueMoves {
  /**
   * Stores messages, in order, all of them or none; resolves when they are on the disk. Throws `queue_not_found`, `queue_full`, `store_full`,
   * `message_too_large`, `attribute_invalid`, `topic_invalid`.
   */
  async send(name: string, messages: readonly NewMessage[]): Promise<Sent[]> {
    const queue = this.open(name)
    some('messages', messages, BATCH_MESSAGES_MAX)
    const now = this.ground.now()
    const standard = `$queue/${name}`
    const outgoing = messages.map((m): OutgoingMessage => this.outgoing(m, standard, now))
    if (queue.mayLackRoom(outgoing)) await queue.expireUnseen()
    const results = queue.send(outgoing)
    if (results.some((r) => r.outcome === 'refused'))
      throw new AqueductError('queue_full', `Queue ${name} is full: nothing of this was stored.`)
    await queue.committed()
    return results.map(({ seq, outcome }) =>
      outcome === 'dropped_newest'
        ? { id: null, outcome: 'dropped' }
        : { id: messageId(seq), outcome: outcome === 'duplicate' ? outcome : 'stored' },
    )
  }

  /** Hands out messages; each is the receiver's alone until its lease ends. Waits up to `wait_ms` when there is none. */
  async receive(name: string, o: ReceiveOptions = {}): Promise<Received[]> {
    whole('max', o.max, 1, BATCH_MESSAGES_MAX)
    whole('wait_ms', o.wait_ms, 0, WAIT_MS_MAX)
    whole('lease_ms', o.lease_ms, 0, LEASE_MS_MAX)
    const deliveries = await this.ground.queue(name).receive({ ...o, bytes_max: READ_BYTES_MAX })
    return deliveries.map((d) => received(d, this.ground))
  }

  /** The messages are done and leave the queue. Resolves when that is stored. */
  ack(name: string, receipts: readonly string[]): Promise<ReceiptResult[]> {
    return this.settle(name, receipts, (queue) => queue.ack(receipts))
  }

  /** Gives messages back, to be received again at once or after `delay_ms`. `count` false: nobody worked on them, so it was no attempt. */
  nack(name: string, receipts: readonly string[], delay_ms = 0, count = true): Promise<ReceiptResult[]> {
    whole('delay_ms', delay_ms, 0, DELAY_MS_MAX)
    return this.settle(name, receipts, (queue) => queue.nack(receipts, delay_ms, count))
  }

  /** The leases now end `lease_ms` from now (default: the queue's). The receipts stay the same. */
  extend(name: string, receipts: readonly string[], lease_ms?: number): Promise<ReceiptResult[]> {
    whole('lease_ms', lease_ms, 0, LEASE_MS_MAX)
    return this.settle(name, receipts, (queue) => queue.extend(receipts, lease_ms))
  }

  /** The most that a message of this queue may have: bytes of topic, payload and properties. */
  messageBytesMax(name: string): number {
    return this.ground.queue(name).attributes.max_message_bytes
  }

  private async settle(
    name: string,
    receipts: readonly string[],
    act: (queue: OrderedQueue) => ReceiptResult[],
  ): Promise<ReceiptResult[]> {
    some('receipts', receipts, BATCH_MESSAGES_MAX)
    const queue = this.ground.queue(name)
    const results = act(queue)
    await queue.committed()
    return results
  }

  private outgoing(m: NewMessage, standard: string, now: number): OutgoingMessage {
    const { key, tag, priority, delay_ms, dedup_id, ttl_s } = m
    whole('ttl_s', ttl_s, 1, RETENTION_S_MAX)
    return {
      view: this.view(m, standard, now),
      ...(key === undefined ? {} : { key }),
      ...(tag === undefined ? {} : { tag }),
      ...(priority === undefined ? {} : { priority }),
      ...(delay_ms === undefined ? {} : { delay_ms }),
      ...(dedup_id === undefined ? {} : { dedup_id }),
      ...(ttl_s === undefined ? {} : { expires_at: now + ttl_s * 1000 }),
    }
  }

  private view(m: NewMessage, standard: string, now: number): MessageView {
    const topic = m.topic ?? standard
    if (m.topic !== undefined) {
      const fault = topicFault(topic, this.ground.broker.state.settings.max_topic_levels)
      if (fault !== undefined) throw new AqueductError('topic_invalid', `topic: ${fault}.`)
    }
    const payload = bytesOf(m.body)
    return viewOf(Buffer.from(topic), payload, now, propertyBlock(m.properties, payload))
  }
}

/** The same bytes as a `Buffer`. Throws `attribute_invalid` for a text that has no UTF-8. */
export function bytesOf(body: Uint8Array | string): Buffer {
  if (typeof body === 'string') {
    if (!hasUtf8(body)) throw new AqueductError('attribute_invalid', `body ${NO_UTF8}: give it as bytes.`)
    return Buffer.from(body)
  }
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}

function received(d: Delivery, ground: Ground): Received {
  const message = d.message as MessageView
  return {
    id: messageId(d.seq),
    receipt: d.receipt,
    topic: topicOf(message),
    body: payloadOf(message),
    attempts: d.attempts,
    key: d.key,
    tag: d.tag,
    priority: d.priority,
    accepted_at: ground.calendar(d.acceptedAt),
    first_leased_at: ground.calendar(d.firstLeasedAt),
    leased_until: ground.calendar(d.leasedUntil),
    expires_at: ground.calendarOrNull(d.expiresAt),
    properties: shownProperties(message),
  }
}
