/**
 * The folder as it stands, before LevelDB gets it. LevelDB takes a log that it cannot open or read for an empty one and then deletes it, passes over
 * bytes that have changed, and ends the process over some of them; and `classic-level` has no way to make it strict. So everything that it will
 * rely on is read here first: CURRENT and MANIFEST, every log that is needed, of every table the footer, the index and the
 * filter, and of the youngest tables all rows.
 *
 * Always true: nothing is changed here. What cannot be read now is `store_failed` (try again), what has changed or is missing is `store_damaged`.
 */
import { join } from 'node:path'
import { type Finder, readState } from './finder.js'
import { commitNumberOf } from './keys.js'
import { batchHead, readBatch } from './level/batch.js'
import { Malformed } from './level/coding.js'
import { readLog } from './level/log-file.js'
import type { Manifest } from './level/manifest.js'
import { byAge, type Changed, checkTable, tableName, verifyTable } from './tables.js'

/** A change in a log that must be there after the open: if it is, so is its whole batch, since a batch is taken whole or not at all. */
export interface Witness {
  readonly key: Buffer
  /** Undefined: the key must be gone. */
  readonly value: Buffer | undefined
}

export interface TornLog {
  readonly file: string
  readonly bytes: number
}

export interface Inspection {
  readonly manifest: Manifest
  /** One per batch of the logs that still has an effect after all of them. */
  readonly witnesses: readonly Witness[]
  /** Number of the last commit in the logs, 0 when they hold none. */
  readonly lastCommit: number
  /** Commits that the logs hold, for the sentence. */
  readonly commits: number
  /** The newest log ends inside a write that was never finished. */
  readonly torn: TornLog | undefined
  /** The last bytes in the logs are older than what MANIFEST knew of. */
  readonly short: boolean
  /** Numbers of the tables whose rows were looked at, and what was found. */
  readonly verified: ReadonlySet<number>
  readonly changed: readonly Changed[]
}

/** Reads all that LevelDB needs, and the rows of tables up to `bytes`. */
export async function inspect(f: Finder, bytes: number): Promise<Inspection> {
  const manifest = await readState(f)
  const there = new Set(await f.about('', async () => (await f.files.list(f.folder)) ?? []))
  const logs = await readLogs(f, manifest, logsOf(there, manifest.logNumber))
  const verified = new Set<number>()
  const changed: Changed[] = []
  let left = bytes
  for (const table of byAge(manifest.tables)) {
    const name = tableName(table.number, there)
    left -= table.size
    if (left < 0) await checkTable(f, name, table)
    else {
      changed.push(...(await verifyTable(f, name, table, turn)))
      verified.add(table.number)
    }
  }
  return { manifest, ...logs, verified, changed }
}

/** Others have a turn. */
function turn(): Promise<boolean> {
  return new Promise((resolve) => setImmediate(resolve, true))
}

/** Numbers of the logs that are needed, oldest first. */
function logsOf(names: Iterable<string>, oldest: number): { number: number; name: string }[] {
  const logs: { number: number; name: string }[] = []
  for (const name of names) {
    const found = /^(\d+)\.log$/.exec(name)
    if (found !== null && Number(found[1]) >= oldest) logs.push({ number: Number(found[1]), name })
  }
  return logs.sort((a, b) => a.number - b.number)
}

class Logs {
  readonly records: Buffer[] = []
  /** Which change of a key is its last, counted over all batches: one batch may change a key twice. */
  readonly last = new Map<string, number>()
  private changes = 0
  next: number | undefined
  commits = 0
  lastCommit = 0
  private readonly lastSequence: number

  /** `lastSequence`: MANIFEST's. */
  constructor(lastSequence: number) {
    this.lastSequence = lastSequence
  }

  add(record: Buffer): void {
    let commit = 0
    const { sequence, count } = readBatch(record, (key, value) => {
      this.last.set(key.toString('latin1'), this.changes++)
      if (value !== undefined) commit = Math.max(commit, commitNumberOf(key))
    })
    // The oldest log begins at or before what MANIFEST knows of; from there on LevelDB numbers without gaps.
    const gap = this.next === undefined ? sequence > this.lastSequence + 1 : sequence !== this.next
    if (gap) throw new Malformed(`changes before ${sequence} are missing`)
    this.next = sequence + count
    this.records.push(record)
    if (commit === 0) return
    this.commits++
    this.lastCommit = commit
  }

  /** True for a batch that could follow the last one: bytes of an older file or of a payload are not taken for one. */
  follows(record: Buffer): boolean {
    try {
      const { sequence } = batchHead(record)
      readBatch(record, () => {})
      return this.next === undefined || (sequence >= this.next && sequence <= this.next + record.length + 0x100_0000)
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

async function readLogs(
  f: Finder,
  manifest: Manifest,
  logs: readonly { number: number; name: string }[],
): Promise<Pick<Inspection, 'witnesses' | 'commits' | 'lastCommit' | 'torn' | 'short'>> {
  const { logNumber } = manifest
  if (logNumber > 0 && logs[0]?.number !== logNumber) {
    throw f.damaged(`${String(logNumber).padStart(6, '0')}.log`, 'it is missing')
  }
  const all = new Logs(manifest.lastSequence)
  let torn: (TornLog & { name: string }) | undefined
  for (const { name } of logs) {
    const bytes = await f.whole(name)
    await f.about(name, () => {
      const before = all.records.length
      const tail = readLog(
        bytes,
        (record) => all.add(record),
        (record) => all.follows(record),
      )
      if (torn !== undefined && all.records.length > before) throw f.damaged(torn.name, 'it ends early, and a later log goes on')
      if (tail === undefined) return
      if (tail.recordAfter !== undefined) {
        throw new Malformed(`bytes at ${tail.at} have changed or are missing, and whole writes follow at ${tail.recordAfter}`)
      }
      torn = { name, file: join(f.folder, name), bytes: bytes.length - tail.at }
    })
  }
  const { commits, lastCommit, next } = all
  const short = next === undefined ? false : next - 1 < manifest.lastSequence
  return { witnesses: all.witnesses(), commits, lastCommit, torn, short }
}
