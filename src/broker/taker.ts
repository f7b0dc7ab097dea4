/**
 * A part of the program that takes copies of matching messages in the middle of their admission, so that what it stores joins the commit
 * that acknowledges the publisher: a bridge rule, a shared group.
 */
import type { Inbound } from './message.js'

export abstract class Taker {
  /** A valid filter, without `$share/`. One taker has one; a second rule with the same filter is another taker. */
  readonly filter: string

  /** It takes for those who subscribed, and not for the operator. */
  get ofSubscribers(): boolean {
    return false
  }

  constructor(filter: string) {
    this.filter = filter
  }

  /**
   * Asked for every taker before anything of the message is stored: false refuses the whole message, the publisher is told (MQTT 5: 0x97) or
   * disconnected.
   */
  allows(_m: Inbound): boolean {
    return true
  }

  /**
   * Takes its copy of `m`, which is open in `Mailboxes` (`begin` was called) and valid during the call only. Never throws. `held`: a QoS 2 copy that is
   * kept in memory may leave only when the open group is committed. True when rows that the publisher's acknowledgement must wait for joined the open
   * group. Work that depends on the message, in either call, is added to `m.takersWork`.
   */
  abstract take(m: Inbound, held: boolean): boolean
}
