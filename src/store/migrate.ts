/**
 * The schema version of a folder, and the way up from an older one. A step changes rows in as many batches as it needs and may be run
 * again after it was cut; the version row is written, flushed, when a step is done.
 *
 * To change a stored format: add the new number with its step here, keep reading the old record version where rows are long-lived,
 * and add a folder of the old kind to the tests.
 */
import { AqueductError } from '../core/errors.js'
import type { Log } from '../core/log.js'
import { getU32, putU32 } from './bytes.js'
import type { Disk, Op } from './disk.js'
import { everything, metaKey } from './keys.js'

export type Step = (disk: Disk) => Promise<void>
type Steps = readonly (Step | undefined)[]

/**
 * `steps[n]` leads from version n to n + 1. Version 1 is the first. In version 2 rows have checksums (`checked.ts`): those of before are read as they
 * are, and get one when they are written again.
 */
const STEPS: Steps = [undefined, () => Promise.resolve()]
const APP = 'aqueduct'
const schemaKey = metaKey('schema')

/** Brings the store to the newest version, or marks an empty one with it, and `made` beside. Throws `store_version` or `store_damaged`. */
export async function migrate(disk: Disk, log: Log, o: { steps?: Steps; made?: readonly Op[] } = {}): Promise<void> {
  const { steps = STEPS, made = [] } = o
  const newest = steps.length
  const row = await disk.get(schemaKey)
  if (row === undefined) {
    for await (const _row of disk.scan(everything, { limit: 1 })) {
      throw new AqueductError(
        'store_damaged',
        'The database of store.path has rows but no schema version, so it is not of Aqueduct. Nothing was changed. Set another store.path.',
      )
    }
    return mark(disk, newest, made)
  }
  if (row.length < 4 || row.toString('latin1', 4) !== APP) {
    throw new AqueductError(
      'store_damaged',
      'The schema row of store.path cannot be read. Nothing was changed. Restore it from a copy.',
    )
  }
  let version = getU32(row, 0)
  if (version > newest) {
    throw new AqueductError(
      'store_version',
      `store.path was written by a newer Aqueduct (schema ${version}; this one knows ${newest}). Use that version, or another store.path.`,
    )
  }
  for (; version < newest; version++) {
    const step = steps[version]
    if (step === undefined) throw new AqueductError('store_version', `There is no way from schema ${version} to ${newest}.`)
    log.info({ from: version, to: version + 1 }, 'upgrading the store')
    await step(disk)
    await mark(disk, version + 1)
  }
}

function mark(disk: Disk, version: number, beside: readonly Op[] = []): Promise<void> {
  const value = Buffer.alloc(4 + APP.length)
  putU32(value, 0, version)
  value.write(APP, 4, 'latin1')
  return disk.write([...beside, { type: 'put', key: schemaKey, value }], true)
}
