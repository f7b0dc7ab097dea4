/**
 * What a topic name and a topic filter are, and when one matches the other.
 *
 * Strings in, no state. Names and filters are compared character by character, never normalised [MQTT-4.7.3-4]; every `/` parts two
 * levels, so empty levels count: `a//b` has three. Positions below run past the end on purpose: a position of `length + 1` means
 * "no level left", a position of `length` means "one empty level left".
 */
import { STRING_BYTES_MAX } from '../core/limits.js'
import { hasUtf8 } from '../core/utf8.js'

const SLASH = 0x2f
const PLUS = 0x2b
const HASH = 0x23
const DOLLAR = 0x24

const SHARE = '$share/'

/**
 * Why `name` is no topic name, as a sentence, or undefined when it is one.
 *
 * Refused: empty [MQTT-4.7.3-1], with a wildcard [MQTT-3.3.2-2], with U+0000 [MQTT-4.7.3-2], longer than 65,535 bytes of UTF-8
 * [MQTT-4.7.3-3], not encodable as UTF-8 [MQTT-1.5.4-1], or of more than `levels_max` levels.
 */
export function topicFault(name: string, levels_max: number): string | undefined {
  if (name.includes('#') || name.includes('+')) return 'a topic name may not hold the wildcards # and +'
  return textFault('a topic name', name, levels_max)
}

/**
 * Why `filter` is no topic filter, as a sentence, or undefined when it is one.
 *
 * Beside what `topicFault` refuses: `#` elsewhere than alone in the last level [MQTT-4.7.1-1], `+` not alone in its level
 * [MQTT-4.7.1-2], `$share/` without a group and a filter behind it or with a wildcard in the group [MQTT-4.8.2-1] [MQTT-4.8.2-2].
 */
export function filterFault(filter: string, levels_max: number): string | undefined {
  let inner = filter
  if (filter.startsWith(SHARE)) {
    const shared = sharedFilter(filter)
    if (shared === undefined) return 'a shared subscription is $share/{group}/{filter}, with no wildcard in the group'
    if (Buffer.byteLength(filter) > STRING_BYTES_MAX) return tooLong('a topic filter')
    inner = shared.filter
    if (inner.length === 0) return 'a shared subscription needs a topic filter behind its group'
    if (!hasUtf8(shared.group) || shared.group.includes('\0')) return 'the group holds a character that is not allowed'
  }
  for (let at = 0; at < inner.length; at++) {
    const c = inner.charCodeAt(at)
    if (c !== HASH && c !== PLUS) continue
    const first = at === 0 || inner.charCodeAt(at - 1) === SLASH
    const last = at + 1 === inner.length
    if (c === HASH && !(first && last)) return '# must stand alone in the last level'
    if (c === PLUS && !(first && (last || inner.charCodeAt(at + 1) === SLASH))) return '+ must stand alone in its level'
  }
  return textFault('a topic filter', inner, levels_max)
}

/** The parts of `$share/{group}/{filter}`; undefined when `filter` has not this form. The inner filter is not checked further. */
export function sharedFilter(filter: string): { group: string; filter: string } | undefined {
  if (!filter.startsWith(SHARE)) return undefined
  const stop = filter.indexOf('/', SHARE.length)
  if (stop <= SHARE.length) return undefined
  const group = filter.slice(SHARE.length, stop)
  if (group.includes('+') || group.includes('#')) return undefined
  return { group, filter: filter.slice(stop + 1) }
}

/**
 * Whether the valid `filter` matches the valid name `topic`. A filter whose first level is a wildcard matches no name that starts
 * with `$` [MQTT-4.7.2-1]; `a/#` matches `a`. Shared filters are not unwrapped. Linear in the shorter of the two, no allocation.
 */
export function matches(filter: string, topic: string): boolean {
  if (topic.charCodeAt(0) === DOLLAR && filter.charCodeAt(0) !== DOLLAR) return false
  return matchesFrom(filter, 0, topic, 0)
}

/** As `matches`, for the levels from `f` of the filter and `t` of the topic on, and without the rule about `$`. */
export function matchesFrom(filter: string, f: number, topic: string, t: number): boolean {
  for (;;) {
    if (f > filter.length) return t > topic.length
    const c = filter.charCodeAt(f)
    if (c === HASH && f + 1 === filter.length) return true
    if (t > topic.length) return false
    if (c === PLUS) {
      const slash = topic.indexOf('/', t)
      t = slash < 0 ? topic.length + 1 : slash + 1
      f += 2
      continue
    }
    for (;;) {
      const fc = f < filter.length ? filter.charCodeAt(f) : SLASH
      const tc = t < topic.length ? topic.charCodeAt(t) : SLASH
      if (fc !== tc) return false
      f++
      t++
      if (fc === SLASH) break
    }
  }
}

/** True when a valid filter holds a wildcard, so that it can match more than the one name it spells. */
export function hasWildcard(filter: string): boolean {
  return filter.includes('+') || filter.includes('#')
}

function textFault(what: string, text: string, levels_max: number): string | undefined {
  if (text.length === 0) return `${what} may not be empty`
  // A UTF-16 unit is at most three bytes of UTF-8, so that short text needs no counting.
  if (text.length * 3 > STRING_BYTES_MAX && Buffer.byteLength(text) > STRING_BYTES_MAX) return tooLong(what)
  if (text.includes('\0')) return `${what} may not hold the character U+0000`
  if (!hasUtf8(text)) return `${what} must be encodable as UTF-8`
  let levels = 1
  for (let at = text.indexOf('/'); at >= 0; at = text.indexOf('/', at + 1)) levels++
  return levels > levels_max ? `${what} may have at most ${levels_max} levels` : undefined
}

function tooLong(what: string): string {
  return `${what} may have at most ${STRING_BYTES_MAX} bytes`
}
