/**
 * A PUBLISH of MQTT 5 before it is admitted: its properties judged, its alias resolved. What is found is left in `incoming`, valid until the
 * next packet.
 */
import { isUtf8 } from 'node:buffer'
import { Reason } from '../../mqtt/constants.js'
import { copyPublishProperties, PublishProperties, scanPublishProperties } from '../../mqtt/properties.js'
import type { PublishFields } from '../../mqtt/publish.js'
import type { Topic, TopicTable } from '../../topics/interned.js'
import type { Peer } from './peer.js'

const scanned = new PublishProperties()

/** Filled by `readIncoming`. */
export const incoming = {
  topic: undefined as Topic | undefined,
  /** The block as it is kept; undefined when nothing is left of it. Lies in the read buffer unless something was taken out. */
  properties: undefined as Buffer | undefined,
  /** When the message is no longer worth delivering: milliseconds since 1970, 0 for never. */
  expiresAt: 0,
  /** The packet can be handed on as it is: an alias means nothing to anybody else. */
  passes: true,
  /** The payload says that it is UTF-8, and is not. */
  badPayload: false,
}

/** Judges the packet. 0 when it is fine, else the reason to disconnect with. */
export function readIncoming(peer: Peer, topics: TopicTable, buf: Buffer, f: PublishFields, now: number): number {
  if (f.propertiesStart === f.propertiesEnd) {
    incoming.properties = undefined
    incoming.expiresAt = 0
    incoming.passes = true
    incoming.badPayload = false
    incoming.topic = topics.intern(buf, f.topicStart, f.topicEnd)
    return incoming.topic === undefined ? topicReason(topics, buf, f) : 0
  }
  const wrong = scanPublishProperties(buf, f.propertiesStart, f.propertiesEnd, scanned)
  if (wrong !== 0) return wrong
  // Those are the broker's to give [MQTT-3.3.4-6].
  if (scanned.hasSubscriptionIdentifier) return Reason.protocol_error
  const unknown = resolve(peer, topics, buf, f)
  if (unknown !== 0) return unknown
  incoming.passes = scanned.topicAlias === 0
  incoming.properties = kept(buf, f)
  incoming.expiresAt = expiry(scanned.messageExpiryInterval, now)
  incoming.badPayload = scanned.payloadFormat === 1 && !isUtf8(buf.subarray(f.payloadStart, f.end))
  return 0
}

/** Why a topic name is none: too deep for us, nothing where an alias would have to be, or ill-formed. */
function topicReason(topics: TopicTable, buf: Buffer, f: PublishFields): number {
  if (f.topicStart === f.topicEnd) return Reason.protocol_error
  return topics.tooDeep(buf, f.topicStart, f.topicEnd) ? Reason.topic_name_invalid : Reason.malformed_packet
}

/** The topic by its name, its alias, or both: then the alias is learnt [MQTT-3.3.2-12]. */
function resolve(peer: Peer, topics: TopicTable, buf: Buffer, f: PublishFields): number {
  const alias = scanned.topicAlias
  if (!peer.allowsAlias(alias)) return Reason.topic_alias_invalid
  if (alias > 0 && f.topicStart === f.topicEnd) {
    const known = peer.topicOf(alias)
    incoming.topic = known === undefined ? undefined : topics.current(known)
    return incoming.topic === undefined ? Reason.protocol_error : 0
  }
  incoming.topic = topics.intern(buf, f.topicStart, f.topicEnd)
  if (incoming.topic === undefined) return topicReason(topics, buf, f)
  if (alias > 0) peer.learn(alias, incoming.topic)
  return 0
}

function kept(buf: Buffer, f: PublishFields): Buffer | undefined {
  const bytes = scanned.keptBytes
  if (bytes === 0) return undefined
  if (bytes === f.propertiesEnd - f.propertiesStart) return buf.subarray(f.propertiesStart, f.propertiesEnd)
  const copy = Buffer.allocUnsafe(bytes)
  copyPublishProperties(buf, f.propertiesStart, f.propertiesEnd, copy, 0)
  return copy
}

/** An interval of 0 s is for those who are there at once: good for the millisecond in which it came. */
function expiry(interval_s: number, now: number): number {
  return interval_s < 0 ? 0 : now + Math.max(1, interval_s * 1000)
}
