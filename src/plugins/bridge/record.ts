/**
 * Stored rows of the bridge.
 *
 * Rule (key `B` name): u8 version · the rule's fields as JSON, and `made_by`, a client id, where a subscription made it
 * Queue that rules made by themselves (key `b` queue id): u8 version
 */
import type { Rule } from './rule.js'

const VERSION = 1
const MADE_BY = 'made_by'

export function ruleRow({ name: _, ...fields }: Rule, madeBy?: string): Buffer {
  return Buffer.concat([madeRow, Buffer.from(JSON.stringify(madeBy === undefined ? fields : { ...fields, [MADE_BY]: madeBy }))])
}

/** Whose subscription made the rule; undefined for other rules. Takes it out of what is parsed as a rule. */
export function takeMaker(fields: unknown): string | undefined {
  if (typeof fields !== 'object' || fields === null || !(MADE_BY in fields)) return undefined
  const maker = fields[MADE_BY]
  delete (fields as Record<string, unknown>)[MADE_BY]
  return typeof maker === 'string' ? maker : undefined
}

/** The fields as they were stored, to be parsed like any others. Undefined when they cannot be read. */
export function readRuleRow(row: Buffer): unknown {
  if (row[0] !== VERSION) return undefined
  try {
    return JSON.parse(row.toString('utf8', 1))
  } catch {
    return undefined
  }
}

export const madeRow: Buffer = Buffer.from([VERSION])
