/**
 * The values of an expression, and what holds between two of them.
 *
 * string · int (bigint) · uint · double (number) · bool · null · bytes · list (array) · map (object of a JSON payload, or `Map`) · timestamp (`Date`) ·
 * duration · optional · type. Objects show own properties only.
 */
import { Duration, UnsignedInt } from '@marcbachmann/cel-js/evaluator'
import { none, type Work } from './work.js'

/** A value that may not be there: `payload.?a`. */
export class Optional {
  readonly value: unknown

  constructor(value: unknown) {
    this.value = value
  }
}

export const ABSENT = new Optional(undefined)

/** What `type()` answers. One object for each name. */
export class TypeOf {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

export type Kind = keyof typeof TYPES

export const TYPES = {
  string: new TypeOf('string'),
  int: new TypeOf('int'),
  uint: new TypeOf('uint'),
  double: new TypeOf('double'),
  bool: new TypeOf('bool'),
  null_type: new TypeOf('null_type'),
  bytes: new TypeOf('bytes'),
  list: new TypeOf('list'),
  map: new TypeOf('map'),
  timestamp: new TypeOf('timestamp'),
  duration: new TypeOf('duration'),
  optional: new TypeOf('optional'),
  type: new TypeOf('type'),
} as const

/** Deeper values are equal to nothing. */
const DEPTH_MAX = 64

export function kindOf(v: unknown): Kind {
  switch (typeof v) {
    case 'string':
      return 'string'
    case 'number':
      return 'double'
    case 'bigint':
      return 'int'
    case 'boolean':
      return 'bool'
    case 'object':
      return v === null ? 'null_type' : kindOfObject(v)
    default:
      return none()
  }
}

function kindOfObject(v: object): Kind {
  if (Array.isArray(v)) return 'list'
  if (v instanceof UnsignedInt) return 'uint'
  if (v instanceof Date) return 'timestamp'
  if (v instanceof Duration) return 'duration'
  if (v instanceof Optional) return 'optional'
  if (v instanceof TypeOf) return 'type'
  return v instanceof Uint8Array ? 'bytes' : 'map'
}

/** A field of a map or an element of a list; undefined when it is not there. */
export function memberOf(v: unknown, key: unknown): unknown {
  const kind = kindOf(v)
  if (kind === 'list') {
    if (typeof key !== 'bigint' && typeof key !== 'number') return undefined
    return (v as unknown[])[Number(key)]
  }
  if (kind !== 'map' || key === null || typeof key === 'object') return undefined
  const name = String(key)
  if (v instanceof Map) return v.get(name)
  return Object.hasOwn(v as object, name) ? (v as Readonly<Record<string, unknown>>)[name] : undefined
}

export function keysOf(map: object): string[] {
  return map instanceof Map ? [...map.keys()] : Object.keys(map)
}

export function equal(a: unknown, b: unknown, work: Work, depth = 0): boolean {
  work.charge(1)
  if (a === b) {
    if (typeof a === 'string') work.chargeText(a.length)
    return true
  }
  const kind = kindOf(a)
  const other = kindOf(b)
  if (kind !== other) return isNumber(kind) && isNumber(other) && sameNumber(a, b)
  if (depth > DEPTH_MAX) return none()
  switch (kind) {
    case 'list':
      return equalLists(a as unknown[], b as unknown[], work, depth + 1)
    case 'map':
      return equalMaps(a as object, b as object, work, depth + 1)
    case 'bytes':
      work.chargeText((a as Uint8Array).length)
      return Buffer.compare(a as Uint8Array, b as Uint8Array) === 0
    case 'string':
      work.chargeText(Math.min((a as string).length, (b as string).length))
      return false
    case 'uint':
    case 'timestamp':
    case 'duration':
      return sameInstant(a as object, b as object)
    default:
      return false
  }
}

function isNumber(kind: Kind): boolean {
  return kind === 'int' || kind === 'uint' || kind === 'double'
}

function sameNumber(a: unknown, b: unknown): boolean {
  const [x, y] = [a, b].map((v) => (v instanceof UnsignedInt ? v.value : v)) as [bigint | number, bigint | number]
  // biome-ignore lint/suspicious/noDoubleEquals: 1n == 1, and no rounding.
  return x == y
}

function sameInstant(a: object, b: object): boolean {
  if (a instanceof Duration && b instanceof Duration) return a.seconds === b.seconds && a.nanos === b.nanos
  return a.valueOf() === b.valueOf()
}

function equalLists(a: readonly unknown[], b: readonly unknown[], work: Work, depth: number): boolean {
  return a.length === b.length && a.every((one, i) => equal(one, b[i], work, depth))
}

function equalMaps(a: object, b: object, work: Work, depth: number): boolean {
  const keys = keysOf(a)
  const others = b instanceof Map ? b.size : Object.keys(b).length
  work.charge(keys.length + others)
  if (keys.length !== others) return false
  return keys.every((key) => {
    const other = memberOf(b, key)
    return other !== undefined && equal(memberOf(a, key), other, work, depth)
  })
}

/** Negative, 0, positive, or NaN where neither is before the other. No answer for what has no order, or is of another kind. */
export function compare(a: unknown, b: unknown, work: Work): number {
  const kind = kindOf(a)
  const other = kindOf(b)
  if (kind === 'string') work.chargeText((a as string).length)
  const ordered = kind === other && ORDERED.has(kind)
  if (!ordered && !(isNumber(kind) && isNumber(other))) return none()
  const [x, y] = [a, b] as [number, number]
  if (x < y) return -1
  if (x > y) return 1
  return x <= y ? 0 : Number.NaN
}

const ORDERED: ReadonlySet<Kind> = new Set<Kind>(['string', 'int', 'uint', 'double', 'bool', 'timestamp', 'duration'])
