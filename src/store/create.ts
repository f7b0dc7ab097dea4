/**
 * Making the data folder so that a power cut at any moment leaves either no database or a whole one. LevelDB by itself leaves the first
 * description of a new database unsynced, and does not sync the folder after it has renamed `CURRENT`: a cut in that time leaves a folder that
 * cannot be opened. So a new database is built aside, synced file by file, and renamed to its place.
 */
import { mkdir, mkdtemp, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

const ASIDE = 'level.new-'
/** Where the database's lock is asked for under another name (`hold.ts`). */
export const LOCK_ASIDE = 'level.lock-'
const CANNOT_SYNC_FOLDERS = new Set(['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'])

/** Makes `path` (mode 0700) with its parents, and sees to it that their names survive. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let folder = path; ; folder = dirname(folder)) {
    await syncFolder(dirname(folder))
    if (folder === first || folder === dirname(folder)) return
  }
}

/**
 * Makes an empty database at `path/level` unless something is there. `build` makes one in the folder that it is given, and closes it.
 */
export async function makeDatabase(path: string, build: (folder: string) => Promise<void>): Promise<void> {
  const place = join(path, 'level')
  const there = await readdir(place).catch(() => [])
  if (there.length > 0) return
  const aside = await mkdtemp(join(path, ASIDE))
  try {
    await build(aside)
    for (const name of await readdir(aside)) await syncFile(join(aside, name))
    await syncFolder(aside)
    await rename(aside, place)
    await syncFolder(path)
  } catch (error) {
    await rm(aside, { recursive: true, force: true })
    // Another process was quicker: it holds the lock, and that is what the caller will find.
    if ((await readdir(place).catch(() => [])).length > 0) return
    throw error
  }
}

/** Removes what a cut left half built. Call it with the database open: nobody else builds one then. */
export async function clearLeftovers(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (name.startsWith(ASIDE) || name.startsWith(LOCK_ASIDE)) await rm(join(path, name), { recursive: true, force: true })
  }
}

/** The names in `folder` survive a power cut from here on. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    await syncFile(folder)
  } catch (error) {
    // Some systems cannot sync a folder at all, and need not.
    if (!CANNOT_SYNC_FOLDERS.has((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

export async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
