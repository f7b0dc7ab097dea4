/**
 * A queue as a file: JSON lines that a person can read, `grep` and `jq` can work on, and `import` takes back.
 *
 *     {"aqueduct_export":1,"queue":"orders","attributes":{…},"exported_at":…,"messages":2}
 *     {"id":"…","topic":"…","body":"…","encoding":"text","key":"…","priority":8,"accepted_at":…,"expires_at":…}
 *     …
 *     {"aqueduct_export_end":1,"messages":2}
 *
 * Always true: payloads are bytes, as text where they are UTF-8 and as base64 otherwise; a file without its last line was cut.
 */
import { isUtf8 } from 'node:buffer'
import type { NewMessage, PropertiesShape, QueueShape, ReceivedShape, SeenShape } from '../client/shapes.js'
import { Ending, FAILED } from './exit.js'

export interface Header {
  readonly queue: string
  readonly attributes: Readonly<Record<string, unknown>>
  /** How many there were when it began; the last line says how many were written. */
  readonly messages: number
}

const VERSION = 1

export function headerLine({ name, attributes, counts }: QueueShape, now: number): string {
  const messages = counts.ready + counts.delayed + counts.leased
  return line({ aqueduct_export: VERSION, queue: name, attributes, exported_at: now, messages })
}

/** All that is known of a message, but for who holds it now. */
export function messageLine(message: SeenShape | ReceivedShape): string {
  const { receipt: _, first_leased_at: __, leased_until: ___, ...rest } = message as SeenShape & Partial<ReceivedShape>
  return line(rest)
}

export const endLine = (messages: number): string => line({ aqueduct_export_end: VERSION, messages })

const line = (value: object): string => `${JSON.stringify(value)}\n`

/** Throws an `Ending` for a first line that is not one of ours. */
export function parseHeader(bytes: Buffer): Header {
  const { aqueduct_export: version, queue, attributes, messages } = objectOf(bytes, 1)
  if (version === undefined) throw wrong(1, 'is not the head of an export')
  if (version !== VERSION) throw wrong(1, `is of form ${JSON.stringify(version)}; this program reads form ${VERSION}`)
  if (typeof queue !== 'string' || typeof attributes !== 'object' || attributes === null)
    throw wrong(1, 'has no queue or no attributes')
  return { queue, attributes: attributes as Header['attributes'], messages: typeof messages === 'number' ? messages : 0 }
}

export interface Line {
  readonly kind: 'message' | 'end'
  readonly id: string | undefined
  readonly message: NewMessage
  readonly expires_at: number | undefined
  readonly until: number | undefined
  /** The last line: how many there should have been. */
  readonly messages: number
}

/** Throws an `Ending` that names the line. */
export function parseLine(bytes: Buffer, number: number): Line {
  const given = objectOf(bytes, number)
  const nothing = { id: undefined, message: { body: '' }, expires_at: undefined, until: undefined, messages: 0 }
  if (given.aqueduct_export_end !== undefined) return { ...nothing, kind: 'end', messages: whole(given, 'messages', number) ?? 0 }
  const { body, encoding = 'text' } = given
  if (typeof body !== 'string') throw wrong(number, 'has no body')
  if (encoding !== 'text' && encoding !== 'base64') throw wrong(number, 'has an encoding that is neither text nor base64')
  const [key, tag, topic, id] = ['key', 'tag', 'topic', 'id'].map((name) => text(given, name, number))
  const priority = whole(given, 'priority', number)
  const properties = given.properties as PropertiesShape | undefined
  const message: NewMessage = {
    body,
    encoding,
    ...(key === undefined ? {} : { key }),
    ...(tag === undefined ? {} : { tag }),
    ...(topic === undefined ? {} : { topic }),
    ...(priority === undefined ? {} : { priority }),
    // What may be in them, the server says.
    ...(properties === undefined ? {} : { properties }),
  }
  const until = given.state === 'delayed' ? whole(given, 'until', number) : undefined
  return { kind: 'message', id, message, expires_at: whole(given, 'expires_at', number), until, messages: 0 }
}

type Fields = Readonly<Record<string, unknown>>

function objectOf(bytes: Buffer, number: number): Fields {
  if (!isUtf8(bytes)) throw wrong(number, 'is not UTF-8')
  let value: unknown
  try {
    value = JSON.parse(bytes.toString())
  } catch {
    throw wrong(number, 'is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(number, 'is no JSON object')
  return value as Fields
}

function text(given: Fields, name: string, number: number): string | undefined {
  const value = given[name]
  if (value === undefined || typeof value === 'string') return value
  throw wrong(number, `has a ${name} that is no text`)
}

function whole(given: Fields, name: string, number: number): number | undefined {
  const value = given[name]
  if (value === undefined || (typeof value === 'number' && Number.isSafeInteger(value))) return value
  throw wrong(number, `has a ${name} that is no whole number`)
}

const wrong = (number: number, text: string): Ending => new Ending(FAILED, `Line ${number} ${text}.`)
