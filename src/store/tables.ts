/**
 * The checksums of tables, block by block, which LevelDB itself does not look at. Used before an open, up to some bytes, and by the sweep for the rest.
 */
import { join } from 'node:path'
import { type OpenFile, readExactly } from './files.js'
import type { Finder } from './finder.js'
import { describeKey } from './keys.js'
import { Malformed } from './level/coding.js'
import { type Hazard, hazardOf } from './level/hazard.js'
import type { TableFile } from './level/manifest.js'
import {
  BLOCK_TRAILER_BYTES,
  checkBlock,
  FOOTER_BYTES,
  type Handle,
  isWhole,
  type RowBlock,
  readFooter,
  readIndex,
  readMeta,
} from './level/table.js'

/** Bytes of a table that are read and checked in one go: half a millisecond. */
const SLICE_BYTES = 256 * 1024

/** Rows of a table that are not what was written, from one key to another (`keys.ts`). */
export interface Changed {
  readonly file: string
  /** Of the table: those of level 0 are compacted soon. */
  readonly level: number
  readonly hazard: Hazard
  readonly from: string
  readonly to: string
  readonly bytes: number
}

/** Checks what LevelDB reads when it opens the table: footer, index, filter. Rejects with a sentence about it. */
export function checkTable(f: Finder, name: string, table: TableFile): Promise<void> {
  return onTable(f, name, async (file) => void (await readBlocks(file, table.size)))
}

/** The same, and all its rows. `rest` is waited for after each slice and ends the look when it says false. */
export function verifyTable(
  f: Finder,
  name: string,
  table: TableFile,
  rest: (bytes: number) => Promise<boolean>,
): Promise<Changed[]> {
  return onTable(f, name, async (file) => {
    const found: Changed[] = []
    const blocks = await readBlocks(file, table.size)
    for (let i = 0; i < blocks.length; ) {
      const from = blocks[i].at
      let next = i
      while (next < blocks.length && endOf(blocks[next]) - from <= SLICE_BYTES) next++
      // A block larger than a slice.
      if (next === i) next++
      const bytes = await readExactly(file, from, endOf(blocks[next - 1]) - from)
      for (; i < next; i++) {
        const { at } = blocks[i]
        const block = bytes.subarray(at - from, endOf(blocks[i]) - from)
        if (!isWhole(block)) found.push(changed(join(f.folder, name), table, blocks, i, block))
      }
      if (!(await rest(bytes.length))) break
    }
    return found
  })
}

/** The name that the table has in a folder with the files `there`. */
export function tableName(number: number, there: ReadonlySet<string>): string {
  const stem = String(number).padStart(6, '0')
  return there.has(`${stem}.ldb`) || !there.has(`${stem}.sst`) ? `${stem}.ldb` : `${stem}.sst`
}

/** In the order in which LevelDB is likely to read them: the youngest first. */
export function byAge(tables: readonly TableFile[]): TableFile[] {
  return [...tables].sort((a, b) => Number(b.level === 0) - Number(a.level === 0) || b.number - a.number)
}

function onTable<T>(f: Finder, name: string, look: (file: OpenFile) => Promise<T>): Promise<T> {
  return f.about(name, async () => {
    const file = await f.files.open(join(f.folder, name))
    try {
      return await look(file)
    } finally {
      await file.close()
    }
  })
}

/** The blocks of a table that are rows; the others are checked here. Throws `Malformed`. */
async function readBlocks(file: OpenFile, size: number): Promise<RowBlock[]> {
  if (file.size < size) throw new Malformed(`it has ${file.size} of ${size} bytes`)
  if (size < FOOTER_BYTES) throw new Malformed('it is too short to be a table')
  const { meta, index } = readFooter(await readExactly(file, size - FOOTER_BYTES, FOOTER_BYTES), size)
  const blocks = readIndex(await readBlock(file, index), size)
  for (const filter of readMeta(await readBlock(file, meta), size)) checkBlock(await readBlock(file, filter), 'filter')
  return blocks
}

function changed(file: string, table: TableFile, blocks: readonly RowBlock[], i: number, block: Buffer): Changed {
  const before = blocks[i - 1]?.last
  const low = before ?? table.smallest
  const high = blocks[i].last
  const hazard = hazardOf(block, { low, mayEqualLow: before === undefined, high })
  return {
    file,
    level: table.level,
    hazard,
    from: describeKey(userKey(low)),
    to: describeKey(userKey(high)),
    bytes: block.length,
  }
}

function userKey(key: Buffer): Buffer {
  return key.subarray(0, key.length - 8)
}

function readBlock(file: OpenFile, handle: Handle): Promise<Buffer> {
  return readExactly(file, handle.at, endOf(handle) - handle.at)
}

function endOf({ at, size }: Handle): number {
  return at + size + BLOCK_TRAILER_BYTES
}
