/**
 * PUBACK, PUBREC, PUBREL, PUBCOMP: an identifier and, in version 5, a reason and rarely properties. The reason is left aside in this
 * module so that the usual two-byte ack is read without allocating; it is valid until the next `readAck`.
 */
import { PUBACK, PUBREC, Reason } from './constants.js'
import { PacketFault } from './faults.js'
import type { Frame } from './frame.js'
import { readPropertyBlock } from './properties.js'
import { Reader } from './reader.js'

let reason = 0

const ACK_REASONS = new Uint8Array(256)
const RELEASE_REASONS = new Uint8Array(256)
for (const code of [
  Reason.success,
  Reason.no_matching_subscribers,
  Reason.unspecified_error,
  Reason.implementation_specific_error,
  Reason.not_authorised,
  Reason.topic_name_invalid,
  Reason.packet_identifier_in_use,
  Reason.quota_exceeded,
  Reason.payload_format_invalid,
]) {
  ACK_REASONS[code] = 1
}
RELEASE_REASONS[Reason.success] = 1
RELEASE_REASONS[Reason.packet_identifier_not_found] = 1

/**
 * The packet identifier (1 to 65,535), or -1 when the packet is malformed: identifier 0, a length other than 2 (3.1, 3.1.1), a
 * reason code that the type does not have [MQTT-3.4.2-1 and its like], bad properties. Properties are checked and dropped:
 * a broker has no use for a client's reason string.
 */
export function readAck(buf: Buffer, frame: Frame, version: number): number {
  const start = frame.bodyStart
  const length = frame.bodyEnd - start
  reason = 0
  const isWhole = length === 2 || (version === 5 && length > 2 && readReason(buf, frame))
  const packetId = isWhole ? (buf[start] << 8) | buf[start + 1] : 0
  if (packetId > 0) return packetId
  if (reason < Reason.unspecified_error || isWhole) reason = Reason.malformed_packet
  return -1
}

/** Reason code of the ack last read; 0 (success) where it carried none. Behind -1: what to disconnect with. */
export function ackReason(): number {
  return reason
}

function readReason(buf: Buffer, frame: Frame): boolean {
  const code = buf[frame.bodyStart + 2]
  const known = frame.type === PUBACK || frame.type === PUBREC ? ACK_REASONS : RELEASE_REASONS
  if (known[code] === 0) return false
  // With a length of 3 there is no property length [MQTT 5.0 3.4.2.2.1].
  if (frame.bodyEnd - frame.bodyStart > 3 && !areProperties(buf, frame)) return false
  reason = code
  return true
}

function areProperties(buf: Buffer, frame: Frame): boolean {
  try {
    const reader = new Reader(buf, frame.bodyStart + 3, frame.bodyEnd)
    readPropertyBlock(reader, frame.type)
    return reader.left === 0
  } catch (fault) {
    if (!(fault instanceof PacketFault)) throw fault
    reason = fault.reason
    return false
  }
}
