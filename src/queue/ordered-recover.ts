/** Definition rows, and what a start reads of each queue: its definition, its head, and the rows of what is leased; never its index. */
import { AqueductError } from '../core/errors.js'
import type { Disk } from '../store/disk.js'
import { orderedState, orderedStateFields } from '../store/keys.js'
import { parseAttributes, type QueueAttributes } from './attributes.js'
import { LEASED, type OrderedEntry } from './ordered-entry.js'
import { entryOf } from './ordered-pages.js'
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
}

/** Every queue that the disk knows, deleted ones whose rows are not all gone included. Throws `store_damaged`. */
export async function readQueues(disk: Disk): Promise<FoundQueue[]> {
  const heads = new Map<number, Head>()
  const definitions = new Map<number, Definition>()
  for await (const { key, value } of disk.scan(orderedState)) {
    const { queueId, seq } = orderedStateFields(key)
    if (isHeadSlot(seq)) {
      const head = decodeHead(value)
      if (head === undefined) throw damaged(queueId)
      heads.set(queueId, head)
    } else if (isDefinitionSlot(seq)) definitions.set(queueId, parseDefinition(queueId, value))
  }
  const found: FoundQueue[] = []
  for (const [id, definition] of definitions) {
    const head = heads.get(id)
    if (head === undefined) throw damaged(id)
    const leased = head.deleted ? [] : await readLeased(disk, id)
    found.push({ id, ...definition, head, leased })
  }
  return found
}

async function readLeased(disk: Disk, id: number): Promise<OrderedEntry[]> {
  const leased: OrderedEntry[] = []
  for await (const { key, value } of disk.scan(classRows(id, LEASED, 0, 0))) {
    const e = entryOf(key, value)
    if (e === undefined) throw damaged(id)
    leased.push(e)
  }
  return leased
}

function parseDefinition(id: number, value: Buffer): Definition {
  try {
    const d = JSON.parse(value.toString()) as { version?: unknown; name?: unknown; kind?: unknown; attributes?: unknown }
    if (d.version !== 1 || typeof d.name !== 'string' || !KINDS.includes(d.kind)) throw damaged(id)
    return { name: d.name, kind: d.kind as OrderedKind, attributes: parseAttributes(d.attributes) }
  } catch (error) {
    throw new AqueductError('store_damaged', `The definition of queue ${id} cannot be read.`, { cause: error })
  }
}

function damaged(id: number): AqueductError {
  return new AqueductError('store_damaged', `The rows of queue ${id} cannot be read.`)
}
