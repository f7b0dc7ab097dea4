/** A store that failed is opened again only when its folder can be read whole; until then the broker is not ready, and nothing is lost. */
import { cp, mkdir, mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Broker } from '../src/broker/broker.js'
import { AqueductError } from '../src/core/errors.js'
import { type Log, silentLog } from '../src/core/log.js'
import { Standing } from '../src/standing.js'
import { type Files, realFiles } from '../src/store/files.js'
import { metaKey } from '../src/store/keys.js'
import { ManualClock } from './support/clock.js'

let path: string
let clock: ManualClock
let sick: boolean
let said: string[]
let standing: Standing

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'aqueduct-standing-'))
  clock = new ManualClock()
  sick = false
  said = []
  const log: Log = { ...silentLog, error: (fields, text) => said.push(`${text}: ${(fields as { err?: Error }).err?.message}`) }
  const files: Files = {
    ...realFiles,
    open: (file) =>
      sick && file.endsWith('.log')
        ? Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }))
        : realFiles.open(file),
  }
  const broker = { open: () => Promise.resolve({}), suspend: () => {} } as unknown as Broker
  const options = { path, durability: 'fsync' as const, min_free_bytes: 0, max_bytes: 0, clock, log, files }
  standing = new Standing(broker, options, log)
  await standing.open()
  standing.store?.journal.put(metaKey('row'), Buffer.from('stored'))
  await standing.store?.journal.flush()
})
afterEach(async () => {
  await standing.close()
  await rm(path, { recursive: true })
})

function fail(): void {
  standing.store?.onFailed?.(new AqueductError('store_failed', 'a test'))
}

/** Moves the clock, and gives files their time, until `done` or for many turns. */
async function until(done: () => boolean, turns = 100_000): Promise<void> {
  for (let i = 0; i < turns && !done(); i++) {
    if (i % 50 === 0) clock.advance(250)
    // Goes through the same threads as the files that are waited for.
    await stat(tmpdir())
  }
}

const refusals = (): string[] => said.filter((line) => line.includes('cannot be opened again yet'))

test('a log that cannot be read now: not ready, said once, and open with all rows when it can be read', async () => {
  sick = true
  fail()
  await until(() => refusals().length > 0)
  await until(() => false, 2_000)
  expect(standing.readiness()).toMatchObject({ ready: false, reason: expect.stringContaining('could not be read now') })
  expect(refusals().length).toBe(1)
  sick = false
  await until(() => standing.readiness().ready)
  expect(standing.readiness()).toEqual({ ready: true })
  expect(String(await standing.store?.disk.get(metaKey('row')))).toBe('stored')
})

test('a log that lost its end: refused again and again, said once, and open when it was restored', async () => {
  const copy = `${path}-copy`
  const store = standing.store
  fail()
  await store?.close()
  const log = (await readdir(join(path, 'level'))).filter((name) => name.endsWith('.log')).sort()[0]
  await mkdir(copy)
  await cp(join(path, 'level', log), join(copy, log))
  await truncate(join(path, 'level', log), 20)
  await until(() => refusals().length > 0)
  await until(() => false, 2_000)
  expect(standing.readiness()).toMatchObject({
    ready: false,
    reason: expect.stringMatching(/ends at commit \d+, but commit \d+ was stored/),
  })
  expect(refusals().length).toBe(1)
  // The attempt that is under way puts its folder back; the next one waits for the clock.
  for (let i = 0; i < 10_000; i++) await stat(tmpdir())
  await cp(join(copy, log), join(path, 'level', log))
  await rm(copy, { recursive: true })
  await until(() => standing.readiness().ready)
  expect(String(await standing.store?.disk.get(metaKey('row')))).toBe('stored')
})

test('damage that LevelDB cannot get over ends the attempts, with what to do: the broker does not go up and down', async () => {
  const damaged = (): void => standing.store?.onFailed?.(new AqueductError('store_damaged', 'a compaction failed'))
  damaged()
  await until(() => standing.readiness().ready)
  expect(standing.reopened).toBe(1)
  damaged()
  await until(() => false, 2_000)
  expect(standing.readiness()).toMatchObject({ ready: false, reason: expect.stringContaining('a compaction failed') })
  expect(standing.reopened).toBe(1)
  expect(said.filter((line) => line.includes('restore store.path from a copy'))).toHaveLength(1)
})
