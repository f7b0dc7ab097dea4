/** Reading the files of the folder so that whatever is wrong becomes a sentence that names the file and what to do. */
import { join } from 'node:path'
import { AqueductError } from '../core/errors.js'
import { type Files, isMissing, readWhole } from './files.js'
import { Malformed } from './level/coding.js'
import { type Manifest, readCurrent, readManifest } from './level/manifest.js'

/** What is to be said about the folder, and what the user can do. */
export class Finder {
  readonly files: Files
  readonly folder: string
  private readonly path: string

  /** `folder` is the database's, inside `path`. */
  constructor(files: Files, path: string, folder: string) {
    this.files = files
    this.path = path
    this.folder = folder
  }

  damaged(name: string, what: string): AqueductError {
    return new AqueductError(
      'store_damaged',
      `${join(this.folder, name)}: ${what}. Nothing was changed. Restore ${this.path} from a copy, or move it away to start empty.`,
    )
  }

  unreadable(name: string, error: unknown): AqueductError {
    const why = error instanceof Error ? error.message : String(error)
    return new AqueductError(
      'store_failed',
      `${join(this.folder, name)} could not be read now: ${why}. Nothing was changed. Try again when the disk can be read.`,
      { cause: error },
    )
  }

  /** Runs `read`; what it throws becomes a sentence about `name`. */
  async about<T>(name: string, read: () => T | Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      if (error instanceof AqueductError) throw error
      if (error instanceof Malformed) throw this.damaged(name, error.message)
      if (isMissing(error)) throw this.damaged(name, 'it is missing')
      throw this.unreadable(name, error)
    }
  }

  whole(name: string): Promise<Buffer> {
    return this.about(name, () => readWhole(this.files, join(this.folder, name)))
  }
}

/** What CURRENT and MANIFEST say. */
export async function readState(f: Finder): Promise<Manifest> {
  const current = await f.whole('CURRENT')
  const name = await f.about('CURRENT', () => readCurrent(current))
  const bytes = await f.whole(name)
  return f.about(name, () => readManifest(bytes))
}
