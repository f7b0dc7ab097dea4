/**
 * Is there room for more? Asked of the file system about once a second and counted down in between, so that a fast publisher cannot
 * run the disk full between two looks.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../core/log.js'
import type { Disk, Durability } from './disk.js'
import type { Journal } from './journal.js'

/** A byte committed is written to the log and again to a table file before the log goes. */
const WRITE_FACTOR = 2

export interface SpaceOptions {
  readonly path: string
  readonly durability: Durability
  readonly min_free_bytes: number
  readonly max_bytes: number
  readonly log: Log
  readonly disk?: Disk
}

export class Space {
  private readonly disk: Disk
  private readonly journal: Journal
  private readonly o: SpaceOptions
  /** Bytes that may still be written before it counts as full. */
  private left = Number.POSITIVE_INFINITY
  private at = 0
  /** What the file system had left when last asked. */
  free = Number.POSITIVE_INFINITY
  private refreshing = false
  private said = false

  constructor(disk: Disk, journal: Journal, o: SpaceOptions) {
    this.disk = disk
    this.journal = journal
    this.o = o
  }

  get full(): boolean {
    return this.left - (this.journal.bytesWritten - this.at) * WRITE_FACTOR <= 0
  }

  /** Looks anew. Never rejects: when the question itself fails, the last answer stands. */
  async refresh(): Promise<void> {
    if (this.refreshing) return
    this.refreshing = true
    try {
      const at = this.journal.bytesWritten
      this.free = await this.disk.freeBytes()
      let left = this.free - this.o.min_free_bytes
      if (this.o.max_bytes > 0) left = Math.min(left, this.o.max_bytes - (await this.usedBytes()))
      this.left = left
      this.at = at
    } catch (error) {
      this.o.log.warn({ err: error }, 'the free space of the store could not be read')
    } finally {
      this.refreshing = false
    }
    if (this.full !== this.said) {
      this.said = this.full
      if (this.said) this.o.log.warn({ path: this.o.path }, 'the store is nearly full: new messages are refused')
      else this.o.log.info({ path: this.o.path }, 'the store has room again')
    }
  }

  private async usedBytes(): Promise<number> {
    if (this.o.disk !== undefined || this.o.durability === 'memory') return this.journal.bytesWritten
    const folder = join(this.o.path, 'level')
    let bytes = 0
    for (const name of await readdir(folder)) {
      // A file may go between the two calls.
      const s = await stat(join(folder, name)).catch(() => undefined)
      bytes += s?.size ?? 0
    }
    return bytes
  }
}
