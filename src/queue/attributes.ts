/**
 * What a pull queue can be told: one table of attributes with unit, range and default, from which validation and the types of
 * the doors follow. A set of attributes that came out of this file is complete, frozen and within its ranges.
 */
import { AqueductError } from '../core/errors.js'
import { DELAY_MS_MAX, LEASE_MS_MAX, RETENTION_S_MAX, WAIT_MS_MAX } from '../core/limits.js'
import { nearestHint } from '../core/nearest.js'
import type { Overflow } from './queue.js'

export interface QueueAttributes {
  /** How long a delivery is one receiver's alone, unless the receive says otherwise: milliseconds. */
  readonly lease_ms: number
  /** How long a new message waits before it can be received, unless the send says otherwise: milliseconds. */
  readonly delay_ms: number
  /** How long a message is kept, from acceptance: seconds, 0 for ever. */
  readonly retention_s: number
  /** Hand-outs before a message goes to the dead-letter queue, 0 without end. */
  readonly max_attempts: number
  /** Name of the queue that takes dead messages; empty: `$dead/queue/{name}`. */
  readonly dead_letter: string
  /** How long a receive waits for a message, unless it says otherwise: milliseconds. */
  readonly wait_ms: number
  /** Messages of one key are handed out one at a time and in order. */
  readonly fifo: boolean
  /** A newer message replaces the waiting one of the same key. */
  readonly last_value: boolean
  /** How long a de-duplication id is remembered: seconds, 0 not at all. */
  readonly dedup_window_s: number
  readonly max_messages: number
  readonly max_bytes: number
  readonly max_message_bytes: number
  readonly overflow: Overflow
  /** How long acknowledged messages stay for `seek`: seconds, 0 not at all. */
  readonly retain_s: number
}

/** One attribute, as the reference and the doors show it. */
export type AttributeRow =
  | { readonly kind: 'number'; readonly min: number; readonly max: number; readonly standard: number; readonly text: string }
  | { readonly kind: 'boolean'; readonly standard: boolean; readonly text: string }
  | { readonly kind: 'name'; readonly standard: string; readonly text: string }
  | { readonly kind: 'choice'; readonly of: readonly string[]; readonly standard: string; readonly text: string }

const number = (min: number, max: number, standard: number, text: string): AttributeRow => ({
  kind: 'number',
  min,
  max,
  standard,
  text,
})

const YEAR_S = 31_536_000

/** THE table. A new attribute is a row here and a field above. */
export const ATTRIBUTES: { readonly [K in keyof QueueAttributes]: AttributeRow } = {
  lease_ms: number(0, LEASE_MS_MAX, 30_000, 'How long a received message is yours alone before it is handed out again.'),
  delay_ms: number(0, DELAY_MS_MAX, 0, 'How long a new message waits before it can be received.'),
  retention_s: number(0, RETENTION_S_MAX, 345_600, 'How long a message is kept; 0 keeps it for ever.'),
  max_attempts: number(0, 10_000, 0, 'Hand-outs after which a message goes to the dead-letter queue; 0 never.'),
  dead_letter: { kind: 'name', standard: '', text: 'The queue that takes dead messages; empty for the one of its own.' },
  wait_ms: number(0, WAIT_MS_MAX, 0, 'How long a receive waits for a message when it does not say so itself.'),
  fifo: { kind: 'boolean', standard: false, text: 'Messages of one key are handed out one at a time and in order.' },
  last_value: { kind: 'boolean', standard: false, text: 'A newer message replaces the waiting one of the same key.' },
  dedup_window_s: number(0, 604_800, 300, 'How long a de-duplication id is remembered; 0 not at all.'),
  max_messages: number(1, 1_000_000_000, 1_000_000, 'Messages it holds at most.'),
  max_bytes: number(1, 2 ** 50, 2 ** 30, 'Bytes it holds at most.'),
  max_message_bytes: number(1, 268_435_455, 2_097_152, 'Bytes of one message at most.'),
  overflow: {
    kind: 'choice',
    of: ['reject', 'drop_oldest', 'drop_newest'],
    standard: 'reject',
    text: 'What happens to a message that finds the queue full.',
  },
  retain_s: number(0, YEAR_S, 0, 'How long acknowledged messages stay for a seek.'),
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,255}$/

/** True for a name that a pull queue may have. */
export function queueNameValid(name: string): boolean {
  return NAME.test(name) && !name.includes('..')
}

/** Throws `name_invalid` unless `name` may be a pull queue's. */
export function checkQueueName(name: string): void {
  if (!queueNameValid(name)) {
    throw new AqueductError(
      'name_invalid',
      `a queue name is a letter or digit and up to 255 of A-Z a-z 0-9 _ . - without "..": got ${show(name)}`,
    )
  }
}

function check(key: string, row: AttributeRow, value: unknown): number | boolean | string {
  switch (row.kind) {
    case 'number':
      if (typeof value !== 'number' || !Number.isInteger(value) || value < row.min || value > row.max) {
        throw new AqueductError('attribute_invalid', `${key} is a whole number from ${row.min} to ${row.max}: got ${show(value)}`)
      }
      return value
    case 'boolean':
      if (typeof value !== 'boolean') throw new AqueductError('attribute_invalid', `${key} is true or false: got ${show(value)}`)
      return value
    case 'name':
      if (typeof value !== 'string' || (value !== '' && !queueNameValid(value))) {
        throw new AqueductError('attribute_invalid', `${key} is a queue's name or empty: got ${show(value)}`)
      }
      return value
    case 'choice':
      if (typeof value !== 'string' || !row.of.includes(value)) {
        throw new AqueductError('attribute_invalid', `${key} is one of ${row.of.join(', ')}: got ${show(value)}`)
      }
      return value
  }
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? typeof value).slice(0, 80)
}

/**
 * A complete set: `base` (the defaults when not given) with `input` laid over it. Throws `attribute_invalid` for an unknown key
 * or a value out of its range; `input` may be anything that came over a wire.
 */
export function parseAttributes(input: unknown, base?: QueueAttributes): QueueAttributes {
  const out: Record<string, number | boolean | string> = {}
  for (const [key, row] of Object.entries(ATTRIBUTES)) out[key] = row.standard
  if (base !== undefined) Object.assign(out, base)
  if (input !== undefined) {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) {
      throw new AqueductError('attribute_invalid', `queue attributes are an object: got ${show(input)}`)
    }
    for (const [key, value] of Object.entries(input)) {
      const row = Object.hasOwn(ATTRIBUTES, key) ? ATTRIBUTES[key as keyof QueueAttributes] : undefined
      if (row === undefined) {
        const hint = nearestHint(key, Object.keys(ATTRIBUTES))
        throw new AqueductError('attribute_invalid', `a queue has no attribute ${show(key)}.${hint}`)
      }
      out[key] = check(key, row, value)
    }
  }
  return Object.freeze(out) as unknown as QueueAttributes
}

/** A message's priority when it says none. */
export const PRIORITY_STANDARD = 8
