/**
 * PUBLISH, the packet that matters for speed: one pass that notes where things are and copies nothing. Text is not looked at here:
 * a topic is interned by its bytes and checked once, by the topics room; a property block is judged by `scanPublishProperties`.
 */
import { Reason } from './constants.js'
import type { Frame } from './frame.js'

/** Where the parts of one PUBLISH lie, as offsets into the buffer that was read. Filled again for every packet. */
export class PublishFields {
  qos = 0
  retain = false
  /** Never true with QoS 0. */
  dup = false
  topicStart = 0
  topicEnd = 0
  /** 1 to 65,535, or 0 with QoS 0. */
  packetId = 0
  /** The property block without its length. Both are `payloadStart` where there is none (3.1, 3.1.1). */
  propertiesStart = 0
  propertiesEnd = 0
  payloadStart = 0
  /** End of the payload and of the packet. */
  end = 0
}

/**
 * Reads the PUBLISH whose body is all there. 0 when it is fine, else the MQTT 5 reason code to close with: 0x81 for QoS 3
 * [MQTT-3.3.1-4], for DUP with QoS 0 [MQTT-3.3.1-2] (MQTT 3.1 gives DUP no meaning there: it is ignored) and for lengths that do
 * not fit; 0x82 for packet identifier 0 [MQTT-2.3.1-1]. Reads nothing at or beyond `frame.bodyEnd`. An empty topic is left to
 * the caller: version 5 allows it with a topic alias.
 */
export function readPublish(buf: Buffer, frame: Frame, version: number, out: PublishFields): number {
  const end = frame.bodyEnd
  const flags = frame.flags
  const qos = (flags >> 1) & 3
  if (qos === 3) return Reason.malformed_packet
  const dup = (flags & 8) !== 0
  if (dup && qos === 0 && version !== 3) return Reason.malformed_packet
  let pos = frame.bodyStart + 2
  if (pos > end) return Reason.malformed_packet
  out.qos = qos
  out.dup = dup && qos !== 0
  out.retain = (flags & 1) !== 0
  out.topicStart = pos
  pos += (buf[pos - 2] << 8) | buf[pos - 1]
  if (pos > end) return Reason.malformed_packet
  out.topicEnd = pos
  if (qos === 0) {
    out.packetId = 0
  } else {
    if (pos + 2 > end) return Reason.malformed_packet
    const packetId = (buf[pos] << 8) | buf[pos + 1]
    if (packetId === 0) return Reason.protocol_error
    out.packetId = packetId
    pos += 2
  }
  if (version === 5) {
    if (pos >= end) return Reason.malformed_packet
    const low = buf[pos++]
    if (low < 0x80) {
      out.propertiesStart = pos
      pos += low
    } else {
      pos = readLongBlock(buf, pos - 1, end, out)
      if (pos < 0) return Reason.malformed_packet
    }
    if (pos > end) return Reason.malformed_packet
  } else {
    out.propertiesStart = pos
  }
  out.propertiesEnd = pos
  out.payloadStart = pos
  out.end = end
  return 0
}

/** A property length of two to four bytes: where the block ends, or -1. */
function readLongBlock(buf: Buffer, start: number, end: number, out: PublishFields): number {
  let length = 0
  for (let i = 0; i < 4 && start + i < end; i++) {
    const byte = buf[start + i]
    length |= (byte & 0x7f) << (7 * i)
    if (byte < 0x80) {
      if (byte === 0) return -1
      out.propertiesStart = start + i + 1
      return out.propertiesStart + length
    }
  }
  return -1
}
