/**
 * The stored form of what belongs to sessions: one version byte, then fixed fields, then what varies. Recipe for a change: raise
 * the version that is written, keep reading the old one, add a row to test/broker-records.test.ts with bytes of the old form.
 */
import { AqueductError } from '../core/errors.js'
import type { MessageView } from '../store/message.js'
import type { SubscriptionOptions } from './session.js'

const SESSION_VERSION = 1
const SUBSCRIPTION_VERSION = 1
const MESSAGE_VERSION = 1

export interface SessionRecord {
  readonly id: number
  readonly expiresAt: number
  readonly version: number
  readonly maybeSent: number
}

/** version u8 · mailbox id u32 · expires at u48 · MQTT level u8 · possibly sent u16 */
export function writeSessionRecord(r: SessionRecord): Buffer {
  const b = Buffer.allocUnsafe(14)
  b[0] = SESSION_VERSION
  b.writeUInt32BE(r.id, 1)
  b.writeUIntBE(r.expiresAt, 5, 6)
  b[11] = r.version
  b.writeUInt16BE(Math.min(r.maybeSent, 65_535), 12)
  return b
}

export function readSessionRecord(b: Buffer): SessionRecord {
  if (b.length !== 14 || b[0] !== SESSION_VERSION) throw damaged('session')
  return { id: b.readUInt32BE(1), expiresAt: b.readUIntBE(5, 6), version: b[11] as number, maybeSent: b.readUInt16BE(12) }
}

/** version u8 · options u8: QoS in bits 0–1, no local 4, retain as published 8 */
export function writeSubscriptionRecord(o: SubscriptionOptions): Buffer {
  return Buffer.from([SUBSCRIPTION_VERSION, o.qos | (o.noLocal ? 4 : 0) | (o.retainAsPublished ? 8 : 0)])
}

export function readSubscriptionRecord(b: Buffer): SubscriptionOptions {
  const bits = b[1]
  if (b.length < 2 || b[0] !== SUBSCRIPTION_VERSION || bits === undefined || (bits & 3) === 3) throw damaged('subscription')
  return { qos: (bits & 3) as 0 | 1 | 2, noLocal: (bits & 4) !== 0, retainAsPublished: (bits & 8) !== 0 }
}

/** A retained message or a will: the view and how it was published. */
export interface MessageRecord {
  readonly view: MessageView
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

/** version u8 · QoS in bits 0–1, retain 4 · accepted at u48 · expires at u48 · properties length u32 · properties · body */
export function writeMessageRecord(m: MessageView, qos: number, retain: boolean): Buffer {
  const properties = m.properties
  const propertyBytes = properties === undefined ? 0 : properties.length
  const b = Buffer.allocUnsafe(18 + propertyBytes + m.end - m.bodyStart)
  b[0] = MESSAGE_VERSION
  b[1] = qos | (retain ? 4 : 0)
  b.writeUIntBE(m.acceptedAt, 2, 6)
  b.writeUIntBE(m.expiresAt, 8, 6)
  b.writeUInt32BE(propertyBytes, 14)
  if (properties !== undefined) properties.copy(b, 18)
  m.buffer.copy(b, 18 + propertyBytes, m.bodyStart, m.end)
  return b
}

export function readMessageRecord(b: Buffer): MessageRecord {
  if (b.length < 22 || b[0] !== MESSAGE_VERSION) throw damaged('message')
  const bits = b[1] as number
  const propertyBytes = b.readUInt32BE(14)
  const bodyStart = 18 + propertyBytes
  if (bodyStart + 4 > b.length) throw damaged('message')
  const payloadStart = bodyStart + 4 + b.readUInt16BE(bodyStart)
  if (payloadStart > b.length || (bits & 3) === 3) throw damaged('message')
  return {
    qos: (bits & 3) as 0 | 1 | 2,
    retain: (bits & 4) !== 0,
    view: {
      buffer: b,
      bodyStart,
      payloadStart,
      end: b.length,
      properties: propertyBytes === 0 ? undefined : b.subarray(18, bodyStart),
      acceptedAt: b.readUIntBE(2, 6),
      expiresAt: b.readUIntBE(8, 6),
    },
  }
}

function damaged(what: string): AqueductError {
  return new AqueductError('store_damaged', `a stored ${what} cannot be read: wrong version or length`)
}
