/**
 * MQTT 5 property blocks as objects: read whole for packets that come once in a while, written for our own. A block here is
 * always *without* its length; who writes a packet puts the length in front. PUBLISH, which comes often, is judged and copied as
 * bytes by publish-properties.ts.
 */
import { AqueductError } from '../core/errors.js'
import { STRING_BYTES_MAX } from '../core/limits.js'
import { PUBLISH, Reason } from './constants.js'
import { malformed, PacketFault, protocolError } from './faults.js'
import { isAllowedIn, PROPERTIES, type Properties, type Property, propertyOf } from './property-table.js'
import { Reader } from './reader.js'
import { VARINT_MAX, writeRemainingLength } from './varint.js'

export type { Properties } from './property-table.js'
export { copyPublishProperties, PublishProperties, scanPublishProperties } from './publish-properties.js'

/**
 * Reads the block `start` ≤ i < `end` of a packet of `packetType` (or `WILL`). Everything is copied.
 * Throws a `PacketFault`: 0x81 for an unknown identifier, one that this packet may not carry [MQTT 5.0 2.2.2.2] and values that do
 * not fit; 0x82 for a property given twice and for a value that the standard forbids; 0x94 for topic alias 0.
 * `stored`: the block was taken once, so a response topic that would not be taken any more is read all the same.
 */
export function readProperties(buf: Buffer, start: number, end: number, packetType: number, stored = false): Properties {
  const reader = new Reader(buf, start, end)
  const properties: Properties = {}
  while (reader.left > 0) {
    const property = propertyOf(reader.u8())
    if (property === undefined) throw malformed('unknown property')
    if (!isAllowedIn(property, packetType)) throw malformed(`${property.name} does not belong in this packet`)
    readOne(reader, property, packetType, properties)
    if (property.name === 'responseTopic' && !stored) checkResponseTopic(properties.responseTopic)
  }
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    throw protocolError('authenticationData without authenticationMethod')
  }
  return properties
}

/** Reads the length and the block that follows it, as every packet but PUBLISH has them. */
export function readPropertyBlock(reader: Reader, packetType: number): Properties {
  const length = reader.varint()
  const start = reader.take(length)
  return readProperties(reader.buf, start, start + length, packetType)
}

function readOne(reader: Reader, property: Property, packetType: number, into: Properties): void {
  const { name } = property
  const repeats = property.form === 'pairs' || (property.form === 'identifiers' && packetType === PUBLISH)
  if (into[name] !== undefined && !repeats) throw protocolError(`${name} is given twice`)
  switch (property.form) {
    case 'flag':
      into[property.name] = readBit(reader, name) === 1
      break
    case 'bit':
      into[property.name] = readBit(reader, name)
      break
    case 'u16':
    case 'u32': {
      const value = property.form === 'u16' ? reader.u16() : reader.u32()
      if (value < property.min) throw zeroFault(property.name)
      into[property.name] = value
      break
    }
    case 'string':
      into[property.name] = reader.string(property.name)
      break
    case 'binary':
      into[property.name] = reader.binary()
      break
    case 'identifiers': {
      const value = reader.varint()
      if (value === 0) throw protocolError('subscription identifier is 0')
      const list = into.subscriptionIdentifiers ?? []
      list.push(value)
      into.subscriptionIdentifiers = list
      break
    }
    case 'pairs': {
      const list = into.userProperties ?? []
      list.push([reader.string(name), reader.string(name)])
      into.userProperties = list
    }
  }
}

function checkResponseTopic(topic = ''): void {
  if (topic === '') throw protocolError('responseTopic is empty') // [MQTT-4.7.3-1]
  if (topic.includes('#') || topic.includes('+')) throw protocolError('responseTopic has a wildcard') // [MQTT-3.3.2-14]
}

function readBit(reader: Reader, name: string): 0 | 1 {
  const value = reader.u8()
  if (value > 1) throw protocolError(`${name} is neither 0 nor 1`)
  return value === 1 ? 1 : 0
}

function zeroFault(name: string): PacketFault {
  if (name === 'topicAlias') return new PacketFault(Reason.topic_alias_invalid, 'topicAlias is 0')
  return protocolError(`${name} is 0`)
}

/**
 * The block for `properties`, without its length, in one exact Buffer; in the order of identifiers, user properties in theirs.
 * It does not ask whether the packet may carry them: our own code decides that. Throws `AqueductError('malformed_packet')` for a value that the wire cannot carry.
 */
export function writeProperties(properties: Properties): Buffer {
  const parts: Buffer[] = []
  for (const property of PROPERTIES) writeOne(property, properties, parts)
  return Buffer.concat(parts)
}

function writeOne(property: Property, from: Properties, parts: Buffer[]): void {
  if (from[property.name] === undefined) return
  switch (property.form) {
    case 'flag':
      parts.push(Buffer.of(property.id, from[property.name] ? 1 : 0))
      break
    case 'bit':
      parts.push(Buffer.of(property.id, checked(property.name, from[property.name], 0, 1)))
      break
    case 'u16': {
      const value = checked(property.name, from[property.name], property.min, 0xffff)
      parts.push(Buffer.of(property.id, value >> 8, value & 0xff))
      break
    }
    case 'u32': {
      const bytes = Buffer.allocUnsafe(5)
      bytes[0] = property.id
      bytes.writeUInt32BE(checked(property.name, from[property.name], property.min, 0xffffffff), 1)
      parts.push(bytes)
      break
    }
    case 'string':
      parts.push(Buffer.of(property.id), stringField(property.name, from[property.name] ?? ''))
      break
    case 'binary':
      parts.push(Buffer.of(property.id), field(property.name, from[property.name] ?? Buffer.alloc(0)))
      break
    case 'identifiers':
      for (const value of from.subscriptionIdentifiers ?? []) {
        const bytes = Buffer.allocUnsafe(5)
        bytes[0] = property.id
        const length = writeRemainingLength(bytes, 1, checked(property.name, value, 1, VARINT_MAX))
        parts.push(bytes.subarray(0, length))
      }
      break
    case 'pairs':
      for (const [name, value] of from.userProperties ?? []) {
        parts.push(Buffer.of(property.id), stringField(property.name, name), stringField(property.name, value))
      }
  }
}

function checked(name: string, value: number | undefined, min: number, max: number): number {
  if (value === undefined || !Number.isInteger(value) || value < min || value > max) {
    throw new AqueductError('malformed_packet', `${name} must be a whole number from ${min} to ${max}, not ${value}`)
  }
  return value
}

function stringField(name: string, text: string): Buffer {
  if (text.includes('\0')) throw new AqueductError('malformed_packet', `${name} must not contain U+0000`)
  return field(name, Buffer.from(text, 'utf8'))
}

function field(name: string, bytes: Buffer): Buffer {
  if (bytes.length > STRING_BYTES_MAX) {
    throw new AqueductError('malformed_packet', `${name} has ${bytes.length} bytes; MQTT carries at most ${STRING_BYTES_MAX}`)
  }
  const out = Buffer.allocUnsafe(bytes.length + 2)
  out.writeUInt16BE(bytes.length, 0)
  bytes.copy(out, 2)
  return out
}
