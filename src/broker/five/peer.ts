/**
 * What a connection of MQTT 5 knows that one of 3.1.1 does not: the limits its client named, and the aliases that both sides have given out.
 * It ends with the connection.
 */
import { PACKET_BYTES_MAX } from '../../core/limits.js'
import { PUBACK, PUBCOMP, PUBREC, Reason } from '../../mqtt/constants.js'
import type { Properties } from '../../mqtt/properties.js'
import type { Topic } from '../../topics/interned.js'

/** Topic aliases that we gave out, first come, first served; then topics are sent by name. */
export class OutAliases {
  private readonly known = new Map<string, number>()
  private readonly max: number

  constructor(max: number) {
    this.max = max
  }

  /** The alias that the client knows for `topic`; 0: none. */
  of(topic: Topic): number {
    return this.known.get(topic.name) ?? 0
  }

  /** The alias that is next to be given out; 0: all are. */
  get next(): number {
    return this.known.size < this.max ? this.known.size + 1 : 0
  }

  /** The alias `next` has been sent for `topic`. */
  sent(topic: Topic): void {
    this.known.set(topic.name, this.known.size + 1)
  }
}

/** More than any packet has: five bytes of header, then what four bytes can count. */
const ANY_BYTES = PACKET_BYTES_MAX + 5

export interface PeerLimits {
  /** Aliases that we keep for topics that the client names, and that we give out at most. */
  readonly aliases_max: number
}

export class Peer {
  /** The largest packet that the client takes [MQTT-3.1.2-24]. */
  readonly packetBytesMax: number
  /** Did not ask to be spared reason strings. */
  readonly wantsProblems: boolean
  /** Session Expiry Interval of its CONNECT. With 0 a DISCONNECT may not ask for more [MQTT 5.0 3.14.2.2.2]. */
  readonly askedExpiry_s: number
  readonly aliasesOut: OutAliases | null
  /** QoS 1 and 2 messages from the client that are not answered to the end: no more than our Receive Maximum [MQTT-3.3.4-7]. */
  unanswered = 0
  private readonly aliasesMax: number
  private aliasesIn: (Topic | undefined)[] | null = null

  constructor(asked: Properties, { aliases_max }: PeerLimits) {
    // A small integer: it is passed with each copy, and a large number would be an object then.
    this.packetBytesMax = Math.min(asked.maximumPacketSize ?? ANY_BYTES, ANY_BYTES)
    // Not to say is to ask for them [MQTT 5.0 3.1.2.11.7].
    this.wantsProblems = asked.requestProblemInformation !== false
    this.askedExpiry_s = asked.sessionExpiryInterval ?? 0
    const out = Math.min(asked.topicAliasMaximum ?? 0, aliases_max)
    this.aliasesOut = out > 0 ? new OutAliases(out) : null
    this.aliasesMax = aliases_max
  }

  /** An answer leaves: PUBACK, PUBCOMP and a PUBREC that refuses end what the client's message counted for [MQTT 5.0 4.9]. */
  answered(type: number, reason: number): void {
    if (type !== PUBACK && type !== PUBCOMP && !(type === PUBREC && reason >= Reason.unspecified_error)) return
    // PUBREL of an earlier connection was not counted on this one.
    if (this.unanswered > 0) this.unanswered--
  }

  /** False for an alias beyond what we announced [MQTT-3.3.2-9]. */
  allowsAlias(alias: number): boolean {
    return alias <= this.aliasesMax
  }

  topicOf(alias: number): Topic | undefined {
    return this.aliasesIn?.[alias]
  }

  /** The client names `topic` by `alias` from now on. */
  learn(alias: number, topic: Topic): void {
    if (this.aliasesIn === null) this.aliasesIn = []
    this.aliasesIn[alias] = topic
  }
}
