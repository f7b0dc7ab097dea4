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
  /** Offset in `packet` of the first byte of a whole QoS 0 packet that can be handed on as it is, or -1. */
  packetStart = -1
  packetEnd = 0
  /** Where that packet is: the read buffer. */
  packet: Buffer = this.buffer
  /** The packet is one of MQTT 5: it has a property block, and `properties` is all that is in it besides the expiry. */
  packetOf5 = false
  /**
   * Bytes between topic and payload: 2 is the room for a packet identifier that a message needs to be kept (`withRoom`), anything else is
   * what the wire had there at QoS 0.
   */
  gap = 0
  /** Set by `admit`: somebody was there to get it. */
  reached = false
  /** Its end is a row in the open commit group: a copy of QoS 2 in memory must not leave before that is stored. */
  oncePerRow = false
  publisher: Session | null = null
  /** The publisher as Aedes hooks see it (a client), or null for the broker itself. */
  client: unknown = null
  /** A slot for the rules of the bridge, empty when an admission begins. */
  attachment: unknown = null
  /** What takers spent on it, in the unit of `BrokerState.work`. */
  takersWork = 0
}

/** What a body keeps free for a packet identifier. */
export const ROOM_BYTES = 2

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
  m.gap = ROOM_BYTES
  return m
}

/** Bodies put together for the time of one admission; and the buffer they last came from. Both also as words: see `copyWords`. */
const scratch = Buffer.allocUnsafeSlow(64 * 1024)
const scratchWords = wordsOf(scratch)
let source: Buffer = scratch
let sourceWords = scratchWords

/**
 * Gives `m` a body in the shape that is kept, where the wire had another: a QoS 0 packet, a property block in between, an alias instead of the topic.
 * The bytes are good until the next message; `packet` stays as it came.
 */
export function withRoom(m: Inbound): void {
  const { bytes } = m.topic
  const payload = m.end - m.payloadStart
  const payloadStart = 4 + bytes.length
  const length = payloadStart + payload
  const body = length <= scratch.length ? scratch : Buffer.allocUnsafe(length)
  body[0] = bytes.length >>> 8
  body[1] = bytes.length & 0xff
  copyBytes(bytes, 0, bytes.length, body, 2)
  if (payload > WORDS_BYTES_MAX || body !== scratch) m.buffer.copy(body, payloadStart, m.payloadStart, m.end)
  else copyWords(m.buffer, m.payloadStart, m.end, payloadStart)
  m.buffer = body
  m.bodyStart = 0
  m.payloadStart = payloadStart
  m.end = length
  m.gap = ROOM_BYTES
}

/** Up to this a loop over words is quicker than the call into native code, which makes an object of its own. */
const WORDS_BYTES_MAX = 192

/** Copies to `scratch`, four bytes at a time. */
function copyWords(from: Buffer, start: number, end: number, to: number): void {
  if (from !== source) {
    // As a rule all reads of a process come in one buffer.
    source = from
    sourceWords = wordsOf(from)
  }
  const whole = start + ((end - start) & ~3)
  let i = start
  let at = to
  for (; i < whole; i += 4, at += 4) scratchWords.setInt32(at, sourceWords.getInt32(i, true), true)
  for (; i < end; i++) scratch[at++] = from[i]
}

function wordsOf(b: Buffer): DataView {
  return new DataView(b.buffer, b.byteOffset, b.length)
}

/** Below this a loop is quicker than the call into native code. */
const LOOP_BYTES_MAX = 48

export function copyBytes(from: Buffer, start: number, end: number, to: Buffer, at: number): void {
  if (end - start > LOOP_BYTES_MAX) {
    from.copy(to, at, start, end)
    return
  }
  for (let i = start; i < end; i++) to[at++] = from[i]
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

/** A view with its own bytes, with room for a packet identifier whether or not the original had it. */
export function copyOf(m: Inbound): MessageView {
  const properties = m.properties === undefined ? undefined : Buffer.from(m.properties)
  return viewOf(m.topic.bytes, m.buffer.subarray(m.payloadStart, m.end), m.acceptedAt, properties, m.expiresAt)
}
