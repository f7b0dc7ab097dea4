import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLevelDisk } from '../src/store/level.js'
import { MemoryDisk } from '../src/store/memory.js'
import { diskContract } from './contract/disk.js'
import { CutDisk } from './support/cut-disk.js'
import { checked } from './support/store.js'

diskContract('memory', async () => ({ disk: new MemoryDisk(), remove: async () => {} }))

diskContract('LevelDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aqueduct-disk-'))
  return { disk: await openLevelDisk(folder), remove: () => rm(folder, { recursive: true }) }
})

diskContract('checksums in memory', async () => ({ disk: checked(new MemoryDisk()), remove: async () => {} }))

diskContract('checksums on LevelDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aqueduct-disk-'))
  return { disk: checked(await openLevelDisk(folder)), remove: () => rm(folder, { recursive: true }) }
})

diskContract('the cut disk of the tests', async () => {
  const rows = new MemoryDisk()
  const disk = new CutDisk(rows)
  disk.close = () => rows.close()
  return { disk, remove: async () => {} }
})
