/**
 * The functions of an expression. What is not here does not exist: nothing that takes a regular expression, makes lists or maps out of lists, or cuts text into
 * lists. Each charges what it is about to do; a receiver or argument of another kind is no answer.
 */
import { Duration, UnsignedInt } from '@marcbachmann/cel-js/evaluator'
import { durationOf } from './arithmetic.js'
import { indexIn, lastIndexIn } from './search.js'
import { keysOf, kindOf, Optional, TYPES, type TypeOf } from './values.js'
import { none, type Work } from './work.js'

/** `args[0]` is the receiver of a method. */
type Call = (args: readonly unknown[], work: Work) => unknown

/** `size(x)`, and for what has one, `x.size()`. */
export const FUNCTIONS: Readonly<Record<string, Call>> = {
  size: ([v], work) => sizeOf(v, work),
  type: ([v]): TypeOf => TYPES[kindOf(v)],
  dyn: ([v]) => v,
  bool: ([v]) => toBool(v),
  int: ([v]) => toInt(v),
  uint: ([v]) => toUint(v),
  double: ([v], work) => toDouble(v, work),
  string: ([v], work) => toText(v, work),
  timestamp: ([v]) => toTimestamp(v),
  duration: ([v]) => toDuration(v),
}

export const METHODS: Readonly<Record<string, Call>> = {
  size: ([v], work) => sizeOf(v, work),
  startsWith: ([v, part], work) => text(v).startsWith(charged(part, work)),
  endsWith: ([v, part], work) => text(v).endsWith(charged(part, work)),
  contains: ([v, part], work) => indexIn(text(v), text(part), 0, work) >= 0,
  indexOf: ([v, part, from], work) => BigInt(found(indexIn, text(v), text(part), from, 0, work)),
  lastIndexOf: ([v, part, from], work) => BigInt(found(lastIndexIn, text(v), text(part), from, text(v).length, work)),
  substring: ([v, start, end], work) => cut(charged(v, work), start, end),
  lowerAscii: ([v], work) => charged(v, work).toLowerCase(),
  upperAscii: ([v], work) => charged(v, work).toUpperCase(),
  trim: ([v], work) => charged(v, work).trim(),
  hasValue: ([v]) => optional(v).value !== undefined,
  value: ([v]) => optional(v).value ?? absent(v),
  getFullYear: (args, work) => field(args, work, (d) => d.getUTCFullYear()),
  getMonth: (args, work) => field(args, work, (d) => d.getUTCMonth()),
  getDate: (args, work) => field(args, work, (d) => d.getUTCDate()),
  getDayOfMonth: (args, work) => field(args, work, (d) => d.getUTCDate() - 1),
  getDayOfWeek: (args, work) => field(args, work, (d) => d.getUTCDay()),
  getDayOfYear: (args, work) => field(args, work, dayOfYear),
  getHours: (args, work) => spanOf(args)?.getHours() ?? field(args, work, (d) => d.getUTCHours()),
  getMinutes: (args, work) => spanOf(args)?.getMinutes() ?? field(args, work, (d) => d.getUTCMinutes()),
  getSeconds: (args, work) => spanOf(args)?.getSeconds() ?? field(args, work, (d) => d.getUTCSeconds()),
}

/** What a zone's name costs: the platform reads its calendar for it each time. */
const ZONE_STEPS = 3_000
const NUMBER_CHARACTERS_MAX = 400
const DURATION_CHARACTERS_MAX = 64
const ZONE_CHARACTERS_MAX = 64
const TIMESTAMP_MS_MAX = 253_402_300_799_999
const TIMESTAMP_MS_MIN = -62_135_596_800_000
const UNIT_NS: Readonly<Record<string, bigint>> = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  ns: 1n,
}

export function text(v: unknown): string {
  return typeof v === 'string' ? v : none()
}

function charged(v: unknown, work: Work): string {
  const found = text(v)
  work.chargeText(found.length)
  return found
}

export function optional(v: unknown): Optional {
  return v instanceof Optional ? v : none()
}

/** `null` is a value. */
function absent(v: unknown): unknown {
  return optional(v).value === undefined ? none() : null
}

function whole(v: unknown): number {
  return typeof v === 'bigint' ? Number(v) : none()
}

function sizeOf(v: unknown, work: Work): bigint {
  switch (kindOf(v)) {
    case 'string':
      return BigInt(charactersIn(v as string, work))
    case 'bytes':
    case 'list':
      return BigInt((v as { length: number }).length)
    case 'map': {
      if (v instanceof Map) return BigInt(v.size)
      const keys = keysOf(v as object)
      work.charge(keys.length)
      return BigInt(keys.length)
    }
    default:
      return none()
  }
}

/** Code points. */
function charactersIn(v: string, work: Work): number {
  work.charge(v.length / 8)
  let count = v.length
  for (let i = 1; i < v.length; i++) {
    if ((v.charCodeAt(i) & 0xfc00) === 0xdc00 && (v.charCodeAt(i - 1) & 0xfc00) === 0xd800) count--
  }
  return count
}

function toBool(v: unknown): boolean {
  if (typeof v === 'boolean') return v
  if (['1', 't', 'true', 'TRUE', 'True'].includes(text(v))) return true
  return ['0', 'f', 'false', 'FALSE', 'False'].includes(text(v)) ? false : none()
}

function toInt(v: unknown): bigint {
  if (typeof v === 'bigint') return v
  if (typeof v === 'number') return Number.isFinite(v) ? BigInt(Math.trunc(v)) : none()
  const n = wholeIn(text(v))
  return n <= 2n ** 63n - 1n && n >= -(2n ** 63n) ? n : none()
}

function toUint(v: unknown): UnsignedInt {
  if (v instanceof UnsignedInt) return v
  if (typeof v === 'number' && !Number.isFinite(v)) return none()
  const n = typeof v === 'bigint' ? v : typeof v === 'number' ? BigInt(Math.trunc(v)) : wholeIn(text(v))
  return n >= 0n && n <= 2n ** 64n - 1n ? new UnsignedInt(n) : none()
}

function wholeIn(v: string): bigint {
  return /^[+-]?\d{1,19}$|^\d{20}$/.test(v) ? BigInt(v) : none()
}

function toDouble(v: unknown, work: Work): number {
  if (typeof v === 'number') return v
  if (typeof v === 'bigint') return Number(v)
  if (v instanceof UnsignedInt) return Number(v.value)
  const s = charged(v, work)
  if (s === '' || s.length > NUMBER_CHARACTERS_MAX || s !== s.trim()) return none()
  const named = /^([+-]?)inf(inity)?$/i.exec(s)
  if (named !== null) return named[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  const n = Number(s)
  return Number.isNaN(n) && s.toLowerCase() !== 'nan' ? none() : n
}

function toText(v: unknown, work: Work): string {
  switch (kindOf(v)) {
    case 'string':
      return v as string
    case 'bool':
    case 'int':
    case 'uint':
      return `${v as bigint}`
    case 'double':
      return Number.isFinite(v) || Number.isNaN(v) ? `${v as number}` : (v as number) > 0 ? '+Inf' : '-Inf'
    case 'bytes':
      work.chargeText((v as Uint8Array).length)
      return Buffer.from(v as Uint8Array).toString()
    default:
      return none()
  }
}

function toTimestamp(v: unknown): Date {
  let ms: number
  if (typeof v === 'bigint') ms = Number(v) * 1000
  else {
    const s = text(v)
    ms = s.length < 20 || s.length > 30 ? Number.NaN : new Date(s).getTime()
  }
  return ms <= TIMESTAMP_MS_MAX && ms >= TIMESTAMP_MS_MIN ? new Date(ms) : none()
}

/** `1h30m`, `-1.5s`: each part a number and its unit. */
function toDuration(v: unknown): Duration {
  const s = text(v)
  if (s.length > DURATION_CHARACTERS_MAX) return none()
  const part = /(\d*)(?:\.(\d*))?(ns|us|µs|ms|s|m|h)/y
  part.lastIndex = s.startsWith('-') || s.startsWith('+') ? 1 : 0
  if (part.lastIndex === s.length) return none()
  let sum = 0n
  while (part.lastIndex < s.length) {
    const [, digits = '', fraction = '', unit = ''] = part.exec(s) ?? none()
    const ns = UNIT_NS[unit] as bigint
    sum += BigInt(digits) * ns + (BigInt(fraction.slice(0, 13).padEnd(13, '0')) * ns) / 10n ** 13n
  }
  return durationOf(s.startsWith('-') ? -sum : sum)
}

function found(search: typeof indexIn, v: string, part: string, from: unknown, standard: number, work: Work): number {
  if (from === undefined) return search(v, part, standard, work)
  const start = whole(from)
  if (part === '') return start
  return start < 0 || start >= v.length ? none() : search(v, part, start, work)
}

function cut(v: string, from: unknown, to: unknown): string {
  const start = whole(from)
  const end = to === undefined ? v.length : whole(to)
  return start < 0 || end < start || end > v.length ? none() : v.substring(start, end)
}

function spanOf(args: readonly unknown[]): Duration | undefined {
  return args[0] instanceof Duration && args.length === 1 ? args[0] : undefined
}

/** A field of a moment: of what a clock shows in UTC, or in the zone that is given. */
function field([v, zone]: readonly unknown[], work: Work, read: (shown: Date) => number): bigint {
  if (!(v instanceof Date)) return none()
  const n = read(zone === undefined ? v : inZone(v, text(zone), work))
  return Number.isNaN(n) ? none() : BigInt(n)
}

/** What a clock in that zone shows, as if it were UTC. */
function inZone(d: Date, timeZone: string, work: Work): Date {
  work.charge(ZONE_STEPS)
  if (timeZone.length > ZONE_CHARACTERS_MAX) return none()
  try {
    return new Date(`${d.toLocaleString('en-US', { timeZone })} UTC`)
  } catch {
    return none()
  }
}

function dayOfYear(d: Date): number {
  return Math.floor((d.getTime() - Date.UTC(d.getUTCFullYear(), 0, 1)) / 86_400_000)
}
