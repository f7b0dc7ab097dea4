/** A data folder comes into being whole or not at all. */
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../src/core/log.js'
import { clearLeftovers, makeDatabase, makeFolder } from '../src/store/create.js'
import { openStore } from '../src/store/store.js'
import { ManualClock } from './support/clock.js'

let path: string
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'aqueduct-create-'))
})
afterEach(() => rm(path, { recursive: true, force: true }))

const open = () =>
  openStore({ path, durability: 'fsync', min_free_bytes: 0, max_bytes: 0, clock: new ManualClock(), log: silentLog })

describe('making the data folder', () => {
  it('makes missing parents, for the owner only', async () => {
    const deep = join(path, 'a', 'b')
    await makeFolder(deep)
    expect((await stat(deep)).mode & 0o777).toBe(0o700)
  })

  it('builds aside: what is built is not in its place before it is whole', async () => {
    await makeDatabase(path, async (aside) => {
      await writeFile(join(aside, 'CURRENT'), 'x')
      expect(await readdir(path)).toEqual([expect.stringMatching(/^level\.new-/)])
    })
    expect(await readdir(path)).toEqual(['level'])
    expect(await readdir(join(path, 'level'))).toEqual(['CURRENT'])
  })

  it('leaves nothing behind when building fails', async () => {
    await expect(makeDatabase(path, () => Promise.reject(new Error('no room')))).rejects.toThrow('no room')
    expect(await readdir(path)).toEqual([])
  })

  it('touches no database that is there', async () => {
    await mkdir(join(path, 'level'))
    await writeFile(join(path, 'level', 'CURRENT'), 'x')
    await makeDatabase(path, () => Promise.reject(new Error('must not build')))
    expect(await readdir(join(path, 'level'))).toEqual(['CURRENT'])
  })

  it('is content with the one that another process made meanwhile', async () => {
    await makeDatabase(path, async () => {
      await mkdir(join(path, 'level'))
      await writeFile(join(path, 'level', 'theirs'), 'x')
    })
    expect(await readdir(join(path, 'level'))).toEqual(['theirs'])
    expect(await readdir(path)).toEqual(['level'])
  })

  it('removes what an earlier start left half built, and nothing else', async () => {
    await mkdir(join(path, 'level.new-abc'))
    await writeFile(join(path, 'level.new-abc', 'MANIFEST-000001'), '')
    await writeFile(join(path, 'notes'), 'mine')
    await (await open()).close()
    expect((await readdir(path)).sort()).toEqual(['level', 'lock', 'mark', 'notes'])
    await clearLeftovers(path)
    expect((await readdir(path)).sort()).toEqual(['level', 'lock', 'mark', 'notes'])
  })
})
