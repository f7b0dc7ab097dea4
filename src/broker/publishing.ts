/** PUBLISH and PUBREL from a client: the receiving half of QoS 0, 1 and 2 [MQTT-4.3.*]. */
import { PUBACK, PUBCOMP, PUBREC, Reason } from '../mqtt/constants.js'
import type { Frame } from '../mqtt/frame.js'
import { PublishFields, readPublish } from '../mqtt/publish.js'
import { inboundKey } from '../store/keys.js'
import type { Topic } from '../topics/interned.js'
import { admit, REFUSED_QUOTA } from './admission.js'
import type { Connection } from './connection.js'
import { incoming, readIncoming } from './five/incoming.js'
import type { Peer } from './five/peer.js'
import { ROOM_BYTES, viewOf, withRoom } from './message.js'
import { BY_HOOK, RESERVED, type Refusal, refusalOf, tellRefused } from './refusing.js'
import type { Session } from './session.js'
import type { BrokerState, Stored } from './state.js'

const fields = new PublishFields()
/**
 * Where mosquitto's bridges say that they are up, unasked, before all else. It is nobody's message: acknowledged and dropped, or no such bridge could stay
 * connected.
 */
const BRIDGE_STATE = '$SYS/broker/connection/'

/** What an answer that may wait for a commit costs, in the unit of `BrokerState.work`. */
const ANSWERED_WORK = 16

export function handlePublish(c: Connection, buf: Buffer, frame: Frame, packetStart: number): void {
  const { state } = c
  const wrong = readPublish(buf, frame, c.version ?? 4, fields)
  if (wrong !== 0) {
    c.fault(wrong, 'malformed PUBLISH')
    return
  }
  const { peer } = c
  const reason = peer === null ? readTopic(state, buf) : readIncoming(peer, state.routes.topics, buf, fields, c.readAt)
  const { topic } = incoming
  if (reason !== 0 || topic === undefined) {
    c.fault(reason, 'PUBLISH with a topic or properties that are none')
    return
  }
  const stored = state.stored
  if (stored === null) return
  const { qos, packetId } = fields
  if (qos > 0) state.work += ANSWERED_WORK
  if (peer !== null && !isExpected(c, peer, qos, packetId)) return
  if (qos === 2 && !isFresh(c, stored, packetId)) return
  if (topic.dollar && state.spaces.isClosed(topic.name)) {
    state.stats.droppedReserved++
    if (peer === null && topic.name.startsWith(BRIDGE_STATE)) {
      if (qos === 2) claim(c, stored, packetId)
      acknowledge(c, stored, qos, packetId, 0)
    } else {
      refuse(c, qos, packetId, topic.name, RESERVED)
    }
    return
  }
  const m = state.inbound
  m.buffer = buf
  m.bodyStart = fields.topicStart - 2
  m.payloadStart = fields.payloadStart
  m.end = fields.end
  m.properties = incoming.properties
  m.acceptedAt = c.readAt
  m.expiresAt = incoming.expiresAt
  m.topic = topic
  m.qos = qos as 0 | 1 | 2
  m.retain = fields.retain
  m.gap = fields.payloadStart - fields.topicEnd
  m.packet = buf
  m.packetStart = qos === 0 && incoming.passes ? packetStart : -1
  m.packetEnd = fields.end
  m.packetOf5 = peer !== null
  m.publisher = c.session
  m.client = c
  // Only an alias came: the name is the table's.
  if (fields.topicStart === fields.topicEnd) withRoom(m)
  if (state.hooks.gatesPublish) {
    askThenAdmit(c, stored, topic, packetId)
    return
  }
  finishPublish(c, stored, qos, packetId)
}

/** The topic of a PUBLISH before MQTT 5, left in `incoming` like that of a later one. */
function readTopic(state: BrokerState, buf: Buffer): number {
  incoming.topic = state.routes.topics.intern(buf, fields.topicStart, fields.topicEnd)
  incoming.properties = undefined
  incoming.expiresAt = 0
  incoming.passes = true
  return incoming.topic === undefined ? Reason.topic_name_invalid : 0
}

/** Admits `state.inbound` and answers. */
function finishPublish(c: Connection, stored: Stored, qos: number, packetId: number): void {
  // Not before a hook has answered: a publisher that goes meanwhile must not be told later that its message was taken.
  if (qos === 2) claim(c, stored, packetId)
  const m = c.state.inbound
  const group = admit(c.state, stored, m)
  if (group < 0) {
    if (qos === 2) release(c, stored, packetId)
    if (group === REFUSED_QUOTA) c.state.stats.refusedQuota++
    refuse(c, qos, packetId, m.topic.name, refusalOf(group))
    return
  }
  if (qos === 1 && c.peer !== null && !m.reached) c.answer(NOBODY | packetId, group)
  else if (qos > 0) acknowledge(c, stored, qos, packetId, group)
}

/** PUBACK that says that nobody was there to get the message. */
const NOBODY = (Reason.no_matching_subscribers << 20) | (PUBACK << 16)

/** Says no to a message of which nothing was stored. `error`: what a hook said. */
function refuse(c: Connection, qos: number, packetId: number, topic: string, refusal: Refusal, error?: Error): void {
  tellRefused(c.state, refusal, topic, c.id)
  // Aedes ends the connection of whom a hook refuses, whatever the QoS.
  if (c.peer === null && (qos > 0 || error !== undefined)) c.turnAway(refusal.reason, refusal.text, error)
  else if (c.peer !== null) reject(c, qos, packetId, refusal.reason)
}

/** Refuses a message of MQTT 5. At QoS 0 there is no answer to refuse with. */
function reject(c: Connection, qos: number, packetId: number, reason: number): void {
  if (qos === 1) c.answer((reason << 20) | (PUBACK << 16) | packetId, 0)
  else if (qos === 2) c.answer((reason << 20) | (PUBREC << 16) | packetId, 0)
}

function acknowledge(c: Connection, stored: Stored, qos: number, packetId: number, group: number): void {
  if (qos === 1) c.answer((PUBACK << 16) | packetId, group)
  else if (qos === 2) {
    const durable = (c.session as Session).durable
    c.answer((PUBREC << 16) | packetId, durable ? stored.store.journal.openGroup : group)
  }
}

/** What MQTT 5 asks of a PUBLISH besides. False when it was answered, or ended the connection. */
function isExpected(c: Connection, peer: Peer, qos: number, packetId: number): boolean {
  if (qos === 0) {
    if (incoming.badPayload) c.fault(Reason.payload_format_invalid, 'the payload is not UTF-8')
    return !incoming.badPayload
  }
  // One that is open already is the same message, whatever DUP says: clients in use send it again without [MQTT-4.3.3-10]. It was counted.
  if (qos === 2 && (c.session as Session).inbound?.has(packetId) === true) return true
  if (peer.unanswered >= c.state.settings.max_inbound_qos2) {
    c.fault(Reason.receive_maximum_exceeded, 'more messages without an answer than Receive Maximum')
    return false
  }
  peer.unanswered++
  if (!incoming.badPayload) return true
  reject(c, qos, packetId, Reason.payload_format_invalid)
  return false
}

/** The group that a change of the session's identifiers is in. */
function groupOf(c: Connection, stored: Stored): number {
  return (c.session as Session).durable ? stored.store.journal.openGroup : 0
}

/**
 * False when a QoS 2 packet is already dealt with: a repeated one is answered again and not published again [MQTT-4.3.3-2]. Before MQTT 5 nothing but the
 * identifiers themselves bounds how many are open: a client that sends thousands before its first PUBREL breaks no rule.
 */
function isFresh(c: Connection, stored: Stored, packetId: number): boolean {
  const inbound = (c.session as Session).inbound
  if (inbound === null) return true
  if (inbound.has(packetId)) {
    // Its first PUBREC may still wait for the commit; this one waits behind it.
    c.answer((PUBREC << 16) | packetId, 0)
    return false
  }
  if (!stored.sessions.mayClaim(c.session as Session)) {
    c.state.refusals.count('session.max_memory_bytes', { client: c.id.slice(0, 64) })
    if (c.peer !== null) reject(c, 2, packetId, Reason.quota_exceeded)
    else c.refuse(Reason.quota_exceeded, 'session.max_memory_bytes is reached')
    return false
  }
  if (c.peer === null || inbound.size < c.state.settings.max_inbound_qos2) return true
  // Those of earlier connections count here, and not for Receive Maximum.
  reject(c, 2, packetId, Reason.quota_exceeded)
  return false
}

/** Takes a QoS 2 identifier for this session, in the commit group that takes the message. */
function claim(c: Connection, stored: Stored, packetId: number): void {
  const session = c.session as Session
  session.claim(packetId)
  stored.sessions.claimed(session, true)
  if (session.durable) stored.store.journal.put(inboundKey(session.id, packetId), marker)
}

/** The row's key says all. */
const marker = Buffer.from([1])

/** The message of this identifier was not taken after all. */
function release(c: Connection, stored: Stored, packetId: number): void {
  const session = c.session as Session
  if (session.inbound?.delete(packetId) !== true) return
  stored.sessions.claimed(session, false)
  if (session.durable) stored.store.journal.del(inboundKey(session.id, packetId))
}

/**
 * PUBREL: the identifier is free again when that is stored [MQTT-4.3.3-2]; an unknown one is answered all the same. One that was completed lately is a PUBREL
 * whose PUBCOMP was lost: 0x92 would tell the client that a message which was delivered has failed.
 */
export function handlePubrel(c: Connection, packetId: number): void {
  const stored = c.state.stored
  if (stored === null) return
  const session = c.session as Session
  const released = session.inbound?.complete(packetId) === true
  if (released) {
    stored.sessions.claimed(session, false)
    if (session.durable) stored.store.journal.del(inboundKey(session.id, packetId))
  }
  const known = released || session.recovered || session.inbound?.wasCompleted(packetId) === true
  const reason = known || c.peer === null ? 0 : Reason.packet_identifier_not_found
  c.answer((reason << 20) | (PUBCOMP << 16) | packetId, released ? groupOf(c, stored) : 0)
}

/** A program's `authorizePublish` decides; it may change topic and payload. What it sees and what waits for it are copies. */
function askThenAdmit(c: Connection, stored: Stored, topic: Topic, packetId: number): void {
  const { state } = c
  const m = state.inbound
  const { qos, retain, acceptedAt, expiresAt } = m
  const properties = m.properties === undefined ? undefined : Buffer.from(m.properties)
  const payload = Buffer.from(m.buffer.subarray(m.payloadStart, m.end))
  const packet = {
    cmd: 'publish',
    topic: topic.name,
    payload,
    qos,
    retain,
    dup: fields.dup,
    ...(qos > 0 ? { messageId: packetId } : {}),
    ...state.hooks.propertiesOf(m),
  }
  c.suspend()
  state.hooks.authorizePublish(c, packet, (refused) => {
    if (c.phase !== 'connected' || state.stored !== stored) return
    if (refused) {
      state.stats.droppedRefused++
      refuse(c, qos, packetId, packet.topic, BY_HOOK, refused)
      c.resume()
      return
    }
    const allowed = state.routes.topics.internName(packet.topic)
    if (allowed === undefined) {
      c.fault(Reason.topic_name_invalid, 'a hook made the topic invalid')
      return
    }
    const view = viewOf(allowed.bytes, Buffer.from(packet.payload), acceptedAt)
    m.buffer = view.buffer
    m.bodyStart = view.bodyStart
    m.payloadStart = view.payloadStart
    m.end = view.end
    m.properties = properties
    m.acceptedAt = acceptedAt
    m.expiresAt = expiresAt
    m.topic = allowed
    m.qos = qos
    m.retain = packet.retain === true
    m.gap = ROOM_BYTES
    m.packetStart = -1
    m.publisher = c.session
    m.client = c
    finishPublish(c, stored, qos, packetId)
    c.resume()
  })
}
