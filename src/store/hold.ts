/**
 * One process per data folder, from before the folder is looked at until it is closed. LevelDB's own lock comes too late for that: it is taken inside
 * the open, and what is done around it (a look at the logs, a snapshot, putting one back) needs to be alone as well.
 *
 * Node has no lock that the kernel gives back when a process dies; LevelDB takes one, on a file LOCK. So an empty database is opened aside whose LOCK
 * is another name of the file `lock` below `store.path`; its own names are removed at once, and it stays open as long as the store. In the same way
 * LevelDB's lock of the data is asked for, without a touch on the data: an older Aqueduct, or another program, has only that one.
 */
import { mkdtemp, open } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import { AqueductError } from '../core/errors.js'
import { LOCK_ASIDE } from './create.js'
import type { Files } from './files.js'

const CANNOT_LINK = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])
const SMALL = { writeBufferSize: 64 * 1024, cacheSize: 0, maxOpenFiles: 16, compression: false }

/** Takes the folder or rejects with `store_locked` or `store_failed`. Returns how to give it back. */
export async function holdFolder(files: Files, path: string): Promise<() => Promise<void>> {
  const held = await take(files, path, join(path, 'lock'), true)
  try {
    const data = join(path, 'level', 'LOCK')
    if (await files.exists(data)) await take(files, path, data, false)
  } catch (error) {
    await held?.close().catch(() => {})
    throw error
  }
  return async () => held?.close()
}

/** Opens a database aside whose lock is that of `file`; with `keep`, else it is only asked. Undefined where files cannot have two names. */
async function take(files: Files, path: string, file: string, keep: boolean): Promise<Level | undefined> {
  const aside = await mkdtemp(join(path, LOCK_ASIDE)).catch(cannot(path))
  try {
    // Before the lock is held: closing any handle of a file gives back all locks that the process has on it.
    if (keep) await (await open(file, 'a', 0o600)).close()
    await files.link(file, join(aside, 'LOCK'))
    const lock = new Level(aside, { ...SMALL, createIfMissing: keep })
    await lock.open()
    return lock
  } catch (error) {
    const code = codeOf(error)
    if (code === 'LEVEL_LOCKED') {
      throw new AqueductError('store_locked', `${path} is in use by another process. Stop it or set another store.path.`)
    }
    // Not kept, there is no database and this is how it fails when nobody has the lock.
    if (CANNOT_LINK.has(String(code)) || (!keep && code === undefined)) return undefined
    return cannot(path)(error)
  } finally {
    await files.remove(aside).catch(() => {})
  }
}

function cannot(path: string): (error: unknown) => never {
  return (error) => {
    const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const why = inner instanceof Error ? inner.message : String(inner)
    throw new AqueductError('store_failed', `${path} could not be locked: ${why}. Try again when the disk can be used.`, {
      cause: error,
    })
  }
}

function codeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined
  const inner = error.cause instanceof Error ? error.cause : error
  return 'code' in inner ? inner.code : undefined
}
