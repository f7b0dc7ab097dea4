/** What goes into an ordered queue and what comes out, in the shapes that doors translate from and to. */
import { AqueductError } from '../core/errors.js'
import { DELAY_MS_MAX, KEY_BYTES_MAX, PRIORITY_MAX, PRIORITY_MIN } from '../core/limits.js'
import { hasUtf8, NO_UTF8 } from '../core/utf8.js'
import { type MessageView, messageBytes } from '../store/message.js'
import type { QueueAttributes } from './attributes.js'
import type { OrderedEntry } from './ordered-entry.js'

export interface OutgoingMessage {
  /** Valid during the call. */
  readonly view: MessageView
  /** Up to 255 bytes. Means something in `fifo` and `last_value` queues and is carried in all. */
  readonly key?: string
  /** 1 (first) to 16 (last); 8 when not given. */
  readonly priority?: number
  /** A word that consumers may choose by, up to 255 bytes; it means nothing to the queue. */
  readonly tag?: string
  /** Default: the queue's. */
  readonly delay_ms?: number
  /** Up to 255 bytes. */
  readonly dedup_id?: string
  /** Milliseconds since 1970, 0 for never; default the view's. The queue's retention bounds it. */
  readonly expires_at?: number
}

/**
 * `stored`: it is in. `duplicate`: its id was known, `seq` is the earlier message. `refused`: the queue is full. `dropped_newest`: the queue
 * is full and says that new messages are dropped then; the sender is told nothing of it.
 */
export interface SendResult {
  /** Store sequence, from which the public id is made; 0 when nothing was stored. */
  readonly seq: number
  readonly outcome: 'stored' | 'duplicate' | 'refused' | 'dropped_newest'
}

export interface ReceiveOptions {
  readonly max?: number
  /** Default: the queue's. */
  readonly lease_ms?: number
  /** Default: the queue's. */
  readonly wait_ms?: number
  /** Bytes of all together, unless the first alone has more. */
  readonly bytes_max?: number
  /** Aborted when whoever asked has gone: it gets nothing, and what was on its way to it goes back uncounted. */
  readonly signal?: AbortSignal
  /** Aborted when whoever asked is not to be kept waiting, and when it has gone. Default: `signal`. While it waits, it has gone. */
  readonly leave?: AbortSignal
}

export type ReceiptResult = 'ok' | 'receipt_invalid'

/** One message handed out. */
export interface Delivery {
  readonly seq: number
  /** Place in the queue; with it `peek` and traces name an entry. */
  readonly place: number
  readonly receipt: string
  /** Hand-outs so far, this one included. */
  readonly attempts: number
  readonly priority: number
  /** '' for none. */
  readonly key: string
  /** '' for none. */
  readonly tag: string
  readonly bytes: number
  /** Moments in milliseconds since 1970; 0 for none. */
  readonly acceptedAt: number
  readonly expiresAt: number
  readonly firstLeasedAt: number
  readonly leasedUntil: number
  /** Dead letters: id of the queue it died in, and when. */
  readonly origin: number
  readonly diedAt: number
  /** Set by `receive`; undefined after a bare `lease`. */
  message: MessageView | undefined
}

export function delivery(e: OrderedEntry, receipt: string): Delivery {
  return {
    seq: e.seq,
    place: e.place,
    receipt,
    attempts: e.attempts,
    priority: e.priority,
    key: e.key,
    tag: e.tag,
    bytes: e.bytes,
    acceptedAt: e.acceptedAt,
    expiresAt: e.expiresAt,
    firstLeasedAt: e.firstLeasedAt,
    leasedUntil: e.until,
    origin: e.origin,
    diedAt: e.diedAt,
    message: undefined,
  }
}

/** Throws `attribute_invalid` or `message_too_large` for what the queue cannot take. */
export function checkOutgoing(m: OutgoingMessage, a: QueueAttributes): void {
  const bytes = messageBytes(m.view)
  if (bytes > a.max_message_bytes) {
    throw new AqueductError(
      'message_too_large',
      `A message of this queue has at most ${a.max_message_bytes} bytes: this one has ${bytes}.`,
    )
  }
  if (m.priority !== undefined) whole('priority', m.priority, PRIORITY_MIN, PRIORITY_MAX)
  if (m.delay_ms !== undefined) whole('delay_ms', m.delay_ms, 0, DELAY_MS_MAX)
  if (m.expires_at !== undefined) whole('expires_at', m.expires_at, 0, 2 ** 48 - 1)
  short('key', m.key)
  short('tag', m.tag)
  short('dedup_id', m.dedup_id)
}

function whole(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new AqueductError('attribute_invalid', `${name} is a whole number from ${min} to ${max}: got ${value}`)
}

function short(name: string, value: string | undefined): void {
  if (value === undefined) return
  // Two of them would become the same bytes, and so the same key.
  if (!hasUtf8(value)) throw new AqueductError('attribute_invalid', `${name} ${NO_UTF8}.`)
  if (value.length <= KEY_BYTES_MAX && Buffer.byteLength(value) <= KEY_BYTES_MAX) return
  throw new AqueductError('attribute_invalid', `${name} has at most ${KEY_BYTES_MAX} bytes.`)
}
