/**
 * The sweep: reads the blocks of all tables while the store is open, slowly, and says where bytes have changed. First those that the open left out,
 * then all of them once a day: damage is found while there still is a copy to restore, and before LevelDB copies it into a new table with a new
 * checksum.
 *
 * Always true: one slice at a time and a rest after each; never two lines about one table; nothing is changed.
 */
import type { Clock, Timer } from '../core/clock.js'
import { hasCode } from '../core/errors.js'
import type { Log } from '../core/log.js'
import { type Finder, readState } from './finder.js'
import type { TableFile } from './level/manifest.js'
import { byAge, type Changed, tableName, verifyTable } from './tables.js'

const SWEEP_FIRST_MS = 1_000
/** The rest is in the line of its table. */
const STRETCHES_SAID_MAX = 16
const SWEEP_EVERY_MS = 24 * 60 * 60 * 1_000
/** At most: a slice is half a millisecond of the loop, so this is some per cent of it at most. */
const SWEEP_BYTES_PER_S = 16 * 1024 * 1024

export class Sweep {
  /** Blocks with changed bytes, found since the start. */
  damagedBlocks = 0
  private readonly finder: Finder
  private readonly clock: Clock
  private readonly log: Log
  private readonly onDone: () => void
  private verified: ReadonlySet<number>
  private readonly told = new Set<number>()
  private closed = false
  private commit: () => number = () => 0
  private running: Promise<void> = Promise.resolve()
  private timer: Timer | undefined
  private wake: (() => void) | undefined

  /** `verified`: numbers of tables that the first pass may leave out. `onDone`: it is over. */
  constructor(o: { finder: Finder; clock: Clock; log: Log; verified: ReadonlySet<number>; onDone: () => void }) {
    this.finder = o.finder
    this.clock = o.clock
    this.log = o.log
    this.verified = o.verified
    this.onDone = o.onDone
  }

  /** `commit`: the last one that is on the disk. */
  start(commit: () => number): void {
    this.commit = commit
    this.again(SWEEP_FIRST_MS)
  }

  async close(): Promise<void> {
    this.closed = true
    this.timer?.cancel()
    this.wake?.()
    await this.running
  }

  private again(wait_ms: number): void {
    if (this.closed) return
    this.timer = this.clock.after(wait_ms, () => {
      this.running = this.pass()
    })
  }

  private async pass(): Promise<void> {
    try {
      for (const table of byAge((await readState(this.finder)).tables)) {
        if (this.closed) return
        if (!this.verified.has(table.number)) await this.look(table.number)
      }
      if (this.closed) return
      this.verified = new Set()
      this.onDone()
    } catch (error) {
      this.log.warn({ err: error }, 'the sweep of the store could not read its tables; it goes on later')
    }
    this.again(SWEEP_EVERY_MS)
  }

  private async look(number: number): Promise<void> {
    const { finder, log } = this
    const table = await this.live(number)
    // Gone meanwhile: LevelDB has written its rows into another.
    if (table === undefined) return
    const names = new Set((await finder.files.list(finder.folder)) ?? [])
    try {
      const changed = await verifyTable(finder, tableName(number, names), table, this.rest)
      this.damagedBlocks += changed.length
      if (changed.length > 0 && !this.told.has(number)) {
        tellChanged(log, changed)
        tellMissing(log, changed, this.commit())
      }
      if (changed.length > 0) this.told.add(number)
    } catch (error) {
      // It may have gone while it was read.
      if ((await this.live(number)) === undefined) return
      if (hasCode(error, 'store_damaged') && !this.told.has(number)) log.error({ err: error }, 'a table of the store is damaged')
      else if (!hasCode(error, 'store_damaged')) throw error
      this.told.add(number)
    }
  }

  private async live(number: number): Promise<TableFile | undefined> {
    return (await readState(this.finder)).tables.find((t) => t.number === number)
  }

  private readonly rest = (bytes: number): Promise<boolean> =>
    new Promise((resolve) => {
      const go = (): void => {
        this.wake = undefined
        resolve(!this.closed)
      }
      this.wake = go
      this.timer = this.clock.after((bytes / SWEEP_BYTES_PER_S) * 1_000, go)
      if (this.closed) go()
    })
}

/** One line per table. */
export function tellChanged(log: Log, changed: readonly Changed[]): void {
  for (const file of new Set(changed.map((c) => c.file))) {
    const own = changed.filter((c) => c.file === file)
    log.error(
      { file, blocks: own.length, bytes: own.reduce((n, c) => n + c.bytes, 0), from: own[0].from, to: own[own.length - 1].to },
      'rows of the store have changed on the disk: those that are damaged are left out. Restore it from a copy if they matter',
    )
  }
}

/**
 * A line for each stretch whose rows may be missing: those of a block that was zeroed, say, are just not there, and nothing names them. Some commit up to the
 * last stored them.
 */
export function tellMissing(log: Log, changed: readonly Changed[], commit: number): void {
  for (const { file, from, to } of changed.slice(0, STRETCHES_SAID_MAX))
    log.error(
      { file, keys_from: from, keys_to: to, from: 1, to: commit },
      'rows between these keys may be missing from the store: what these commits stored there may be lost',
    )
}
