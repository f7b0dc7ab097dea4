/** Definition rows, and what a start reads of each queue: its definition, its head, and the rows of what is leased; never its index. */
import type { CheckedDisk } from '../store/checked.js'
import type { Damaged } from '../store/disk.js'
import { orderedState, orderedStateFields } from '../store/keys.js'
import { parseAttributes, type QueueAttributes } from './attributes.js'
import { LEASED, type OrderedEntry } from './ordered-entry.js'
import { entryOf } from './ordered-pages.js'
import { rebuildHead } from './ordered-rebuild.js'
import { classRows, decodeHead, type Head, isDefinitionSlot, isHeadSlot } from './ordered-rows.js'

/** `internal`: a plugin's own, which nobody else sees. */
export type OrderedKind = 'pull' | 'dead' | 'internal'

const KINDS: readonly unknown[] = ['pull', 'dead', 'internal'] satisfies OrderedKind[]

export interface Definition {
  readonly name: string
  readonly kind: OrderedKind
  readonly attributes: QueueAttributes
}

export function encodeDefinition({ name, kind, attributes }: Definition): Buffer {
  return Buffer.from(JSON.stringify({ version: 1, name, kind, attributes }))
}

export interface FoundQueue extends Definition {
  readonly id: number
  readonly head: Head
  readonly leased: readonly OrderedEntry[]
  /** Leased entries whose rows are damaged. */
  readonly lostLeases: number
  /** Its head was damaged, and is made anew. */
  readonly rebuilt: boolean
}

export interface FoundQueues {
  readonly queues: readonly FoundQueue[]
  /** Queues whose definition is damaged: nobody knows what they are called. Their rows stay. */
  readonly nameless: readonly { readonly id: number; readonly head: Head }[]
}

/** Every queue that the disk knows, deleted ones whose rows are not all gone included. */
export async function readQueues(disk: CheckedDisk): Promise<FoundQueues> {
  const heads = new Map<number, Head>()
  const definitions = new Map<number, Definition>()
  const damaged = new Set<number>()
  const onDamaged = ({ key, lt }: Damaged): void => {
    if (lt === undefined && key.length === STATE_KEY_BYTES) damaged.add(orderedStateFields(key).queueId)
  }
  for await (const { key, value } of disk.scan(orderedState, { onDamaged })) {
    const { queueId, seq } = orderedStateFields(key)
    const head = isHeadSlot(seq) ? decodeHead(value) : undefined
    const definition = isDefinitionSlot(seq) ? parseDefinition(value) : undefined
    if (head !== undefined) heads.set(queueId, head)
    else if (definition !== undefined) definitions.set(queueId, definition)
    else {
      disk.damage.note({ key })
      onDamaged({ key })
    }
  }
  const queues: FoundQueue[] = []
  for (const [id, definition] of definitions) {
    const known = heads.get(id)
    const head = known ?? (await rebuildHead(disk, id))
    const { leased, lostLeases } = head.deleted ? NONE : await readLeased(disk, id)
    queues.push({ id, ...definition, head, leased, lostLeases, rebuilt: known === undefined })
  }
  // One without either row is known by its entries.
  for (const id of damaged) if (!definitions.has(id) && !heads.has(id)) heads.set(id, await rebuildHead(disk, id))
  const nameless = [...heads].filter(([id]) => !definitions.has(id)).map(([id, head]) => ({ id, head }))
  return { queues, nameless }
}

const STATE_KEY_BYTES = 11
const NONE = { leased: [], lostLeases: 0 }

async function readLeased(disk: CheckedDisk, id: number): Promise<Pick<FoundQueue, 'leased' | 'lostLeases'>> {
  const leased: OrderedEntry[] = []
  let lostLeases = 0
  const onDamaged = (): void => {
    lostLeases++
  }
  for await (const { key, value } of disk.scan(classRows(id, LEASED, 0, 0), { onDamaged })) {
    const e = entryOf(key, value)
    if (e !== undefined) leased.push(e)
    else {
      disk.damage.note({ key })
      onDamaged()
    }
  }
  return { leased, lostLeases }
}

/** Undefined when it cannot be read. */
function parseDefinition(value: Buffer): Definition | undefined {
  try {
    const d = JSON.parse(value.toString()) as { version?: unknown; name?: unknown; kind?: unknown; attributes?: unknown }
    if (d.version !== 1 || typeof d.name !== 'string' || !KINDS.includes(d.kind)) return undefined
    return { name: d.name, kind: d.kind as OrderedKind, attributes: parseAttributes(d.attributes) }
  } catch {
    return undefined
  }
}
