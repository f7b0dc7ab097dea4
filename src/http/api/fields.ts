/**
 * Fields of requests and answers, as zod schemas: what a value must be is said once, and validation, error sentences and the OpenAPI document follow
 * from it. The message of each is the end of a sentence that begins with the field's name.
 */
import { z } from 'zod'
import { nearestHint } from '../../core/nearest.js'

export { z }

/** A whole number of JSON. */
export function whole(min: number, max: number, text: string) {
  const error = `is a whole number from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error }).describe(text)
}

/** A whole number in the query, where everything is text. */
export function wholeText(min: number, max: number, text: string) {
  return z.pipe(
    z.transform((given: unknown) => (typeof given === 'string' && /^-?\d{1,16}$/.test(given) ? Number(given) : given)),
    whole(min, max, text),
  )
}

/** A text of at most `max` characters. Whoever takes it may ask for more. */
export function text(max: number, describe: string) {
  const error = `is a text of at most ${max} characters`
  return z.string({ error }).max(max, { error }).describe(describe)
}

export function flag(describe: string) {
  return z.boolean({ error: 'is true or false' }).describe(describe)
}

export function oneOf<const T extends readonly [string, ...string[]]>(values: T, describe: string) {
  return z.enum(values, { error: `is one of ${values.join(', ')}` }).describe(describe)
}

/** An object without any other field than these. */
export function object<T extends z.core.$ZodLooseShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return 'is an object'
      const [field = ''] = issue.keys as string[]
      return `has no field ${JSON.stringify(field.slice(0, 80))}.${nearestHint(field, Object.keys(shape))}`
    },
  })
}

/** 1 to `max` of them. */
export function list<T extends z.core.$ZodType>(of: T, max: number, describe: string) {
  const error = `is a list of 1 to ${max}`
  return z.array(of, { error }).min(1, { error }).max(max, { error }).describe(describe)
}
