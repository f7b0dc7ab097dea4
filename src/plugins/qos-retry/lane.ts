/**
 * How messages that are not in a session's own queue reach its client: a shared group or a pull queue hands one to this session's lane, which gives it
 * a packet identifier, counts it in the same in-flight window, and says what became of it.
 */
import type { MessageView } from '../../store/message.js'

/** A message under way to a client that came from elsewhere than the session's own queue, as whoever brought it sees it. At QoS 1. */
export interface Brought {
  /** As in `broker/ports.ts`. */
  readonly flags: number
  /** The entry's extra bytes, as the connection reads them. */
  readonly extra: Buffer | undefined
  /** The message if it is at hand, to be sent again. */
  read(): MessageView | undefined
  /** Its PUBACK came; `refused`: with a reason code of 0x80 or more [MQTT-4.8.2-6]. */
  acked(refused: boolean): void
  /** A hook or the client's own limit kept it from the client: it is done with. */
  kept(): void
  /** The connection went without an acknowledgement. `counted`: it broke; else it ended in order, and this was no attempt. */
  lost(counted: boolean): void
  /**
   * No acknowledgement for long on a live connection. True: it was taken back and goes to somebody else. Its identifier stays in use, and counts, until
   * the client acknowledges it or goes.
   */
  overdue(): boolean
}

/** Whoever has messages for a session beside its own queue. One per session. */
export interface Feeder {
  /** A connection is there, anew. */
  arrived(): void
  /** There is, or may be, room in the lane. Does not send in this call. */
  room(): void
}

/** The sending side of one session, for a feeder. */
export interface Lane {
  feeder: Feeder | null
  /** A connection is there. */
  readonly connected: boolean
  /** It is, and its socket takes more: good for QoS 0. */
  readonly open: boolean
  /** Messages of QoS 1 and 2 that may be handed over now. What the session's own queue has waiting counts against it. */
  readonly room: number
  /** Messages of QoS 1 and 2 under way to the client. */
  readonly inFlight: number
  /** Sends at QoS 0 what is not needed any more afterwards. Only while `open`. */
  once(message: MessageView, flags: number, extra: Buffer | undefined): void
  /** Sends at QoS 1, while there is `room`. */
  bring(message: MessageView, brought: Brought): void
}
