/** From what a schema finds wrong to one sentence about the first of it. */
import { AqueductError } from '../../core/errors.js'
import type { z } from './fields.js'

/** The value in its checked form. Throws `attribute_invalid`. `where`: what the value is (`the body`, `the query`). */
export function checked<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new AqueductError('attribute_invalid', sentence(result.error.issues[0], value, where))
}

function sentence(issue: z.core.$ZodIssue | undefined, value: unknown, where: string): string {
  if (issue === undefined) return `${capital(where)} is not as it should be.`
  const { parts, given } = locate(value, issue.path)
  const path = pathOf(parts)
  const at = path === '' ? capital(where) : path
  // Whole already: it names the field itself.
  if (issue.code === 'unrecognized_keys') return `${at} ${issue.message}`
  return given === undefined && path !== ''
    ? `${at} is missing: it ${issue.message}.`
    : `${at} ${issue.message}: got ${show(given)}.`
}

/** `messages[3].delay_ms` */
function pathOf(path: readonly PropertyKey[]): string {
  let out = ''
  for (const part of path) out += typeof part === 'number' ? `[${part}]` : `${out === '' ? '' : '.'}${String(part)}`
  return out
}

/** The value that is wrong. In the query a list is still the text that was given. */
function locate(value: unknown, path: readonly PropertyKey[]): { parts: readonly PropertyKey[]; given: unknown } {
  let at = value
  for (const [i, part] of path.entries()) {
    if (typeof at !== 'object' || at === null) return { parts: path.slice(0, i), given: at }
    at = (at as Record<PropertyKey, unknown>)[part]
  }
  return { parts: path, given: at }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? typeof value
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
