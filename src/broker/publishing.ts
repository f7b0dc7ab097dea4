/** PUBLISH and PUBREL from a client: the receiving half of QoS 0, 1 and 2 [MQTT-4.3.*]. */
import { PUBACK, PUBCOMP, PUBREC, Reason } from '../mqtt/constants.js'
import type { Frame } from '../mqtt/frame.js'
import { PublishFields, readPublish } from '../mqtt/publish.js'
import { inboundKey } from '../store/keys.js'
import type { Topic } from '../topics/interned.js'
import { admit, DROPPED } from './admission.js'
import type { Connection } from './connection.js'
import type { Session } from './session.js'
import type { Stored } from './state.js'

const fields = new PublishFields()

export function handlePublish(c: Connection, buf: Buffer, frame: Frame, packetStart: number): void {
  const { state } = c
  const wrong = readPublish(buf, frame, c.version ?? 4, fields)
  if (wrong !== 0) {
    c.fault(wrong, 'malformed PUBLISH')
    return
  }
  const topic = state.routes.topics.intern(buf, fields.topicStart, fields.topicEnd)
  if (topic === undefined) {
    c.fault(Reason.topic_name_invalid, 'PUBLISH to what is no topic name')
    return
  }
  const stored = state.stored
  if (stored === null) return
  const { qos, packetId } = fields
  if (qos === 2 && !isFresh(c, packetId)) return
  if (topic.dollar && state.spaces.isClosed(topic.name)) {
    state.stats.droppedReserved++
    if (qos === 2) claim(c, stored, packetId)
    acknowledge(c, stored, qos, packetId, 0)
    return
  }
  const m = state.inbound
  m.buffer = buf
  m.bodyStart = fields.topicStart - 2
  m.payloadStart = fields.payloadStart
  m.end = fields.end
  m.properties = undefined
  m.acceptedAt = c.readAt
  m.expiresAt = 0
  m.topic = topic
  m.qos = qos as 0 | 1 | 2
  m.retain = fields.retain
  m.room = qos > 0
  m.packetStart = qos === 0 ? packetStart : -1
  m.publisher = c.session
  m.client = c
  if (state.hooks.gatesPublish) {
    askThenAdmit(c, stored, topic, packetId)
    return
  }
  finishPublish(c, stored, qos, packetId)
}

/** Admits `state.inbound` and answers. */
function finishPublish(c: Connection, stored: Stored, qos: number, packetId: number): void {
  // Not before a hook has answered: a publisher that goes meanwhile must not be told later that its message was taken.
  if (qos === 2) claim(c, stored, packetId)
  const group = admit(c.state, stored, c.state.inbound)
  if (group < 0 && group !== DROPPED) {
    // MQTT 3.1.1 has no refusal: closing is the only honest answer, as nothing was stored.
    if (qos === 2) release(c, stored, packetId)
    if (qos > 0) c.fault(Reason.quota_exceeded, 'there is no room for this message')
    return
  }
  if (qos > 0) acknowledge(c, stored, qos, packetId, Math.max(group, 0))
}

function acknowledge(c: Connection, stored: Stored, qos: number, packetId: number, group: number): void {
  if (qos === 1) c.answer((PUBACK << 16) | packetId, group)
  else if (qos === 2) {
    const durable = (c.session as Session).durable
    c.answer((PUBREC << 16) | packetId, durable ? stored.store.journal.openGroup : group)
  }
}

/**
 * False when a QoS 2 packet is already dealt with: a repeated one is answered again and not published again [MQTT-4.3.3-2], one too
 * many closes.
 */
function isFresh(c: Connection, packetId: number): boolean {
  const inbound = (c.session as Session).inbound
  if (inbound === null) return true
  if (inbound.has(packetId)) {
    // Its first PUBREC may still wait for the commit; this one waits behind it.
    c.answer((PUBREC << 16) | packetId, 0)
    return false
  }
  if (inbound.size < c.state.settings.max_inbound_qos2) return true
  c.fault(Reason.receive_maximum_exceeded, 'too many QoS 2 messages without PUBREL')
  return false
}

/** Takes a QoS 2 identifier for this session, in the commit group that takes the message. */
function claim(c: Connection, stored: Stored, packetId: number): void {
  const session = c.session as Session
  if (session.inbound === null) session.inbound = new Set()
  session.inbound.add(packetId)
  if (session.durable) stored.store.journal.put(inboundKey(session.id, packetId), marker)
}

/** The row's key says all. */
const marker = Buffer.from([1])

function release(c: Connection, stored: Stored, packetId: number): boolean {
  const session = c.session as Session
  if (session.inbound === null || !session.inbound.delete(packetId)) return false
  if (session.durable) stored.store.journal.del(inboundKey(session.id, packetId))
  return true
}

/** PUBREL: the identifier is free again when that is stored [MQTT-4.3.3-2]; an unknown one is answered all the same. */
export function handlePubrel(c: Connection, packetId: number): void {
  const stored = c.state.stored
  if (stored === null) return
  const released = release(c, stored, packetId)
  const wait = released && (c.session as Session).durable
  c.answer((PUBCOMP << 16) | packetId, wait ? stored.store.journal.openGroup : 0)
}

/** A program's `authorizePublish` decides; it may change topic and payload. What it sees and what waits for it are copies. */
function askThenAdmit(c: Connection, stored: Stored, topic: Topic, packetId: number): void {
  const { state } = c
  const m = state.inbound
  const { qos, retain, acceptedAt } = m
  const payload = Buffer.from(m.buffer.subarray(m.payloadStart, m.end))
  const packet = {
    cmd: 'publish',
    topic: topic.name,
    payload,
    qos,
    retain,
    dup: fields.dup,
    ...(qos > 0 ? { messageId: packetId } : {}),
  }
  c.suspend()
  state.hooks.authorizePublish(c, packet, (refused) => {
    if (c.phase !== 'connected' || state.stored !== stored) return
    if (refused) {
      c.fault(Reason.not_authorised, 'publish refused by a hook', refused)
      return
    }
    const allowed = state.routes.topics.internName(packet.topic)
    if (allowed === undefined) {
      c.fault(Reason.topic_name_invalid, 'a hook made the topic invalid')
      return
    }
    const body = Buffer.from(packet.payload)
    const bytes = Buffer.concat([lengthOf(allowed.bytes), allowed.bytes, Buffer.alloc(2), body])
    m.buffer = bytes
    m.bodyStart = 0
    m.payloadStart = bytes.length - body.length
    m.end = bytes.length
    m.properties = undefined
    m.acceptedAt = acceptedAt
    m.expiresAt = 0
    m.topic = allowed
    m.qos = qos
    m.retain = packet.retain === true
    m.room = true
    m.packetStart = -1
    m.publisher = c.session
    m.client = c
    finishPublish(c, stored, qos, packetId)
    c.resume()
  })
}

function lengthOf(bytes: Buffer): Buffer {
  const b = Buffer.allocUnsafe(2)
  b.writeUInt16BE(bytes.length, 0)
  return b
}
