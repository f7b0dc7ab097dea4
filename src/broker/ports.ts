/**
 * What the broker asks of the plugins that keep QoS 1 and 2 messages, and what it offers them. The broker room knows
 * sessions, packets and topics; it does not know queues, leases or retries. A plugin joins the two.
 */
import type { MessageView } from '../store/message.js'
import type { Store } from '../store/store.js'

/** The low bits of an entry's flags, as MQTT delivery reads them. Bits 4–7 are free for later kinds. */
export const FLAG_QOS = 0x03
export const FLAG_RETAIN = 0x04
/** The message has an expiry: known without its bytes, which may be on the disk only. Set by who keeps the messages. */
export const FLAG_EXPIRES = 0x08

/** First byte of an entry's extra bytes: fields that a program gave with a queued packet, as JSON (`persistence-packets.ts`). */
export const EXTRA_FIELDS = 0x01
/** The same for MQTT 5 subscription identifiers, as the properties that the PUBLISH will carry (`five/identifiers.ts`). */
export const EXTRA_IDENTIFIERS = 0x02

/** What an acknowledgement from a subscriber met. `wrong` is a protocol error: that identifier waits for another packet. */
export type AckOutcome = 'ok' | 'unknown' | 'wrong'

/** The stored side of one session: what waits for it, and the handshakes under way. Made by a plugin, used by one connection at a time. */
export interface Mailbox {
  /** The session's number, also the number of its queue; 0 when it lives in memory only. */
  readonly id: number
  /** A connection is ready: hand it what was in flight again (DUP), in order [MQTT-4.6.0-1], then go on. */
  attach(to: Deliverer): void
  /**
   * The connection is gone; what it held goes back to its old place. Returns how many messages were sent and not acknowledged: after a
   * restart that many go out with DUP.
   */
  detach(): number
  /** Sends what fits: called when the connection can take more. */
  pump(): void
  /** Resends what has waited too long for its acknowledgement; called about once a second while attached. */
  retry(): void
  /**
   * PUBACK [MQTT-4.3.2-1]. `refused`: with a reason code of 0x80 or more, which changes nothing for a message of the session's own (MQTT 5 has no second
   * delivery of what a client refused) and matters to a queue that it shares.
   */
  acked(packetId: number, refused?: boolean): AckOutcome
  /** PUBREC: PUBREL follows when this is stored [MQTT-4.3.3-1]. */
  received(packetId: number): AckOutcome
  /** PUBREC of MQTT 5 with a reason of 0x80 or more: the message is done with, no PUBREL follows [MQTT-4.3.3-4]. */
  rejected(packetId: number): AckOutcome
  /** PUBCOMP. */
  completed(packetId: number): AckOutcome
  /** What is in flight under this identifier, as far as it is in memory: for listeners of Aedes's 'ack' event. */
  sent(packetId: number): { readonly message: MessageView; readonly flags: number } | undefined
  /** Throws away what waits; what is in flight stays. Returns how many went. */
  discard(): number
  /**
   * Lets go of messages at the front that have expired at `now`, a bounded number; returns how many. A message behind one that does not expire is not
   * looked at.
   */
  expire(now: number, reads: ReadBudget): number
  /** Messages that wait or are in flight. */
  readonly waiting: number
  readonly inFlight: number

  /* what programs ask for that look into a stored session from outside; a mailbox in memory has nothing to show them */

  /** What is in flight or waits, in order, without touching it. What is not committed yet is not seen. */
  browse(): AsyncIterable<Boxed>
  /** Identifiers of messages that PUBREC was received for and PUBCOMP was not, in the order of the PUBRECs. */
  released(): Iterable<number>
  /** Says under which identifier the message `seq` was sent before: it goes out with it again, and with DUP. Stored. */
  assign(seq: number, packetId: number): void
  /**
   * The message `seq` leaves, as if the client had acknowledged it. With `received`, as if its PUBREC for that identifier had come: PUBREL
   * is then due. False when the message is not there or so far back that it is on the disk only.
   */
  settle(seq: number, received?: number): boolean
}

/** How much may be read from the store by looks at what waits. */
export interface ReadBudget {
  /** May one more message be read? It counts. */
  take(): boolean
  /** It was read for the mailbox of this client: look again. */
  done(clientId: string): void
}

/** A message in a mailbox, seen from outside. */
export interface Boxed {
  /** Store sequence: grows in the order of acceptance, never used again. */
  readonly seq: number
  readonly flags: number
  readonly extra: Buffer | undefined
  /** The identifier it was sent under, or will be; undefined while none is settled. */
  readonly packetId: number | undefined
  /** The message; undefined when it left meanwhile. */
  read(): Promise<MessageView | undefined>
}

/** The connection, as a mailbox sees it. */
export interface Deliverer {
  /** False when the socket is slow enough that more would only pile up in memory. `pump` is called when it is true again. */
  readonly writable: boolean
  /** True while bytes of earlier writes have not left for the kernel: a retry now would be a second copy in our own buffer. */
  readonly unsent: boolean
  /** How many unacknowledged messages it may hold: our setting, or the client's Receive Maximum if that is lower. */
  readonly window: number
  /** May a message be sent again on this live connection? MQTT 3.1.1 leaves it open, MQTT 5 forbids it [MQTT-4.4.0-1]. */
  readonly resendsLive: boolean
  /** `extra`: the entry's. False when a hook or the client's own limit keeps the message from it: it then counts as delivered and done. */
  sendPublish(message: MessageView, flags: number, packetId: number, dup: boolean, extra: Buffer | undefined): boolean
  sendPubrel(packetId: number): void
  readonly clientId: string
}

/** Every session's mailbox, and the way in. Provided by `durable-queues`; how messages go out by `qos-retry`. */
export interface Mailboxes {
  /** For a new session. Durable: its definition joins the open commit group. */
  create(clientId: string, durable: boolean): Mailbox
  /**
   * The mailbox of a stored session, after a start. `maybeSent`: so many of its first messages may have been sent before. Undefined when its queue
   * is not there (the store is damaged).
   */
  restore(clientId: string, id: number, maybeSent: number): Mailbox | undefined
  /** Queues of sessions that were found at the start and not restored: of sessions whose own row is damaged. */
  unclaimedQueues(): readonly { readonly clientId: string; readonly id: number }[]
  /** The session is over: everything in it goes. */
  remove(mailbox: Mailbox): void
  /** Opens a message; see `Admission` of the queue room: nothing is copied before the first `append`. */
  begin(message: MessageView): void
  /**
   * One copy for one session. `held`: a QoS 2 copy for a volatile session that may leave only when the open group is committed (else a broker
   * that dies in between could deliver it twice). `extra` goes with the entry, its first byte says what it is. False when the session's limit
   * refused it; that is counted there.
   */
  append(to: Mailbox, flags: number, held: boolean, extra?: Buffer): boolean
  /** True when the open message has at least one durable copy. */
  readonly durable: boolean
}

/** Makes the mailboxes on a store that was just opened. Called again after a store that failed was opened anew. */
export type OpenMailboxes = (store: Store) => Promise<Mailboxes>
