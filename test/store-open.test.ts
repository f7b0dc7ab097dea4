/** Opening a folder: made, locked, checked, upgraded, refused. */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../src/core/clock.js'
import { silentLog } from '../src/core/log.js'
import { putU32 } from '../src/store/bytes.js'
import { metaKey } from '../src/store/keys.js'
import { openLevelDisk } from '../src/store/level.js'
import { MemoryDisk } from '../src/store/memory.js'
import { migrate } from '../src/store/migrate.js'
import { openStore, type Store } from '../src/store/store.js'
import { CutDisk } from './support/cut-disk.js'
import { message, NO_LIMITS, openOn, turn } from './support/store.js'

const open = (path: string, more: object = {}): Promise<Store> =>
  openStore({ path, durability: 'fsync', min_free_bytes: 0, max_bytes: 0, clock: systemClock, log: silentLog, ...more })

describe('opening a folder', () => {
  let base: string
  let path: string
  const opened: Store[] = []
  const start = async (p: string, more?: object): Promise<Store> => {
    const store = await open(p, more)
    opened.push(store)
    return store
  }

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'aqueduct-open-'))
    path = join(base, 'some', 'where', 'data')
  })
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
    await rm(base, { recursive: true })
  })

  test('is made with its parents, for its owner only', async () => {
    await start(path)
    expect((await stat(path)).mode & 0o777).toBe(0o700)
    expect((await readdir(path)).sort()).toEqual(['level', 'lock', 'mark'])
  })

  test('keeps what was committed', async () => {
    const first = await start(path)
    first.journal.put(metaKey('x'), Buffer.from('1'))
    await first.close()
    const second = await start(path)
    expect((await second.disk.get(metaKey('x')))?.toString()).toBe('1')
  })

  test('is refused while this process has it open, also over a link, and the lock stays held', async () => {
    await start(path)
    const link = join(base, 'link')
    await symlink(path, link)
    for (const p of [path, link]) await expect(open(p)).rejects.toMatchObject({ code: 'store_locked' })
    // LevelDB would have given its own lock back by now if we had let it try.
    expect(await openElsewhere(join(path, 'level'))).toBe('LEVEL_LOCKED')
  })

  test('is refused while another process has it open, naming the folder and the setting; free again afterwards', async () => {
    const store = await start(path)
    await store.close()
    const other = holdElsewhere(join(path, 'level'))
    await other.ready
    const error = await open(path).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'store_locked' })
    expect(String(error)).toContain(path)
    expect(String(error)).toContain('store.path')
    await other.end()
    await start(path)
  })

  test('a folder of another program is refused and left alone', async () => {
    await mkdir(path, { recursive: true })
    const foreign = await openLevelDisk(path)
    await foreign.write([{ type: 'put', key: Buffer.from('k'), value: Buffer.from('v') }], true)
    await foreign.close()
    const before = (await readdir(path)).filter((f) => f !== 'level')
    await expect(open(path)).rejects.toMatchObject({ code: 'store_damaged' })
    expect((await readdir(path)).filter((f) => f !== 'level')).toEqual(before)
  })

  test('rows without our schema version are refused', async () => {
    await mkdir(join(path, 'level'), { recursive: true })
    const foreign = await openLevelDisk(join(path, 'level'))
    await foreign.write([{ type: 'put', key: Buffer.from('k'), value: Buffer.from('v') }], true)
    await foreign.close()
    await expect(open(path)).rejects.toMatchObject({ code: 'store_damaged' })
    // And the lock was given back.
    await expect(open(path)).rejects.toMatchObject({ code: 'store_damaged' })
  })

  test('data files without CURRENT are refused, not emptied', async () => {
    const store = await start(path)
    await store.close()
    await rm(join(path, 'level', 'CURRENT'))
    const before = await readdir(join(path, 'level'))
    await expect(open(path)).rejects.toMatchObject({ code: 'store_damaged' })
    expect(await readdir(join(path, 'level'))).toEqual(before)
  })

  test('a damaged folder is refused with the finding and what to do', async () => {
    const store = await start(path)
    await store.close()
    const manifest = (await readdir(join(path, 'level'))).find((f) => f.startsWith('MANIFEST')) as string
    await writeFile(join(path, 'level', manifest), 'rubbish')
    const error = await open(path).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'store_damaged' })
    expect(String(error)).toMatch(/Restore .*data from a copy/)
  })

  test('a path that cannot be made is refused', async () => {
    await writeFile(join(base, 'file'), '')
    await expect(open(join(base, 'file', 'data'))).rejects.toMatchObject({ code: 'store_failed' })
  })

  test('may be opened and closed any number of times in one process', async () => {
    for (let i = 0; i < 3; i++) {
      const store = await open(path)
      store.journal.put(metaKey(`x${i}`), Buffer.from('1'))
      await store.close()
      await store.close()
    }
    expect((await start(path)).journal.committedGroup).toBe(3)
  })

  test('is full when it takes more than max_bytes', async () => {
    expect((await start(path, { max_bytes: 1_000_000_000 })).full).toBe(false)
    await opened.pop()?.close()
    expect((await start(path, { max_bytes: 10 })).full).toBe(true)
  })

  test('memory keeps nothing and makes no folder', async () => {
    const store = await start(path, { durability: 'memory' })
    store.journal.put(metaKey('x'), Buffer.from('1'))
    await store.journal.flush()
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe('the schema version', () => {
  const log = silentLog
  const version = (n: number): Buffer => {
    const row = Buffer.alloc(12)
    putU32(row, 0, n)
    row.write('aqueduct', 4)
    return row
  }
  const at = async (disk: MemoryDisk): Promise<number> => (await disk.get(metaKey('schema')))?.readUInt32BE(0) ?? 0

  test('an empty store gets the newest', async () => {
    const disk = new MemoryDisk()
    await migrate(disk, log)
    expect(await at(disk)).toBe(2)
  })

  test('an older one is brought up step by step, and a step that was cut is run again', async () => {
    const disk = new MemoryDisk()
    await disk.write([{ type: 'put', key: metaKey('schema'), value: version(1) }], true)
    const ran: number[] = []
    let cut = true
    const steps = [
      undefined,
      async () => {
        ran.push(1)
      },
      async () => {
        ran.push(2)
        if (cut) throw new Error('power')
      },
    ]
    await expect(migrate(disk, log, { steps })).rejects.toThrow('power')
    expect(await at(disk)).toBe(2)
    cut = false
    await migrate(disk, log, { steps })
    expect(ran).toEqual([1, 2, 2])
    expect(await at(disk)).toBe(3)
    await migrate(disk, log, { steps })
    expect(ran.length).toBe(3)
  })

  test('a newer one is refused', async () => {
    const disk = new MemoryDisk()
    await disk.write([{ type: 'put', key: metaKey('schema'), value: version(99) }], true)
    await expect(migrate(disk, log)).rejects.toMatchObject({ code: 'store_version' })
  })

  test('one that cannot be read is refused', async () => {
    const disk = new MemoryDisk()
    await disk.write([{ type: 'put', key: metaKey('schema'), value: Buffer.from('?') }], true)
    await expect(migrate(disk, log)).rejects.toMatchObject({ code: 'store_damaged' })
  })
})

describe('a store that loses its disk', () => {
  test('says so once, acknowledges nothing, and comes back with all that was acknowledged', async () => {
    const disk = new CutDisk()
    const { store, engine } = await openOn(disk)
    const queue = engine.createQueue({ name: 'a', kind: 'session', limits: NO_LIMITS, durable: true })
    const told: string[] = []
    store.onFailed = (error) => told.push(error.code)
    const answers: string[] = []
    const waiter = {
      committed: (n: number) => answers.push(`${n} stored`),
      commitFailed: (n: number) => answers.push(`${n} failed`),
    }
    const give = async (n: number): Promise<void> => {
      engine.begin(message(`${n}`))
      engine.append(queue, 0)
      store.journal.wait(waiter, n, store.journal.openGroup)
      await store.journal.flush().catch(() => {})
      await turn()
    }
    await give(1)
    disk.failing = true
    await give(2)
    disk.failing = false
    await give(3)
    expect(answers).toEqual(['1 stored', '2 failed', '3 failed'])
    expect(told).toEqual(['store_failed'])
    await engine.close()
    await store.close()
    const again = await openOn(new CutDisk(disk.rows))
    expect(again.engine.byName('session', 'a')?.counts().ready).toBe(1)
    await again.store.close()
  })

  test('full: new messages are refused below the mark, and taken again above it', async () => {
    const disk = new CutDisk()
    disk.free = 1_000_000
    const { store, clock } = await openOn(disk, { min_free_bytes: 500_000 })
    expect(store.full).toBe(false)
    disk.free = 499_999
    clock.advance(1_000)
    await new Promise((resolve) => setImmediate(resolve))
    expect(store.full).toBe(true)
    store.journal.put(metaKey('still'), Buffer.from('taken'))
    await store.journal.flush()
    disk.free = 1_000_000
    clock.advance(1_000)
    await new Promise((resolve) => setImmediate(resolve))
    expect(store.full).toBe(false)
    // Between two looks it counts what was written.
    store.journal.put(metaKey('large'), Buffer.alloc(300_000))
    await store.journal.flush()
    expect(store.full).toBe(true)
    await store.close()
  })
})

const HOLD = (folder: string): string => `
  import { ClassicLevel } from 'classic-level'
  const db = new ClassicLevel(${JSON.stringify(folder)})
  try { await db.open(); console.log('open'); process.stdin.resume(); process.stdin.on('end', () => process.exit(0)) }
  catch (e) { console.log(e.cause?.code ?? e.code); process.exit(0) }
`

/** What another process hears that tries to open `folder`. */
async function openElsewhere(folder: string): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', HOLD(folder)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  for await (const chunk of child.stdout) text += chunk
  return text.trim()
}

function holdElsewhere(folder: string): { ready: Promise<void>; end: () => Promise<void> } {
  const child = spawn(process.execPath, ['--input-type=module', '-e', HOLD(folder)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  const ready = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
  return {
    ready,
    end: () => {
      child.stdin.end()
      return ended
    },
  }
}
