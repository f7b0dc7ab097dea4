/**
 * The property block of a PUBLISH, as bytes. A broker must judge it (a bad block closes the connection), needs three values, and
 * hands most of the rest on unaltered and in order [MQTT-3.3.2-17, -18]: so one pass that notes what matters and decodes no text, and a copy
 * that leaves out what belongs to one hop only (topic alias, subscription identifiers) or is counted down on the way (expiry).
 */
import { Reason } from './constants.js'
import { isMqttUtf8 } from './utf8.js'

const PAYLOAD_FORMAT = 1
const MESSAGE_EXPIRY = 2
const CONTENT_TYPE = 3
const RESPONSE_TOPIC = 8
const CORRELATION_DATA = 9
const SUBSCRIPTION_IDENTIFIER = 11
const TOPIC_ALIAS = 35
const USER_PROPERTY = 38

/** What a broker needs of a PUBLISH's properties. Filled again for every packet. */
export class PublishProperties {
  /** 1 to 65,535; 0: none. */
  topicAlias = 0
  /** Seconds; -1: none. */
  messageExpiryInterval = -1
  /** 0: bytes, also when not given. 1: the payload says it is UTF-8. */
  payloadFormat = 0
  /** A client may not send one [MQTT-3.3.4-6]; the caller decides who may. */
  hasSubscriptionIdentifier = false
  /** Bytes of the block that `copyPublishProperties` copies. */
  keptBytes = 0
}

/**
 * Judges the block `start` ≤ i < `end` and fills `out`. 0 when it is fine, else the MQTT 5 reason code: 0x81 unknown or foreign
 * property or lengths that do not fit or bad UTF-8, 0x82 given twice or a forbidden value (a response topic that is
 * empty or has a wildcard [MQTT-3.3.2-14] too), 0x94 topic alias 0.
 */
export function scanPublishProperties(buf: Buffer, start: number, end: number, out: PublishProperties): number {
  out.topicAlias = 0
  out.messageExpiryInterval = -1
  out.payloadFormat = 0
  out.hasSubscriptionIdentifier = false
  let stripped = 0
  // One bit for each property that may come once; the topic alias takes bit 0, which no identifier has.
  let seen = 0
  let pos = start
  while (pos < end) {
    const at = pos
    const id = buf[pos]
    if (id !== USER_PROPERTY && id !== SUBSCRIPTION_IDENTIFIER) {
      const bit = id === TOPIC_ALIAS ? 1 : id > 0 && id <= CORRELATION_DATA ? 1 << id : 0
      if ((seen & bit) !== 0) return Reason.protocol_error
      seen |= bit
    }
    pos = propertyEnd(buf, pos, end)
    if (pos < 0) return Reason.malformed_packet
    switch (id) {
      case PAYLOAD_FORMAT:
        if (buf[at + 1] > 1) return Reason.protocol_error
        out.payloadFormat = buf[at + 1]
        break
      case MESSAGE_EXPIRY:
        out.messageExpiryInterval = buf.readUInt32BE(at + 1)
        stripped += 5
        break
      case CONTENT_TYPE:
        if (!isMqttUtf8(buf, at + 3, pos)) return Reason.malformed_packet
        break
      case RESPONSE_TOPIC:
        if (!isMqttUtf8(buf, at + 3, pos)) return Reason.malformed_packet
        // A topic name has at least one character [MQTT-4.7.3-1].
        if (at + 3 === pos || hasWildcard(buf, at + 3, pos)) return Reason.protocol_error
        break
      case SUBSCRIPTION_IDENTIFIER:
        if (buf[at + 1] === 0) return Reason.protocol_error
        out.hasSubscriptionIdentifier = true
        stripped += pos - at
        break
      case TOPIC_ALIAS:
        out.topicAlias = (buf[at + 1] << 8) | buf[at + 2]
        if (out.topicAlias === 0) return Reason.topic_alias_invalid
        stripped += 3
        break
      case USER_PROPERTY: {
        const nameEnd = at + 3 + ((buf[at + 1] << 8) | buf[at + 2])
        if (!isMqttUtf8(buf, at + 3, nameEnd) || !isMqttUtf8(buf, nameEnd + 2, pos)) return Reason.malformed_packet
      }
    }
  }
  out.keptBytes = end - start - stripped
  return 0
}

/**
 * Copies the block without topic alias, message expiry and subscription identifiers to `target` at `pos`; returns the position
 * after it. The block has passed `scanPublishProperties`, whose `keptBytes` is the room that this takes.
 */
export function copyPublishProperties(buf: Buffer, start: number, end: number, target: Buffer, pos: number): number {
  let to = pos
  // Neighbours that are kept go in one copy.
  let run = start
  let at = start
  while (at < end) {
    const id = buf[at]
    const next = propertyEnd(buf, at, end)
    if (next < 0) break
    if (id === MESSAGE_EXPIRY || id === TOPIC_ALIAS || id === SUBSCRIPTION_IDENTIFIER) {
      to += buf.copy(target, to, run, at)
      run = next
    }
    at = next
  }
  return to + buf.copy(target, to, run, at)
}

/** Where the property at `pos` ends, by its wire form alone; -1 when it is unknown, may not be in a PUBLISH, or does not end by `end`. */
function propertyEnd(buf: Buffer, pos: number, end: number): number {
  let next = -1
  switch (buf[pos]) {
    case PAYLOAD_FORMAT:
      next = pos + 2
      break
    case TOPIC_ALIAS:
      next = pos + 3
      break
    case MESSAGE_EXPIRY:
      next = pos + 5
      break
    case CONTENT_TYPE:
    case RESPONSE_TOPIC:
    case CORRELATION_DATA:
      next = fieldEnd(buf, pos + 1, end)
      break
    case USER_PROPERTY:
      next = fieldEnd(buf, pos + 1, end)
      if (next >= 0) next = fieldEnd(buf, next, end)
      break
    case SUBSCRIPTION_IDENTIFIER:
      next = varintEnd(buf, pos + 1, end)
  }
  return next > end ? -1 : next
}

/** Where the length-prefixed field at `pos` ends; -1 when that is beyond `end`. */
function fieldEnd(buf: Buffer, pos: number, end: number): number {
  if (pos + 2 > end) return -1
  const next = pos + 2 + ((buf[pos] << 8) | buf[pos + 1])
  return next > end ? -1 : next
}

function varintEnd(buf: Buffer, pos: number, end: number): number {
  for (let i = 0; i < 4 && pos + i < end; i++) {
    const byte = buf[pos + i]
    if (byte < 0x80) return byte === 0 && i > 0 ? -1 : pos + i + 1
  }
  return -1
}

function hasWildcard(buf: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    if (buf[i] === 0x23 || buf[i] === 0x2b) return true
  }
  return false
}
