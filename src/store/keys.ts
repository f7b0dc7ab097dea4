/**
 * The key schema: every key of the store is made and taken apart here and nowhere else.
 *
 * A key is one prefix byte and then fields of fixed width, big-endian, so that byte order is number order; at most one field of
 * free length, and that comes last (but for a will's number). Every range has both ends. Sequences, indexes, commit numbers and moments are u48, queue and
 * session ids u32.
 *
 * | prefix | row | key fields | value | sample |
 * | --- | --- | --- | --- | --- |
 * | `!` | meta | name | by name (schema, checkpoint, next-queue, …) | `!schema` |
 * | `M` | message row | first seq | packed messages (`rows.ts`) | `M 000000001001` |
 * | `E` | entry row | first seq | packed entries (`rows.ts`) | `E 000000001001` |
 * | `A` | commit row | commit number | next seq, acknowledgements (`rows.ts`) | `A 000000000007` |
 * | `H` | head | queue id | cursor, next index, outstanding | `H 00000003` |
 * | `I` | index page | queue id, first index | up to 1,024 entries of a spilled tail | `I 00000003 000000002000` |
 * | `Q` | queue definition | queue id | kind, limits, name | `Q 00000003` |
 * | `S` | session | client id | the broker's | `S dev-1` |
 * | `F` | subscription | session id, filter | the broker's | `F 00000003 a/+/b` |
 * | `W` | will | client id, or client id 0x00 number | the broker's | `W dev-1`, `W dev-1 00 000000000007` |
 * | `R` | retained message | topic | the broker's | `R a/b` |
 * | `N` | QoS 2 id received | session id, packet id u16 | the broker's | `N 00000003 002a` |
 * | `P` | PUBREC received | session id, seq | the broker's | `P 00000003 000000001001` |
 * | `o` | ordered index | queue id, class u8, rank u64, seq | the ordered queue's | |
 * | `s` | ordered state | queue id, seq | the ordered queue's | |
 * | `d` | de-duplication | queue id, hash | the ordered queue's | |
 * | `T` | departure | kept until u48, seq, queue id | how a message left a queue (`queue/trace.ts`) | |
 * | `B` | bridge rule | name | the bridge's | `B telemetry` |
 * | `b` | queue made by a rule | queue id | the bridge's | `b 00000003` |
 */
import { getU16, getU32, getU48, getU64, putU16, putU32, putU48, putU64, U48_MAX } from './bytes.js'
import type { KeyRange } from './disk.js'

const META = 0x21
const MESSAGE = 0x4d
const ENTRY = 0x45
const COMMIT = 0x41
const HEAD = 0x48
const INDEX = 0x49
const QUEUE = 0x51
const SESSION = 0x53
const SUBSCRIPTION = 0x46
const WILL = 0x57
/** 0x00 and a u48. */
const WILL_NUMBER_BYTES = 7
const RETAINED = 0x52
const INBOUND = 0x4e
const PUBREL = 0x50
const ORDERED_INDEX = 0x6f
const ORDERED_STATE = 0x73
const DEDUP = 0x64
const DEPARTURE = 0x54
const BRIDGE_RULE = 0x42
const AUTO_QUEUE = 0x62

/** Everything that the store holds. */
export const everything: KeyRange = { gte: Buffer.from([0x00]), lt: Buffer.from([0xff]) }

/* ---- what a key is of ---- */

const KINDS = new Map([
  [META, 'meta'],
  [MESSAGE, 'message'],
  [ENTRY, 'entry'],
  [COMMIT, 'commit'],
  [HEAD, 'head'],
  [INDEX, 'index_page'],
  [QUEUE, 'queue'],
  [SESSION, 'session'],
  [SUBSCRIPTION, 'subscription'],
  [WILL, 'will'],
  [RETAINED, 'retained'],
  [INBOUND, 'inbound'],
  [PUBREL, 'pubrel'],
  [ORDERED_INDEX, 'ordered_index'],
  [ORDERED_STATE, 'ordered_state'],
  [DEDUP, 'dedup'],
  [DEPARTURE, 'departure'],
  [BRIDGE_RULE, 'bridge_rule'],
  [AUTO_QUEUE, 'auto_queue'],
] as const)

/** What a row is of, in a word for logs and metrics; `unknown` for a key that is none of ours. */
export type RowKind = (typeof KINDS extends Map<number, infer K> ? K : never) | 'unknown'

export function rowKind(key: Buffer): RowKind {
  return KINDS.get(key[0] as typeof META) ?? 'unknown'
}

const NAME_CHARS_MAX = 64
const NAMED_BY_TEXT = new Set([META, SESSION, WILL, RETAINED, BRIDGE_RULE])

/** A short name of a row for the log: its text (client id, topic, name), or its key in hexadecimal. The key may be damaged, too. */
export function rowName(key: Buffer): string {
  const text = NAMED_BY_TEXT.has(key[0]) ? key.toString('utf8', 1) : key.toString('hex', 1)
  return text.length <= NAME_CHARS_MAX ? text : `${text.slice(0, NAME_CHARS_MAX)}…`
}

/* ---- meta ---- */

export function metaKey(name: string): Buffer {
  return text(META, name)
}

/* ---- the packed log ---- */

/** Message bytes of the row whose first sequence is `seq`. */
export function messageRowKey(seq: number): Buffer {
  return u48(MESSAGE, seq)
}

/** Message rows whose first sequence is `from` ≤ seq < `to`. */
export function messageRows(from: number, to: number): KeyRange {
  return { gte: u48(MESSAGE, from), lt: u48(MESSAGE, to) }
}

/** Queue entries of the row whose first sequence is `seq`. */
export function entryRowKey(seq: number): Buffer {
  return u48(ENTRY, seq)
}

/** Entry rows whose first sequence is `from` ≤ seq < `to`. */
export function entryRows(from: number, to: number): KeyRange {
  return { gte: u48(ENTRY, from), lt: u48(ENTRY, to) }
}

/** The row that every commit writes: what it acknowledged. */
export function commitRowKey(commit: number): Buffer {
  return u48(COMMIT, commit)
}

/** Commit rows `from` ≤ number < `to`. */
export function commitRows(from: number, to = U48_MAX): KeyRange {
  return { gte: u48(COMMIT, from), lt: u48(COMMIT, to) }
}

/** The commit number of a commit row's key, 0 for any other key. */
export function commitNumberOf(key: Buffer): number {
  return key.length === 7 && key[0] === COMMIT ? getU48(key, 1) : 0
}

/** A key as a person can look it up in the table above. */
export function describeKey(key: Buffer): string {
  return `${key.toString('latin1', 0, 1)} ${key.toString('hex', 1, 33)}`
}

/** The u48 behind the prefix of a message, entry or commit row: first sequence or commit number. */
export function rowNumber(key: Buffer): number {
  return getU48(key, 1)
}

export function headKey(queueId: number): Buffer {
  return u32(HEAD, queueId)
}

export const heads: KeyRange = prefix(HEAD)

/** The id behind the prefix of a head or queue definition row. */
export function queueIdOf(key: Buffer): number {
  return getU32(key, 1)
}

export function indexPageKey(queueId: number, firstIndex: number): Buffer {
  return u32u48(INDEX, queueId, firstIndex)
}

/** Pages of one queue, from the one that begins at `firstIndex` on. */
export function indexPages(queueId: number, firstIndex = 0): KeyRange {
  return { gte: u32u48(INDEX, queueId, firstIndex), lt: u32(INDEX, queueId + 1) }
}

export const allIndexPages: KeyRange = prefix(INDEX)

export function indexPageFields(key: Buffer): { queueId: number; firstIndex: number } {
  return { queueId: getU32(key, 1), firstIndex: getU48(key, 5) }
}

export function queueKey(queueId: number): Buffer {
  return u32(QUEUE, queueId)
}

export const queueDefinitions: KeyRange = prefix(QUEUE)

/* ---- the broker's rows ---- */

export function sessionKey(clientId: Buffer | string): Buffer {
  return text(SESSION, clientId)
}

export const sessions: KeyRange = prefix(SESSION)

/** The text behind the prefix of a session or retained row: client id or topic, as its bytes. */
export function textOf(key: Buffer): Buffer {
  return key.subarray(1)
}

export function subscriptionKey(sessionId: number, filter: Buffer | string): Buffer {
  return u32text(SUBSCRIPTION, sessionId, filter)
}

export function subscriptionsOf(sessionId: number): KeyRange {
  return ofId(SUBSCRIPTION, sessionId)
}

export const subscriptions: KeyRange = prefix(SUBSCRIPTION)

export function subscriptionFields(key: Buffer): { sessionId: number; filter: Buffer } {
  return { sessionId: getU32(key, 1), filter: key.subarray(5) }
}

/**
 * A client's will. With a `number` above 0 one of several: of a connection that is gone, and of the one that followed it. MQTT allows no U+0000 in a
 * client id, so the number cannot be taken for a part of it.
 */
export function willKey(clientId: Buffer | string, number = 0): Buffer {
  const key = text(WILL, clientId)
  if (number === 0) return key
  const longer = Buffer.alloc(key.length + WILL_NUMBER_BYTES)
  key.copy(longer)
  putU48(longer, key.length + 1, number)
  return longer
}

export function willFields(key: Buffer): { clientId: Buffer; number: number } {
  const end = key.length - WILL_NUMBER_BYTES
  if (end < 1 || key[end] !== 0) return { clientId: key.subarray(1), number: 0 }
  return { clientId: key.subarray(1, end), number: getU48(key, end + 1) }
}

/** All wills of one client, in the order of their numbers. */
export function willsOf(clientId: Buffer | string): KeyRange {
  const gte = text(WILL, clientId)
  return { gte, lt: Buffer.concat([gte, Buffer.from([0x01])]) }
}

export const wills: KeyRange = prefix(WILL)

export function retainedKey(topic: Buffer | string): Buffer {
  return text(RETAINED, topic)
}

export const retained: KeyRange = prefix(RETAINED)

export function inboundKey(sessionId: number, packetId: number): Buffer {
  const key = Buffer.allocUnsafe(7)
  key[0] = INBOUND
  putU32(key, 1, sessionId)
  putU16(key, 5, packetId)
  return key
}

export function inboundOf(sessionId: number): KeyRange {
  return ofId(INBOUND, sessionId)
}

export const inbound: KeyRange = prefix(INBOUND)

export function inboundFields(key: Buffer): { sessionId: number; packetId: number } {
  return { sessionId: getU32(key, 1), packetId: getU16(key, 5) }
}

export function pubrelKey(sessionId: number, seq: number): Buffer {
  return u32u48(PUBREL, sessionId, seq)
}

export function pubrelsOf(sessionId: number): KeyRange {
  return ofId(PUBREL, sessionId)
}

export const pubrels: KeyRange = prefix(PUBREL)

export function pubrelFields(key: Buffer): { sessionId: number; seq: number } {
  return { sessionId: getU32(key, 1), seq: getU48(key, 5) }
}

/* ---- rows of ordered queues ---- */

/** `rank` is a whole number below 2^53: a priority, a due moment, a hash of a key. */
export function orderedIndexKey(queueId: number, klass: number, rank: number, seq: number): Buffer {
  const key = Buffer.allocUnsafe(20)
  key[0] = ORDERED_INDEX
  putU32(key, 1, queueId)
  key[5] = klass
  putU64(key, 6, rank)
  putU48(key, 14, seq)
  return key
}

/** Index rows of one queue, of one class when given, from `rank` and `seq` on. */
export function orderedIndexOf(queueId: number, klass?: number, rank = 0, seq = 0): KeyRange {
  if (klass === undefined) return ofId(ORDERED_INDEX, queueId)
  return { gte: orderedIndexKey(queueId, klass, rank, seq), lt: u32u8(ORDERED_INDEX, queueId, klass + 1) }
}

export const orderedIndex: KeyRange = prefix(ORDERED_INDEX)

export function orderedIndexFields(key: Buffer): { queueId: number; klass: number; rank: number; seq: number } {
  return { queueId: getU32(key, 1), klass: key[5], rank: getU64(key, 6), seq: getU48(key, 14) }
}

export function orderedStateKey(queueId: number, seq: number): Buffer {
  return u32u48(ORDERED_STATE, queueId, seq)
}

export function orderedStateOf(queueId: number): KeyRange {
  return ofId(ORDERED_STATE, queueId)
}

export const orderedState: KeyRange = prefix(ORDERED_STATE)

export function orderedStateFields(key: Buffer): { queueId: number; seq: number } {
  return { queueId: getU32(key, 1), seq: getU48(key, 5) }
}

export function dedupKey(queueId: number, hash: Buffer | string): Buffer {
  return u32text(DEDUP, queueId, hash)
}

export function dedupOf(queueId: number): KeyRange {
  return ofId(DEDUP, queueId)
}

/* ---- the bridge's rows ---- */

export function bridgeRuleKey(name: Buffer | string): Buffer {
  return text(BRIDGE_RULE, name)
}

export const bridgeRules: KeyRange = prefix(BRIDGE_RULE)

export function autoQueueKey(queueId: number): Buffer {
  return u32(AUTO_QUEUE, queueId)
}

export const autoQueues: KeyRange = prefix(AUTO_QUEUE)

export function autoQueueId(key: Buffer): number {
  return getU32(key, 1)
}

/* ---- departures ---- */

/** `until`: the moment to which the row is kept. */
export function departureKey(until: number, seq: number, queueId: number): Buffer {
  const key = Buffer.allocUnsafe(17)
  key[0] = DEPARTURE
  putU48(key, 1, until)
  putU48(key, 7, seq)
  putU32(key, 13, queueId)
  return key
}

export function departureFields(key: Buffer): { until: number; seq: number; queueId: number } {
  return { until: getU48(key, 1), seq: getU48(key, 7), queueId: getU32(key, 13) }
}

export const departures: KeyRange = prefix(DEPARTURE)

/** Departures of one message among those that are kept until `until`. */
export function departuresOf(until: number, seq: number): KeyRange {
  return { gte: departureKey(until, seq, 0), lt: departureKey(until, seq + 1, 0) }
}

/** Departures that are kept until `from` ≤ moment ≤ `to`; without `to` all from there on. */
export function departuresUntil(to: number | undefined, from = 0): KeyRange {
  return { gte: u48(DEPARTURE, from), lt: to === undefined ? departures.lt : u48(DEPARTURE, to + 1) }
}

/* ---- shapes ---- */

function prefix(byte: number): KeyRange {
  return { gte: Buffer.from([byte]), lt: Buffer.from([byte + 1]) }
}

function text(byte: number, name: Buffer | string): Buffer {
  if (typeof name === 'string') {
    const key = Buffer.allocUnsafe(1 + Buffer.byteLength(name))
    key[0] = byte
    key.write(name, 1)
    return key
  }
  const key = Buffer.allocUnsafe(1 + name.length)
  key[0] = byte
  key.set(name, 1)
  return key
}

function u32(byte: number, id: number): Buffer {
  const key = Buffer.allocUnsafe(5)
  key[0] = byte
  putU32(key, 1, id)
  return key
}

function u32u8(byte: number, id: number, n: number): Buffer {
  const key = Buffer.allocUnsafe(6)
  key[0] = byte
  putU32(key, 1, id)
  key[5] = n
  return key
}

function u48(byte: number, n: number): Buffer {
  const key = Buffer.allocUnsafe(7)
  key[0] = byte
  putU48(key, 1, n)
  return key
}

function u32u48(byte: number, id: number, n: number): Buffer {
  const key = Buffer.allocUnsafe(11)
  key[0] = byte
  putU32(key, 1, id)
  putU48(key, 5, n)
  return key
}

function u32text(byte: number, id: number, name: Buffer | string): Buffer {
  const length = typeof name === 'string' ? Buffer.byteLength(name) : name.length
  const key = Buffer.allocUnsafe(5 + length)
  key[0] = byte
  putU32(key, 1, id)
  if (typeof name === 'string') key.write(name, 5)
  else key.set(name, 5)
  return key
}

/** All rows of one id under a prefix. Ids are below 2^32 - 1, so that the next one exists. */
function ofId(byte: number, id: number): KeyRange {
  return { gte: u32(byte, id), lt: u32(byte, id + 1) }
}
