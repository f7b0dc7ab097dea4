/** What a start reads of plain queues beside their entries: definitions, heads, the next id. And what it makes of those that are damaged. */
import { hasCode } from '../core/errors.js'
import type { Damaged } from '../store/disk.js'
import * as keys from '../store/keys.js'
import type { Store } from '../store/store.js'
import { type Definition, type Head, nextQueueIdKey, readDefinition, readHead, readNextQueueId } from './records.js'

export interface Found {
  readonly definitions: Map<number, Definition>
  /** Those whose definition was made up for. */
  readonly redefined: ReadonlySet<number>
  /** Ids of queues that are there no more in anything but their head and entries. */
  readonly undefined: ReadonlySet<number>
  readonly heads: Map<number, Head>
  /** Ids under which a damaged head stands. */
  readonly lostHeads: ReadonlySet<number>
  /** Some head may be an older one: the newest has another key, or cannot be found. */
  readonly headsUnsure: boolean
  readonly nextId: number
}

/** Rows that could not be read, with the sequences that they begin at. */
export interface Lost {
  rows: number
  from: number
  to: number
}

const KEY_BYTES = 5
/** Ids that are left out when it is not known which were given: nobody has made so many queues since the newest that can be seen. */
const ID_JUMP = 0x1_0000

export async function findQueues(
  store: Store,
  define: ((ids: ReadonlySet<number>) => Promise<Map<number, Definition>>) | undefined,
): Promise<Found> {
  const { disk } = store
  const heads = new Map<number, Head>()
  const lostHeads = new Set<number>()
  let unsure = false
  const headLost = ({ key, lt }: Damaged): void => {
    if (lt !== undefined || key.length !== KEY_BYTES) unsure = true
    else lostHeads.add(keys.queueIdOf(key))
  }
  for await (const { key, value } of disk.scan(keys.heads, { onDamaged: headLost })) {
    const head = readHead(value)
    if (head !== undefined) heads.set(keys.queueIdOf(key), head)
    else {
      disk.damage.note({ key })
      headLost({ key })
    }
  }
  const definitions = new Map<number, Definition>()
  const lost = new Set<number>()
  const definitionLost = ({ key, lt }: Damaged): void => {
    if (lt === undefined && key.length === KEY_BYTES) lost.add(keys.queueIdOf(key))
  }
  for await (const { key, value } of disk.scan(keys.queueDefinitions, { onDamaged: definitionLost })) {
    const definition = readDefinition(value)
    if (definition !== undefined) definitions.set(keys.queueIdOf(key), definition)
    else {
      disk.damage.note({ key })
      definitionLost({ key })
    }
  }
  // Both leave in one commit: a head without a definition is of a queue that is there.
  for (const id of [...heads.keys(), ...lostHeads]) if (!definitions.has(id)) lost.add(id)
  const made = lost.size === 0 || define === undefined ? new Map<number, Definition>() : await define(lost)
  for (const [id, definition] of made) definitions.set(id, definition)
  const gone = new Set([...lost].filter((id) => !definitions.has(id) && heads.has(id)))
  // A damaged head under the id of no queue has a damaged key: of whom it was, an older one may have been read.
  if ([...lostHeads].some((id) => !definitions.has(id))) unsure = true
  const nextId = await nextIdOf(store, [...definitions.keys(), ...lost])
  return { definitions, redefined: new Set(made.keys()), undefined: gone, heads, lostHeads, headsUnsure: unsure, nextId }
}

async function nextIdOf(store: Store, ids: readonly number[]): Promise<number> {
  const { disk } = store
  const row = await disk.get(nextQueueIdKey).catch((error: unknown) => {
    if (hasCode(error, 'store_damaged')) return undefined
    throw error
  })
  const said = row === undefined ? undefined : readNextQueueId(row)
  let highest = 0
  for (const id of ids) highest = Math.max(highest, id)
  if (said !== undefined) return Math.max(said, highest + 1)
  if (row !== undefined) disk.damage.note({ key: nextQueueIdKey })
  for (const range of [keys.orderedState, keys.orderedIndex]) {
    // The last row has the highest id.
    for await (const { key } of disk.scan(range, { keysOnly: true, reverse: true, limit: 1 })) {
      highest = Math.max(highest, keys.queueIdOf(key))
    }
  }
  return highest === 0 ? 1 : highest + ID_JUMP
}
