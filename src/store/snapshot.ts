/**
 * The folder as it was before an open, kept until the open is confirmed: hard links to all its files in `level.before`. LevelDB changes no file of
 * a database that it opens, it makes new ones and deletes old ones; so with the links whatever it does can be undone byte for byte.
 *
 * Names below `store.path`, each made whole aside and renamed: `level.before.new` (being made) → `level.before` (an open is not confirmed) →
 * `level.gone` (confirmed: rubbish), or → `level.back` (being put back) → `level`. What an open that failed left of `level` becomes `level.gone` too.
 *
 * Always true:
 * - `level.before` and `level.back` are complete;
 * - no commit is taken while `level.before` is there, and its going is flushed before the first one: so an old one never comes back over newer commits;
 * - whoever finds one puts it back before anything else. Only one process is here at a time (`hold.ts`).
 */
import { join } from 'node:path'
import type { Files } from './files.js'

const NOT_LINKABLE = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EMLINK'])

export class Snapshot {
  private readonly files: Files
  private readonly path: string
  private readonly live: string
  private readonly making: string
  private readonly before: string
  private readonly back: string
  private readonly gone: string

  constructor(files: Files, path: string) {
    this.files = files
    this.path = path
    this.live = join(path, 'level')
    this.making = join(path, 'level.before.new')
    this.before = join(path, 'level.before')
    this.back = join(path, 'level.back')
    this.gone = join(path, 'level.gone')
  }

  /** True when an earlier open was never confirmed, or was being undone. */
  async found(): Promise<boolean> {
    return (await this.files.exists(this.before)) || (await this.files.exists(this.back))
  }

  async take(): Promise<void> {
    const { files, live, making } = this
    await files.remove(making)
    await files.mkdir(making)
    for (const name of (await files.list(live)) ?? []) await this.keep(join(live, name), join(making, name))
    await files.syncFolder(making)
    await files.rename(making, this.before)
    await files.syncFolder(this.path)
  }

  /** The open is good. When this has resolved, commits may be taken. */
  async confirm(): Promise<void> {
    await this.files.remove(this.gone)
    await this.files.rename(this.before, this.gone)
    await this.files.syncFolder(this.path)
  }

  /** Makes the folder what it was, byte for byte. Begun once, it may be cut at any point and called again. The database is closed. */
  async putBack(): Promise<void> {
    const { files, path, live, back, gone } = this
    if (!(await files.exists(back))) {
      await files.rename(this.before, back)
      await files.syncFolder(path)
    }
    if (await files.exists(live)) {
      await files.remove(gone)
      await files.rename(live, gone)
      await files.syncFolder(path)
    }
    await files.rename(back, live)
    await files.syncFolder(path)
    await this.clear()
  }

  /** Removes what nobody needs. What cannot be removed now goes another time. */
  async clear(): Promise<void> {
    for (const folder of [this.gone, this.making]) await this.files.remove(folder).catch(() => {})
  }

  private async keep(from: string, to: string): Promise<void> {
    try {
      await this.files.link(from, to)
    } catch (error) {
      if (!NOT_LINKABLE.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      await this.files.copy(from, to)
    }
  }
}
