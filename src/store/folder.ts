/**
 * A look at the folder before LevelDB gets it. LevelDB makes a new, empty database where it finds no CURRENT file, and then removes the
 * data files that it does not know: so a folder with data files and without CURRENT is refused here.
 */
import { readdir } from 'node:fs/promises'
import { AqueductError } from '../core/errors.js'

const DATA_FILE = /\.(ldb|sst|log)$/

/** Throws `store_damaged`. `folder` is the database's, inside `path`. */
export async function checkFolder(path: string, folder: string): Promise<void> {
  const [outer, inner] = await Promise.all([readdir(path), readdir(folder)])
  if (outer.includes('CURRENT') && outer.some((name) => name.startsWith('MANIFEST-'))) {
    throw new AqueductError(
      'store_damaged',
      `${path} is a LevelDB database of another program, not a data folder of Aqueduct. Nothing was changed. Set another store.path.`,
    )
  }
  if (!inner.includes('CURRENT') && inner.some((name) => DATA_FILE.test(name))) {
    throw new AqueductError(
      'store_damaged',
      `${folder} has data files but no CURRENT file. Nothing was changed. Restore it from a copy, or move it away to start empty.`,
    )
  }
}
