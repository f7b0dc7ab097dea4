/** DISCONNECT: empty before version 5; there a reason that decides about the will, and properties. */
import { DISCONNECT, Reason } from './constants.js'
import { malformed } from './faults.js'
import type { Frame } from './frame.js'
import { type Properties, readPropertyBlock } from './properties.js'
import { Reader } from './reader.js'
import { IN_DISCONNECT } from './reasons.js'

export interface DisconnectPacket {
  /** 0x00 where none is given: a normal disconnection, the will is dropped. Before version 5 always 0x00. */
  reason: number
  properties: Properties | undefined
}

/**
 * Reads the DISCONNECT whose body is all there. Throws a `PacketFault` for a body before version 5, a reason code that DISCONNECT does
 * not have [MQTT-3.14.2-1] and bad properties.
 */
export function readDisconnect(buf: Buffer, frame: Frame, version: number): DisconnectPacket {
  const reader = new Reader(buf, frame.bodyStart, frame.bodyEnd)
  if (version !== 5) {
    reader.finish('DISCONNECT')
    return { reason: Reason.success, properties: undefined }
  }
  const reason = reader.left === 0 ? Reason.success : reader.u8()
  if (reason !== Reason.disconnect_with_will && !IN_DISCONNECT.has(reason))
    throw malformed('reason code is not one of DISCONNECT')
  // Below a length of 2 there is no property length [MQTT 5.0 3.14.2.2.1].
  const properties = reader.left === 0 ? undefined : readPropertyBlock(reader, DISCONNECT)
  reader.finish('DISCONNECT')
  return { reason, properties }
}
