/** AUTH (version 5 only; `readFrame` refuses it elsewhere): one step of an extended authentication. */
import { AUTH, Reason } from './constants.js'
import { malformed } from './faults.js'
import type { Frame } from './frame.js'
import { type Properties, readPropertyBlock } from './properties.js'
import { Reader } from './reader.js'

export interface AuthPacket {
  /** 0x00, 0x18 or 0x19. Only a server may send 0x00; the caller checks who spoke. */
  reason: number
  properties: Properties | undefined
}

/** Reads the AUTH whose body is all there. Throws a `PacketFault` for a reason code that AUTH does not have [MQTT-3.15.2-1] and bad properties. */
export function readAuth(buf: Buffer, frame: Frame): AuthPacket {
  const reader = new Reader(buf, frame.bodyStart, frame.bodyEnd)
  // An empty body means success without properties [MQTT 5.0 3.15.2.1].
  const reason = reader.left === 0 ? Reason.success : reader.u8()
  if (reason !== Reason.success && reason !== Reason.continue_authentication && reason !== Reason.re_authenticate) {
    throw malformed('reason code is not one of AUTH')
  }
  const properties = reader.left === 0 ? undefined : readPropertyBlock(reader, AUTH)
  reader.finish('AUTH')
  return { reason, properties }
}
