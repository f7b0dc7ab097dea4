/**
 * The few file operations with which a folder is looked at and kept safe around LevelDB's open. Passed in, so that tests can let each fail.
 */
import { copyFile, link, lstat, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { syncFile, syncFolder } from './create.js'

export interface OpenFile {
  readonly size: number
  /** `length` bytes from `at` on, or fewer where the file ends. */
  read(at: number, length: number): Promise<Buffer>
  close(): Promise<void>
}

export interface Files {
  open(path: string): Promise<OpenFile>
  /** Names in a folder; undefined when there is no such folder. */
  list(folder: string): Promise<string[] | undefined>
  exists(path: string): Promise<boolean>
  mkdir(folder: string): Promise<void>
  link(from: string, to: string): Promise<void>
  /** Flushed, as is `copy`. */
  write(path: string, bytes: Buffer): Promise<void>
  copy(from: string, to: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** A folder with all that is in it; nothing when it is not there. */
  remove(folder: string): Promise<void>
  syncFolder(folder: string): Promise<void>
}

/** The whole file. Rejects when fewer bytes come than it has. */
export async function readWhole(files: Files, path: string): Promise<Buffer> {
  const file = await files.open(path)
  try {
    return await readExactly(file, 0, file.size)
  } finally {
    await file.close()
  }
}

/** Rejects when fewer bytes come: a file does not end before its size, so that is a failed read, whatever it says. */
export async function readExactly(file: OpenFile, at: number, length: number): Promise<Buffer> {
  const bytes = await file.read(at, length)
  if (bytes.length < length) throw new Error(`${bytes.length} of ${length} bytes could be read`)
  return bytes
}

export const realFiles: Files = {
  async open(path) {
    const handle = await open(path, 'r')
    try {
      const { size } = await handle.stat()
      return {
        size,
        async read(at, length) {
          const bytes = Buffer.allocUnsafeSlow(length)
          let done = 0
          while (done < length) {
            const { bytesRead } = await handle.read(bytes, done, length - done, at + done)
            if (bytesRead === 0) break
            done += bytesRead
          }
          return bytes.subarray(0, done)
        },
        close: () => handle.close(),
      }
    } catch (error) {
      await handle.close().catch(() => {})
      throw error
    }
  },
  async list(folder) {
    try {
      return await readdir(folder)
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  },
  async exists(path) {
    try {
      await lstat(path)
      return true
    } catch (error) {
      if (isMissing(error)) return false
      throw error
    }
  },
  mkdir: async (folder) => void (await mkdir(folder, { mode: 0o700 })),
  link,
  async write(path, bytes) {
    await writeFile(path, bytes, { mode: 0o600 })
    await syncFile(path)
  },
  async copy(from, to) {
    await copyFile(from, to)
    await syncFile(to)
  },
  rename,
  remove: (folder) => rm(folder, { recursive: true, force: true }),
  syncFolder,
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
