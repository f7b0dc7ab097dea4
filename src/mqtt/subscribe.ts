/**
 * SUBSCRIBE and UNSUBSCRIBE. Filters come out as text that is valid UTF-8 and nothing more: whether it is a valid filter is the
 * topics room's to say, since a bad one is answered per filter.
 */
import { SUBSCRIBE, UNSUBSCRIBE } from './constants.js'
import { malformed, protocolError } from './faults.js'
import type { Frame } from './frame.js'
import { type Properties, readPropertyBlock } from './properties.js'
import { Reader } from './reader.js'

export interface SubscriptionRequest {
  filter: string
  /** Highest QoS that the subscriber wants. */
  qos: 0 | 1 | 2
  /** The three options of version 5; false, false, 0 before it. */
  noLocal: boolean
  retainAsPublished: boolean
  /** 0: send retained; 1: only for a new subscription; 2: never. */
  retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  packetId: number
  /** At least one, in the order of the packet: SUBACK answers in the same. */
  subscriptions: SubscriptionRequest[]
  properties: Properties | undefined
}

export interface UnsubscribePacket {
  packetId: number
  /** At least one, in the order of the packet. */
  filters: string[]
  properties: Properties | undefined
}

/**
 * Reads the SUBSCRIBE whose body is all there, one subscription after another: a packet may have hundreds of thousands. Throws a `PacketFault` for
 * identifier 0 [MQTT-2.3.1-1], no filter [MQTT-3.8.3-3], bad UTF-8, QoS 3 or reserved option bits [MQTT-3.8.3-4; version 5: MQTT-3.8.3-5], and in version 5
 * for retain handling 3 and for No Local on a shared subscription [MQTT 5.0: MQTT-3.8.3-4].
 */
export class SubscribeReader {
  readonly packetId: number
  readonly properties: Properties | undefined
  private readonly reader: Reader
  private readonly version: number

  constructor(buf: Buffer, frame: Frame, version: number) {
    this.reader = new Reader(buf, frame.bodyStart, frame.bodyEnd)
    this.version = version
    this.packetId = readPacketId(this.reader)
    this.properties = version === 5 ? readPropertyBlock(this.reader, SUBSCRIBE) : undefined
    if (this.reader.left === 0) throw protocolError('SUBSCRIBE without a filter')
  }

  /** The next subscription, in the order of the packet: SUBACK answers in the same. Undefined behind the last. */
  next(): SubscriptionRequest | undefined {
    return this.reader.left > 0 ? readSubscription(this.reader, this.version) : undefined
  }
}

/** The same for UNSUBSCRIBE: identifier 0, no filter [MQTT-3.10.3-2], bad UTF-8. */
export class UnsubscribeReader {
  readonly packetId: number
  readonly properties: Properties | undefined
  private readonly reader: Reader

  constructor(buf: Buffer, frame: Frame, version: number) {
    this.reader = new Reader(buf, frame.bodyStart, frame.bodyEnd)
    this.packetId = readPacketId(this.reader)
    this.properties = version === 5 ? readPropertyBlock(this.reader, UNSUBSCRIBE) : undefined
    if (this.reader.left === 0) throw protocolError('UNSUBSCRIBE without a filter')
  }

  next(): string | undefined {
    return this.reader.left > 0 ? this.reader.string('topic filter') : undefined
  }
}

/** The whole SUBSCRIBE at once. */
export function readSubscribe(buf: Buffer, frame: Frame, version: number): SubscribePacket {
  const reader = new SubscribeReader(buf, frame, version)
  const subscriptions: SubscriptionRequest[] = []
  for (let one = reader.next(); one !== undefined; one = reader.next()) subscriptions.push(one)
  return { packetId: reader.packetId, subscriptions, properties: reader.properties }
}

/** The whole UNSUBSCRIBE at once. */
export function readUnsubscribe(buf: Buffer, frame: Frame, version: number): UnsubscribePacket {
  const reader = new UnsubscribeReader(buf, frame, version)
  const filters: string[] = []
  for (let one = reader.next(); one !== undefined; one = reader.next()) filters.push(one)
  return { packetId: reader.packetId, filters, properties: reader.properties }
}

function readPacketId(reader: Reader): number {
  const packetId = reader.u16()
  if (packetId === 0) throw protocolError('packet identifier is 0')
  return packetId
}

function readSubscription(reader: Reader, version: number): SubscriptionRequest {
  const filter = reader.string('topic filter')
  const options = reader.u8()
  const qos = twoBits(options)
  if (qos === 3) throw protocolError('subscription with QoS 3')
  if (version !== 5) {
    // MQTT 3.1 calls these bits reserved and unused, and asks nobody to check them.
    if (version !== 3 && options > 2) throw malformed('reserved bits of a subscription are set')
    return { filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }
  }
  if ((options & 0xc0) !== 0) throw malformed('reserved bits of a subscription are set')
  const retainHandling = twoBits(options >> 4)
  if (retainHandling === 3) throw protocolError('subscription with retain handling 3')
  const noLocal = (options & 0x04) !== 0
  if (noLocal && filter.startsWith('$share/')) throw protocolError('No Local on a shared subscription')
  return { filter, qos, noLocal, retainAsPublished: (options & 0x08) !== 0, retainHandling }
}

function twoBits(value: number): 0 | 1 | 2 | 3 {
  const bits = value & 3
  return bits === 0 ? 0 : bits === 1 ? 1 : bits === 2 ? 2 : 3
}
