/** The sweep over tables, at an open store. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Log, silentLog } from '../src/core/log.js'
import { realFiles } from '../src/store/files.js'
import { Finder } from '../src/store/finder.js'
import { messageRowKey } from '../src/store/keys.js'
import { openLevelDisk } from '../src/store/level.js'
import { Sweep } from '../src/store/sweep.js'
import { ManualClock } from './support/clock.js'

let base: string
let folder: string
let table: string
let clock: ManualClock
let lines: Record<string, unknown>[]
let done: number
const log: Log = { ...silentLog, error: (fields, text) => lines.push({ ...fields, text }) }

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'aqueduct-sweep-'))
  folder = join(base, 'level')
  const disk = await openLevelDisk(folder)
  const puts = Array.from({ length: 2_000 }, (_, n) => ({
    type: 'put' as const,
    key: messageRowKey(n),
    value: Buffer.from(
      Math.sin(n + 1)
        .toString(36)
        .repeat(20),
    ),
  }))
  await disk.write(puts, true)
  await disk.close()
  await (await openLevelDisk(folder)).close()
  table = join(folder, (await readdir(folder)).filter((f) => f.endsWith('.ldb'))[0])
  clock = new ManualClock()
  lines = []
  done = 0
})
afterEach(() => rm(base, { recursive: true }))

function sweepOf(verified: ReadonlySet<number> = new Set()): Sweep {
  return new Sweep({ finder: new Finder(realFiles, base, folder), clock, log, verified, onDone: () => done++ })
}

/** Moves the clock until the pass is over. */
async function untilDone(passes = 1): Promise<void> {
  for (let i = 0; i < 10_000 && done < passes; i++) {
    clock.advance(1_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(done).toBe(passes)
}

async function harm(at: number): Promise<void> {
  const bytes = await readFile(table)
  bytes[at] ^= 1
  await writeFile(table, bytes)
}

test('sound tables: nothing is said, and the pass ends', async () => {
  const sweep = sweepOf()
  sweep.start(() => 7)
  await untilDone()
  await sweep.close()
  expect(lines).toEqual([])
  expect(sweep.damagedBlocks).toBe(0)
})

test('a changed byte: said once, with the table and the keys, also when it is swept again', async () => {
  await harm(5_000)
  const sweep = sweepOf()
  sweep.start(() => 7)
  await untilDone()
  clock.advance(24 * 60 * 60 * 1_000)
  await untilDone(2)
  await sweep.close()
  expect(lines).toEqual([
    {
      file: table,
      blocks: 1,
      bytes: expect.any(Number),
      from: expect.stringMatching(/^M 0000/),
      to: expect.stringMatching(/^M 0000/),
      text: expect.stringContaining('have changed'),
    },
    {
      file: table,
      keys_from: expect.stringMatching(/^M 0000/),
      keys_to: expect.stringMatching(/^M 0000/),
      from: 1,
      to: 7,
      text: expect.stringContaining('may be missing'),
    },
  ])
  expect(sweep.damagedBlocks).toBe(2)
})

test('what the open has verified is left out of the first pass', async () => {
  await harm(5_000)
  const sweep = sweepOf(new Set([Number.parseInt(table.slice(folder.length + 1), 10)]))
  sweep.start(() => 7)
  await untilDone()
  expect(lines).toEqual([])
  clock.advance(24 * 60 * 60 * 1_000)
  await untilDone(2)
  await sweep.close()
  expect(lines.length).toBe(2)
})

test('a table that has gone is no damage while MANIFEST does not name it; one that it names is', async () => {
  await rm(table)
  const sweep = sweepOf()
  sweep.start(() => 7)
  await untilDone()
  await sweep.close()
  expect(lines).toEqual([{ err: expect.objectContaining({ code: 'store_damaged' }), text: 'a table of the store is damaged' }])
})

test('closing ends a pass between two slices', async () => {
  const sweep = sweepOf()
  sweep.start(() => 7)
  clock.advance(1_000)
  await sweep.close()
  expect(done).toBe(0)
})
