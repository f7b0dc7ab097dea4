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
 * Reads the SUBSCRIBE whose body is all there. Throws a `PacketFault` for identifier 0 [MQTT-2.3.1-1], no filter [MQTT-3.8.3-3], bad
 * UTF-8, QoS 3 or reserved option bits [MQTT-3.8.3-4; version 5: MQTT-3.8.3-5], and in version 5 for retain handling 3 and for
 * No Local on a shared subscription [MQTT 5.0: MQTT-3.8.3-4].
 */
export function readSubscribe(buf: Buffer, frame: Frame, version: number): SubscribePacket {
  const reader = new Reader(buf, frame.bodyStart, frame.bodyEnd)
  const packetId = readPacketId(reader)
  const properties = version === 5 ? readPropertyBlock(reader, SUBSCRIBE) : undefined
  const subscriptions: SubscriptionRequest[] = []
  while (reader.left > 0) subscriptions.push(readSubscription(reader, version))
  if (subscriptions.length === 0) throw protocolError('SUBSCRIBE without a filter')
  return { packetId, subscriptions, properties }
}

/** Reads the UNSUBSCRIBE whose body is all there. Throws a `PacketFault` for identifier 0, no filter [MQTT-3.10.3-2], bad UTF-8. */
export function readUnsubscribe(buf: Buffer, frame: Frame, version: number): UnsubscribePacket {
  const reader = new Reader(buf, frame.bodyStart, frame.bodyEnd)
  const packetId = readPacketId(reader)
  const properties = version === 5 ? readPropertyBlock(reader, UNSUBSCRIBE) : undefined
  const filters: string[] = []
  while (reader.left > 0) filters.push(reader.string('topic filter'))
  if (filters.length === 0) throw protocolError('UNSUBSCRIBE without a filter')
  return { packetId, filters, properties }
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
