/**
 * A working copy of a LevelDB folder that belongs to another program. LevelDB cannot open a folder without writing to it (it takes the lock, replays
 * its log, begins new files), so the original is never opened: data files, which LevelDB never changes, are linked or copied, the few others copied.
 */
import { copyFile, link, mkdir, readdir, readFile, readlink, realpath, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { AqueductError } from '../../core/errors.js'

const DATA_FILE = /\.(ldb|sst)$/
const COPIED = /^(CURRENT|MANIFEST-\d+|\d+\.(log|ldb|sst))$/

/**
 * Copies the database in `folder` to `to`, which is made. Throws `store_damaged` when it is none, `store_locked` while another process has it
 * open or changes it.
 */
export async function copyDatabase(folder: string, to: string): Promise<void> {
  const before = await listing(folder)
  if (!before.has('CURRENT')) {
    throw new AqueductError('store_damaged', `${folder} is no LevelDB database: it has no CURRENT file. Nothing was imported.`)
  }
  await refuseLocked(folder)
  await mkdir(to, { recursive: true, mode: 0o700 })
  try {
    for (const name of before.keys())
      if (COPIED.test(name)) await copyOne(join(folder, name), join(to, name), DATA_FILE.test(name))
  } catch (error) {
    // A file that went away while we copied: somebody is at work there.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw changing(folder)
    throw new AqueductError('store_failed', `${folder} could not be copied: ${reason(error)}`, { cause: error })
  }
  const after = await listing(folder)
  if (after.size !== before.size || [...before].some(([name, mark]) => after.get(name) !== mark)) throw changing(folder)
}

/** Throws `bad_setting` when one of the two folders is, or is in, the other. */
export async function refuseOverlap(folder: string, path: string): Promise<void> {
  const [source, target] = await Promise.all([real(folder), real(path)])
  if (source === undefined || target === undefined) return
  const inside = (way: string) => way === '' || (way !== '..' && !way.startsWith(`..${sep}`))
  if (!inside(relative(source, target)) && !inside(relative(target, source))) return
  throw new AqueductError(
    'bad_setting',
    `store.path (${path}) and the folder to import (${folder}) may not be inside each other.`,
  )
}

async function real(path: string): Promise<string | undefined> {
  return realpath(path).catch(() => undefined)
}

async function copyOne(from: string, to: string, unchanging: boolean): Promise<void> {
  if (unchanging) {
    try {
      await link(from, to)
      return
    } catch {
      // Another file system, or one without links.
    }
  }
  await copyFile(from, to)
}

/** Size and time of each file. */
async function listing(folder: string): Promise<Map<string, string>> {
  const marks = new Map<string, string>()
  let names: string[]
  try {
    names = await readdir(folder)
  } catch (error) {
    throw new AqueductError('store_damaged', `${folder} cannot be read: ${reason(error)}`, { cause: error })
  }
  for (const name of names.sort()) {
    const found = await stat(join(folder, name)).catch(() => undefined)
    if (found?.isFile() === true) marks.set(name, `${found.size} ${found.mtimeMs}`)
  }
  return marks
}

/** Where the system tells who holds locks (Linux), a database in use is refused before anything is copied. */
async function refuseLocked(folder: string): Promise<void> {
  const lock = join(folder, 'LOCK')
  const found = await stat(lock).catch(() => undefined)
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '')
  if (found === undefined) return
  for (const line of locks.split('\n')) {
    // `1: POSIX  ADVISORY  WRITE 4711 00:2d:1234 0 EOF`; another file system may have a file of the same number.
    const [, , , , pid, file] = line.split(/ +/)
    if (file?.endsWith(`:${found.ino}`) !== true || (await hasNotOpen(pid, await realpath(lock)))) continue
    throw new AqueductError('store_locked', `${folder} is open in another process. Stop that broker, then import again.`)
  }
}

/** True when it can be seen that process `pid` has `path` not open. */
async function hasNotOpen(pid: string, path: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`
  const open = await readdir(folder).catch(() => undefined)
  if (open === undefined) return false
  for (const fd of open) if ((await readlink(join(folder, fd)).catch(() => '')) === path) return false
  return true
}

function changing(folder: string): AqueductError {
  return new AqueductError(
    'store_locked',
    `${folder} changed while it was copied. Stop the broker that uses it, then import again.`,
  )
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
