/**
 * Reading a plain queue from outside: what is leased, came back or waits, in order, without touching any of it. For programs and operators that
 * look into a session; consumers lease.
 *
 * Always true: an entry comes at most once and in order of index; one that is there all the time comes; what is not committed does not come.
 */
import type { MessageLog } from '../store/log.js'
import { EntryReader } from '../store/rows.js'
import { QueueEntry } from './entry.js'
import type { PlainQueue } from './plain.js'
import type { Entry } from './queue.js'

/** Entries looked up at once in memory: the queue may change between two slices. */
const SLICE = 256

/** Entries of `queue` in order. They are for `read` and `load` only, and may leave while the caller holds them. */
export async function* browse(queue: PlainQueue, log: MessageLog): AsyncGenerator<Entry> {
  let index = -1
  let seq = 0
  for (;;) {
    const slice = inMemory(queue, log, index)
    for (const entry of slice) {
      index = entry.index
      seq = entry.seq
      yield entry
    }
    if (slice.length > 0) continue
    const { tail } = queue
    if (tail === null || queue.deleted) return
    // The ring has ended and the rest is on the disk only. What the pager brings in meanwhile is read here all the same.
    const reader = new EntryReader()
    let found = false
    for await (const { firstSeq, row } of log.reader.entryRows(
      Math.max(tail.fromSeq, seq + 1),
      Math.min(tail.lastSeq, log.committedSeq),
    )) {
      reader.open(row, firstSeq)
      while (reader.next()) {
        if (reader.queueId !== queue.id || reader.index <= index || !queue.alive(reader.seq)) continue
        found = true
        index = reader.index
        seq = reader.seq
        yield new QueueEntry(seq, index, reader.flags, reader.extra(), reader.bytes, undefined)
      }
    }
    if (!found) return
  }
}

/** The first entries behind `after` that are in memory. */
function inMemory(queue: PlainQueue, log: MessageLog, after: number): QueueEntry[] {
  const { book, ring } = queue
  if (book !== null) {
    const behind = [...book.leased, ...book.returned].filter((entry) => entry.index > after)
    if (behind.length > 0) return behind.sort((a, b) => a.index - b.index).slice(0, SLICE)
  }
  const found: QueueEntry[] = []
  if (ring === null) return found
  const first = queue.nextIndex - queue.waiting
  for (let i = Math.max(0, after + 1 - first); i < ring.length && found.length < SLICE; i++) {
    const seq = ring.seqAt(i)
    if (seq > log.committedSeq) break
    found.push(new QueueEntry(seq, first + i, ring.flagsAt(i), queue.extras?.get(seq), ring.bytesAt(i), undefined))
  }
  return found
}
