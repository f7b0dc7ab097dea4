/**
 * Packets as Aedes's persistence contract passes them, and how the fields of theirs that a message of ours does not have travel with it: as JSON
 * behind one byte that says so. Messages that came in over MQTT have none.
 */
import { AqueductError } from '../core/errors.js'
import type { MessageView } from '../store/message.js'
import { bytesOf } from './client-api.js'
import { payloadOf, topicOf } from './message.js'
import { EXTRA_FIELDS } from './ports.js'

/** A PUBLISH as programs pass and get it; fields beyond these are kept where the contract asks for it. */
export interface StoredPacket {
  cmd?: string
  topic: string
  payload: string | Buffer
  qos: 0 | 1 | 2
  retain: boolean
  dup?: boolean
  messageId?: number | undefined
  brokerId?: string
  brokerCounter?: number
  clientId?: string
  [field: string]: unknown
}

/** What a queued packet keeps beyond topic, payload, QoS and retain: the fields that `aedes-packet` copies. */
const QUEUED = ['brokerId', 'brokerCounter', 'clientId', 'nl', 'properties', 'messageExpiry']
/** Fields that every message has. */
const OWN = new Set(['topic', 'payload', 'qos', 'retain'])
/** Says that the payload was text: readers of the contract get the type they gave. */
const TEXT = '\u0000text'
const FIELDS_BYTES_MAX = 65_535

/** The fields of `packet` that a queued packet keeps, or undefined when there are none. */
export function queuedFields(packet: StoredPacket): Buffer | undefined {
  const kept: Record<string, unknown> = {}
  for (const name of QUEUED) if (packet[name] !== undefined) kept[name] = packet[name]
  return write(kept, packet.payload)
}

/** All fields of `packet` that a message does not have itself, without those named in `known`. */
export function otherFields(packet: StoredPacket, known: readonly string[]): Buffer | undefined {
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(packet)) {
    if (!OWN.has(name) && !known.includes(name) && value !== undefined && typeof value !== 'function') kept[name] = value
  }
  return write(kept, packet.payload)
}

function write(kept: Record<string, unknown>, payload: unknown): Buffer | undefined {
  if (typeof payload === 'string') kept[TEXT] = true
  if (Object.keys(kept).length === 0) return undefined
  const bytes = Buffer.concat([Buffer.from([EXTRA_FIELDS]), Buffer.from(JSON.stringify(kept))])
  if (bytes.length > FIELDS_BYTES_MAX)
    throw new AqueductError('message_too_large', `The fields of a stored packet are larger than ${FIELDS_BYTES_MAX} bytes.`)
  return bytes
}

/** The fields written by the functions above; undefined when there are none of that kind. */
export function readFields(bytes: Buffer | undefined): Record<string, unknown> | undefined {
  if (bytes === undefined || bytes[0] !== EXTRA_FIELDS) return undefined
  return JSON.parse(bytes.toString('utf8', 1), revive) as Record<string, unknown>
}

function revive(_name: string, value: unknown): unknown {
  const buffer = value as { type?: unknown; data?: unknown } | null
  if (typeof buffer === 'object' && buffer?.type === 'Buffer' && Array.isArray(buffer.data)) return Buffer.from(buffer.data)
  return value
}

/** Topic, payload, QoS and retain of a message, and the fields that were given with it. */
export function packetOf(
  view: MessageView,
  qos: 0 | 1 | 2,
  retain: boolean,
  fields: Record<string, unknown> | undefined,
): StoredPacket {
  const payload = payloadOf(view)
  if (fields === undefined) return { topic: topicOf(view), payload, qos, retain }
  const { [TEXT]: text, ...rest } = fields
  return { topic: topicOf(view), payload: text === true ? payload.toString() : payload, qos, retain, ...rest }
}

export function qosOf(packet: { qos?: unknown }): 0 | 1 | 2 {
  return packet.qos === 1 || packet.qos === 2 ? packet.qos : 0
}

export function payloadBytes(packet: { payload?: string | Buffer }): Buffer {
  return bytesOf(packet.payload)
}
