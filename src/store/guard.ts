/**
 * What stands around LevelDB's open: what must be there is known before, a snapshot makes the open undone where less is there afterwards.
 *
 * States: *looked at* (`look`) → *kept* (`keep`: LevelDB may open) → *confirmed* (commits may be taken) or *given back* (every file is what it was).
 */
import { rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Clock } from '../core/clock.js'
import { AqueductError } from '../core/errors.js'
import type { Log } from '../core/log.js'
import { type Files, readWhole } from './files.js'
import { Finder } from './finder.js'
import { type Inspection, inspect } from './inspect.js'
import type { Witness } from './logs.js'
import { binds, type FoundMark, MARK, readMark } from './mark.js'
import { Snapshot } from './snapshot.js'
import { Sweep, tellChanged, tellMissing } from './sweep.js'
import type { Changed } from './tables.js'

/** Witnesses asked for in one turn. */
const ASKED_AT_ONCE = 512
/** Rows of tables that are verified before an open: a tenth of a second or two. */
const VERIFIED_BYTES_MAX = 32 * 1024 * 1024
/** There while not all tables have been verified: should the process end again and again because of one, a start looks at all first. */
const UNVERIFIED = 'unverified'

export interface GuardOptions {
  readonly files: Files
  /** The data folder, without links. */
  readonly path: string
  readonly boot: string | undefined
  readonly log: Log
}

export class Guard {
  private readonly o: GuardOptions
  private readonly finder: Finder
  private readonly snapshot: Snapshot
  private mark: FoundMark | undefined
  private found: Inspection | undefined
  private kept = false
  private said = false
  private unverifiedRuns = 0

  constructor(o: GuardOptions) {
    this.o = o
    this.finder = new Finder(o.files, o.path, join(o.path, 'level'))
    this.snapshot = new Snapshot(o.files, o.path)
  }

  /** Undoes an open that was never confirmed, and reads the mark. Call it first. */
  async begin(): Promise<void> {
    const { files, path, log } = this.o
    try {
      if (await this.snapshot.found()) {
        await this.snapshot.putBack()
        log.warn({ path }, 'the last open of the store did not end: its folder was put back as it was before')
      }
    } catch (error) {
      throw failed(`The last open of ${path} did not end, and its folder could not be put back as it was before`, error)
    }
    try {
      this.mark = await readMark(files, path, log)
    } catch (error) {
      throw failed(
        `${join(path, MARK)} could not be read (without it, delete it, how far the store should reach is not known)`,
        error,
      )
    }
    const names = await this.finder.about('', () => files.list(join(path, 'level')))
    if ((names ?? []).length === 0 && this.mark !== undefined && this.mark.commit > 0) {
      throw new AqueductError(
        'store_damaged',
        `${join(path, 'level')} is empty or missing, and ${join(path, MARK)} says that ${this.mark.commit} commits were stored. ` +
          `Nothing was changed. Restore ${path} from a copy, or move it away to start empty.`,
      )
    }
  }

  /** Reads all that LevelDB will need, and refuses where it cannot be read or is less than was stored. Changes nothing. */
  async look(): Promise<void> {
    const { path, log } = this.o
    this.unverifiedRuns = await this.runs()
    // More than one run ended before it had seen all tables, perhaps because of one of them.
    const bytes = this.unverifiedRuns > 1 ? Number.POSITIVE_INFINITY : VERIFIED_BYTES_MAX
    const unflushed = this.mark !== undefined && !binds(this.mark, this.o.boot)
    const found = await inspect(this.finder, bytes, unflushed)
    this.found = found
    this.judge(found.changed)
    if (found.lastCommit > 0) this.compare(found.lastCommit)
    if (this.mark === undefined) {
      const fields = { path, commit: found.lastCommit, commits: found.commits }
      if (found.short) log.warn(fields, 'the log of the store is shorter than it was: its last commits are missing')
      else if (found.commits > 0) log.info(fields, 'the store has no mark yet: how far it should reach is not known')
    }
    if (found.torn !== undefined) {
      const fields = { file: found.torn.file, bytes: found.torn.bytes }
      log.info(fields, 'the log of the store ends inside a write that was not finished, as after a kill or a power cut')
    }
  }

  /**
   * Rows that LevelDB gets through are left out one by one when they are read. A block that would end the process is not given to it, nor one that it cannot
   * read in a table of level 0: it would compact that soon, fail, and refuse every write from then on.
   */
  private judge(changed: readonly Changed[]): void {
    const deadly = changed.find((c) => c.hazard === 'deadly' || (c.hazard === 'unreadable' && c.level === 0))
    if (deadly !== undefined) {
      const { file, from, to } = deadly
      throw this.finder.damaged(basename(file), `rows from ${from} to ${to} have changed in a way that LevelDB cannot read over`)
    }
    tellChanged(this.o.log, changed)
  }

  /** Says what may be missing where blocks have changed. `commit`: the last one. */
  tellMissing(commit: number): void {
    tellMissing(this.o.log, this.found?.changed ?? [], commit)
  }

  /** What looks at the tables from here on. */
  sweep(clock: Clock): Sweep {
    const verified = this.found?.verified ?? new Set<number>()
    const all = this.found?.manifest.tables.every((t) => verified.has(t.number)) ?? false
    if (!all) this.note(this.unverifiedRuns + 1)
    return new Sweep({ finder: this.finder, clock, log: this.o.log, verified, onDone: () => this.note(0) })
  }

  /** How many runs in a row ended before all tables were verified, and not in order. */
  note(runs: number): void {
    const file = join(this.o.path, UNVERIFIED)
    try {
      if (runs === 0) rmSync(file, { force: true })
      else writeFileSync(file, String(runs), { mode: 0o600 })
    } catch (error) {
      this.o.log.warn({ err: error, file }, 'the store cannot note how far its tables are verified')
    }
  }

  private async runs(): Promise<number> {
    const { files, path } = this.o
    const bytes = await readWhole(files, join(path, UNVERIFIED)).catch(() => Buffer.from('0'))
    return Number(bytes.toString('latin1', 0, 3)) || 0
  }

  /** Keeps the folder as it is now. Only then is a log that has a hole cut before it: LevelDB would go on behind it. */
  async keep(): Promise<void> {
    try {
      await this.snapshot.take()
      this.kept = true
      const early = this.found?.early
      if (early === undefined) return
      await this.replace(early.name, early.bytes)
      for (const name of early.later) await this.replace(name, Buffer.alloc(0))
    } catch (error) {
      throw failed(`The folder of ${this.o.path} could not be kept as it is before it is opened`, error)
    }
  }

  private async replace(name: string, bytes: Buffer): Promise<void> {
    const { files } = this.o
    const file = join(this.finder.folder, name)
    this.o.log.error(
      { file, bytes: bytes.length },
      'a log of the store has a hole, as after a power cut with store.durability = "os": it is cut there',
    )
    await files.write(`${file}.new`, bytes)
    await files.rename(`${file}.new`, file)
  }

  /** Rejects unless all that the logs held is in the open database. */
  async check(disk: { raw(key: Buffer): Buffer | undefined }): Promise<void> {
    const witnesses = this.found?.witnesses ?? []
    let missing = 0
    for (let i = 0; i < witnesses.length; i += ASKED_AT_ONCE) {
      for (const witness of witnesses.slice(i, i + ASKED_AT_ONCE)) if (!isTrue(disk, witness)) missing++
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (missing === 0) return
    throw new AqueductError(
      'store_failed',
      `LevelDB could not read its own log: of ${witnesses.length} writes that are there it took ${witnesses.length - missing}. ` +
        'Nothing was changed. Try again when the disk can be read.',
    )
  }

  /** Throws unless the store reaches the mark. `commit`: its last. */
  compare(commit: number): void {
    const { mark } = this
    const { path, boot, log } = this.o
    if (mark === undefined || commit >= mark.commit) return
    if (!binds(mark, boot)) {
      if (this.said) return
      this.said = true
      const fields = { from: commit + 1, to: mark.commit }
      log.error(fields, 'the last commits before the machine went down are lost: they were not flushed (store.durability = "os")')
      return
    }
    throw new AqueductError(
      'store_damaged',
      `${path} ends at commit ${commit}, but commit ${mark.commit} was stored: what commits ${commit + 1} to ${mark.commit} held is missing. ` +
        `Nothing was changed. Restore it from a copy; or, to go on without them, delete ${join(path, MARK)}.`,
    )
  }

  /** The open is good. From here on the folder cannot be given back. */
  async confirm(): Promise<void> {
    const { files, path } = this.o
    try {
      // LevelDB renames CURRENT at each open and leaves it at that.
      await files.syncFolder(join(path, 'level'))
      await this.snapshot.confirm()
    } catch (error) {
      throw failed(`${path} cannot be flushed to the disk`, error)
    }
    this.kept = false
    this.found = undefined
    await this.snapshot.clear()
  }

  /** Undoes the open; the database is closed. Never rejects: what cannot be undone now is undone by the next start. */
  async giveBack(): Promise<void> {
    if (!this.kept) return
    this.kept = false
    try {
      await this.snapshot.putBack()
    } catch (error) {
      this.o.log.warn(
        { err: error, path: this.o.path },
        'the folder of the store could not be put back yet; the next start does it',
      )
    }
  }
}

function isTrue(disk: { raw(key: Buffer): Buffer | undefined }, { key, value }: Witness): boolean {
  const there = disk.raw(key)
  return value === undefined ? there === undefined : there?.equals(value) === true
}

function failed(what: string, error: unknown): AqueductError {
  if (error instanceof AqueductError) return error
  const why = error instanceof Error ? error.message : String(error)
  return new AqueductError('store_failed', `${what}: ${why}`, { cause: error })
}
