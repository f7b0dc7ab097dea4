/**
 * What readers throw for a packet that breaks the standard. It is not an `Error`: a peer can make us throw one per packet, and a
 * stack trace would cost more than the packet. It never leaves the broker's door: the connection catches it, answers and closes.
 */
import { Reason } from './constants.js'

export class PacketFault {
  /** MQTT 5 reason code: what a version 5 peer is told in CONNACK or DISCONNECT. */
  readonly reason: number
  /** Return code with which a 3.1 or 3.1.1 CONNECT is answered; 0: close without an answer. */
  readonly connackCode: number
  /** What was wrong, for the log. Never holds bytes of the packet. */
  readonly text: string
  /**
   * Set by `readConnect` only: the protocol version in which CONNACK must be written, 0 where it is not known and no CONNACK may
   * be sent. After CONNECT the connection knows its version itself.
   */
  version = 0

  constructor(reason: number, text: string, connackCode = 0) {
    this.reason = reason
    this.text = text
    this.connackCode = connackCode
  }
}

/** A packet that cannot be read by the rules of its type [MQTT-4.13.1-1]. */
export function malformed(text: string): PacketFault {
  return new PacketFault(Reason.malformed_packet, text)
}

/** A readable packet with a value or combination that the standard forbids. */
export function protocolError(text: string): PacketFault {
  return new PacketFault(Reason.protocol_error, text)
}
