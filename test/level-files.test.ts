/** LevelDB's own files as we read them, held against files that LevelDB wrote and against what LevelDB makes of them. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel as Level } from 'classic-level'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBatch } from '../src/store/level/batch.js'
import { Malformed } from '../src/store/level/coding.js'
import { crc32c, masked } from '../src/store/level/crc32c.js'
import { hazardOf } from '../src/store/level/hazard.js'
import { readLog, type Tail } from '../src/store/level/log-file.js'
import { readCurrent, readManifest } from '../src/store/level/manifest.js'
import { unsnappy } from '../src/store/level/snappy.js'
import { FOOTER_BYTES, isWhole, readFooter, readIndex, readMeta } from '../src/store/level/table.js'

type Op = { type: 'put'; key: string; value: string } | { type: 'del'; key: string }

/** A database that was killed after `batches`: its log has them all. */
async function written(folder: string, batches: readonly Op[][]): Promise<void> {
  const db = new Level(folder)
  await db.open()
  for (const batch of batches) await db.batch(batch)
  await db.close()
}

async function fileOf(folder: string, pattern: RegExp): Promise<string> {
  const name = (await readdir(folder)).filter((f) => pattern.test(f)).sort()[0]
  return join(folder, name)
}

function opsOf(bytes: Buffer): { ops: Op[][]; tail: Tail | undefined } {
  const ops: Op[][] = []
  const tail = readLog(bytes, (record) => {
    const batch: Op[] = []
    readBatch(record, (key, value) => {
      const text = key.toString()
      batch.push(value === undefined ? { type: 'del', key: text } : { type: 'put', key: text, value: value.toString() })
    })
    ops.push(batch)
  })
  return { ops, tail }
}

const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({
    type: fc.constant('put' as const),
    key: fc.string({ minLength: 1, maxLength: 40 }),
    // Some longer than a block of the log, so that records come in fragments.
    value: fc.oneof(
      fc.string({ maxLength: 60 }),
      fc.nat(100_000).map((n) => 'x'.repeat(n)),
    ),
  }),
  fc.record({ type: fc.constant('del' as const), key: fc.string({ minLength: 1, maxLength: 40 }) }),
)
const batches = fc.array(fc.array(op, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 12 })

describe('crc32c', () => {
  test('is the one of RFC 3720', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43)
    expect(masked(0)).toBe(0xa282ead8)
  })

  test('goes on where it stopped, at any place', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
        const cut = Math.min(at, bytes.length)
        expect(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut))).toBe(crc32c(bytes))
      }),
    )
  })
})

describe('a log of LevelDB', () => {
  let base: string
  let n = 0
  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'aqueduct-level-'))
  })
  afterAll(() => rm(base, { recursive: true }))
  const logOf = async (all: readonly Op[][]): Promise<{ folder: string; bytes: Buffer; file: string }> => {
    const folder = join(base, `db${n++}`)
    await written(folder, all)
    const file = await fileOf(folder, /\.log$/)
    return { folder, file, bytes: await readFile(file) }
  }

  test('says what was written, whole', async () => {
    await fc.assert(
      fc.asyncProperty(batches, async (all) => {
        const { bytes } = await logOf(all)
        expect(opsOf(bytes)).toEqual({ ops: all, tail: undefined })
      }),
      { numRuns: 25 },
    )
  })

  test('cut anywhere: what is whole before, a tail, and nothing after it', async () => {
    await fc.assert(
      fc.asyncProperty(batches, fc.nat(), async (all, where) => {
        const { bytes } = await logOf(all)
        const cut = where % bytes.length
        const { ops, tail } = opsOf(bytes.subarray(0, cut))
        expect(all.slice(0, ops.length)).toEqual(ops)
        expect(ops.length).toBeLessThan(all.length)
        expect(tail?.recordAfter).toBeUndefined()
        if (tail !== undefined) expect(['cut', 'zeros']).toContain(tail.kind)
      }),
      { numRuns: 25 },
    )
  })

  test('with a bit flipped: noticed, and whole records behind it are found', async () => {
    await fc.assert(
      fc.asyncProperty(batches, fc.nat(), fc.nat(7), async (all, where, bit) => {
        const { bytes } = await logOf(all)
        const at = where % bytes.length
        // The last bytes of a block that nothing fits into are not read by anybody.
        const changed = Buffer.from(bytes)
        changed[at] ^= 1 << bit
        const { ops, tail } = opsOf(changed)
        if (tail === undefined) {
          expect(ops).toEqual(all)
          expect(32_768 - (at % 32_768)).toBeLessThan(7)
          return
        }
        expect(all.slice(0, ops.length)).toEqual(ops)
        expect(tail.recordAfter !== undefined).toBe(ops.length < all.length - 1)
      }),
      { numRuns: 40 },
    )
  })

  test('whatever happens to it, LevelDB takes from it no less and no more than we do, unless we say that whole records follow', async () => {
    await fc.assert(
      fc.asyncProperty(
        batches,
        fc.nat(),
        fc.nat(5_000),
        fc.constantFrom('cut', 'zero', 'rubbish'),
        async (all, where, length, how) => {
          const { folder, file, bytes } = await logOf(all)
          const at = where % bytes.length
          const end = Math.min(bytes.length, at + length)
          const changed = how === 'cut' ? bytes.subarray(0, at) : Buffer.from(bytes)
          if (how === 'zero') changed.fill(0, at, end)
          if (how === 'rubbish') changed.fill('rubbish', at, end)
          const { ops, tail } = opsOf(changed)
          if (tail?.recordAfter !== undefined) return
          await writeFile(file, changed)
          const expected = new Map<string, string>()
          for (const o of ops.flat()) {
            if (o.type === 'put') expected.set(o.key, o.value)
            else expected.delete(o.key)
          }
          const db = new Level(folder)
          expect(new Map(await db.iterator().all())).toEqual(expected)
          await db.close()
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe('MANIFEST and tables of LevelDB', () => {
  let folder: string
  let table: string
  let bytes: Buffer
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aqueduct-level-'))
    const db = new Level(folder)
    await db.open()
    for (let i = 0; i < 3_000; i++) await db.put(`key ${String(i).padStart(6, '0')}`, `${i} `.repeat(1 + (i % 40)))
    await db.compactRange('', '~')
    await db.close()
    table = await fileOf(folder, /\.ldb$/)
    bytes = await readFile(table)
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('MANIFEST names the tables that are there, with their sizes, and a log', async () => {
    const name = readCurrent(await readFile(join(folder, 'CURRENT')))
    const manifest = readManifest(await readFile(join(folder, name)))
    const names = await readdir(folder)
    expect(manifest.tables.map((t) => `${String(t.number).padStart(6, '0')}.ldb`).sort()).toEqual(
      names.filter((f) => f.endsWith('.ldb')).sort(),
    )
    for (const t of manifest.tables)
      expect((await readFile(join(folder, `${String(t.number).padStart(6, '0')}.ldb`))).length).toBe(t.size)
    expect(names).toContain(`${String(manifest.logNumber).padStart(6, '0')}.log`)
    expect(manifest.lastSequence).toBe(3_000)
  })

  // In the length of the last edit it cannot be told from an edit that was cut while it was written.
  test('a bit flipped in MANIFEST or CURRENT is noticed', async () => {
    const current = await readFile(join(folder, 'CURRENT'))
    const manifest = await readFile(join(folder, readCurrent(current)))
    fc.assert(
      fc.property(fc.nat(manifest.length - 1), fc.nat(7), (at, bit) => {
        const changed = Buffer.from(manifest)
        changed[at] ^= 1 << bit
        let torn = false
        try {
          torn = readManifest(changed).torn
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed)
          return
        }
        expect(torn).toBe(true)
      }),
    )
    for (const text of ['', 'MANIFEST-000002', 'MANIFEST-\n', `${current.toString()}x`, '\0'.repeat(16)]) {
      expect(() => readCurrent(Buffer.from(text))).toThrow(Malformed)
    }
  })

  const blocksOf = (file: Buffer): { meta: Buffer; index: Buffer; rows: ReturnType<typeof readIndex> } => {
    const footer = readFooter(file.subarray(file.length - FOOTER_BYTES), file.length)
    const block = (h: { at: number; size: number }): Buffer => file.subarray(h.at, h.at + h.size + 5)
    const index = block(footer.index)
    return { meta: block(footer.meta), index, rows: readIndex(index, file.length) }
  }

  test('footer, index, filter and every block of rows of a table are whole, and all bytes of it are one of these', () => {
    const { meta, rows, index } = blocksOf(bytes)
    const filters = readMeta(meta, bytes.length)
    expect(filters.length).toBe(1)
    let total = meta.length + index.length + FOOTER_BYTES
    for (const { at, size } of [...filters, ...rows]) {
      expect(isWhole(bytes.subarray(at, at + size + 5))).toBe(true)
      total += size + 5
    }
    expect(total).toBe(bytes.length)
  })

  const hazardIn = (file: Buffer, i: number, block: Buffer): ReturnType<typeof hazardOf> => {
    const { rows } = blocksOf(file)
    const low = i === 0 ? Buffer.from([...Buffer.from('key 000000'), 1, ...Buffer.alloc(7)]) : rows[i - 1].last
    return hazardOf(block, { low, mayEqualLow: i === 0, high: rows[i].last })
  }

  test('a bit flipped in a block of rows is noticed, whichever it is', () => {
    const { rows } = blocksOf(bytes)
    fc.assert(
      fc.property(fc.nat(rows.length - 1), fc.nat(), fc.nat(7), (i, where, bit) => {
        const block = Buffer.from(bytes.subarray(rows[i].at, rows[i].at + rows[i].size + 5))
        block[where % block.length] ^= 1 << bit
        expect(isWhole(block)).toBe(false)
        expect(['altered', 'unreadable', 'deadly']).toContain(hazardIn(bytes, i, block))
      }),
      { numRuns: 500 },
    )
  })

  test('rubbish is refused without a hang or another error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (rubbish) => {
        for (const read of [
          () => unsnappy(Buffer.from(rubbish)),
          () => readFooter(Buffer.from(rubbish), 10_000),
          () => readManifest(Buffer.from(rubbish)),
          () => readBatch(Buffer.from(rubbish), () => {}),
        ]) {
          try {
            read()
          } catch (error) {
            expect(error).toBeInstanceOf(Malformed)
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})
