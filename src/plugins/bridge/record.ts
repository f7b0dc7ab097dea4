/**
 * Stored rows of the bridge.
 *
 * Rule (key `B` name): u8 version · the rule's fields as JSON
 * Queue that rules made by themselves (key `b` queue id): u8 version
 */
import { AqueductError } from '../../core/errors.js'
import type { Rule } from './rule.js'

const VERSION = 1

export function ruleRow({ name: _, ...fields }: Rule): Buffer {
  return Buffer.concat([madeRow, Buffer.from(JSON.stringify(fields))])
}

/** The fields as they were stored, to be parsed like any others. Throws `store_damaged`. */
export function readRuleRow(name: string, row: Buffer): unknown {
  if (row[0] === VERSION) {
    try {
      return JSON.parse(row.toString('utf8', 1))
    } catch {
      // Said below.
    }
  }
  throw new AqueductError('store_damaged', `The stored bridge rule ${JSON.stringify(name)} cannot be read.`)
}

export const madeRow: Buffer = Buffer.from([VERSION])
