/**
 * The stored form of what belongs to sessions: one version byte, then fixed fields, then what varies. Recipe for a change: raise
 * the version that is written, keep reading the old one, add a row to test/broker-records.test.ts with bytes of the old form.
 */
import { AqueductError } from '../core/errors.js'
import type { MessageView } from '../store/message.js'
import type { SubscriptionOptions } from './session.js'

const SESSION_VERSION = 2
const SUBSCRIPTION_VERSION = 1
const MESSAGE_VERSION = 1
const WILL_VERSION = 2

export interface SessionRecord {
  readonly id: number
  /** When it ends: milliseconds since 1970; 0 for never, or while it is connected. */
  readonly expiresAt: number
  readonly version: number
  readonly maybeSent: number
  /** How long it outlives its connection. Undefined in a record of version 1: as long as the setting says. */
  readonly expiry_s: number | undefined
}

/** version u8 · mailbox id u32 · expires at u48 · MQTT level u8 · possibly sent u16 · expiry in seconds u32 (since version 2) */
export function writeSessionRecord(r: Required<SessionRecord> & { expiry_s: number }): Buffer {
  const b = Buffer.allocUnsafe(18)
  b[0] = SESSION_VERSION
  b.writeUInt32BE(r.id, 1)
  b.writeUIntBE(r.expiresAt, 5, 6)
  b[11] = r.version
  b.writeUInt16BE(Math.min(r.maybeSent, 65_535), 12)
  b.writeUInt32BE(r.expiry_s, 14)
  return b
}

export function readSessionRecord(b: Buffer): SessionRecord {
  const old = b[0] === 1 && b.length === 14
  if (!old && (b[0] !== SESSION_VERSION || b.length !== 18)) throw damaged('session')
  return {
    id: b.readUInt32BE(1),
    expiresAt: b.readUIntBE(5, 6),
    version: b[11],
    maybeSent: b.readUInt16BE(12),
    expiry_s: old ? undefined : b.readUInt32BE(14),
  }
}

/** version u8 · options u8: QoS in bits 0–1, no local 4, retain as published 8, retain handling in bits 4–5 · [subscription identifier u32] */
export function writeSubscriptionRecord(o: SubscriptionOptions): Buffer {
  const { retainHandling = 0, identifier } = o
  const b = Buffer.alloc(identifier === undefined ? 2 : 6)
  b[0] = SUBSCRIPTION_VERSION
  b[1] = o.qos | (o.noLocal ? 4 : 0) | (o.retainAsPublished ? 8 : 0) | ((retainHandling & 3) << 4)
  if (identifier !== undefined) b.writeUInt32BE(identifier, 2)
  return b
}

export function readSubscriptionRecord(b: Buffer): SubscriptionOptions {
  const bits = b[1]
  const whole = b.length === 2 || b.length === 6
  if (!whole || b[0] !== SUBSCRIPTION_VERSION || bits === undefined || (bits & 3) === 3) throw damaged('subscription')
  const options = { qos: (bits & 3) as 0 | 1 | 2, noLocal: (bits & 4) !== 0, retainAsPublished: (bits & 8) !== 0 }
  if (bits < 16 && b.length < 6) return options
  return { ...options, retainHandling: (bits >>> 4) & 3, ...(b.length < 6 ? {} : { identifier: b.readUInt32BE(2) }) }
}

/** A retained message, and the message of a will: the view and how it was, or will be, published. */
export interface MessageRecord {
  readonly view: MessageView
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** Fields that a program gave with it through Aedes's persistence contract (`persistence-packets.ts`). */
  readonly fields: Buffer | undefined
}

/**
 * version u8 · QoS in bits 0–1, retain 4, fields 8 · accepted at u48 · expires at u48 · properties length u32 · properties · [fields length
 * u16 · fields] · body
 */
export function writeMessageRecord(m: MessageView, qos: number, retain: boolean, fields?: Buffer): Buffer {
  const properties = m.properties
  const propertyBytes = properties === undefined ? 0 : properties.length
  const fieldBytes = fields === undefined ? 0 : 2 + fields.length
  const b = Buffer.allocUnsafe(18 + propertyBytes + fieldBytes + m.end - m.bodyStart)
  b[0] = MESSAGE_VERSION
  b[1] = qos | (retain ? 4 : 0) | (fields === undefined ? 0 : 8)
  b.writeUIntBE(m.acceptedAt, 2, 6)
  b.writeUIntBE(m.expiresAt, 8, 6)
  b.writeUInt32BE(propertyBytes, 14)
  if (properties !== undefined) properties.copy(b, 18)
  if (fields !== undefined) {
    b.writeUInt16BE(fields.length, 18 + propertyBytes)
    fields.copy(b, 20 + propertyBytes)
  }
  m.buffer.copy(b, 18 + propertyBytes + fieldBytes, m.bodyStart, m.end)
  return b
}

export function readMessageRecord(b: Buffer): MessageRecord {
  if (b.length < 22 || b[0] !== MESSAGE_VERSION) throw damaged('message')
  const bits = b[1] as number
  const propertyBytes = b.readUInt32BE(14)
  const fieldsAt = 18 + propertyBytes
  if (fieldsAt + 4 > b.length) throw damaged('message')
  const hasFields = (bits & 8) !== 0
  if (propertyBytes > b.length) throw damaged('message')
  const bodyStart = hasFields ? fieldsAt + 2 + b.readUInt16BE(fieldsAt) : fieldsAt
  if (bodyStart + 4 > b.length) throw damaged('message')
  const payloadStart = bodyStart + 4 + b.readUInt16BE(bodyStart)
  if (payloadStart > b.length || (bits & 3) === 3) throw damaged('message')
  return {
    qos: (bits & 3) as 0 | 1 | 2,
    retain: (bits & 4) !== 0,
    fields: hasFields ? b.subarray(fieldsAt + 2, bodyStart) : undefined,
    view: {
      buffer: b,
      bodyStart,
      payloadStart,
      end: b.length,
      properties: propertyBytes === 0 ? undefined : b.subarray(18, fieldsAt),
      acceptedAt: b.readUIntBE(2, 6),
      expiresAt: b.readUIntBE(8, 6),
    },
  }
}

/** A will: the message, and when it is due. */
export interface WillRecord {
  readonly message: MessageRecord
  /** How long it waits when its connection is over, unless the session ends before [MQTT 5.0 3.1.3.2.2]. */
  readonly delay_s: number
  /** When the wait is over: milliseconds since 1970; 0 while the connection is there. */
  readonly dueAt: number
  /** How long the message is worth delivering, counted from when it is published. */
  readonly expiry_s: number | undefined
  /** The hook that may refuse a publish has agreed to it. */
  readonly judged: boolean
}

/**
 * version u8 · flags u8: message expiry given 1, judged 2 · delay in seconds u32 · due at u48 · message expiry in seconds u32 · message record.
 * Version 1 is the message record alone.
 */
export function writeWillRecord(r: WillRecord): Buffer {
  const { view, qos, retain, fields } = r.message
  const message = writeMessageRecord(view, qos, retain, fields)
  const b = Buffer.allocUnsafe(16 + message.length)
  b[0] = WILL_VERSION
  b[1] = (r.expiry_s === undefined ? 0 : 1) | (r.judged ? 2 : 0)
  b.writeUInt32BE(r.delay_s, 2)
  b.writeUIntBE(r.dueAt, 6, 6)
  b.writeUInt32BE(r.expiry_s ?? 0, 12)
  message.copy(b, 16)
  return b
}

export function readWillRecord(b: Buffer): WillRecord {
  if (b[0] === 1) return { message: readMessageRecord(b), delay_s: 0, dueAt: 0, expiry_s: undefined, judged: false }
  if (b[0] !== WILL_VERSION || b.length < 16) throw damaged('will')
  return {
    message: readMessageRecord(b.subarray(16)),
    delay_s: b.readUInt32BE(2),
    dueAt: b.readUIntBE(6, 6),
    expiry_s: (b[1] & 1) === 0 ? undefined : b.readUInt32BE(12),
    judged: (b[1] & 2) !== 0,
  }
}

function damaged(what: string): AqueductError {
  return new AqueductError('store_damaged', `a stored ${what} cannot be read: wrong version or length`)
}
