/** PUBLISH packets for MQTT 5 subscribers, written straight into a connection's output: one copy of topic, properties and payload. */
import { varintBytes, writeRemainingLength } from '../../mqtt/varint.js'
import type { MessageView } from '../../store/message.js'
import { copyBytes } from '../message.js'
import type { Output } from '../output.js'
import { headerBytes, writeHeader } from '../writing.js'

const MESSAGE_EXPIRY = 2
const TOPIC_ALIAS = 35

/** What one copy has beside the message. Filled again for each. */
export class CopyFields {
  /** First byte of the packet. */
  first = 0
  /** 0 at QoS 0. */
  packetId = 0
  /** Bytes between topic and payload in the message. */
  gap = 0
  /** Seconds that the message is still good for, counted down on the way [MQTT-3.3.2-6]; -1: for ever. */
  remaining_s = -1
  /** Subscription identifiers as properties, from `identifiersFrom` on; undefined: none. */
  identifiers: Buffer | undefined = undefined
  identifiersFrom = 0
  /** 0: none. */
  alias = 0
  /** The client knows the alias already, so that the topic is left out [MQTT-3.3.2-8]. */
  aliasKnown = false
}

/** Writes the packet, unless it has more than `bytesMax` bytes: false then. */
export function writePublish5(output: Output, m: MessageView, f: CopyFields, bytesMax: number): boolean {
  const { identifiers, packetId } = f
  const properties = m.properties
  const topicEnd = f.aliasKnown ? m.bodyStart : m.payloadStart - f.gap
  let block = properties === undefined ? 0 : properties.length
  if (f.remaining_s >= 0) block += 5
  if (f.alias > 0) block += 3
  if (identifiers !== undefined) block += identifiers.length - f.identifiersFrom
  const topicBytes = f.aliasKnown ? 2 : topicEnd - m.bodyStart
  const payloadBytes = m.end - m.payloadStart
  const bodyBytes = topicBytes + (packetId > 0 ? 2 : 0) + varintBytes(block) + block + payloadBytes
  const bytes = headerBytes(bodyBytes) + bodyBytes
  if (bytes > bytesMax) return false
  const out = output.reserve(bytes)
  let at = writeHeader(out, output.at(), f.first, bodyBytes)
  if (f.aliasKnown) {
    out[at++] = 0
    out[at++] = 0
  } else {
    copyBytes(m.buffer, m.bodyStart, topicEnd, out, at)
    at += topicBytes
  }
  if (packetId > 0) {
    out[at++] = packetId >>> 8
    out[at++] = packetId & 0xff
  }
  if (block === 0) out[at++] = 0
  else at = writeBlock(out, at, block, properties, f)
  copyBytes(m.buffer, m.payloadStart, m.end, out, at)
  output.advance(bytes)
  return true
}

/** The same for a message with nothing but topic and payload, which is what most are. */
export function writePlain5(
  output: Output,
  m: MessageView,
  gap: number,
  first: number,
  packetId: number,
  bytesMax: number,
): boolean {
  const topicEnd = m.payloadStart - gap
  const topicBytes = topicEnd - m.bodyStart
  const bodyBytes = topicBytes + (packetId > 0 ? 3 : 1) + m.end - m.payloadStart
  const bytes = headerBytes(bodyBytes) + bodyBytes
  if (bytes > bytesMax) return false
  const out = output.reserve(bytes)
  let at = writeHeader(out, output.at(), first, bodyBytes)
  copyBytes(m.buffer, m.bodyStart, topicEnd, out, at)
  at += topicBytes
  if (packetId > 0) {
    out[at++] = packetId >>> 8
    out[at++] = packetId & 0xff
  }
  out[at++] = 0
  copyBytes(m.buffer, m.payloadStart, m.end, out, at)
  output.advance(bytes)
  return true
}

function writeBlock(out: Buffer, start: number, block: number, properties: Buffer | undefined, f: CopyFields): number {
  let at = writeRemainingLength(out, start, block)
  if (f.remaining_s >= 0) {
    out[at] = MESSAGE_EXPIRY
    at = out.writeUInt32BE(f.remaining_s, at + 1)
  }
  if (f.alias > 0) {
    out[at] = TOPIC_ALIAS
    at = out.writeUInt16BE(f.alias, at + 1)
  }
  // In the order in which the publisher gave them [MQTT-3.3.2-18].
  if (properties !== undefined) at += properties.copy(out, at)
  if (f.identifiers !== undefined) at += f.identifiers.copy(out, at, f.identifiersFrom)
  return at
}
