/**
 * A `Disk` whose rows carry a checksum, around one whose rows do not care: what comes out is what was put in, under the key that it was put
 * under, or it does not come out.
 *
 * A stored value: u8 magic · u32 CRC-32 of the key and the value · the value. The schema row alone is bare, so that an older Aqueduct can read there
 * that the folder is not for it (`migrate.ts`).
 *
 * Always true: a row that is not what was written is counted (`damage.ts`) and left out of a scan, and `get` throws `store_damaged` for it. In a
 * folder that was made with checksums (`strict`) that is every row whose checksum is not right. One that came from an older Aqueduct has rows
 * without: those are taken as they are, and are rewritten with one when they change. They begin with other bytes than the magic one; where a front
 * is right in all but that byte, it is a front.
 */
import { crc32 } from 'node:zlib'
import { AqueductError } from '../core/errors.js'
import { getU32, putU32 } from './bytes.js'
import type { Damage } from './damage.js'
import type { Damaged, Disk, KeyRange, Op, Row, ScanOptions } from './disk.js'
import { metaKey } from './keys.js'

/**
 * At least two bits away from each first byte of a row without checksum: 0 and 1 and 2 (numbers, versions), digits, letters and `{`. No UTF-8 text
 * begins with it.
 */
export const MAGIC = 0x96
export const FRONT_BYTES = 5

const schemaKey = metaKey('schema')
const checksumsKey = metaKey('checksums')
/** Version, and 1 for: every row has one. */
const EVERY_ROW = Buffer.from([1, 1])

/** What the first commit of a new folder says beside its schema. */
export const everyRowHasOne: Op = { type: 'put', key: checksumsKey, value: EVERY_ROW }

export class CheckedDisk implements Disk {
  readonly damage: Damage
  /** Every row of the folder has a checksum. */
  strict = false
  private readonly inner: Disk

  constructor(inner: Disk, damage: Damage) {
    this.inner = inner
    this.damage = damage
  }

  /** Finds out whether every row of the folder has a checksum. When its row cannot be read, the answer is no, which loses nothing. */
  async begin(): Promise<void> {
    const row = await this.get(checksumsKey).catch((error: unknown) => {
      if (error instanceof AqueductError && error.code === 'store_damaged') return undefined
      throw error
    })
    this.strict = row?.equals(EVERY_ROW) === true
  }

  write(ops: readonly Op[], sync: boolean): Promise<void> {
    return this.inner.write(withFronts(ops), sync)
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    const stored = await this.inner.get(key).catch((error: unknown) => this.refused(key, error))
    return stored === undefined ? undefined : this.need(key, stored)
  }

  getSync(key: Buffer): Buffer | undefined {
    let stored: Buffer | undefined
    try {
      stored = this.inner.getSync(key)
    } catch (error) {
      this.refused(key, error)
    }
    return stored === undefined ? undefined : this.need(key, stored)
  }

  async *scan(range: KeyRange, options: ScanOptions = {}): AsyncIterable<Row> {
    const onDamaged = (damaged: Damaged): void => {
      this.damage.note(damaged)
      options.onDamaged?.(damaged)
    }
    for await (const row of this.inner.scan(range, { ...options, onDamaged })) {
      if (options.keysOnly === true) {
        yield row
        continue
      }
      const value = this.valueOf(row.key, row.value)
      if (value === undefined) onDamaged({ key: row.key })
      else yield { key: row.key, value }
    }
  }

  compact(range: KeyRange): Promise<void> {
    return this.inner.compact(range)
  }

  approximateBytes(range: KeyRange): Promise<number> {
    return this.inner.approximateBytes(range)
  }

  freeBytes(): Promise<number> {
    return this.inner.freeBytes()
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  /** The value that was put under `key`, or undefined when this is not it. Nothing is copied. */
  private valueOf(key: Buffer, stored: Buffer): Buffer | undefined {
    if (isSchema(key)) return stored
    if (stored.length >= FRONT_BYTES) {
      const value = stored.subarray(FRONT_BYTES)
      if (checksum(key, value) === getU32(stored, 1)) return value
    }
    return this.strict || stored[0] === MAGIC ? undefined : stored
  }

  private need(key: Buffer, stored: Buffer): Buffer {
    const value = this.valueOf(key, stored)
    if (value !== undefined) return value
    this.damage.note({ key })
    throw new AqueductError('store_damaged', 'A row of the store is damaged: its checksum is not right.')
  }

  private refused(key: Buffer, error: unknown): never {
    if (error instanceof AqueductError && error.code === 'store_damaged') this.damage.note({ key })
    throw error
  }
}

/** The first byte tells nearly always, and without a call into C++. */
function isSchema(key: Buffer): boolean {
  return key[0] === schemaKey[0] && key.equals(schemaKey)
}

/** Below this a loop beats the call into C++ that `crc32` is. */
const CHECKSUM_BY_LOOP_MAX = 48

const TABLE = Int32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let bit = 0; bit < 8; bit++) c = (c & 1) === 0 ? c >>> 1 : (c >>> 1) ^ 0xedb8_8320
  return c
})

function checksum(key: Buffer, value: Buffer): number {
  return part(value, part(key, 0))
}

/** `crc32` of zlib, gone on with from `before`. */
function part(bytes: Buffer, before: number): number {
  if (bytes.length > CHECKSUM_BY_LOOP_MAX) return crc32(bytes, before)
  let c = ~before
  for (let i = 0; i < bytes.length; i++) c = (c >>> 8) ^ TABLE[(c ^ bytes[i]) & 0xff]
  return ~c >>> 0
}

/** The same operations, each value behind its front: in one buffer for all, as the engine copies them once more anyway. */
function withFronts(ops: readonly Op[]): Op[] {
  let bytes = 0
  for (const op of ops) if (op.type === 'put') bytes += FRONT_BYTES + op.value.length
  const all = Buffer.allocUnsafe(bytes)
  const out: Op[] = []
  let at = 0
  for (const op of ops) {
    if (op.type === 'del' || isSchema(op.key)) {
      out.push(op)
      continue
    }
    const { key, value } = op
    const start = at
    at += FRONT_BYTES + value.length
    all[start] = MAGIC
    putU32(all, start + 1, checksum(key, value))
    all.set(value, start + FRONT_BYTES)
    out.push({ type: 'put', key, value: all.subarray(start, at) })
  }
  return out
}
