/**
 * What a broker sends, but for PUBLISH: one exact Buffer a packet. `version` is the connection's: 3, 4 or 5. A `Properties` given for
 * a version before 5 is ignored, as the wire has no room for it, so callers need not ask. PUBLISH is put together by its sender,
 * out of stored bytes, with `publishHeaderBytes` and `writeRemainingLength`.
 */
import { AUTH, CONNACK, DISCONNECT, PINGRESP, PUBREL, SUBACK, UNSUBACK } from './constants.js'
import { type Properties, writeProperties } from './properties.js'
import { varintBytes, writeRemainingLength } from './varint.js'

export { writeRemainingLength } from './varint.js'

const NO_PROPERTIES = Buffer.alloc(0)
const PINGRESP_BYTES = Buffer.of(PINGRESP << 4, 0)

/** Bytes of a fixed header (first byte and Remaining Length) for a body of `bodyLength` bytes: 2 to 5. */
export function publishHeaderBytes(bodyLength: number): number {
  return 1 + varintBytes(bodyLength)
}

/**
 * CONNACK. `code` is a return code before version 5, a reason code in it. Session present is 0 with any refusal [MQTT-3.2.2-4] and
 * in version 3, where the byte is reserved.
 */
export function connack(version: number, code: number, sessionPresent: boolean, properties?: Properties): Buffer {
  const block = blockOf(version, properties)
  const packet = begin(CONNACK << 4, 2 + blockBytes(version, block))
  let pos = packet.bodyStart
  packet.buf[pos++] = sessionPresent && code === 0 && version !== 3 ? 1 : 0
  packet.buf[pos++] = code
  if (version === 5) writeBlock(packet.buf, pos, block)
  return packet.buf
}

/** SUBACK: one code for each filter, in their order. Granted QoS 0 to 2 or 0x80; in version 5 any reason code of SUBACK. */
export function suback(version: number, packetId: number, codes: readonly number[], properties?: Properties): Buffer {
  return withCodes(SUBACK << 4, version, packetId, codes, properties)
}

/** UNSUBACK: before version 5 it carries no codes; they are ignored then. */
export function unsuback(version: number, packetId: number, codes: readonly number[], properties?: Properties): Buffer {
  return withCodes(UNSUBACK << 4, version, packetId, version === 5 ? codes : [], properties)
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP in its shortest form: in version 5 a success without properties is two bytes long as well. */
export function ack(version: number, type: number, packetId: number, reason: number, properties?: Properties): Buffer {
  const block = blockOf(version, properties)
  const hasBlock = block.length > 0
  const hasReason = hasBlock || (version === 5 && reason !== 0)
  const first = (type << 4) | (type === PUBREL ? 0b0010 : 0)
  const packet = begin(first, 2 + (hasReason ? 1 : 0) + (hasBlock ? blockBytes(version, block) : 0))
  let pos = writePacketId(packet.buf, packet.bodyStart, packetId)
  if (hasReason) packet.buf[pos++] = reason
  if (hasBlock) writeBlock(packet.buf, pos, block)
  return packet.buf
}

/** The same without reason and properties, written in place: four bytes at `pos`; returns the position after them. */
export function writeAck(buf: Buffer, pos: number, type: number, packetId: number): number {
  buf[pos] = (type << 4) | (type === PUBREL ? 0b0010 : 0)
  buf[pos + 1] = 2
  return writePacketId(buf, pos + 2, packetId)
}

/** DISCONNECT from the server, which exists in version 5 only. Without properties it has no property length either [MQTT 5.0 3.14.2.2.1]. */
export function disconnect(reason: number, properties?: Properties): Buffer {
  const block = blockOf(5, properties)
  if (block.length === 0) return Buffer.of(DISCONNECT << 4, 1, reason)
  return withReason(DISCONNECT << 4, reason, properties)
}

/** AUTH (version 5). The standard wants the authentication method in `properties` [MQTT 5.0 3.15.2.2.2]. */
export function auth(reason: number, properties?: Properties): Buffer {
  return withReason(AUTH << 4, reason, properties)
}

/** PINGRESP; always the same Buffer, which nobody may change. */
export function pingresp(): Buffer {
  return PINGRESP_BYTES
}

function withReason(first: number, reason: number, properties: Properties | undefined): Buffer {
  const block = blockOf(5, properties)
  const packet = begin(first, 1 + blockBytes(5, block))
  packet.buf[packet.bodyStart] = reason
  writeBlock(packet.buf, packet.bodyStart + 1, block)
  return packet.buf
}

function withCodes(
  first: number,
  version: number,
  packetId: number,
  codes: readonly number[],
  properties: Properties | undefined,
): Buffer {
  const block = blockOf(version, properties)
  const packet = begin(first, 2 + blockBytes(version, block) + codes.length)
  let pos = writePacketId(packet.buf, packet.bodyStart, packetId)
  if (version === 5) pos = writeBlock(packet.buf, pos, block)
  for (const code of codes) packet.buf[pos++] = code
  return packet.buf
}

function begin(first: number, bodyLength: number): { buf: Buffer; bodyStart: number } {
  const buf = Buffer.allocUnsafe(publishHeaderBytes(bodyLength) + bodyLength)
  buf[0] = first
  return { buf, bodyStart: writeRemainingLength(buf, 1, bodyLength) }
}

function writePacketId(buf: Buffer, pos: number, packetId: number): number {
  buf[pos] = packetId >> 8
  buf[pos + 1] = packetId & 0xff
  return pos + 2
}

function blockOf(version: number, properties: Properties | undefined): Buffer {
  return version === 5 && properties !== undefined ? writeProperties(properties) : NO_PROPERTIES
}

/** The block with its length in front; nothing at all before version 5. */
function blockBytes(version: number, block: Buffer): number {
  return version === 5 ? varintBytes(block.length) + block.length : 0
}

function writeBlock(buf: Buffer, pos: number, block: Buffer): number {
  const at = writeRemainingLength(buf, pos, block.length)
  return at + block.copy(buf, at)
}
