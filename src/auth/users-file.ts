/**
 * The users file as it is now. Whoever begins to log in has it looked at first, so what an operator saves holds from the next login on, without a
 * signal and without a watcher.
 *
 * Always true: `current` resolves with a whole list. One that cannot be read, or has a bad line, leaves the one before it in force, and is logged
 * once. Many who ask at the same time share one look.
 */
import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { AqueductError } from '../core/errors.js'
import type { Log } from '../core/log.js'
import { readUsers, type Users } from './users.js'

/** Enough for about 50,000 users; read whole. */
export const USERS_FILE_BYTES_MAX = 8 * 1024 * 1024
/** The bit that lets everybody on the machine read it. */
const OTHERS_READ = 0o004

export class UsersFile {
  private readonly path: string
  private readonly log: Log
  /** Of the file that `users` was read from, and of the last one that was refused. */
  private stamp: string
  private refused = ''
  private users: Users
  private looking: Promise<Users> | undefined

  private constructor(path: string, log: Log, { stamp, users }: Read) {
    this.path = path
    this.log = log
    this.stamp = stamp
    this.users = users
  }

  /** Throws `bad_setting`, naming file and line, when the first list cannot be had. */
  static async open(path: string, log: Log): Promise<UsersFile> {
    let file: Read
    try {
      file = await read(path)
    } catch (error) {
      throw new AqueductError('bad_setting', `auth.scram_file = ${JSON.stringify(path)}: ${textOf(error)}.`, { cause: error })
    }
    if (file.shared) log.warn({ file: path }, 'everybody on this machine can read the users file; chmod 600 is enough')
    log.info({ file: path, users: file.users.size }, 'users file read')
    return new UsersFile(path, log, file)
  }

  current(): Promise<Users> {
    this.looking ??= this.look().finally(() => {
      this.looking = undefined
    })
    return this.looking
  }

  private async look(): Promise<Users> {
    let seen = ''
    try {
      seen = stampOf(await stat(this.path, { bigint: true }))
      if (seen === this.stamp || seen === this.refused) return this.users
      const { stamp, users } = await read(this.path)
      this.stamp = stamp
      this.refused = ''
      this.users = users
      this.log.info({ file: this.path, users: users.size }, 'users file read again')
    } catch (error) {
      const why = textOf(error)
      const about = seen === '' ? why : seen
      if (about !== this.refused)
        this.log.error({ file: this.path, why }, 'users file not taken; the list before it stays in force')
      this.refused = about
    }
    return this.users
  }
}

interface Read {
  readonly stamp: string
  readonly users: Users
  readonly shared: boolean
}

async function read(path: string): Promise<Read> {
  // A pipe is refused below, and must not hold the opening up until somebody writes to it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    // Before the bytes: a change in between is seen as one at the next look.
    const stats = await file.stat({ bigint: true })
    if (!stats.isFile()) throw new Error('it is no file')
    if (stats.size > USERS_FILE_BYTES_MAX) throw new Error(`it has more than ${USERS_FILE_BYTES_MAX} bytes`)
    const users = await readUsers(await file.readFile())
    if (typeof users === 'string') throw new Error(users)
    return { stamp: stampOf(stats), users, shared: (Number(stats.mode) & OTHERS_READ) !== 0 }
  } finally {
    await file.close()
  }
}

function stampOf({
  dev,
  ino,
  size,
  mtimeNs,
  ctimeNs,
}: {
  dev: bigint
  ino: bigint
  size: bigint
  mtimeNs: bigint
  ctimeNs: bigint
}): string {
  return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
