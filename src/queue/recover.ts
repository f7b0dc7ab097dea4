/**
 * Rebuilds the plain queues at a start: definitions, then heads, then what was acknowledged since, then one pass over the entry rows.
 * An entry whose queue has no definition is dead: deleting a queue needs nothing more than losing that row.
 */

import { AqueductError } from '../core/errors.js'
import { EXTENT_SEQUENCES } from '../core/limits.js'
import type { Log } from '../core/log.js'
import { U48_MAX } from '../store/bytes.js'
import { extentOf } from '../store/extents.js'
import * as keys from '../store/keys.js'
import { EntryReader, ROW_VERSION } from '../store/rows.js'
import type { Store } from '../store/store.js'
import { LeaseBook, QueueEntry } from './entry.js'
import type { PlainQueue } from './plain.js'
import { type Definition, type Head, nextQueueIdKey, readDefinition, readHead, readNextQueueId } from './records.js'

export interface Recovered {
  /** Id that the next queue gets. */
  readonly nextId: number
  readonly entries: number
}

/** One queue while it is being rebuilt. */
interface Rebuilt {
  readonly queue: PlainQueue
  readonly head: Head | undefined
  readonly acks: Set<number> | undefined
  /** Below it, what is not acknowledged was handed out before. */
  readonly lastAck: number
  /** Index of the first entry that waits, -1 for none. */
  firstIndex: number
}

/** Makes each queue through `make` and fills it with its entries; `dirty` gets those with acknowledgements that no head covers. */
export async function recoverQueues(
  store: Store,
  log: Log,
  make: (id: number, definition: Definition) => PlainQueue,
  dirty: (queue: PlainQueue) => void,
): Promise<Recovered> {
  const { disk, messages } = store
  const nextRow = await disk.get(nextQueueIdKey)
  let nextId = nextRow === undefined ? 1 : readNextQueueId(nextRow)
  const heads = new Map<number, Head>()
  for await (const { key, value } of disk.scan(keys.heads)) heads.set(keys.queueIdOf(key), readHead(value))
  const rebuilt = new Map<number, Rebuilt>()
  for await (const { key, value } of disk.scan(keys.queueDefinitions)) {
    const id = keys.queueIdOf(key)
    if (id >= nextId) nextId = id + 1
    const queue = make(id, readDefinition(value))
    const head = heads.get(id)
    const acks = messages.recoveredAcks.get(id)
    if (head !== undefined) queue.nextIndex = head.nextIndex
    if (acks !== undefined) dirty(queue)
    rebuilt.set(id, { queue, head, acks, lastAck: highest(acks), firstIndex: -1 })
  }
  messages.recoveredAcks.clear()
  const entries = await readEntries(store, rebuilt)
  for (const { queue, firstIndex } of rebuilt.values()) {
    queue.recoveredBelow = queue.nextIndex
    if (firstIndex >= 0 && firstIndex !== queue.nextIndex - queue.waiting) {
      log.warn({ queue: queue.name, kind: queue.kind }, 'some waiting messages of this queue are missing from the store')
    }
  }
  return { nextId, entries }
}

async function readEntries(store: Store, rebuilt: Map<number, Rebuilt>): Promise<number> {
  const { disk, messages } = store
  const { extents } = messages
  const reader = new EntryReader()
  let count = 0
  for await (const { key, value } of disk.scan(keys.entryRows(messages.oldestExtent * EXTENT_SEQUENCES, U48_MAX))) {
    const firstSeq = keys.rowNumber(key)
    const extent = extents.need(extentOf(firstSeq))
    extent.addRow(firstSeq)
    extent.bytes += value.length
    if (value[0] !== ROW_VERSION) {
      throw new AqueductError(
        'store_damaged',
        `Entry row ${firstSeq} of the store cannot be read. Nothing was changed. Restore the store from a copy.`,
      )
    }
    reader.open(value, firstSeq)
    while (reader.nextMessage()) {
      extent.bytes += reader.bytes
      while (reader.nextEntry()) {
        extent.total++
        const slot = rebuilt.get(reader.queueId)
        if (slot === undefined || !restore(slot, reader)) continue
        extent.live++
        count++
      }
    }
    messages.skipTo(reader.seq)
  }
  return count
}

/** Puts the entry that `reader` stands on to its place. False when it is gone. */
function restore(slot: Rebuilt, reader: EntryReader): boolean {
  const { queue, head, acks } = slot
  const { seq, index } = reader
  if (index >= queue.nextIndex) queue.nextIndex = index + 1
  if (acks?.has(seq) === true) return false
  if (head !== undefined && seq < head.cursor) {
    const attempts = head.outstanding.get(seq)
    if (attempts === undefined) return false
    giveBack(queue, reader, attempts)
  } else if (seq < slot.lastAck) {
    // A later one is acknowledged, so this one was handed out at least once.
    giveBack(queue, reader, 1)
  } else {
    if (slot.firstIndex < 0) slot.firstIndex = index
    queue.bytes += reader.bytes
    queue.place(seq, index, reader.bytes, reader.flags, reader.extra())
  }
  return true
}

function giveBack(queue: PlainQueue, reader: EntryReader, attempts: number): void {
  const entry = new QueueEntry(reader.seq, reader.index, reader.flags, reader.extra(), reader.bytes, undefined)
  entry.attempts = attempts
  if (queue.book === null) queue.book = new LeaseBook()
  queue.book.giveBack(entry)
  queue.bytes += entry.bytes
}

function highest(acks: Set<number> | undefined): number {
  let seq = 0
  if (acks !== undefined) for (const ack of acks) if (ack > seq) seq = ack
  return seq
}
