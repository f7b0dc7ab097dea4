/**
 * Rebuilds the plain queues at a start: definitions, then heads, then what was acknowledged since, then one pass over the entry rows.
 * An entry whose queue has neither definition nor head is dead: deleting a queue needs nothing more than losing those rows.
 *
 * What is damaged is made up for where another row says the same, else said and counted: see the table in `store/README.md`. Always true: indexes of what
 * waits have no hole; what stood before a hole comes back as returned, under its own index.
 */

import { EXTENT_SEQUENCES } from '../core/limits.js'
import type { Log } from '../core/log.js'
import { U48_MAX } from '../store/bytes.js'
import { extentOf } from '../store/extents.js'
import * as keys from '../store/keys.js'
import { EntryReader, wholeEntryRow } from '../store/rows.js'
import type { Store } from '../store/store.js'
import { LeaseBook, QueueEntry } from './entry.js'
import type { PlainQueue } from './plain.js'
import type { Definition } from './records.js'
import { type Found, findQueues, type Lost } from './recover-rows.js'
import { Slot } from './recover-slot.js'

export interface Recovered {
  /** Id that the next queue gets. */
  readonly nextId: number
  readonly entries: number
  /** Queues whose definition was found elsewhere and has to be written again. */
  readonly redefined: readonly PlainQueue[]
}

export interface Recovery {
  readonly store: Store
  readonly log: Log
  readonly make: (id: number, definition: Definition) => PlainQueue
  /** Told of queues with acknowledgements that no head covers, or whose head is not what it should be. */
  readonly dirty: (queue: PlainQueue) => void
  /** Told of messages that are lost. */
  readonly lost: (kind: Definition['kind'], name: string, messages: number) => void
  /** Says what queues were whose definitions are damaged, as far as anybody else knows. */
  readonly define: ((ids: ReadonlySet<number>) => Promise<Map<number, Definition>>) | undefined
}

/** Index that a queue without head goes on with, so far behind all that it ever had. */
const INDEX_JUMP = 0x10_0000

/** Makes each queue through `make` and fills it with its entries. */
export async function recoverQueues(r: Recovery): Promise<Recovered> {
  const { messages } = r.store
  const found = await findQueues(r.store, r.define)
  const slots = new Map<number, Slot>()
  const redefined: PlainQueue[] = []
  for (const [id, definition] of found.definitions) {
    const queue = r.make(id, definition)
    if (found.redefined.has(id)) redefined.push(queue)
    const acks = messages.recoveredAcks.get(id)
    const slot = new Slot(queue, found.heads.get(id), acks, isHeadLost(id, definition, found))
    if (acks !== undefined || slot.headLost) r.dirty(queue)
    slots.set(id, slot)
  }
  for (const id of found.undefined) {
    slots.set(id, new Slot(undefined, found.heads.get(id), messages.recoveredAcks.get(id), found.lostHeads.has(id)))
  }
  messages.recoveredAcks.clear()
  if (found.headsUnsure) messages.acksLost = true
  const entries = await readEntries(r, slots)
  if ([...slots.values()].some((slot) => slot.hasHole)) await readAgain(r, slots)
  for (const [id, slot] of slots) finish(r, id, slot)
  if ([...slots.values()].some((slot) => slot.missing > 0)) await findOrphans(r.store)
  return { nextId: found.nextId, entries, redefined }
}

function isHeadLost(id: number, definition: Definition, found: Found): boolean {
  if (found.heads.has(id)) return false
  return definition.headed || found.lostHeads.has(id)
}

async function readEntries({ store, log }: Recovery, slots: Map<number, Slot>): Promise<number> {
  const { disk, messages } = store
  const { extents } = messages
  const reader = new EntryReader()
  const lost: Lost = { rows: 0, from: 0, to: 0 }
  let count = 0
  let last = 0
  const onDamaged = ({ key, lt }: { key: Buffer; lt?: Buffer }): void => {
    lost.rows++
    if (lt !== undefined || key.length !== ENTRY_KEY_BYTES) return
    const seq = keys.rowNumber(key)
    if (lost.from === 0) lost.from = seq
    lost.to = seq
  }
  for await (const { key, value } of disk.scan(keys.entryRows(messages.oldestExtent * EXTENT_SEQUENCES, U48_MAX), {
    onDamaged,
  })) {
    const firstSeq = keys.rowNumber(key)
    // What has a checksum is as we wrote it.
    if (!disk.strict && !wholeEntryRow(value, firstSeq)) {
      disk.damage.note({ key })
      onDamaged({ key })
      continue
    }
    const extent = extents.need(extentOf(firstSeq))
    extent.addRow(firstSeq)
    extent.bytes += value.length
    reader.open(value, firstSeq)
    while (reader.nextMessage()) {
      extent.bytes += reader.bytes
      while (reader.nextEntry()) {
        extent.total++
        const slot = slots.get(reader.queueId)
        if (slot === undefined || !slot.see(reader)) continue
        extent.live++
        count++
        put(slot, reader)
      }
    }
    last = reader.seq
    messages.skipTo(last)
  }
  if (lost.rows === 0) sayMissing(store, log, last)
  else {
    sayLost(log, lost)
    await findOrphans(store)
  }
  return count
}

const ENTRY_KEY_BYTES = 7

/** Message rows whose entry rows are lost: ordered queues may need what is in them, and space and sequences are taken. */
async function findOrphans({ disk, messages }: Store): Promise<void> {
  const { extents } = messages
  let last = 0
  for await (const { key } of disk.scan(keys.messageRows(messages.oldestExtent * EXTENT_SEQUENCES, U48_MAX), {
    keysOnly: true,
  })) {
    if (key.length !== ENTRY_KEY_BYTES) continue
    last = keys.rowNumber(key)
    extents.insert(extentOf(last)).insertRow(last)
  }
  // However many were in the last one: in another extent nothing of it is.
  messages.skipTo((extentOf(Math.max(last, messages.nextSeq)) + 1) * EXTENT_SEQUENCES - 1)
}

function sayLost(log: Log, { rows, from, to }: Lost): void {
  log.error(
    { rows, from, to },
    'entries of messages are damaged: the queues that miss messages are named, but for those whose newest these were',
  )
}

/** The last commit that stored messages gave their sequences; their rows must be there. */
function sayMissing({ messages }: Store, log: Log, last: number): void {
  const { nextSeq, grownFrom } = messages
  // A restart, and an extent that is full early, skip to the next extent.
  if (grownFrom >= nextSeq || nextSeq % EXTENT_SEQUENCES === 0 || last >= nextSeq - 1) return
  messages.acksLost = true
  log.error(
    { from: grownFrom, to: nextSeq - 1 },
    'messages of the last commit are missing from the store; in which queues they were is not known',
  )
}

/** Puts an entry that is not gone to its place. */
function put(slot: Slot, reader: EntryReader): void {
  const { queue } = slot
  if (queue === undefined) return
  const { seq, index, bytes } = reader
  if (slot.attempts >= 0) giveBack(queue, reader, slot.attempts)
  else {
    queue.bytes += bytes
    queue.place(seq, index, bytes, reader.flags, reader.extra())
  }
}

/** Queues with a hole are filled anew: what stood before the last hole cannot wait in a ring that has none. */
async function readAgain({ store }: Recovery, slots: Map<number, Slot>): Promise<void> {
  const { disk, messages } = store
  const reader = new EntryReader()
  for (const slot of slots.values()) {
    const { queue } = slot
    if (queue === undefined || !slot.hasHole) continue
    queue.clearRecovered()
    slot.again()
  }
  for await (const { key, value } of disk.scan(keys.entryRows(messages.oldestExtent * EXTENT_SEQUENCES, U48_MAX))) {
    const firstSeq = keys.rowNumber(key)
    if (!disk.strict && !wholeEntryRow(value, firstSeq)) continue
    reader.open(value, firstSeq)
    while (reader.next()) {
      const slot = slots.get(reader.queueId)
      if (slot?.hasHole === true && slot.seeAgain(reader)) put(slot, reader)
    }
  }
}

function giveBack(queue: PlainQueue, reader: EntryReader, attempts: number): void {
  const entry = new QueueEntry(reader.seq, reader.index, reader.flags, reader.extra(), reader.bytes, undefined)
  entry.attempts = attempts
  if (queue.book === null) queue.book = new LeaseBook()
  queue.book.giveBack(entry)
  queue.bytes += entry.bytes
}

function finish({ log, lost }: Recovery, id: number, slot: Slot): void {
  const { queue } = slot
  if (queue === undefined) {
    // Sessions tell of theirs.
    lost('group', `number ${id}`, slot.seen)
    log.error({ id, messages: slot.seen }, 'the definition of a queue is damaged: its messages are lost')
    return
  }
  queue.nextIndex = slot.nextIndex
  const { name: named, kind } = queue
  if (slot.headLost) {
    queue.nextIndex += INDEX_JUMP
    const messages = slot.seen
    log.error(
      { queue: named, kind, messages },
      'the head of a queue is damaged: these of its messages may have been acknowledged, and are delivered again',
    )
  }
  queue.recoveredBelow = queue.nextIndex
  const { missing } = slot
  if (missing > 0) lost(kind, named, missing)
}
