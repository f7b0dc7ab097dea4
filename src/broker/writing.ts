/** Acknowledgements, and PUBLISH packets for 3.1 and 3.1.1 subscribers, written straight into a connection's output: one copy of the body, no encoder. */
import { PINGRESP, PUBREL } from '../mqtt/constants.js'
import type { MessageView } from '../store/message.js'
import { copyBytes, type Inbound, ROOM_BYTES } from './message.js'
import type { Output } from './output.js'
import { FLAG_QOS, FLAG_RETAIN } from './ports.js'

/** Bytes of the fixed header before a body of `bodyBytes`. */
export function headerBytes(bodyBytes: number): number {
  return bodyBytes < 128 ? 2 : bodyBytes < 16_384 ? 3 : bodyBytes < 2_097_152 ? 4 : 5
}

/** Writes first byte and Remaining Length at `at`; returns the offset behind them. */
export function writeHeader(out: Buffer, at: number, first: number, bodyBytes: number): number {
  out[at++] = first
  let left = bodyBytes
  while (left > 127) {
    out[at++] = (left & 0x7f) | 0x80
    left >>>= 7
  }
  out[at++] = left
  return at
}

/** First byte of a PUBLISH; `flags` as in `ports.ts`. */
export function firstByte(flags: number, dup: boolean): number {
  return 0x30 | (dup ? 8 : 0) | ((flags & FLAG_QOS) << 1) | ((flags & FLAG_RETAIN) !== 0 ? 1 : 0)
}

/**
 * A stored or waiting message. `flags` as in `ports.ts`; at QoS 0 the room for the packet identifier is left out.
 */
export function writePublish(output: Output, m: MessageView, flags: number, packetId: number, dup: boolean): void {
  const qos = flags & FLAG_QOS
  const first = firstByte(flags, dup)
  if (qos === 0) {
    writeWithoutRoom(output, m, first, ROOM_BYTES)
    return
  }
  const bodyBytes = m.end - m.bodyStart
  const bytes = headerBytes(bodyBytes) + bodyBytes
  const out = output.reserve(bytes)
  const at = writeHeader(out, output.at(), first, bodyBytes)
  copyBytes(m.buffer, m.bodyStart, m.end, out, at)
  const room = at + (m.payloadStart - m.bodyStart) - 2
  out[room] = packetId >>> 8
  out[room + 1] = packetId & 0xff
  output.advance(bytes)
}

/** The message that is being admitted, at QoS 0: its packet as it came where that is possible. */
export function writePublishQos0(output: Output, m: Inbound, retain: boolean): void {
  const first = retain ? 0x31 : 0x30
  if (m.packetStart >= 0 && !m.packetOf5) passPacket(output, m, first)
  else writeWithoutRoom(output, m, first, m.gap)
}

/** Sends the packet of `m` on as it came, but for its first byte. */
export function passPacket(output: Output, m: Inbound, first: number): void {
  const { packet, packetStart, packetEnd } = m
  if (packet[packetStart] === first) {
    output.pass(packet, packetStart, packetEnd)
    return
  }
  const bytes = packetEnd - packetStart
  const out = output.reserve(bytes)
  const at = output.at()
  copyBytes(packet, packetStart, packetEnd, out, at)
  out[at] = first
  output.advance(bytes)
}

function writeWithoutRoom(output: Output, m: MessageView, first: number, gap: number): void {
  const topicEnd = m.payloadStart - gap
  const bodyBytes = topicEnd - m.bodyStart + m.end - m.payloadStart
  const bytes = headerBytes(bodyBytes) + bodyBytes
  const out = output.reserve(bytes)
  const at = writeHeader(out, output.at(), first, bodyBytes)
  copyBytes(m.buffer, m.bodyStart, topicEnd, out, at)
  copyBytes(m.buffer, m.payloadStart, m.end, out, at + topicEnd - m.bodyStart)
  output.advance(bytes)
}

/** The acknowledgement, or PINGRESP, that `token` says (reason · 2²⁰ + type · 2¹⁶ + identifier); returns its bytes. */
export function writeAnswer(output: Output, token: number): number {
  const out = output.reserve(5)
  let at = output.at()
  const type = (token >>> 16) & 0x0f
  const reason = token >>> 20
  out[at++] = type === PUBREL ? (PUBREL << 4) | 2 : type << 4
  let bytes = 2
  if (type === PINGRESP) {
    out[at] = 0
  } else {
    out[at++] = reason === 0 ? 2 : 3
    out[at++] = (token >>> 8) & 0xff
    out[at++] = token & 0xff
    if (reason !== 0) out[at] = reason
    bytes = reason === 0 ? 4 : 5
  }
  output.advance(bytes)
  return bytes
}
