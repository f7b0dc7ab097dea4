/** Numbers and texts that a program or a door hands in: refused with a sentence before anything is changed. */
import { AqueductError } from '../core/errors.js'

/** Throws `attribute_invalid` unless `value` is a whole number of the range; undefined passes. */
export function whole(name: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return
  throw new AqueductError(
    'attribute_invalid',
    `${name} is a whole number from ${min} to ${max}: got ${String(value).slice(0, 80)}.`,
  )
}

/** Throws `attribute_invalid` unless there are 1 to `max` of them. */
export function some(name: string, values: readonly unknown[], max: number): void {
  if (values.length >= 1 && values.length <= max) return
  throw new AqueductError('attribute_invalid', `${name} are 1 to ${max}: got ${values.length}.`)
}
