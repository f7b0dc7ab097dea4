/**
 * A data folder, opened: alone, looked at, kept, given to LevelDB, checked. What `openStore` does after that (the schema, the commits) still belongs
 * to the open: until it calls `accept`, `refuse` makes the folder what it was.
 */
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { bootId } from '../core/boot.js'
import type { Clock } from '../core/clock.js'
import { AqueductError } from '../core/errors.js'
import type { Log } from '../core/log.js'
import { clearLeftovers, makeDatabase, makeFolder } from './create.js'
import type { Disk, Durability } from './disk.js'
import { type Files, realFiles } from './files.js'
import { refuseForeign, refuseNameless } from './folder.js'
import { Guard } from './guard.js'
import { holdFolder } from './hold.js'
import type { Journal } from './journal.js'
import { type LevelDisk, openLevelDisk } from './level.js'
import { lockFolder } from './lock.js'
import { Mark } from './mark.js'
import type { Sweep } from './sweep.js'

export interface OpenFolder {
  readonly disk: Disk
  /** The store is good, and its last commit is `commit`: commits may be taken. Rejects with `store_damaged` or `store_failed`. */
  accept(commit: number): Promise<void>
  /** The mark follows the commits of `journal`, and the sweep begins. */
  follow(journal: Journal): void
  /** Instead of `accept`: closes, and every file is what it was. Never rejects. */
  refuse(): Promise<void>
  /** After `accept`. Rejects with what closing the database says; the folder is free in any case. */
  close(): Promise<void>
}

export interface FolderOptions {
  readonly path: string
  readonly durability: Durability
  readonly clock: Clock
  readonly log: Log
  /* for tests */
  readonly files?: Files
  readonly boot?: string
}

export async function openFolder(o: FolderOptions): Promise<OpenFolder> {
  const files = o.files ?? realFiles
  const boot = o.boot ?? bootId()
  await makeFolder(o.path).catch(cannotMake)
  const path = await realpath(o.path).catch(cannotMake)
  await refuseForeign(path)
  const unlock = lockFolder(join(path, 'level'), o.path)
  let release = async (): Promise<void> => unlock()
  try {
    const free = await holdFolder(files, path)
    release = () => free().finally(unlock)
    const guard = new Guard({ files, path, boot, log: o.log })
    const disk = await openGuarded(guard, path)
    return new Opened({ guard, clock: o.clock, disk, path, release, mark: { durability: o.durability, boot, log: o.log } })
  } catch (error) {
    await release().catch(() => {})
    if (error instanceof AqueductError) throw error
    throw new AqueductError(
      'store_failed',
      `${path} could not be opened now: ${textOf(error)}. Try again when the disk can be used.`,
      {
        cause: error,
      },
    )
  }
}

async function openGuarded(guard: Guard, path: string): Promise<LevelDisk> {
  const folder = join(path, 'level')
  await guard.begin()
  await makeDatabase(path, async (aside) => (await openLevelDisk(aside)).close()).catch((error) => {
    throw error instanceof AqueductError ? error : cannotMake(error)
  })
  await refuseNameless(path, folder)
  await guard.look()
  await guard.keep()
  let disk: LevelDisk | undefined
  try {
    disk = await openLevelDisk(folder, false)
    await guard.check(disk)
    return disk
  } catch (error) {
    await disk?.close().catch(() => {})
    await guard.giveBack()
    throw error
  }
}

class Opened implements OpenFolder {
  readonly disk: LevelDisk
  private readonly guard: Guard
  private readonly path: string
  private readonly release: () => Promise<void>
  private readonly markOptions: { durability: Durability; boot: string | undefined; log: Log }
  private mark: Mark | undefined
  private readonly clock: Clock
  private sweep: Sweep | undefined

  constructor(o: {
    guard: Guard
    clock: Clock
    disk: LevelDisk
    path: string
    release: () => Promise<void>
    mark: { durability: Durability; boot: string | undefined; log: Log }
  }) {
    this.guard = o.guard
    this.clock = o.clock
    this.disk = o.disk
    this.path = o.path
    this.release = o.release
    this.markOptions = o.mark
  }

  async accept(commit: number): Promise<void> {
    this.guard.compare(commit)
    this.guard.tellMissing(commit)
    this.sweep = this.guard.sweep(this.clock)
    await this.guard.confirm()
    await clearLeftovers(this.path).catch(() => {})
    try {
      this.mark = new Mark(this.path, { ...this.markOptions, commit })
    } catch (error) {
      throw new AqueductError('store_failed', `The mark of the last commit cannot be made: ${textOf(error)}`, { cause: error })
    }
  }

  follow(journal: Journal): void {
    if (this.mark !== undefined) journal.contribute(this.mark)
    this.sweep?.start(() => journal.committedGroup)
  }

  async refuse(): Promise<void> {
    this.mark?.close()
    await this.disk.close().catch(() => {})
    await this.guard.giveBack()
    await this.release().catch(() => {})
  }

  async close(): Promise<void> {
    await this.sweep?.close()
    this.guard.note(0)
    this.mark?.close()
    try {
      await this.disk.close()
    } finally {
      await this.release()
    }
  }
}

function cannotMake(error: unknown): never {
  throw new AqueductError('store_failed', `The folder of store.path could not be made: ${textOf(error)}`, { cause: error })
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
