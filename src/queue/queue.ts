/**
 * A queue as its consumers see it: an ordered, bounded list of entries, each *delayed → ready → leased → gone*. Kinds differ
 * in where entries live (a volatile queue in memory, a plain queue in the packed log, an ordered queue in index rows) and
 * behave alike. No wire words here.
 */
import type { Departure } from '../core/queue-words.js'
import type { MessageView } from '../store/message.js'

export type { Departure, QueueKind } from '../core/queue-words.js'

/** One message in one queue, handed out. Owned by the queue that leased it; give it back to that queue only. */
export interface Entry {
  /** Store sequence of the message; in a volatile queue a number that grows the same way. Order of acceptance. */
  readonly seq: number
  /** Place in the queue, counted from 0 and never reused: MQTT derives packet identifiers from it. */
  readonly index: number
  /** Eight bits that the queue carries for whoever appended the entry. */
  readonly flags: number
  /** Further bytes carried for whoever appended it (MQTT 5 subscription identifiers), or undefined. */
  readonly extra: Buffer | undefined
  /** Bytes it counts for. */
  readonly bytes: number
  /** Hand-outs so far, this one included. */
  attempts: number
}

export interface QueueCounts {
  readonly ready: number
  readonly leased: number
  readonly delayed: number
  /** Bytes of all three. */
  readonly bytes: number
}

export type Overflow = 'reject' | 'drop_oldest' | 'drop_newest'

export interface QueueLimits {
  max_messages: number
  max_bytes: number
  overflow: Overflow
}

/** What a session's delivery needs; volatile and plain queues both are one. */
export interface SessionQueue {
  readonly id: number
  readonly durable: boolean
  limits: QueueLimits
  counts(): QueueCounts
  /** Entries that were never handed out. */
  readonly waiting: number
  /** True when `lease` would hand something out now. Cheap. */
  readonly hasReady: boolean
  /** The index that the next `lease` would hand out, or -1. (MQTT waits when that packet identifier is still in use.) */
  peekIndex(): number
  /**
   * Hands out the next entry: first those given back, in their old order, then in order of acceptance. A durable entry is handed out
   * only once it is committed. `attempts` is counted up by this.
   */
  lease(): Entry | undefined
  /** The message of a leased entry if it is in memory; undefined: call `load` and ask again. Throws `message_not_found` if it is gone. */
  read(entry: Entry): MessageView | undefined
  /** Brings the message of `entry` into memory, so that `read` answers right afterwards. */
  load(entry: Entry): Promise<void>
  /** The entry leaves for good. Durable: joins a later commit lazily (losing it is a redelivery) unless the caller waits. */
  ack(entry: Entry, why?: Departure): void
  /** Gives an entry back to its old place. `countAttempt: false` takes the hand-out back too (it never reached anybody). */
  release(entry: Entry, countAttempt?: boolean): void
  /** Gives all leased entries back, as a consumer does that goes away. */
  releaseAll(): void
  /** Removes what waits, at most `upToSeq` when given; leased entries too when `leased`. Returns how many. */
  purge(): number
  /** Called when entries became ready and there were none before; set by the consumer, null when nobody consumes. */
  onReady: (() => void) | null
}

/** How a message enters queues: once, then one `append` per queue, all in the open commit group. */
export interface Admission {
  /**
   * Opens a message. Nothing is copied until the first `append` to a durable queue. Returns nothing; there is one message open
   * at a time and the next `begin` ends it.
   */
  begin(message: MessageView): void
  /**
   * Adds the open message to `queue` with its flags. False when the queue's limit refused it (counted). `drop_oldest` makes room.
   */
  append(queue: SessionQueue, flags: number, extra?: Buffer): boolean
  /** True when the open message has at least one entry in a durable queue: its acknowledgement waits for `openGroup`. */
  readonly durable: boolean
}
