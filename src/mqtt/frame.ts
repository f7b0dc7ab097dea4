/**
 * The fixed header: packet type, flags, Remaining Length. One `Frame` per reader is filled again and again, so reading a header
 * allocates nothing. A header is judged as soon as its bytes are there: bad flags need no length, and a length can be refused
 * before any of the body is buffered.
 */
import { AUTH, CONNECT, PUBLISH, PUBREL, SUBSCRIBE, UNSUBSCRIBE } from './constants.js'

export class Frame {
  /** Packet type, 1 to 15. */
  type = 0
  /** The lower four bits of the first byte. */
  flags = 0
  /** First byte after the fixed header. */
  bodyStart = 0
  /** First byte after the packet. May lie beyond what has arrived. */
  bodyEnd = 0
}

/** Flags that each type must carry [MQTT-2.2.2-1]; PUBLISH is never looked up. */
const REQUIRED_FLAGS = new Uint8Array(16)
REQUIRED_FLAGS[PUBREL] = REQUIRED_FLAGS[SUBSCRIBE] = REQUIRED_FLAGS[UNSUBSCRIBE] = 0b0010

/**
 * Reads the fixed header at `pos` into `frame`; looks at bytes below `end` only. `version` is the connection's protocol version,
 * or 0 before CONNECT.
 *
 * 1: read (`bodyEnd` may lie beyond `end`: the body is not all there yet). 0: more bytes are needed. -1: malformed, that is type 0,
 * AUTH outside version 5 [MQTT 3.1.1 2.2.1], flags that are wrong for the type [MQTT-2.2.2-2], a length of more than four bytes
 * [MQTT-2.2.3] or, in version 5, one that does not use the fewest bytes [MQTT-1.5.5-1].
 *
 * MQTT 3.1 gives QoS and DUP to every type, says "not used" for most and asks nobody to check, so there only CONNECT is held to 0.
 */
export function readFrame(buf: Buffer, pos: number, end: number, version: number, frame: Frame): -1 | 0 | 1 {
  if (pos >= end) return 0
  const first = buf[pos]
  const type = first >> 4
  const flags = first & 0x0f
  frame.type = type
  frame.flags = flags
  if (type !== PUBLISH) {
    if (type === 0 || (type === AUTH && version !== 5)) return -1
    if (flags !== REQUIRED_FLAGS[type] && (version !== 3 || type === CONNECT)) return -1
  }
  if (pos + 1 >= end) return 0
  const low = buf[pos + 1]
  if (low < 0x80) {
    frame.bodyStart = pos + 2
    frame.bodyEnd = pos + 2 + low
    return 1
  }
  return readLongLength(buf, pos + 1, end, version, frame)
}

function readLongLength(buf: Buffer, start: number, end: number, version: number, frame: Frame): -1 | 0 | 1 {
  let length = 0
  for (let i = 0; i < 4; i++) {
    const at = start + i
    if (at >= end) return 0
    const byte = buf[at]
    length |= (byte & 0x7f) << (7 * i)
    if (byte < 0x80) {
      if (byte === 0 && version === 5) return -1
      frame.bodyStart = at + 1
      frame.bodyEnd = at + 1 + length
      return 1
    }
  }
  return -1
}
