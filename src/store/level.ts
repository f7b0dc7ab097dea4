/**
 * A `Disk` on LevelDB.
 *
 * Always true: after the first failed write every later one is refused here, because LevelDB itself would accept them once there is
 * room again and then lose them (seen: 50 synced batches, none there after reopening). Opening never repairs anything.
 */
import { statfs } from 'node:fs/promises'
import type { ClassicLevel } from 'classic-level'
import { Level } from 'level'
import { AqueductError, hasCode } from '../core/errors.js'
import type { Disk, KeyRange, Op, Row, ScanOptions } from './disk.js'

/** Rows fetched from the engine in one go by a scan. */
const SCAN_ROWS = 256
const SCAN_BYTES = 128 * 1024

/** Behind a block that cannot be read: by how much the next try reads less at once. */
const SCAN_STEP_SHRINKS = 16

const NO_VALUE = Buffer.alloc(0)
const ZERO = Buffer.alloc(1)

type Database = ClassicLevel<Buffer, Buffer>

/** As much of an iterator as a scan needs. */
interface Rows {
  nextv(size: number): Promise<[Buffer, Buffer | undefined][]>
}

/**
 * Opens the database in `folder`, which exists, and makes it only with `create`: LevelDB takes a CURRENT that it may not look at for one that is not
 * there, and would make an empty database over what is. Rejects with `store_locked`, `store_damaged` or `store_failed`.
 */
export async function openLevelDisk(folder: string, create = true): Promise<LevelDisk> {
  const db = new Level<Buffer, Buffer>(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    createIfMissing: create,
    // Fewer rotations and compactions of log rows that are deleted soon; 16 MiB gave nothing more and is memory at a start.
    writeBufferSize: 8 * 1024 * 1024,
    maxFileSize: 8 * 1024 * 1024,
    // Log rows have their own cache (`row-cache.ts`) and are read once; this one serves the small rows.
    cacheSize: 4 * 1024 * 1024,
  }) as unknown as Database
  try {
    await db.open()
  } catch (error) {
    throw openError(folder, error)
  }
  return new LevelDisk(folder, db)
}

export class LevelDisk implements Disk {
  private readonly folder: string
  private readonly db: Database
  private failure: AqueductError | undefined

  constructor(folder: string, db: Database) {
    this.folder = folder
    this.db = db
  }

  async write(ops: readonly Op[], sync: boolean): Promise<void> {
    if (this.failure !== undefined) throw this.failure
    try {
      const batch = this.db.batch()
      for (const op of ops) {
        if (op.type === 'put') batch.put(op.key, op.value)
        else batch.del(op.key)
      }
      await batch.write({ sync })
    } catch (error) {
      this.failure ??= failed(`A write to ${this.folder} failed`, error)
      throw this.failure
    }
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    try {
      return await this.db.get(key)
    } catch (error) {
      throw failed(`A read from ${this.folder} failed`, error)
    }
  }

  getSync(key: Buffer): Buffer | undefined {
    try {
      return this.db.getSync(key)
    } catch (error) {
      throw failed(`A read from ${this.folder} failed`, error)
    }
  }

  /** The bytes under `key` as LevelDB has them. */
  raw(key: Buffer): Buffer | undefined {
    try {
      return this.db.getSync(key)
    } catch (error) {
      throw failed(`A read from ${this.folder} failed`, error)
    }
  }

  /**
   * LevelDB goes on behind a block that it cannot read, and says so when it comes to the end, instead of the rows that it has read last: those are
   * read again, in smaller steps when none of a step come.
   */
  async *scan(range: KeyRange, options: ScanOptions = {}): AsyncIterable<Row> {
    let left = options.limit ?? Number.POSITIVE_INFINITY
    let { gte, lt } = range
    let step = options.rowsAtOnce ?? SCAN_ROWS
    let damaged = false
    for (let ended = false; !ended; ) {
      let any = false
      try {
        for await (const row of this.rows({ gte, lt }, { ...options, limit: left }, step)) {
          if (options.reverse === true) lt = row.key
          else gte = Buffer.concat([row.key, ZERO])
          left--
          any = true
          yield row
        }
        ended = true
      } catch (error) {
        if (!hasCode(error, 'store_damaged')) throw error
        damaged = true
        ended = !any && step === 1
        if (!any) step = Math.max(1, Math.floor(step / SCAN_STEP_SHRINKS))
      }
    }
    if (damaged) options.onDamaged?.({ key: range.gte, lt: range.lt })
  }

  private async *rows(range: KeyRange, options: ScanOptions, rowsAtOnce: number): AsyncIterable<Row> {
    const { limit } = options
    if (limit !== undefined && limit <= 0) return
    const iterator = this.db.iterator({
      gte: range.gte,
      lt: range.lt,
      limit: limit === undefined || limit === Number.POSITIVE_INFINITY ? -1 : limit,
      reverse: options.reverse ?? false,
      values: options.keysOnly !== true,
      highWaterMarkBytes: SCAN_BYTES,
      fillCache: false,
    })
    try {
      for (;;) {
        const rows = await this.next(iterator, rowsAtOnce)
        if (rows.length === 0) return
        for (const [key, value] of rows) yield { key, value: value ?? NO_VALUE }
      }
    } finally {
      await iterator.close()
    }
  }

  private async next(iterator: Rows, rowsAtOnce: number): Promise<[Buffer, Buffer | undefined][]> {
    try {
      return await iterator.nextv(rowsAtOnce)
    } catch (error) {
      throw failed(`A read from ${this.folder} failed`, error)
    }
  }

  async compact(range: KeyRange): Promise<void> {
    try {
      await this.db.compactRange(range.gte, range.lt)
    } catch (error) {
      throw failed(`Compacting ${this.folder} failed`, error)
    }
  }

  approximateBytes(range: KeyRange): Promise<number> {
    return this.db.approximateSize(range.gte, range.lt)
  }

  async freeBytes(): Promise<number> {
    const s = await statfs(this.folder)
    return s.bavail * s.bsize
  }

  async close(): Promise<void> {
    await this.db.close()
  }
}

function failed(what: string, error: unknown): AqueductError {
  const code = codeOf(error)
  // A block that is said to be where the file is not.
  const outside = code === 'LEVEL_IO_ERROR' && textOf(error).endsWith('Invalid argument')
  if (code === 'LEVEL_CORRUPTION' || outside) return damaged(what, error)
  return new AqueductError('store_failed', `${what}: ${textOf(error)}`, { cause: error })
}

/** abstract-level wraps what LevelDB said: the cause carries the code and the sentence. */
function openError(folder: string, error: unknown): AqueductError {
  const code = codeOf(error)
  if (code === 'LEVEL_LOCKED') {
    return new AqueductError('store_locked', `${folder} is in use by another process. Stop it or set another store.path.`, {
      cause: error,
    })
  }
  const why = failed(`${folder} could not be opened`, code === undefined ? error : (error as Error).cause)
  if (why.code !== 'store_failed') return why
  return new AqueductError('store_failed', `${why.message.trim()}. Nothing was changed. Try again when the disk can be read.`, {
    cause: error,
  })
}

function damaged(what: string, error: unknown): AqueductError {
  const todo = 'Nothing was changed. Restore the folder from a copy, or move it away to start empty.'
  return new AqueductError('store_damaged', `${what}, the store is damaged: ${textOf(error)}. ${todo}`, { cause: error })
}

/** LevelDB's own code: of the error, or of what abstract-level wraps in one of its own. */
function codeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined
  const inner = error.cause instanceof Error ? error.cause : error
  return 'code' in inner ? inner.code : undefined
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
