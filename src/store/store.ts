/**
 * The room's door: one folder, opened, checked, locked and recovered.
 *
 * States: open → failed (a commit failed: nothing is taken any more, `onFailed` was called) → closed; or open → closed. A failed store is
 * closed and opened anew; both may be done any number of times in one process.
 */
import type { Clock } from '../core/clock.js'
import type { AqueductError } from '../core/errors.js'
import type { Log } from '../core/log.js'
import { CheckedDisk, everyRowHasOne } from './checked.js'
import { Damage } from './damage.js'
import type { Disk, Durability } from './disk.js'
import type { Files } from './files.js'
import { Journal } from './journal.js'
import { MessageLog } from './log.js'
import { MemoryDisk } from './memory.js'
import { migrate } from './migrate.js'
import { openFolder } from './open-folder.js'
import { recoverCommits } from './recovered.js'
import { Space } from './space.js'

export interface StoreOptions {
  /** The data folder; made with its parents, mode 0700, when it is not there. The database is in `level` below it. */
  readonly path: string
  readonly durability: Durability
  readonly min_free_bytes: number
  /** 0 for none. */
  readonly max_bytes: number
  readonly clock: Clock
  readonly log: Log
  /** Instead of a folder, for tests. */
  readonly disk?: Disk
  /** How files are reached, and the name of this run of the kernel: for tests. */
  readonly files?: Files
  readonly boot?: string
}

export interface Store {
  readonly journal: Journal
  readonly disk: CheckedDisk
  readonly messages: MessageLog
  /** What was found damaged since the store was opened. */
  readonly damage: Damage
  /** Commits found missing at the start, each already logged; 0 in a healthy store. What they had acknowledged may be delivered again. */
  readonly missingCommits: number
  /** Below `min_free_bytes` or above `max_bytes`: whoever admits new messages refuses them. Everything else still works. */
  readonly full: boolean
  /** Bytes that the file system has left, as of the last look (once a second). */
  readonly freeBytes: number
  /** Called once when a commit failed; the store then refuses everything until it is closed. */
  onFailed: ((error: AqueductError) => void) | null
  /** Commits what is open (if healthy), closes the disk and releases the lock. */
  close(): Promise<void>
}

/** Opens the store. Rejects with `store_locked`, `store_version`, `store_damaged` or `store_failed`; nothing is open then, and no file has changed. */
export async function openStore(o: StoreOptions): Promise<Store> {
  const folder = o.disk !== undefined || o.durability === 'memory' ? undefined : await openFolder(o)
  const damage = new Damage(o.log)
  const disk = new CheckedDisk(folder?.disk ?? o.disk ?? new MemoryDisk(), damage)
  try {
    await migrate(disk, o.log, { made: [everyRowHasOne] })
    await disk.begin()
    const recovered = await recoverCommits(disk, o.log)
    await folder?.accept(recovered.commit)
    const journal = new Journal({ disk, sync: o.durability === 'fsync', clock: o.clock, log: o.log, committed: recovered.commit })
    const messages = new MessageLog({ disk, journal, clock: o.clock, log: o.log, recovered })
    folder?.follow(journal)
    const space = new Space(disk, journal, o)
    await space.refresh()
    const close = (): Promise<void> => folder?.close() ?? disk.close()
    return new OpenStore({ disk, journal, messages, space, missing: recovered.missing, clock: o.clock, close })
  } catch (error) {
    damage.say()
    if (folder !== undefined) await folder.refuse()
    else await disk.close().catch(() => {})
    throw error
  }
}

class OpenStore implements Store {
  readonly journal: Journal
  readonly disk: CheckedDisk
  readonly messages: MessageLog
  readonly damage: Damage
  readonly missingCommits: number
  onFailed: ((error: AqueductError) => void) | null = null
  private readonly space: Space
  private readonly closeDisk: () => Promise<void>
  private readonly ticking: { cancel(): void }
  private closing: Promise<void> | undefined

  constructor(o: {
    disk: CheckedDisk
    journal: Journal
    messages: MessageLog
    space: Space
    missing: number
    clock: Clock
    close: () => Promise<void>
  }) {
    this.journal = o.journal
    this.disk = o.disk
    this.damage = o.disk.damage
    this.messages = o.messages
    this.missingCommits = o.missing
    this.space = o.space
    this.closeDisk = o.close
    this.journal.onFailed = (error) => this.onFailed?.(error)
    this.ticking = o.clock.every(1_000, () => {
      void this.space.refresh()
      this.messages.tick()
      this.damage.say()
    })
  }

  get freeBytes(): number {
    return this.space.free
  }

  get full(): boolean {
    return this.space.full
  }

  close(): Promise<void> {
    this.closing ??= this.shut()
    return this.closing
  }

  private async shut(): Promise<void> {
    this.ticking.cancel()
    const { checkpoint, tidier } = this.messages
    await tidier.close()
    checkpoint.finish()
    await this.journal.close()
    await checkpoint.quiet()
    try {
      await this.closeDisk()
    } finally {
      this.damage.say()
    }
  }
}
