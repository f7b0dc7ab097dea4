/** The control file of the preload library: rules that make single calls on single files fail (preload/rules.h has its layout). */
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'

export const CALLS = { open: 1, read: 2, mmap: 4, write: 8, sync: 16, rename: 32, unlink: 64 } as const
export type Call = keyof typeof CALLS
export const ERRORS = { EIO: 5, EACCES: 13, EMFILE: 24, ENOSPC: 28 } as const
export type ErrorName = keyof typeof ERRORS

const RULES = 8
const RULES_AT = 64
const RULE_BYTES = 192
const MATCH_BYTES = 160

export interface Rule {
  calls: readonly Call[]
  /** fnmatch pattern of the path below the folder. */
  match: string
  /** Matching calls that pass first. */
  skip?: number
  /** How many fail then. Default 1. */
  times?: number
  /** Default: one that fits the call, by chance. */
  error?: ErrorName
  /** Instead of counting: the chance that a call fails. */
  chance?: number
  /** Instead of failing: an open cuts the file to so many bytes. */
  cut?: number
}

export class Faults {
  readonly file: string
  private rules = 0

  constructor(file: string, seed = 1) {
    this.file = file
    const bytes = Buffer.alloc(RULES_AT + RULES * RULE_BYTES)
    bytes.writeUInt32LE(seed >>> 0, 4)
    writeFileSync(file, bytes)
  }

  /** The environment of a broker that is under these rules. */
  env(preload: string, dir: string): Record<string, string> {
    return { LD_PRELOAD: preload, FILES_DIR: dir, FILES_FAULT: this.file }
  }

  /** In force at once, also for a running broker. */
  arm(rule: Rule): void {
    if (this.rules === RULES) throw new Error(`no more than ${RULES} rules`)
    const at = RULES_AT + this.rules++ * RULE_BYTES
    const row = Buffer.alloc(RULE_BYTES)
    row.writeUInt32LE(
      rule.calls.reduce((sum, call) => sum | CALLS[call], 0),
      4,
    )
    row.writeInt32LE(rule.skip ?? 0, 8)
    row.writeInt32LE(rule.error === undefined ? 0 : ERRORS[rule.error], 12)
    row.writeUInt32LE(Math.round((rule.chance ?? 0) * 1e6), 16)
    row.writeBigInt64LE(BigInt(rule.cut ?? -1), 24)
    if (row.write(rule.match, 32) >= MATCH_BYTES) throw new Error('the pattern is too long')
    const times = Buffer.alloc(4)
    times.writeInt32LE(rule.times ?? 1)
    this.put(row.subarray(4), at + 4)
    this.put(times, at)
  }

  /** No rule from here on; the places are free again. */
  disarm(): void {
    for (let i = 0; i < this.rules; i++) this.put(Buffer.alloc(4), RULES_AT + i * RULE_BYTES)
    this.rules = 0
  }

  /** Calls that failed (or cut) so far. */
  hits(): number {
    const fd = openSync(this.file, 'r')
    const bytes = Buffer.alloc(8)
    readSync(fd, bytes, 0, 8, 8)
    closeSync(fd)
    return Number(bytes.readBigUInt64LE())
  }

  private put(bytes: Buffer, at: number): void {
    const fd = openSync(this.file, 'r+')
    writeSync(fd, bytes, 0, bytes.length, at)
    closeSync(fd)
  }
}
