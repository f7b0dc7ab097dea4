/**
 * LevelDB's write-ahead logs, read whole before it reads them: which writes they hold, where they end, and by what it can be told afterwards whether
 * LevelDB has taken all of them.
 *
 * A log may end inside a write that was never finished: a kill or a power cut does that, and nobody was told that it was stored. A log that goes on
 * behind bytes that are not whole, or numbers that are missing, has lost something that was stored.
 */
import { join } from 'node:path'
import type { Finder } from './finder.js'
import { commitNumberOf } from './keys.js'
import { batchHead, readBatch } from './level/batch.js'
import { Malformed } from './level/coding.js'
import { readLog } from './level/log-file.js'
import type { Manifest } from './level/manifest.js'

/** A change in a log that must be there after the open: if it is, so is its whole batch, since a batch is taken whole or not at all. */
export interface Witness {
  readonly key: Buffer
  /** Undefined: the key must be gone. */
  readonly value: Buffer | undefined
}

/** Where the logs end for us, although they go on. */
export interface EarlyEnd {
  /** Of the log in whose middle it is. */
  readonly name: string
  /** Its whole writes. */
  readonly bytes: Buffer
  /** Logs behind it. */
  readonly later: readonly string[]
}

export interface ReadLogs {
  /** One per batch of the logs that still has an effect after all of them. */
  readonly witnesses: readonly Witness[]
  /** Number of the last commit in the logs, 0 when they hold none; and how many they hold. */
  readonly lastCommit: number
  readonly commits: number
  /** The newest log ends inside a write that was never finished. */
  readonly torn: { readonly file: string; readonly bytes: number } | undefined
  /** The last bytes in the logs are older than what MANIFEST knew of. */
  readonly short: boolean
  readonly early: EarlyEnd | undefined
}

/** Something that was stored is missing from `at` on. */
class Hole extends Malformed {
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/**
 * Reads the logs that are needed, of the files `there`. With `mayEndEarly` a hole is not refused, but the logs are taken to end before it: after a
 * power cut, unflushed writes may be lost while later ones are not, and a store without its end is sound, one with a hole is not.
 */
export async function readLogs(
  f: Finder,
  manifest: Manifest,
  there: ReadonlySet<string>,
  mayEndEarly: boolean,
): Promise<ReadLogs> {
  const { logNumber, lastSequence } = manifest
  const names = logsOf(there, logNumber)
  if (logNumber > 0 && Number.parseInt(names[0] ?? '', 10) !== logNumber) {
    throw f.damaged(`${String(logNumber).padStart(6, '0')}.log`, 'it is missing')
  }
  const all = new Logs(lastSequence)
  let early: EarlyEnd | undefined
  for (const [i, name] of names.entries()) {
    const bytes = await f.whole(name)
    try {
      all.read(join(f.folder, name), bytes)
    } catch (error) {
      if (!mayEndEarly || !(error instanceof Hole))
        throw await f.about(name, () => Promise.reject(error)).catch((e: unknown) => e)
      early = { name, bytes: Buffer.from(bytes.subarray(0, error.at)), later: names.slice(i + 1) }
      break
    }
  }
  const { commits, lastCommit, next, torn } = all
  const short = next !== undefined && next - 1 < lastSequence
  return { witnesses: all.witnesses(), commits, lastCommit, torn, short, early }
}

/** Names of the logs that are needed, oldest first. */
function logsOf(names: Iterable<string>, oldest: number): string[] {
  return [...names]
    .filter((name) => /^\d+\.log$/.test(name) && Number.parseInt(name, 10) >= oldest)
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
}

class Logs {
  torn: { file: string; bytes: number } | undefined
  next: number | undefined
  commits = 0
  lastCommit = 0
  private readonly records: Buffer[] = []
  /** Which change of a key is its last, counted over all batches: one batch may change a key twice. */
  private readonly last = new Map<string, number>()
  private changes = 0
  private readonly lastSequence: number

  /** `lastSequence`: MANIFEST's. */
  constructor(lastSequence: number) {
    this.lastSequence = lastSequence
  }

  /** The next log. Throws `Malformed`, a `Hole` where something is missing that was stored. */
  read(file: string, bytes: Buffer): void {
    const { torn } = this
    const tail = readLog(
      bytes,
      (record, at) => {
        if (torn !== undefined) throw new Hole(`${torn.file} ends early, and this one goes on`, at)
        this.add(record, at)
      },
      (record) => this.follows(record),
    )
    if (tail === undefined) return
    if (tail.recordAfter !== undefined) {
      const { at, recordAfter } = tail
      throw new Hole(`bytes at ${at} have changed or are missing, and whole writes follow at ${recordAfter}`, at)
    }
    this.torn = { file, bytes: bytes.length - tail.at }
  }

  private add(record: Buffer, at: number): void {
    const { sequence, count } = batchHead(record)
    // The oldest log begins at or before what MANIFEST knows of; from there on LevelDB numbers without gaps.
    const gap = this.next === undefined ? sequence > this.lastSequence + 1 : sequence !== this.next
    if (gap) throw new Hole(`what was written before the bytes at ${at} is missing`, at)
    let commit = 0
    readBatch(record, (key, value) => {
      this.last.set(key.toString('latin1'), this.changes++)
      if (value !== undefined) commit = Math.max(commit, commitNumberOf(key))
    })
    this.next = sequence + count
    this.records.push(record)
    if (commit === 0) return
    this.commits++
    this.lastCommit = commit
  }

  /** True for a batch that could follow the last one: bytes of an older file or of a payload are not taken for one. */
  private follows(record: Buffer): boolean {
    try {
      const { sequence } = batchHead(record)
      readBatch(record, () => {})
      return this.next === undefined || (sequence >= this.next && sequence <= this.next + record.length + FOLLOWING_CHANGES_MAX)
    } catch {
      return false
    }
  }

  witnesses(): Witness[] {
    const found: Witness[] = []
    let change = 0
    for (const record of this.records) {
      let witness: Witness | undefined
      readBatch(record, (key, value) => {
        if (this.last.get(key.toString('latin1')) !== change++) return
        // The smallest value that is there says as much as any.
        const better =
          witness === undefined || (value !== undefined && (witness.value === undefined || value.length < witness.value.length))
        if (better) witness = { key, value }
      })
      if (witness !== undefined) found.push(witness)
    }
    return found
  }
}

/** More changes than a log can lose. */
const FOLLOWING_CHANGES_MAX = 0x100_0000
