/**
 * One holder per folder inside this process. LevelDB's own lock keeps other processes out; but asking LevelDB to open a folder that
 * this process has open already makes it release that lock (tried), so we refuse before it is asked.
 */
import { AqueductError } from '../core/errors.js'

const held = new Set<string>()

/** Takes `real` (a path without links). Throws `store_locked`. Returns how to give it back. */
export function lockFolder(real: string, path: string): () => void {
  if (held.has(real)) {
    throw new AqueductError('store_locked', `${path} is already open in this process. Close it first or set another store.path.`)
  }
  held.add(real)
  return () => held.delete(real)
}
