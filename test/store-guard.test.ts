/** A folder is opened only when all that it needs can be read, and nothing changes when it is refused. */
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../src/core/clock.js'
import { type Log, silentLog } from '../src/core/log.js'
import type { Durability } from '../src/store/disk.js'
import { type Files, realFiles } from '../src/store/files.js'
import { commitRowKey, metaKey } from '../src/store/keys.js'
import { readBatch } from '../src/store/level/batch.js'
import { crc32c, masked } from '../src/store/level/crc32c.js'
import { readLog } from '../src/store/level/log-file.js'
import { openStore, type Store } from '../src/store/store.js'

const COMMITS = 30
/** Folders of killed stores, made once. */
const all = `aqueduct-guard-killed-${process.pid}`
const kept_folders = new Set<string>()

let base: string
let path: string
let said: { level: string; text: string }[]
const note =
  (level: string) =>
  (_fields: object, text: string): void => {
    said.push({ level, text })
  }
const log: Log = { ...silentLog, info: note('info'), warn: note('warn'), error: note('error') }

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'aqueduct-guard-'))
  path = join(base, 'data')
  said = []
})
afterEach(() => rm(base, { recursive: true }))
afterAll(async () => {
  for (const folder of kept_folders) await rm(folder, { recursive: true })
})

const open = (more: object = {}): Promise<Store> =>
  openStore({ path, durability: 'fsync', min_free_bytes: 0, max_bytes: 0, clock: systemClock, log, ...more })

async function commit(store: Store, n: number, bytes = 10): Promise<void> {
  store.journal.put(metaKey(`row ${n}`), Buffer.alloc(bytes, String(n)))
  await store.journal.flush()
}

/** `path` as a kill leaves it: a copy of the folder of a running store with `COMMITS` commits in its log. */
async function killed(durability: Durability = 'fsync', bytes = 10): Promise<void> {
  const kept = join(tmpdir(), `${all}-${durability}-${bytes}`)
  kept_folders.add(kept)
  if ((await stat(kept).catch(() => undefined)) === undefined) await kill(kept, durability, bytes)
  await cp(kept, path, { recursive: true })
}

async function kill(to: string, durability: Durability, bytes: number): Promise<void> {
  const live = join(base, 'live')
  const store = await open({ path: live, durability })
  for (let n = 1; n <= COMMITS; n++) await commit(store, n, bytes)
  await cp(live, to, { recursive: true })
  await store.close()
  await rm(live, { recursive: true })
  said = []
}

async function rowsThere(store: Store): Promise<number> {
  let rows = 0
  while ((await store.disk.get(metaKey(`row ${rows + 1}`))) !== undefined) rows++
  return rows
}

/** Every file of the data folder, as bytes; LevelDB's own diary left out, and the lock. */
async function contents(): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === 'lock') continue
    const file = join(entry.parentPath, entry.name)
    found.set(file.slice(path.length + 1), (await readFile(file)).toString('latin1'))
  }
  return found
}

async function named(pattern: RegExp): Promise<string> {
  const found = (await readdir(join(path, 'level'))).filter((name) => pattern.test(name))
  return join(path, 'level', found.sort().at(-1) as string)
}

/** Refused with `code`, saying `text`, and nothing changed. */
async function refused(code: string, text: RegExp, more: object = {}): Promise<void> {
  const before = await contents()
  const error = await open(more).then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toMatchObject({ code })
  expect(String(error)).toMatch(text)
  expect(await contents()).toEqual(before)
}

async function flip(file: string, at: number, mask = 1): Promise<void> {
  const bytes = await readFile(file)
  bytes[at < 0 ? bytes.length + at : at] ^= mask
  await writeFile(file, bytes)
}

describe('a sound folder', () => {
  test('after a kill it opens with every commit, and says nothing but that', async () => {
    await killed()
    const store = await open()
    expect(await rowsThere(store)).toBe(COMMITS)
    await store.close()
    expect(said).toEqual([])
    expect((await readdir(path)).sort()).toEqual(['level', 'lock', 'mark'])
  })

  test('one commit may change a row twice', async () => {
    const live = join(base, 'live')
    const store = await open({ path: live })
    for (const value of ['once', 'twice']) store.journal.put(metaKey('row 1'), Buffer.from(value))
    await store.journal.flush()
    store.journal.put(metaKey('row 2'), Buffer.from('there'))
    store.journal.del(metaKey('row 2'))
    await store.journal.flush()
    await cp(live, path, { recursive: true })
    await store.close()
    const again = await open()
    expect(String(await again.disk.get(metaKey('row 1')))).toBe('twice')
    await again.close()
  })

  test('of an older Aqueduct, without a mark, it opens and gets one', async () => {
    await killed()
    await rm(join(path, 'mark'))
    const store = await open()
    expect(await rowsThere(store)).toBe(COMMITS)
    await store.close()
    expect(said.map((s) => s.level)).toEqual(['info'])
    await open().then((again) => again.close())
    expect(said.length).toBe(1)
  })

  test('a write that was never finished is dropped, with a line that says so', async () => {
    await killed()
    const file = await named(/\.log$/)
    // A header that promises more than there is, as of a commit that nobody was told about.
    await writeFile(file, Buffer.concat([await readFile(file), Buffer.from([1, 2, 3, 4, 200, 0, 1, 9, 9])]))
    const store = await open()
    expect(await rowsThere(store)).toBe(COMMITS)
    await store.close()
    expect(said).toEqual([{ level: 'info', text: expect.stringContaining('not finished') }])
  })

  test('a mark that cannot be understood is said, and no reason to refuse', async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(1_024), Buffer.from('rubbish')]) {
      await killed()
      await writeFile(join(path, 'mark'), bytes)
      const store = await open()
      expect(await rowsThere(store)).toBe(COMMITS)
      await store.close()
      expect(said[0]).toEqual({ level: 'warn', text: expect.stringContaining('the mark cannot be understood') })
      await rm(path, { recursive: true })
    }
  })
})

describe('a folder that is less than was stored', () => {
  test.each([
    ['a bit of the log', async () => flip(await named(/\.log$/), 200), /bytes at \d+ have changed/],
    ['a bit of the last commit', async () => flip(await named(/\.log$/), -3), /ends at commit 29, but commit 30 was stored/],
    ['a page of the log', async () => zero(await named(/\.log$/), 500, 500), /bytes at \d+ have changed/],
    ['the tail of the log', async () => truncate(await named(/\.log$/), 700), /ends at commit \d+, but commit 30 was stored/],
    ['all of the log', async () => truncate(await named(/\.log$/), 0), /ends at commit \d+, but commit 30 was stored/],
    ['the log', async () => rm(await named(/\.log$/)), /\.log: it is missing/],
    ['the last bytes of MANIFEST', async () => halve(await named(/^MANIFEST/)), /MANIFEST/],
    ['a bit of MANIFEST', async () => flip(await named(/^MANIFEST/), 20), /MANIFEST.*bytes at \d+ have changed/],
    ['MANIFEST', async () => rm(await named(/^MANIFEST/)), /MANIFEST.*it is missing/],
    ['CURRENT', async () => rm(await named(/^CURRENT/)), /no CURRENT/],
    ['what CURRENT says', async () => writeFile(await named(/^CURRENT/), 'MANIFEST-000099\n'), /MANIFEST-000099.*missing/],
    ['a bit of CURRENT', async () => flip(await named(/^CURRENT/), 0), /CURRENT.*does not name/],
    ['the whole database', async () => rm(join(path, 'level'), { recursive: true }), /empty or missing/],
    ['all its files', async () => emptied(), /empty or missing/],
  ])('%s is gone: refused', async (_what, harm, text) => {
    await killed()
    await harm()
    await refused('store_damaged', text)
    // And again: nothing was learned or forgotten by the first.
    await refused('store_damaged', text)
  })

  test('after a clean end too: the last commit is in a table, and the log is gone', async () => {
    await open().then(async (store) => {
      await commit(store, 1)
      await store.close()
    })
    await truncate(await named(/\.log$/), 0)
    await refused('store_damaged', /ends at commit 0, but commit \d was stored/)
  })

  test('without a mark: a log that has less than MANIFEST knew of is said', async () => {
    await killed('fsync', 300_000)
    await rm(join(path, 'mark'))
    const file = await named(/\.log$/)
    await truncate(file, (await stat(file)).size - 200_000)
    const store = await open()
    await store.close()
    expect(said.some((s) => s.text.includes('not finished'))).toBe(true)
  })

  test('to go on without what is missing, the mark is deleted, as the sentence says', async () => {
    await killed()
    await truncate(await named(/\.log$/), 700)
    await refused('store_damaged', /delete .*mark/)
    await rm(join(path, 'mark'))
    const store = await open()
    expect(await rowsThere(store)).toBeGreaterThan(1)
    await store.close()
  })

  test.each([
    ['the footer', -4],
    ['the index', -80],
  ])('%s of a table has changed: refused', async (_what, at) => {
    await tables()
    await flip(await named(/\.ldb$/), at)
    await refused('store_damaged', /\.ldb: /)
  })

  test.each([
    ['is cut', async () => halve(await named(/\.ldb$/)), /has \d+ of \d+ bytes/],
    ['is gone', async () => rm(await named(/\.ldb$/)), /it is missing/],
    ['is empty', async () => truncate(await named(/\.ldb$/), 0), /has 0 of \d+ bytes/],
  ])('a table %s: refused', async (_what, harm, text) => {
    await tables()
    await harm()
    await refused('store_damaged', text)
  })
})

describe('a block of rows whose checksum is wrong', () => {
  /** A folder with one table, whose blocks are not compressed because nothing is gained by that. */
  const table = async (): Promise<string> => {
    const store = await open()
    for (let n = 1; n <= 4; n++) {
      store.journal.put(
        metaKey(`long ${n}`),
        Buffer.concat(Array.from({ length: 40 }, (_, i) => createHash('sha512').update(`${n} ${i}`).digest())),
      )
    }
    await store.close()
    await open().then((again) => again.close())
    said = []
    return named(/\.ldb$/)
  }

  test('LevelDB would end the process over it: refused, with the table and the keys', async () => {
    await zero(await table(), 0, 20)
    await refused('store_damaged', /\.ldb: rows from .* to .* have changed/)
  })

  test('LevelDB gets through it: said, and the store opens', async () => {
    const file = await table()
    const at = (await readFile(file)).indexOf(createHash('sha512').update('2 7').digest())
    expect(at).toBeGreaterThan(0)
    await flip(file, at)
    const store = await open()
    await store.close()
    expect(said).toEqual([
      { level: 'error', text: expect.stringContaining('rows of the store have changed') },
      { level: 'error', text: expect.stringContaining('what these commits stored there may be lost') },
    ])
  })
})

describe('store.durability = "os"', () => {
  test('on the same run of the kernel the mark binds', async () => {
    await killed('os')
    await truncate(await named(/\.log$/), 700)
    await refused('store_damaged', /but commit 30 was stored/, { durability: 'os' })
  })

  test('after the machine went down the last commits may be lost: said, once, with their numbers', async () => {
    await killed('os')
    await truncate(await named(/\.log$/), 700)
    const lines: object[] = []
    const error = (fields: object, text: string): void => {
      lines.push({ ...fields, text })
    }
    const store = await open({ durability: 'os', boot: 'another', log: { ...log, error } })
    expect(lines).toEqual([{ from: expect.any(Number), to: COMMITS, text: expect.stringContaining('are lost') }])
    await store.close()
  })

  test('after the machine went down a hole in the log is its end: nothing behind it is taken', async () => {
    await killed('os')
    await zero(await named(/\.log$/), 500, 100)
    const store = await open({ durability: 'os', boot: 'another' })
    const rows = await rowsThere(store)
    expect(rows).toBeGreaterThan(1)
    expect(await store.disk.get(metaKey(`row ${COMMITS}`))).toBeUndefined()
    await commit(store, rows + 1)
    await store.close()
    expect(said.map((s) => s.level)).toEqual(['error', 'error'])
    const again = await open({ durability: 'os' })
    expect(await rowsThere(again)).toBe(rows + 1)
    await again.close()
  })

  test('on the same run of the kernel it is refused', async () => {
    await killed('os')
    await zero(await named(/\.log$/), 500, 100)
    await refused('store_damaged', /whole writes follow/, { durability: 'os' })
  })
})

describe('a disk that fails while a folder is opened', () => {
  /** Lets the `n`th operation and, with `forGood`, all that follow fail. */
  function failing(n: number, code: string, forGood: boolean): { files: Files; used: () => number } {
    let used = 0
    const files = Object.fromEntries(
      Object.entries(realFiles).map(([name, call]) => [
        name,
        (...args: unknown[]) => {
          used++
          if (used === n || (forGood && used > n)) {
            return Promise.reject(Object.assign(new Error(`${code}: ${name}`), { code }))
          }
          return (call as (...a: unknown[]) => unknown)(...args)
        },
      ]),
    ) as unknown as Files
    return { files, used: () => used }
  }

  test.each(['EMFILE', 'EACCES', 'EIO'])('%s once, at any operation: refused or not, nothing is lost', async (code) => {
    for (let n = 1; ; n++) {
      await killed()
      const { files, used } = failing(n, code, false)
      const store = await open({ files }).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'store_failed' })
        return undefined
      })
      await store?.close()
      const again = await open()
      expect(await rowsThere(again)).toBe(COMMITS)
      await again.close()
      const done = used() < n
      await rm(path, { recursive: true })
      if (done) return
    }
  })

  test('the process ends at any operation: the next start has everything, and leaves nothing lying about', async () => {
    for (let n = 1; ; n++) {
      await killed()
      const { files, used } = failing(n, 'EIO', true)
      const store = await open({ files }).catch(() => undefined)
      // Had it really ended, the lock would be free and this store would write nothing more.
      await store?.close()
      const again = await open()
      expect(await rowsThere(again)).toBe(COMMITS)
      await commit(again, COMMITS + 1)
      await again.close()
      const last = await open()
      expect(await rowsThere(last)).toBe(COMMITS + 1)
      await last.close()
      expect((await readdir(path)).sort()).toEqual(['level', 'lock', 'mark'])
      const done = used() < n
      await rm(path, { recursive: true })
      if (done) return
    }
  })

  /** Files that do `harm` to the real folder between our look at it and LevelDB's. */
  const between = (harm: () => Promise<void>): Files => {
    let kept = 0
    return {
      ...realFiles,
      rename: async (from, to) => {
        await realFiles.rename(from, to)
        if (to.endsWith('level.before') && kept++ === 0) await harm()
      },
    }
  }
  /** Another file by the same name: the links of the snapshot keep the first. */
  const replaced = async (file: string, bytes: Buffer): Promise<void> => {
    await rm(file)
    await writeFile(file, bytes)
  }

  test.each([
    ['nothing of its log', 0],
    ['half of its log', 0.5],
    ['all but the last write of its log', 0.99],
  ])('LevelDB reads %s where we read all: refused, and put back byte for byte', async (_what, share) => {
    await killed()
    const files = between(async () => {
      const file = await named(/\.log$/)
      const bytes = await readFile(file)
      await replaced(file, bytes.subarray(0, Math.floor(bytes.length * share)))
    })
    await refused('store_failed', /LevelDB could not read its own log: of 31 writes/, { files })
    const store = await open()
    expect(await rowsThere(store)).toBe(COMMITS)
    await store.close()
  })

  test('LevelDB finds no CURRENT where there is one: it does not make an empty database', async () => {
    await killed()
    await refused('store_failed', /could not be opened/, { files: between(async () => rm(await named(/^CURRENT/))) })
  })

  test('a log whose commit rows a later log deletes is missed all the same', async () => {
    await killed()
    const first = await named(/\.log$/)
    let next = 0
    readLog(await readFile(first), (record) => {
      const { sequence, count } = readBatch(record, () => {})
      next = sequence + count
    })
    const number = Number(/(\d+)\.log$/.exec(first)?.[1]) + 7
    await writeFile(join(path, 'level', `${String(number).padStart(6, '0')}.log`), logOfDeletions(next))
    // Not harmed, it opens.
    const sound = join(base, 'sound')
    await cp(path, sound, { recursive: true })
    await open({ path: sound }).then((store) => store.close())
    const files = between(() => replaced(first, Buffer.alloc(0)))
    await refused('store_failed', /LevelDB could not read its own log/, { files })
  })

  test('a read that ends early is a failed read, not a short file', async () => {
    await killed()
    const files: Files = {
      ...realFiles,
      open: async (file) => {
        const real = await realFiles.open(file)
        return { ...real, read: async (at, length) => (await real.read(at, length)).subarray(0, length >> 1) }
      },
    }
    await refused('store_failed', /bytes could be read/, { files })
  })
})

/** A folder with a table. */
async function tables(): Promise<void> {
  await killed()
  await open().then((store) => store.close())
  said = []
}

async function zero(file: string, at: number, length: number): Promise<void> {
  const bytes = await readFile(file)
  await writeFile(file, bytes.fill(0, at, at + length))
}

async function halve(file: string): Promise<void> {
  await truncate(file, (await stat(file)).size >> 1)
}

async function emptied(): Promise<void> {
  await rm(join(path, 'level'), { recursive: true })
  await mkdir(join(path, 'level'))
}

/** A log of LevelDB with one write: the deletion of all commit rows but the last. */
function logOfDeletions(sequence: number): Buffer {
  const batch: Buffer[] = [Buffer.alloc(12)]
  batch[0].writeBigUInt64LE(BigInt(sequence))
  batch[0].writeUInt32LE(COMMITS - 1, 8)
  for (let n = 1; n < COMMITS; n++) {
    const key = commitRowKey(n)
    batch.push(Buffer.from([0, key.length]), key)
  }
  const body = Buffer.concat([Buffer.from([1]), ...batch])
  const head = Buffer.alloc(6)
  head.writeUInt32LE(masked(crc32c(body)))
  head.writeUInt16LE(body.length - 1, 4)
  return Buffer.concat([head, body])
}
