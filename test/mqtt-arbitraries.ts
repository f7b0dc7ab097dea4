/**
 * Random valid packets in the words of `mqtt-packet`, and both libraries' readings of the same bytes in one common shape, so that
 * tests can compare them.
 */
import fc from 'fast-check'
import mqtt, { type Packet } from 'mqtt-packet'
import { ackReason, readAck } from '../src/mqtt/acks.js'
import { readAuth } from '../src/mqtt/auth.js'
import { readConnect } from '../src/mqtt/connect.js'
import * as type from '../src/mqtt/constants.js'
import { readDisconnect } from '../src/mqtt/disconnect.js'
import { PacketFault } from '../src/mqtt/faults.js'
import { Frame, readFrame } from '../src/mqtt/frame.js'
import { type Properties, readProperties } from '../src/mqtt/properties.js'
import { isAllowedIn, PROPERTIES, type Property } from '../src/mqtt/property-table.js'
import { PublishFields, readPublish } from '../src/mqtt/publish.js'
import { readSubscribe, readUnsubscribe } from '../src/mqtt/subscribe.js'

/** Both libraries' common shape: plain fields, `mqtt-packet`'s names, absent where not sent. */
export type Meaning = Record<string, unknown>

export const VERSIONS = [3, 4, 5] as const
export const TYPE_NAMES = [
  '',
  'connect',
  'connack',
  'publish',
  'puback',
  'pubrec',
  'pubrel',
  'pubcomp',
  'subscribe',
  'suback',
].concat(['unsubscribe', 'unsuback', 'pingreq', 'pingresp', 'disconnect', 'auth'])

/* ── random values ── */

/** Any MQTT string: all of Unicode but U+0000, with the troublesome ones more often than chance has them. */
export const text = fc
  .array(fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.string({ unit: 'binary', maxLength: 4 }), odd()), {
    maxLength: 6,
  })
  .map((parts) => parts.join('').replaceAll('\0', ''))
function odd(): fc.Arbitrary<string> {
  return fc.constantFrom(
    '\uFEFF',
    '\u0001',
    '\u007F',
    '\u0080',
    '\u07FF',
    '\u0800',
    '\uD7FF',
    '\uE000',
    '\uFFFE',
    '\u{10FFFF}',
    '/',
  )
}
export const filledText = text.filter((value) => value !== '')
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const packetId = fc.integer({ min: 1, max: 0xffff })
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const)
const variable = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(16_383, 16_384, 2_097_151, 2_097_152, 268_435_455))

function propertyValue(property: Property): fc.Arbitrary<unknown> {
  switch (property.form) {
    case 'flag':
      return fc.boolean()
    case 'bit':
      return fc.constantFrom(0, 1)
    case 'u16':
      return fc.integer({ min: property.min, max: 0xffff })
    case 'u32':
      return fc.oneof(fc.integer({ min: property.min, max: 70_000 }), fc.constantFrom(0x7fffffff, 0x80000000, 0xffffffff))
    case 'string':
      return property.name === 'responseTopic' ? text.map((value) => value.replaceAll(/[#+]/g, '') || 'r') : text
    case 'binary':
      return bytes
    case 'identifiers':
      return fc.array(variable, { minLength: 1, maxLength: 3 })
    case 'pairs':
      // mqtt-packet keeps them in an object by name and forgets an empty value that is followed by another of that name.
      return fc
        .array(fc.tuple(text, filledText), { minLength: 1, maxLength: 4 })
        .map((pairs) => pairs.filter(([name]) => name !== '__proto__'))
  }
}

/** Properties that a packet of this type (or `WILL`) may carry, any subset of them. */
export function propertiesOf(packetType: number): fc.Arbitrary<Properties> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {}
  for (const property of PROPERTIES) if (isAllowedIn(property, packetType)) fields[property.name] = propertyValue(property)
  return fc.record(fields, { requiredKeys: [] }).map((record) => {
    const properties: Properties = { ...record }
    if (properties.authenticationMethod === undefined) delete properties.authenticationData
    if (properties.userProperties?.length === 0) delete properties.userProperties
    if (packetType === type.SUBSCRIBE && properties.subscriptionIdentifiers) properties.subscriptionIdentifiers.length = 1
    return properties
  })
}

/** Ours in `mqtt-packet`'s form; undefined for none at all, as it reports an empty block. */
export function oracleProperties(properties: Properties | undefined): Meaning | undefined {
  if (properties === undefined || Object.keys(properties).length === 0) return undefined
  const { userProperties, subscriptionIdentifiers, ...rest } = properties
  const out: Meaning = { ...rest }
  if (subscriptionIdentifiers) {
    out.subscriptionIdentifier = subscriptionIdentifiers.length === 1 ? subscriptionIdentifiers[0] : subscriptionIdentifiers
  }
  if (userProperties) {
    const byName: Record<string, string | string[]> = Object.create(null)
    for (const [name, value] of userProperties) {
      const before = byName[name]
      byName[name] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value]
    }
    out.userProperties = byName
  }
  return out
}

/* ── random packets, as a client sends them ── */

const OPTIONAL = { freq: 2 }

export function connectPacket(version: 3 | 4 | 5): fc.Arbitrary<Packet> {
  const will = fc.record({ topic: filledText, payload: bytes, qos, retain: fc.boolean(), properties: propertiesOf(type.WILL) })
  return fc
    .record({
      clean: fc.boolean(),
      clientId: version === 3 ? filledText.map((id) => [...id].slice(0, 23).join('')) : text,
      keepalive: fc.integer({ min: 0, max: 0xffff }),
      will: fc.option(will, { ...OPTIONAL, nil: undefined }),
      username: fc.option(text, { ...OPTIONAL, nil: undefined }),
      password: fc.option(bytes, { ...OPTIONAL, nil: undefined }),
      properties: propertiesOf(type.CONNECT),
    })
    .map((fields) => {
      const packet: Meaning = {
        cmd: 'connect',
        protocolVersion: version,
        protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
        ...fields,
      }
      // mqtt-packet writes no password without a user name and no empty identifier without clean, whatever the version.
      if (fields.username === undefined) delete packet.password
      if (fields.clientId === '') packet.clean = true
      if (fields.will) packet.will = { ...fields.will, properties: oracleProperties(fields.will.properties) }
      packet.properties = oracleProperties(fields.properties)
      return packet as unknown as Packet
    })
}

export function publishPacket(version: number): fc.Arbitrary<Packet> {
  return fc
    .record({
      qos,
      dup: fc.boolean(),
      retain: fc.boolean(),
      topic: text,
      payload: bytes,
      messageId: packetId,
      properties: propertiesOf(type.PUBLISH),
    })
    .map((fields) => ({
      cmd: 'publish' as const,
      ...fields,
      dup: fields.dup && fields.qos > 0,
      ...(version === 5 ? { properties: oracleProperties(fields.properties) } : { properties: undefined }),
    })) as unknown as fc.Arbitrary<Packet>
}

export const ACK_REASONS = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
export const RELEASE_REASONS = [0x00, 0x92]

export function ackPacket(version: number): fc.Arbitrary<Packet> {
  return fc.constantFrom(type.PUBACK, type.PUBREC, type.PUBREL, type.PUBCOMP).chain((ackType) =>
    fc.record({
      cmd: fc.constant(TYPE_NAMES[ackType]),
      messageId: packetId,
      reasonCode:
        version === 5 ? fc.constantFrom(...(ackType <= type.PUBREC ? ACK_REASONS : RELEASE_REASONS)) : fc.constant(undefined),
      properties: version === 5 ? propertiesOf(ackType).map(oracleProperties) : fc.constant(undefined),
    }),
  ) as unknown as fc.Arbitrary<Packet>
}

export function subscribePacket(version: number): fc.Arbitrary<Packet> {
  const five = { nl: fc.boolean(), rap: fc.boolean(), rh: fc.constantFrom(0, 1, 2) }
  const subscription = fc.record({
    topic: text.filter((filter) => !filter.startsWith('$share/')),
    qos,
    ...(version === 5 ? five : {}),
  })
  return fc.record({
    cmd: fc.constant('subscribe'),
    messageId: packetId,
    subscriptions: fc.array(subscription, { minLength: 1, maxLength: 5 }),
    properties: version === 5 ? propertiesOf(type.SUBSCRIBE).map(oracleProperties) : fc.constant(undefined),
  }) as unknown as fc.Arbitrary<Packet>
}

export function unsubscribePacket(version: number): fc.Arbitrary<Packet> {
  return fc.record({
    cmd: fc.constant('unsubscribe'),
    messageId: packetId,
    unsubscriptions: fc.array(text, { minLength: 1, maxLength: 5 }),
    properties: version === 5 ? propertiesOf(type.UNSUBSCRIBE).map(oracleProperties) : fc.constant(undefined),
  }) as unknown as fc.Arbitrary<Packet>
}

export function disconnectPacket(version: number): fc.Arbitrary<Packet> {
  return fc.record({
    cmd: fc.constant('disconnect'),
    reasonCode: version === 5 ? fc.constantFrom(0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x93, 0x99, 0xa2) : fc.constant(undefined),
    properties: version === 5 ? propertiesOf(type.DISCONNECT).map(oracleProperties) : fc.constant(undefined),
  }) as unknown as fc.Arbitrary<Packet>
}

export function authPacket(): fc.Arbitrary<Packet> {
  return fc.record({
    cmd: fc.constant('auth'),
    reasonCode: fc.constantFrom(0x00, 0x18, 0x19),
    properties: propertiesOf(type.AUTH).map(oracleProperties),
  }) as unknown as fc.Arbitrary<Packet>
}

/** Whatever a client of this version may send. */
export function clientPacket(version: 3 | 4 | 5): fc.Arbitrary<Packet> {
  const kinds = [
    connectPacket(version),
    publishPacket(version),
    ackPacket(version),
    subscribePacket(version),
    unsubscribePacket(version),
  ]
  kinds.push(disconnectPacket(version), fc.constant({ cmd: 'pingreq' } as Packet))
  if (version === 5) kinds.push(authPacket())
  return fc.oneof(...kinds)
}

/* ── the two readings ── */

export function generate(packet: Packet, version: number): Buffer {
  return mqtt.generate(packet, { protocolVersion: version })
}

/** What `mqtt-packet` makes of one packet's bytes; throws what it reports. */
export function oracleRead(packet: Buffer, version: number): Meaning {
  const parser = mqtt.parser({ protocolVersion: version })
  let read: Meaning | undefined
  let failure: unknown
  parser.on('packet', (parsed) => {
    read ??= tidy(parsed as unknown as Meaning)
  })
  parser.on('error', (error: unknown) => {
    failure ??= error
  })
  parser.parse(packet)
  if (failure !== undefined) throw failure
  if (read === undefined) throw new Error('not a whole packet')
  return read
}

/** Only what has a meaning for its type: the parser reports flags with every packet. */
function tidy(packet: Meaning): Meaning {
  const { cmd, qos: level, dup, retain, length: _length, topic, payload, ...rest } = packet
  const out: Meaning = { cmd, ...rest }
  if (cmd === 'publish') Object.assign(out, { qos: level, dup, retain, topic, payload })
  for (const key of Object.keys(out)) if (out[key] === undefined || out[key] === null) delete out[key]
  return out
}

/** A reader that gave a reason code instead of throwing, in the form of the others. */
export function refuse(reason: number): never {
  throw new PacketFault(reason, 'refused')
}

/** What our readers make of the packet at `start` of `buf`, whose bytes end at `end`. Throws a `PacketFault`. */
export function ourRead(buf: Buffer, version: number, start = 0, end = buf.length): Meaning {
  const frame = new Frame()
  const read = readFrame(buf, start, end, version, frame)
  if (read === -1) refuse(0x81)
  if (read === 0 || frame.bodyEnd > end) throw new Error('not a whole packet')
  return drop(ourBody(buf, frame, version))
}

function drop(meaning: Meaning): Meaning {
  for (const key of Object.keys(meaning)) if (meaning[key] === undefined) delete meaning[key]
  return meaning
}

function ourBody(buf: Buffer, frame: Frame, version: number): Meaning {
  const cmd = TYPE_NAMES[frame.type]
  switch (frame.type) {
    case type.CONNECT:
      return ourConnect(buf, frame)
    case type.PUBLISH:
      return ourPublish(buf, frame, version)
    case type.PUBACK:
    case type.PUBREC:
    case type.PUBREL:
    case type.PUBCOMP: {
      const messageId = readAck(buf, frame, version)
      if (messageId < 0) refuse(0x81)
      return { cmd, messageId, reasonCode: version === 5 ? ackReason() : undefined }
    }
    case type.SUBSCRIBE: {
      const packet = readSubscribe(buf, frame, version)
      const subscriptions = packet.subscriptions.map((one) => ({
        topic: one.filter,
        qos: one.qos,
        ...(version === 5 ? { nl: one.noLocal, rap: one.retainAsPublished, rh: one.retainHandling } : {}),
      }))
      return { cmd, messageId: packet.packetId, subscriptions, properties: oracleProperties(packet.properties) }
    }
    case type.UNSUBSCRIBE: {
      const packet = readUnsubscribe(buf, frame, version)
      return { cmd, messageId: packet.packetId, unsubscriptions: packet.filters, properties: oracleProperties(packet.properties) }
    }
    case type.DISCONNECT: {
      const packet = readDisconnect(buf, frame, version)
      return { cmd, reasonCode: version === 5 ? packet.reason : undefined, properties: oracleProperties(packet.properties) }
    }
    case type.AUTH: {
      const packet = readAuth(buf, frame)
      return { cmd, reasonCode: packet.reason, properties: oracleProperties(packet.properties) }
    }
    default:
      return { cmd }
  }
}

function ourConnect(buf: Buffer, frame: Frame): Meaning {
  const packet = readConnect(buf, frame)
  const will: Meaning | undefined = packet.will && { ...packet.will, properties: oracleProperties(packet.will.properties) }
  return {
    cmd: 'connect',
    protocolId: packet.version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: packet.version,
    clean: packet.clean,
    clientId: packet.clientId,
    keepalive: packet.keepalive_s,
    will: will && drop(will),
    username: packet.username,
    password: packet.password,
    properties: oracleProperties(packet.properties),
  }
}

function ourPublish(buf: Buffer, frame: Frame, version: number): Meaning {
  const fields = new PublishFields()
  const reason = readPublish(buf, frame, version, fields)
  if (reason !== 0) refuse(reason)
  const properties = readProperties(buf, fields.propertiesStart, fields.propertiesEnd, type.PUBLISH)
  return {
    cmd: 'publish',
    qos: fields.qos,
    dup: fields.dup,
    retain: fields.retain,
    topic: buf.toString('utf8', fields.topicStart, fields.topicEnd),
    messageId: fields.packetId === 0 ? undefined : fields.packetId,
    properties: oracleProperties(properties),
    payload: Buffer.from(buf.subarray(fields.payloadStart, fields.end)),
  }
}
