/**
 * The folder as it stands, before LevelDB gets it. LevelDB takes a log that it cannot open or read for an empty one and then deletes it, passes over
 * bytes that have changed, and ends the process over some of them; and `classic-level` has no way to make it strict. So everything that it will
 * rely on is read here first: CURRENT and MANIFEST, every log that is needed, of every table the footer, the index and the
 * filter, and of the youngest tables all rows.
 *
 * Always true: nothing is changed here. What cannot be read now is `store_failed` (try again), what has changed or is missing is `store_damaged`.
 */
import { type Finder, readState } from './finder.js'
import type { Manifest } from './level/manifest.js'
import { type ReadLogs, readLogs } from './logs.js'
import { byAge, type Changed, checkTable, tableName, verifyTable } from './tables.js'

export interface Inspection extends ReadLogs {
  readonly manifest: Manifest
  /** Numbers of the tables whose rows were looked at, and what was found. */
  readonly verified: ReadonlySet<number>
  readonly changed: readonly Changed[]
}

/** Reads all that LevelDB needs, and the rows of tables up to `bytes`. `mayEndEarly`: see `readLogs`. */
export async function inspect(f: Finder, bytes: number, mayEndEarly: boolean): Promise<Inspection> {
  const manifest = await readState(f)
  const there = new Set(await f.about('', async () => (await f.files.list(f.folder)) ?? []))
  const logs = await readLogs(f, manifest, there, mayEndEarly)
  const verified = new Set<number>()
  const changed: Changed[] = []
  let left = bytes
  for (const table of byAge(manifest.tables)) {
    const name = tableName(table.number, there)
    left -= table.size
    if (left < 0) await checkTable(f, name, table)
    else {
      changed.push(...(await verifyTable(f, name, table, turn)))
      verified.add(table.number)
    }
  }
  return { manifest, ...logs, verified, changed }
}

/** Others have a turn. */
function turn(): Promise<boolean> {
  return new Promise((resolve) => setImmediate(resolve, true))
}
