/**
 * The folder as it stands, before LevelDB gets it. LevelDB takes a log that it cannot open or read for an empty one and then deletes it, passes over
 * bytes that have changed, and ends the process over some of them; and `classic-level` has no way to make it strict. So everything that it will
 * rely on is read here first: CURRENT and MANIFEST, every log that is needed, and of every table the footer, the index and the filter.
 *
 * Always true: nothing is changed here. What cannot be read now is `store_failed` (try again), what has changed or is missing is `store_damaged`.
 */
import { join } from 'node:path'
import { AqueductError } from '../core/errors.js'
import { type Files, isMissing, type OpenFile, readExactly, readWhole } from './files.js'
import { commitNumberOf } from './keys.js'
import { batchHead, readBatch } from './level/batch.js'
import { Malformed } from './level/coding.js'
import { readLog } from './level/log-file.js'
import { type Manifest, readCurrent, readManifest, type TableFile } from './level/manifest.js'
import {
  BLOCK_TRAILER_BYTES,
  checkBlock,
  FOOTER_BYTES,
  type Handle,
  type RowBlock,
  readFooter,
  readIndex,
  readMeta,
} from './level/table.js'

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
}

/** What is to be said about the folder, and what the user can do. */
export class Finder {
  readonly files: Files
  readonly folder: string
  private readonly path: string

  /** `folder` is the database's, inside `path`. */
  constructor(files: Files, path: string, folder: string) {
    this.files = files
    this.path = path
    this.folder = folder
  }

  damaged(name: string, what: string): AqueductError {
    return new AqueductError(
      'store_damaged',
      `${join(this.folder, name)}: ${what}. Nothing was changed. Restore ${this.path} from a copy, or move it away to start empty.`,
    )
  }

  unreadable(name: string, error: unknown): AqueductError {
    const why = error instanceof Error ? error.message : String(error)
    return new AqueductError(
      'store_failed',
      `${join(this.folder, name)} could not be read now: ${why}. Nothing was changed. Try again when the disk can be read.`,
      { cause: error },
    )
  }

  /** Runs `read`; what it throws becomes a sentence about `name`. */
  async about<T>(name: string, read: () => T | Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      if (error instanceof AqueductError) throw error
      if (error instanceof Malformed) throw this.damaged(name, error.message)
      if (isMissing(error)) throw this.damaged(name, 'it is missing')
      throw this.unreadable(name, error)
    }
  }

  whole(name: string): Promise<Buffer> {
    return this.about(name, () => readWhole(this.files, join(this.folder, name)))
  }
}

export async function readState(f: Finder): Promise<Manifest> {
  const current = await f.whole('CURRENT')
  const name = await f.about('CURRENT', () => readCurrent(current))
  const bytes = await f.whole(name)
  return f.about(name, () => readManifest(bytes))
}

/** Reads all that LevelDB needs. */
export async function inspect(f: Finder): Promise<Inspection> {
  const manifest = await readState(f)
  const names = await f.about('', () => f.files.list(f.folder))
  const there = new Set(names ?? [])
  for (const table of manifest.tables) await checkTable(f, there, table)
  return { manifest, ...(await readLogs(f, manifest, logsOf(there, manifest.logNumber))) }
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
  readonly batches: { commit: number; record: Buffer }[] = []
  /** Which batch changed a key last. */
  readonly last = new Map<string, number>()
  next: number | undefined
  commits = 0
  lastCommit = 0
  private readonly lastSequence: number

  /** `lastSequence`: MANIFEST's. */
  constructor(lastSequence: number) {
    this.lastSequence = lastSequence
  }

  add(record: Buffer): void {
    const n = this.batches.length
    let commit = 0
    const { sequence, count } = readBatch(record, (key, value) => {
      this.last.set(key.toString('latin1'), n)
      if (value !== undefined) commit = Math.max(commit, commitNumberOf(key))
    })
    // The oldest log begins at or before what MANIFEST knows of; from there on LevelDB numbers without gaps.
    const gap = this.next === undefined ? sequence > this.lastSequence + 1 : sequence !== this.next
    if (gap) throw new Malformed(`changes before ${sequence} are missing`)
    this.next = sequence + count
    this.batches.push({ commit, record })
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
    for (const [n, { record }] of this.batches.entries()) {
      let witness: Witness | undefined
      readBatch(record, (key, value) => {
        if (this.last.get(key.toString('latin1')) !== n) return
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
): Promise<Omit<Inspection, 'manifest'>> {
  const { logNumber } = manifest
  if (logNumber > 0 && logs[0]?.number !== logNumber) {
    throw f.damaged(`${String(logNumber).padStart(6, '0')}.log`, 'it is missing')
  }
  const all = new Logs(manifest.lastSequence)
  let torn: (TornLog & { name: string }) | undefined
  for (const { name } of logs) {
    const bytes = await f.whole(name)
    await f.about(name, () => {
      const before = all.batches.length
      const tail = readLog(
        bytes,
        (record) => all.add(record),
        (record) => all.follows(record),
      )
      if (torn !== undefined && all.batches.length > before) throw f.damaged(torn.name, 'it ends early, and a later log goes on')
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

/** Throws unless the table is there with its size, and all that LevelDB reads when it opens it is whole. */
async function checkTable(f: Finder, there: ReadonlySet<string>, table: TableFile): Promise<void> {
  const name = tableName(table.number, there)
  await f.about(name, async () => {
    const file = await f.files.open(join(f.folder, name))
    try {
      await readTable(file, table.size)
    } finally {
      await file.close()
    }
  })
}

export function tableName(number: number, there: ReadonlySet<string>): string {
  const stem = String(number).padStart(6, '0')
  return there.has(`${stem}.ldb`) || !there.has(`${stem}.sst`) ? `${stem}.ldb` : `${stem}.sst`
}

/** The blocks of a table that are rows; the others are checked here. Throws `Malformed`. */
export async function readTable(file: OpenFile, size: number): Promise<RowBlock[]> {
  if (file.size < size) throw new Malformed(`it has ${file.size} of ${size} bytes`)
  if (size < FOOTER_BYTES) throw new Malformed('it is too short to be a table')
  const { meta, index } = readFooter(await readExactly(file, size - FOOTER_BYTES, FOOTER_BYTES), size)
  const blocks = readIndex(await readBlock(file, index), size)
  for (const filter of readMeta(await readBlock(file, meta), size)) checkBlock(await readBlock(file, filter), 'filter')
  return blocks
}

export function readBlock(file: OpenFile, { at, size }: Handle): Promise<Buffer> {
  return readExactly(file, at, size + BLOCK_TRAILER_BYTES)
}
