/**
 * Text with placeholders for what a message is: `q-{1}`. Compiled once for each rule.
 *
 * `{1}`, `{2}`, …: the level that the first, second, … wildcard of the filter matched; for a trailing `#`, like `{#}`, all the levels that it matched,
 * with their slashes. `{topic}`: the whole topic. `{client}`: the client id of who published it, empty for a program or the broker itself.
 */
import type { Inbound } from '../../broker/message.js'
import { AqueductError } from '../../core/errors.js'
import { KEY_BYTES_MAX } from '../../core/limits.js'
import { checkQueueName } from '../../queue/attributes.js'

/** Characters after which a text is no name, and no key or tag: a name may have one more than those. */
const EXPANDED_MAX = KEY_BYTES_MAX + 1

/** What a template may look at. */
export interface Subject {
  readonly topic: string
  readonly client: string
}

/** The client id of who published `m`, empty for a program or the broker itself. */
export function clientOf(m: Inbound): string {
  if (m.publisher !== null) return m.publisher.clientId
  const id = (m.client as { readonly id?: unknown } | null)?.id
  return typeof id === 'string' ? id : ''
}

export interface Template {
  readonly text: string
  /** True without a placeholder: every message gives the same. */
  readonly literal: boolean
  expand(subject: Subject): string
}

/** Fixed text, and what comes behind it: one level, the levels from there on, the topic, the client, or nothing. */
interface Piece {
  readonly fixed: string
  readonly part: { readonly level: number } | { readonly from: number } | 'topic' | 'client' | undefined
}

/** Throws `attribute_invalid` or, for a queue that no message could have, `name_invalid`. `filter` is valid. */
export function compileTemplate(field: 'queue' | 'key' | 'tag', text: string, filter: string): Template {
  const wildcards = wildcardsOf(filter)
  const pieces: Piece[] = []
  let at = 0
  for (;;) {
    const open = text.indexOf('{', at)
    const fixed = open < 0 ? text.slice(at) : text.slice(at, open)
    const close = open < 0 ? -1 : text.indexOf('}', open)
    if (fixed.includes('}') || (open >= 0 && close < 0)) {
      throw wrong(field, text, 'a { and its } enclose a placeholder', wildcards)
    }
    if (open < 0) {
      pieces.push({ fixed, part: undefined })
      break
    }
    const name = text.slice(open + 1, close)
    const part = partOf(name, wildcards)
    if (part === undefined)
      throw wrong(field, text, `there is nothing for {${name}} with the filter ${JSON.stringify(filter)}`, wildcards)
    pieces.push({ fixed, part })
    at = close + 1
  }
  const literal = pieces.length === 1
  if (field === 'queue') checkName(text, pieces, literal)
  return { text, literal, expand: literal ? () => text : expanderOf(pieces) }
}

interface Wildcard {
  readonly level: number
  readonly rest: boolean
}

function wildcardsOf(filter: string): Wildcard[] {
  const found: Wildcard[] = []
  for (const [level, name] of filter.split('/').entries()) {
    if (name === '+' || name === '#') found.push({ level, rest: name === '#' })
  }
  return found
}

function partOf(name: string, wildcards: readonly Wildcard[]): Piece['part'] {
  if (name === 'topic' || name === 'client') return name
  const last = wildcards[wildcards.length - 1]
  const one =
    name === '#'
      ? last?.rest === true
        ? last
        : undefined
      : /^[1-9]\d{0,4}$/.test(name)
        ? wildcards[Number(name) - 1]
        : undefined
  if (one === undefined) return undefined
  return one.rest ? { from: one.level } : { level: one.level }
}

function wrong(field: string, text: string, what: string, wildcards: readonly Wildcard[]): AqueductError {
  const allowed = wildcards.map((w, i) => (w.rest ? '{#}' : `{${i + 1}}`))
  const list = [...(allowed.length > 6 ? [...allowed.slice(0, 5), '…'] : allowed), '{topic}', '{client}'].join(', ')
  return new AqueductError('attribute_invalid', `${field} = ${JSON.stringify(text.slice(0, 80))}: ${what}. Allowed are ${list}.`)
}

/** What is fixed in a queue's name must be able to stand in one. */
function checkName(text: string, pieces: readonly Piece[], literal: boolean): void {
  if (literal) {
    checkQueueName(text)
    return
  }
  for (const [i, { fixed }] of pieces.entries()) {
    const good = /^[A-Za-z0-9_.-]*$/.test(fixed) && !fixed.includes('..') && !(i === 0 && /^[_.-]/.test(fixed))
    if (good) continue
    throw new AqueductError(
      'name_invalid',
      `queue = ${JSON.stringify(text.slice(0, 80))}: beside its placeholders a queue's name has letters, digits and _ . - without "..", ` +
        'and does not begin with _ . -',
    )
  }
}

function expanderOf(pieces: readonly Piece[]): (subject: Subject) => string {
  const levelled = pieces.some(({ part }) => typeof part === 'object')
  return ({ topic, client }) => {
    const levels = levelled ? topic.split('/') : undefined
    let out = ''
    for (const { fixed, part } of pieces) {
      out += fixed
      if (part === undefined) continue
      if (part === 'topic') out += topic
      else if (part === 'client') out += client
      else if ('level' in part) out += levels?.[part.level] ?? ''
      else out += levels?.slice(part.from).join('/') ?? ''
      // Too long for a name, a key or a tag, whatever follows.
      if (out.length > EXPANDED_MAX) return out
    }
    return out
  }
}
