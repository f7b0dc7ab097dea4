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
  const path = pathOf(issue.path)
  const at = path === '' ? capital(where) : path
  if (issue.code === 'unrecognized_keys') return `${at} has no field ${show(issue.keys[0])}.`
  const given = valueAt(value, issue.path)
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

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value
  for (const part of path) at = (at as Record<PropertyKey, unknown> | null | undefined)?.[part]
  return at
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? typeof value
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
