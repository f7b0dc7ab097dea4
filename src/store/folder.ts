/**
 * A look at the folder before LevelDB gets it. LevelDB makes a new, empty database where it finds no CURRENT file, and then removes the
 * data files that it does not know: so a folder with data files and without CURRENT is refused here.
 */
import { readdir } from 'node:fs/promises'
import { AqueductError } from '../core/errors.js'

const DATA_FILE = /\.(ldb|sst|log)$/

/** Throws `store_damaged` where `path`, which is to hold our folder, is a database itself. */
export async function refuseForeign(path: string): Promise<void> {
  const names = await readdir(path)
  if (!names.includes('CURRENT') || !names.some((name) => name.startsWith('MANIFEST-'))) return
  throw new AqueductError(
    'store_damaged',
    `${path} is a LevelDB database of another program, not a data folder of Aqueduct. Nothing was changed. Set another store.path.`,
  )
}

/** Throws `store_damaged` where `folder`, inside `path`, has data but not what names it. */
export async function refuseNameless(path: string, folder: string): Promise<void> {
  const names = await readdir(folder)
  if (names.includes('CURRENT') || !names.some((name) => DATA_FILE.test(name))) return
  throw new AqueductError(
    'store_damaged',
    `${folder} has data files but no CURRENT file. Nothing was changed. Restore ${path} from a copy, or move it away to start empty.`,
  )
}
