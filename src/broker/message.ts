/** Views of messages that are made here: of a packet that is being read, or of a topic and payload given by a program. */
import type { MessageView } from '../store/message.js'
import type { Topic } from '../topics/interned.js'
import type { Session } from './session.js'

/**
 * The message that is being admitted. There is one, used again for each packet: valid until the next, and its buffer is the read
 * buffer. Who keeps a message copies it (`copyOf`).
 */
export class Inbound implements MessageView {
  buffer: Buffer = Buffer.alloc(0)
  bodyStart = 0
  payloadStart = 0
  end = 0
  properties: Buffer | undefined = undefined
  acceptedAt = 0
  expiresAt = 0
  topic!: Topic
  qos: 0 | 1 | 2 = 0
  retain = false
  /** Offset of the first byte of a whole 3.1.1 QoS 0 packet that can be handed on as it is, or -1. */
  packetStart = -1
  /** False when the body has no room for a packet identifier: payload follows the topic directly (QoS 0 on the wire). */
  room = false
  publisher: Session | null = null
  /** The publisher as Aedes hooks see it (a client), or null for the broker itself. */
  client: unknown = null
  /** A slot for the rules of the bridge, empty when an admission begins. */
  attachment: unknown = null
}

/** Builds the body of a message: u16 topic length, topic, room for a packet identifier, payload. */
export function viewOf(topic: Buffer, payload: Buffer, acceptedAt: number, properties?: Buffer, expiresAt = 0): MessageView {
  const buffer = Buffer.allocUnsafe(4 + topic.length + payload.length)
  buffer.writeUInt16BE(topic.length, 0)
  topic.copy(buffer, 2)
  buffer.writeUInt16BE(0, 2 + topic.length)
  payload.copy(buffer, 4 + topic.length)
  return { buffer, bodyStart: 0, payloadStart: 4 + topic.length, end: buffer.length, properties, acceptedAt, expiresAt }
}

/** A message that no packet brought, ready to be admitted or retained. */
export function inboundOf(topic: Topic, payload: Buffer, qos: 0 | 1 | 2, retain: boolean, acceptedAt: number): Inbound {
  const m = new Inbound()
  const view = viewOf(topic.bytes, payload, acceptedAt)
  m.buffer = view.buffer
  m.payloadStart = view.payloadStart
  m.end = view.end
  m.acceptedAt = acceptedAt
  m.topic = topic
  m.qos = qos
  m.retain = retain
  m.room = true
  return m
}

/** The payload as bytes of their own. */
export function payloadOf(m: MessageView): Buffer {
  return Buffer.from(m.buffer.subarray(m.payloadStart, m.end))
}

/** The topic's name. */
export function topicOf(m: MessageView): string {
  const start = m.bodyStart + 2
  return m.buffer.toString('utf8', start, start + m.buffer.readUInt16BE(m.bodyStart))
}

/**
 * Gives `m` the room for a packet identifier that a QoS 0 packet does not have, in a copy: what is stored has it always. It then leaves as a
 * message that no packet brought.
 */
export function giveRoom(m: Inbound): void {
  const { buffer, payloadStart, end } = m
  const view = viewOf(m.topic.bytes, buffer.subarray(payloadStart, end), m.acceptedAt)
  m.buffer = view.buffer
  m.bodyStart = 0
  m.payloadStart = view.payloadStart
  m.end = view.end
  m.room = true
  m.packetStart = -1
}

/** A view with its own bytes, with room for a packet identifier whether or not the original had it. */
export function copyOf(m: Inbound): MessageView {
  const properties = m.properties === undefined ? undefined : Buffer.from(m.properties)
  return viewOf(m.topic.bytes, m.buffer.subarray(m.payloadStart, m.end), m.acceptedAt, properties, m.expiresAt)
}
