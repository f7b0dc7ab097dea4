/** Checksums of rows: what is read is what was written, or it is said that it is not. And folders that were written without. */
import { mkdtemp, open, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AqueductError } from '../../src/core/errors.js'
import { CheckedDisk, FRONT_BYTES, MAGIC } from '../../src/store/checked.js'
import { Damage } from '../../src/store/damage.js'
import type { Damaged, Disk, KeyRange, Op, Row, ScanOptions } from '../../src/store/disk.js'
import { everything, metaKey, sessionKey } from '../../src/store/keys.js'
import { openLevelDisk } from '../../src/store/level.js'
import { MemoryDisk } from '../../src/store/memory.js'
import { delivered, MqttClient, startClocked } from '../support/broker.js'
import { ManualClock } from '../support/clock.js'
import { CutDisk } from '../support/cut-disk.js'
import { build, diskOf, listen, SETTINGS, serve } from './folder.js'

const bytes = (text: string): Buffer => Buffer.from(text)
const put = (key: string, value: string): Op => ({ type: 'put', key: bytes(key), value: bytes(value) })

async function rows(disk: Disk): Promise<Row[]> {
  const all: Row[] = []
  for await (const row of disk.scan(everything)) all.push(row)
  return all
}

async function strict(inner: Disk): Promise<{ disk: CheckedDisk; lines: ReturnType<typeof listen>['lines'] }> {
  const { log, lines } = listen()
  const disk = new CheckedDisk(inner, new Damage(log))
  disk.strict = true
  return { disk, lines }
}

describe('a row with a checksum', () => {
  test('any byte of it changed: it is left out, get throws, and it is counted once', async () => {
    const change = fc.record({ inKey: fc.boolean(), at: fc.nat(), mask: fc.integer({ min: 1, max: 255 }), strict: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        fc.uint8Array({ maxLength: 60 }),
        change,
        async (k, v, c) => {
          const key = Buffer.from([0x53, ...k])
          const inner = new MemoryDisk()
          const { disk, lines } = await strict(inner)
          disk.strict = c.strict
          await disk.write([{ type: 'put', key, value: Buffer.from(v) }], false)
          expect(disk.getSync(key)).toEqual(Buffer.from(v))
          const [row] = await rows(inner)
          await inner.write([{ type: 'del', key }], false)
          const stored = Buffer.from(row.value)
          const changed = c.inKey ? row.key : stored
          const at = c.inKey ? 1 + (c.at % (key.length - 1)) : c.at % stored.length
          changed[at] ^= c.mask
          await inner.write([{ type: 'put', key: row.key, value: stored }], false)
          // The magic byte says nothing that the rest does not prove.
          if (!c.inKey && at === 0) {
            expect(disk.getSync(row.key)).toEqual(Buffer.from(v))
            return
          }
          const damaged: Damaged[] = []
          for await (const _ of disk.scan(everything, { onDamaged: (d) => damaged.push(d) })) throw new Error('it came')
          expect(damaged).toEqual([{ key: row.key }])
          await expect(disk.get(row.key)).rejects.toMatchObject({ code: 'store_damaged' })
          expect(() => disk.getSync(row.key)).toThrow(/checksum/)
          expect([...disk.damage.byKind]).toEqual([['session', 1]])
          disk.damage.say()
          disk.damage.say()
          expect(lines.length).toBe(1)
          expect(lines[0].fields).toMatchObject({ kind: 'session', rows: 1 })
        },
      ),
    )
  })

  test('the checksum is the CRC-32 of zlib over key and value, however long they are', async () => {
    const inner = new MemoryDisk()
    const { disk } = await strict(inner)
    for (const k of [1, 20, 48, 49, 300]) {
      for (const v of [0, 1, 47, 48, 49, 5_000]) {
        const key = Buffer.alloc(k, 0x53)
        const value = Buffer.from(Array.from({ length: v }, (_, i) => (i * 31 + k) & 0xff))
        await disk.write([{ type: 'put', key, value }], false)
        expect(inner.getSync(key)?.readUInt32BE(1)).toBe(crc32(Buffer.concat([key, value])))
        expect(disk.getSync(key)).toEqual(value)
      }
    }
  })

  test('the front is five bytes and no copy is made of what is behind it', async () => {
    const inner = new MemoryDisk()
    const { disk } = await strict(inner)
    await disk.write([put('Sx', 'value')], false)
    const stored = inner.getSync(bytes('Sx')) as Buffer
    expect([stored[0], stored.length]).toEqual([MAGIC, FRONT_BYTES + 5])
    expect(disk.getSync(bytes('Sx'))?.buffer).toBe(stored.buffer)
  })

  test('a log line per kind, however many rows', async () => {
    const inner = new MemoryDisk()
    const { disk, lines } = await strict(inner)
    for (let i = 0; i < 5_000; i++) await inner.write([put(`S${i}`, 'rubbish'), put(`R${i}`, 'rubbish')], false)
    for await (const _ of disk.scan(everything)) throw new Error('it came')
    disk.damage.say()
    expect(lines.map(({ fields }) => (fields as { kind: string; rows: number }).rows)).toEqual([5_000, 5_000])
    expect(JSON.stringify(lines).length).toBeLessThan(2_000)
  })

  test('where every row has one, a row without is damaged', async () => {
    const inner = new MemoryDisk()
    const { disk } = await strict(inner)
    await inner.write([put('Sx', 'an old row')], false)
    expect(() => disk.getSync(bytes('Sx'))).toThrow(/checksum/)
    disk.strict = false
    expect(disk.getSync(bytes('Sx'))?.toString()).toBe('an old row')
  })
})

test('LevelDB goes on behind a block that it cannot read: the rest comes, and the stretch is said', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aqueduct-block-'))
  try {
    const first = await openLevelDisk(folder)
    const { disk: writer } = await strict(first)
    const key = (i: number): string => `S${String(i).padStart(6, '0')}`
    // What does not compress, so that a changed byte stays in its row.
    let seed = 1
    const values = new Map<string, string>()
    const noise = (): string =>
      String.fromCharCode(...Array.from({ length: 100 }, () => 33 + ((seed = (seed * 48_271) % 0x7fffffff) % 90)))
    for (let at = 0; at < 4_000; at += 500) {
      await writer.write(
        Array.from({ length: 500 }, (_, i) => {
          values.set(key(at + i), noise())
          return put(key(at + i), values.get(key(at + i)) as string)
        }),
        true,
      )
    }
    await writer.compact({ gte: Buffer.from([0]), lt: Buffer.from([0xff]) })
    await writer.close()
    for (const name of await readdir(folder)) {
      if (!/\.ldb$/.test(name)) continue
      const file = await open(join(folder, name), 'r+')
      const { size } = await stat(join(folder, name))
      await file.write(Buffer.alloc(8_192, 0xff), 0, 8_192, Math.floor(size / 2))
      await file.close()
    }
    const { disk } = await strict(await openLevelDisk(folder))
    const damaged: Damaged[] = []
    const seen: string[] = []
    for await (const row of disk.scan(everything, { onDamaged: (d) => damaged.push(d) })) seen.push(row.key.toString())
    expect(seen.length).toBeGreaterThan(3_000)
    expect(seen.length).toBeLessThan(4_000)
    expect([...seen].sort()).toEqual(seen)
    expect(seen).toContain(key(3_999))
    expect(damaged.length).toBeGreaterThan(0)
    const lost = Array.from({ length: 4_000 }, (_, i) => key(i)).filter((k) => !seen.includes(k))
    const reads = await Promise.allSettled(lost.map((k) => disk.get(bytes(k))))
    // One whose key is damaged is simply not there; and by its key LevelDB finds some that a scan loses with their block.
    for (const [i, read] of reads.entries()) {
      if (read.status === 'rejected') expect(read.reason).toMatchObject({ code: 'store_damaged' })
      else expect([undefined, values.get(lost[i])]).toContain(read.value?.toString())
    }
    expect(reads.some(({ status }) => status === 'rejected')).toBe(true)
    await disk.close()
  } finally {
    await rm(folder, { recursive: true })
  }
})

describe('a folder without checksums', () => {
  /** The same folder as an older Aqueduct would have written it. */
  async function old(): Promise<{ rows: Row[]; now: number }> {
    const folder = await build()
    const bare = folder.rows
      .filter(({ key }) => !key.equals(metaKey('checksums')))
      .map(({ key, value }) => {
        if (key.equals(metaKey('schema'))) return { key, value: Buffer.concat([Buffer.from([0, 0, 0, 1]), value.subarray(4)]) }
        return { key, value: oldForm(key, value.subarray(FRONT_BYTES)) }
      })
    return { rows: bare, now: folder.now }
  }

  /** Heads and definitions of plain queues had a version less. */
  function oldForm(key: Buffer, value: Buffer): Buffer {
    if (key[0] === 0x48) return Buffer.concat([Buffer.from([1]), value.subarray(1, 13), value.subarray(19)])
    if (key[0] === 0x51) return Buffer.concat([Buffer.from([1]), value.subarray(1)])
    return value
  }

  test('no row of it begins with the magic byte, or with one that is one bit away', async () => {
    const { rows: all } = await old()
    const bits = (n: number): number => n.toString(2).replaceAll('0', '').length
    for (const { key, value } of all) if (value.length >= FRONT_BYTES) expect(bits(value[0] ^ MAGIC), `${key}`).toBeGreaterThan(1)
  })

  test('opens, serves all that is in it, and its rows get checksums as they are written again', async () => {
    const folder = await old()
    const whole = await serve(await build(), (await build()).rows)
    const s = await serve(folder, folder.rows)
    for (const place of Object.keys(whole.outcome))
      expect([...s.outcome[place]].sort(), place).toEqual([...whole.outcome[place]].sort())
    expect(s.lines.filter(({ level }) => level !== 'info')).toEqual([])
    expect([s.damagedRows.size, s.present]).toEqual([0, whole.present])
    const after = new Map((await rows(s.disk)).map(({ key, value }) => [key.toString('latin1'), value]))
    expect(after.get(sessionKey('dev').toString('latin1'))?.[0]).toBe(MAGIC)
    expect(after.get('Rr/0')?.[0]).toBe(1)
    expect(after.get('!schema')?.readUInt32BE(0)).toBe(2)
    expect(after.has('!checksums')).toBe(false)
  })

  test('a row of it that cannot be read is damaged, whatever its kind, and never anything worse', async () => {
    const folder = await old()
    const change = fc.record({ row: fc.nat(), cut: fc.nat(), zeros: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(change, async ({ row, cut, zeros }) => {
        const changed = folder.rows.map(({ key, value }) => ({ key, value: Buffer.from(value) }))
        const it = changed[row % changed.length]
        it.value = zeros ? Buffer.alloc(it.value.length) : it.value.subarray(0, cut % (it.value.length + 1))
        try {
          const { outcome } = await serve(folder, changed)
          expect(outcome.dev.length).toBeLessThanOrEqual(60)
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^store_(damaged|version)$/) })
        }
      }),
      { numRuns: Number(process.env.DAMAGE_RUNS ?? 60) },
    )
  }, 600_000)
})

test('an older Aqueduct is told that the folder is not for it', async () => {
  const { rows: all } = await build()
  const schema = all.find(({ key }) => key.equals(metaKey('schema')))?.value as Buffer
  // What it looks at, before anything else.
  expect([schema.readUInt32BE(0), schema.toString('latin1', 4)]).toEqual([2, 'aqueduct'])
})

test('a read that fails for now is tried again, and nothing is dropped', async () => {
  const folder = await build()
  const disk = new FailingDisk(diskOf(folder.rows))
  const { log, lines } = listen()
  const b = await startClocked({ ...SETTINGS, clock: new ManualClock(folder.now), disk, log })
  disk.down = true
  const dev = await MqttClient.connect(b.port, { client_id: 'dev', clean: false })
  const shared = { client_id: 'shared', clean: false, protocol: 5, properties: { sessionExpiryInterval: 50_000 } } as const
  const member = await MqttClient.connect(b.port, shared)
  await expect(b.queues.ordered?.get('pull')?.receive({ max: 2 })).rejects.toMatchObject({ code: 'store_failed' })
  for (let i = 0; i < 3; i++) {
    expect([await delivered(dev), await delivered(member)]).toEqual([[], []])
    b.clock.advance(1_000)
  }
  const tried = lines.filter(({ text }) => /it is tried again/.test(text)).length
  expect(tried).toBeGreaterThan(2)
  // Not as fast as it can, and again and again.
  expect(tried).toBeLessThan(12)
  disk.down = false
  for (let i = 0; i < 3; i++) {
    await dev.ping()
    b.clock.advance(1_000)
  }
  for (let i = 0; i < 20; i++) await dev.ping()
  expect([(await delivered(dev)).length, (await delivered(member)).length]).toEqual([31, 41])
  expect((await b.queues.ordered?.get('pull')?.receive({ max: 2 }))?.length).toBe(2)
  expect(b.queues.departures()).toMatchObject({ session: { damaged: 0 }, group: { damaged: 0 }, pull: { damaged: 0 } })
  await b.close()
})

/** Message rows cannot be read while it is down. */
class FailingDisk extends CutDisk {
  down = false

  override scan(range: KeyRange, options?: ScanOptions): AsyncIterable<Row> {
    if (this.down && range.gte[0] === 0x4d) throw new AqueductError('store_failed', 'A read failed: EIO.')
    return super.scan(range, options)
  }
}
