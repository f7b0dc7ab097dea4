/**
 * What a bridge rule says, checked once. A `Rule` that came out of this file is complete, frozen and can be carried out; whatever came over a
 * wire, from a file or out of the store goes through `parseRule` first.
 */
import { AqueductError, type ErrorCode } from '../../core/errors.js'
import { KEY_BYTES_MAX, PRIORITY_MAX, PRIORITY_MIN, STRING_BYTES_MAX } from '../../core/limits.js'
import { nearestHint } from '../../core/nearest.js'
import { hasUtf8, NO_UTF8 } from '../../core/utf8.js'
import { ATTRIBUTES, queueNameValid } from '../../queue/attributes.js'
import { filterFault } from '../../topics/names.js'
import { type Condition, compileCondition } from './condition.js'
import { compileTemplate, type Template } from './template.js'

/** A copy of each message whose topic matches `filter` goes into `queue`. */
export interface Rule {
  readonly name: string
  readonly filter: string
  /** A queue's name; may hold what the wildcards matched: `{1}`, `{#}`, `{topic}`, `{client}`. */
  readonly queue: string
  /** QoS 0 messages, too. */
  readonly qos0: boolean
  /** No room in the queue refuses the whole message, not only this copy. */
  readonly required: boolean
  /** Message key, with placeholders as in `queue`. */
  readonly key?: string
  /** 1 (first) to 16. */
  readonly priority?: number
  /** How long a copy waits before it can be received; default the queue's. */
  readonly delay_s?: number
  /** How long a copy is kept, from acceptance; the queue's retention and the message's own expiry bound it. */
  readonly ttl_s?: number
  /** A word for consumers to choose by, with placeholders as in `queue`. */
  readonly tag?: string
  /** A CEL expression that must be true of the message. */
  readonly when?: string
}

/** A rule and what it compiles to. */
export interface Compiled {
  readonly rule: Rule
  readonly queue: Template
  readonly key: Template | undefined
  readonly tag: Template | undefined
  readonly when: Condition | undefined
}

const FIELDS = ['filter', 'queue', 'qos0', 'required', 'key', 'priority', 'delay_s', 'ttl_s', 'tag', 'when'] as const
const DELAY_S_MAX = ATTRIBUTES.delay_ms.kind === 'number' ? ATTRIBUTES.delay_ms.max / 1000 : 0
const TTL_S_MAX = ATTRIBUTES.retention_s.kind === 'number' ? ATTRIBUTES.retention_s.max : 0
/** No topic has more levels, whatever the setting. */
const LEVELS_MAX = STRING_BYTES_MAX + 1
const NAME_MAX = 256
/** First levels whose topics are queues already, or the broker's own. */
export const RESERVED_LEVELS: readonly string[] = ['$SYS', '$dead', '$share', '$queue', '$delayed']

type Input = Readonly<Record<string, unknown>>

/**
 * The rule `name` that `input` describes. Throws `name_invalid`, `filter_invalid` or `attribute_invalid` with a sentence that names the field,
 * its value and what is allowed.
 */
export function parseRule(name: unknown, input: unknown): Compiled {
  if (typeof name !== 'string' || !queueNameValid(name)) {
    throw new AqueductError(
      'name_invalid',
      `a rule's name is a letter or digit and up to 255 of A-Z a-z 0-9 _ . - without "..": got ${show(name)}`,
    )
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw invalid(`a rule is an object with the fields ${FIELDS.join(', ')}: got ${show(input)}`)
  }
  const given = input as Input
  for (const field of Object.keys(given)) {
    if (!(FIELDS as readonly string[]).includes(field)) {
      throw invalid(`a rule has no field ${show(field)}.${nearestHint(field, FIELDS)} Its fields are ${FIELDS.join(', ')}`)
    }
  }
  const filter = filterOf(given)
  const queue = compileTemplate('queue', textOf(given, 'queue', NAME_MAX) ?? missing('queue', 'the name of a queue'), filter)
  const key = templateOf(given, 'key', filter)
  const tag = templateOf(given, 'tag', filter)
  const priority = wholeOf(given, 'priority', PRIORITY_MIN, PRIORITY_MAX)
  const delay_s = wholeOf(given, 'delay_s', 0, DELAY_S_MAX)
  const ttl_s = wholeOf(given, 'ttl_s', 1, TTL_S_MAX)
  if (delay_s !== undefined && ttl_s !== undefined && ttl_s <= delay_s) {
    throw invalid(`ttl_s = ${ttl_s} is over before delay_s = ${delay_s} is: no copy would ever be received`)
  }
  if (typeof given.when === 'string' && !hasUtf8(given.when)) throw invalid(`when ${NO_UTF8}`)
  const when = given.when === undefined ? undefined : compileCondition(given.when)
  const rule: Rule = {
    name,
    filter,
    queue: queue.text,
    qos0: flagOf(given, 'qos0', true),
    required: flagOf(given, 'required', false),
    ...(key === undefined ? {} : { key: key.text }),
    ...(priority === undefined ? {} : { priority }),
    ...(delay_s === undefined ? {} : { delay_s }),
    ...(ttl_s === undefined ? {} : { ttl_s }),
    ...(tag === undefined ? {} : { tag: tag.text }),
    ...(when === undefined ? {} : { when: when.text }),
  }
  return { rule: Object.freeze(rule), queue, key, tag, when }
}

function filterOf(given: Input): string {
  const filter = given.filter ?? missing('filter', 'a topic filter')
  if (typeof filter !== 'string')
    throw invalid(`filter is a topic filter, such as "devices/+/telemetry": got ${show(filter)}`, 'filter_invalid')
  const fault = filterFault(filter, LEVELS_MAX)
  if (fault !== undefined) throw invalid(`filter = ${show(filter)}: ${fault}`, 'filter_invalid')
  // A copy of what is there could come round again.
  const level = filter.split('/', 1)[0] as string
  if (RESERVED_LEVELS.includes(level)) {
    throw invalid(`filter = ${show(filter)}: a rule may not copy what is published below ${level}`, 'filter_invalid')
  }
  return filter
}

function templateOf(given: Input, field: 'key' | 'tag', filter: string): Template | undefined {
  const text = textOf(given, field, KEY_BYTES_MAX)
  return text === undefined ? undefined : compileTemplate(field, text, filter)
}

function textOf(given: Input, field: string, bytes_max: number): string | undefined {
  const value = given[field]
  if (value === undefined) return undefined
  if (typeof value === 'string' && !hasUtf8(value)) throw invalid(`${field} ${NO_UTF8}: got ${show(value)}`)
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > bytes_max) {
    throw invalid(`${field} is text of 1 to ${bytes_max} bytes: got ${show(value)}`)
  }
  return value
}

function wholeOf(given: Input, field: string, min: number, max: number): number | undefined {
  const value = given[field]
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw invalid(`${field} is a whole number from ${min} to ${max}: got ${show(value)}`)
  }
  return value
}

function flagOf(given: Input, field: string, standard: boolean): boolean {
  const value = given[field] ?? standard
  if (typeof value !== 'boolean' || given[field] === null) throw invalid(`${field} is true or false: got ${show(given[field])}`)
  return value
}

function missing(field: string, what: string): never {
  throw invalid(`a rule needs ${field}: ${what}`)
}

export function invalid(sentence: string, code: ErrorCode = 'attribute_invalid'): AqueductError {
  return new AqueductError(code, `${sentence}.`)
}

/** A value in a sentence: short, on one line. */
export function show(value: unknown): string {
  const text = (typeof value === 'bigint' ? `${value}` : JSON.stringify(value)) ?? typeof value
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
