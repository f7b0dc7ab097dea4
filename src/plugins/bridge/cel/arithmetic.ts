/** `+ - * / %` of two values. No answer for kinds that do not go together, and for what does not fit. */
import { Duration, UnsignedInt } from '@marcbachmann/cel-js/evaluator'
import { kindOf } from './values.js'
import { none, type Work } from './work.js'

export type Sign = '+' | '-' | '*' | '/' | '%'

const INT_MAX = 2n ** 63n - 1n
const INT_MIN = -(2n ** 63n)
const UINT_MAX = 2n ** 64n - 1n

export function calculate(sign: Sign, a: unknown, b: unknown, work: Work): unknown {
  const kind = kindOf(a)
  const other = kindOf(b)
  if (kind === 'timestamp' || kind === 'duration') return withTime(sign, a as object, b)
  if (kind !== other) return none()
  switch (kind) {
    case 'double':
      return doubles(sign, a as number, b as number)
    case 'int': {
      const result = wholes(sign, a as bigint, b as bigint)
      return result <= INT_MAX && result >= INT_MIN ? result : none()
    }
    case 'uint': {
      const result = wholes(sign, (a as UnsignedInt).value, (b as UnsignedInt).value)
      return result <= UINT_MAX && result >= 0n ? new UnsignedInt(result) : none()
    }
    default:
      return sign === '+' ? joined(kind, a, b, work) : none()
  }
}

export function negative(v: unknown): unknown {
  if (typeof v === 'number') return -v
  return typeof v === 'bigint' && v !== INT_MIN ? -v : none()
}

function doubles(sign: Sign, a: number, b: number): number {
  switch (sign) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return a / b
    default:
      return none()
  }
}

function wholes(sign: Sign, a: bigint, b: bigint): bigint {
  switch (sign) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return b === 0n ? none() : a / b
    case '%':
      return b === 0n ? none() : a % b
  }
}

function joined(kind: string, a: unknown, b: unknown, work: Work): unknown {
  if (kind === 'string') {
    work.chargeText((a as string).length + (b as string).length)
    return (a as string) + (b as string)
  }
  if (kind === 'list') {
    work.charge((a as unknown[]).length + (b as unknown[]).length)
    return [...(a as unknown[]), ...(b as unknown[])]
  }
  if (kind !== 'bytes') return none()
  work.chargeText((a as Uint8Array).length + (b as Uint8Array).length)
  return Buffer.concat([a as Uint8Array, b as Uint8Array])
}

function withTime(sign: Sign, a: object, b: unknown): unknown {
  if (sign === '+') {
    if (a instanceof Duration && b instanceof Duration) return a.addDuration(b)
    if (a instanceof Date && b instanceof Duration) return moment(b.extendTimestamp(a))
    if (a instanceof Duration && b instanceof Date) return moment(a.extendTimestamp(b))
  } else if (sign === '-') {
    if (a instanceof Duration && b instanceof Duration) return a.subtractDuration(b)
    if (a instanceof Date && b instanceof Duration) return moment(b.subtractTimestamp(a))
    if (a instanceof Date && b instanceof Date) return durationOf(BigInt(a.getTime() - b.getTime()) * 1_000_000n)
  }
  return none()
}

/** A moment that a calendar has. */
function moment(date: Date): Date {
  return Number.isNaN(date.getTime()) ? none() : date
}

/** Of so many nanoseconds. */
export function durationOf(nanoseconds: bigint): Duration {
  const whole = nanoseconds / 1_000_000_000n
  return new Duration(whole, Number(nanoseconds % 1_000_000_000n))
}
