/**
 * The mark: a small file beside the database that says up to which commit it must reach. LevelDB's log cannot say where it should end; this can.
 *
 * It is written in place after the disk has taken a commit and before anybody is told, so after a kill it is exact: what was acknowledged is at or below
 * it, and it is never above what is there. It is not flushed by itself. After a power cut it may therefore be older than the database (then what was
 * lost between the two is not noticed), but with `fsync` never newer.
 *
 * Two slots, written in turns, so that one is always whole: magic u32 · version u8 · durability u8 · commit u48 · boot id 36 bytes · crc32c u32.
 */
import { closeSync, constants, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../core/log.js'
import { getU32, getU48, putU32, putU48 } from './bytes.js'
import type { Durability } from './disk.js'
import { type Files, isMissing, readWhole } from './files.js'
import type { Contributor } from './journal.js'
import { crc32c } from './level/crc32c.js'

export const MARK = 'mark'
const MAGIC = 0x41714d6b
const VERSION = 1
const BOOT_BYTES = 36
const SUM_AT = 12 + BOOT_BYTES
const SLOT_BYTES = SUM_AT + 4
/** A slot a sector, so that a torn write can only reach one. */
const SLOT_STEP = 512

export interface FoundMark {
  readonly commit: number
  readonly durability: Durability
  /** '' where the system has none. */
  readonly boot: string
}

/** What the mark says; undefined when there is none or it cannot be understood, which is said. Rejects when it cannot be read. */
export async function readMark(files: Files, path: string, log: Log): Promise<FoundMark | undefined> {
  let bytes: Buffer
  try {
    bytes = await readWhole(files, join(path, MARK))
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  const slots = [slot(bytes, 0), slot(bytes, SLOT_STEP)].filter((s) => s !== undefined)
  if (slots.length === 0) {
    log.warn({ file: join(path, MARK) }, 'the mark cannot be understood: how far the store should reach is not known')
    return undefined
  }
  return slots.reduce((a, b) => (b.commit > a.commit ? b : a))
}

/** True when the store must reach the mark: flushed commits always, others as long as the kernel that took them runs. */
export function binds(mark: FoundMark, boot: string | undefined): boolean {
  return mark.durability === 'fsync' || (boot !== undefined && mark.boot === boot)
}

function slot(bytes: Buffer, at: number): FoundMark | undefined {
  if (bytes.length < at + SLOT_BYTES || getU32(bytes, at) !== MAGIC || bytes[at + 4] !== VERSION) return undefined
  if (crc32c(bytes, at, at + SUM_AT) !== getU32(bytes, at + SUM_AT)) return undefined
  return {
    durability: bytes[at + 5] === 1 ? 'fsync' : 'os',
    commit: getU48(bytes, at + 6),
    boot: bytes.toString('latin1', at + 12, at + SUM_AT).trimEnd(),
  }
}

export class Mark implements Contributor {
  private readonly fd: number
  private readonly file: string
  private readonly log: Log
  private readonly bytes = Buffer.alloc(SLOT_BYTES, ' ')
  private turn = 0
  private said = false

  /** Makes the file where there is none. Throws the system's error. */
  constructor(path: string, o: { durability: Durability; boot: string | undefined; commit: number; log: Log }) {
    this.file = join(path, MARK)
    this.log = o.log
    putU32(this.bytes, 0, MAGIC)
    this.bytes[4] = VERSION
    this.bytes[5] = o.durability === 'fsync' ? 1 : 0
    this.bytes.write(o.boot ?? '', 12, BOOT_BYTES, 'latin1')
    this.fd = openSync(this.file, constants.O_RDWR | constants.O_CREAT, 0o600)
    // Both: nothing of another run stays.
    for (let i = 0; i < 2; i++) this.committed(o.commit)
    this.sync()
  }

  seal(): void {}

  /** A few microseconds, into the kernel's memory. A mark that cannot be written is only older than it could be. */
  committed(commit: number): void {
    const { bytes } = this
    putU48(bytes, 6, commit)
    putU32(bytes, SUM_AT, crc32c(bytes, 0, SUM_AT))
    this.turn ^= 1
    try {
      writeSync(this.fd, bytes, 0, SLOT_BYTES, this.turn * SLOT_STEP)
    } catch (error) {
      if (!this.said) this.log.warn({ err: error, file: this.file }, 'the mark of the last commit cannot be written')
      this.said = true
    }
  }

  /** With a flush: whoever closes in order may pay for one. */
  close(): void {
    this.sync()
    closeSync(this.fd)
  }

  private sync(): void {
    try {
      fsyncSync(this.fd)
    } catch (error) {
      this.log.warn({ err: error, file: this.file }, 'the mark of the last commit cannot be flushed')
    }
  }
}
