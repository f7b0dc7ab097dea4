/**
 * Stored rows of the bridge.
 *
 * Rule (key `B` name): u8 version · the rule's fields as JSON
 * Queue that rules made by themselves (key `b` queue id): u8 version
 */
import type { Rule } from './rule.js'

const VERSION = 1

export function ruleRow({ name: _, ...fields }: Rule): Buffer {
  return Buffer.concat([madeRow, Buffer.from(JSON.stringify(fields))])
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
