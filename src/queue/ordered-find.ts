/** Finding the entries of one message in ordered queues. There is no index by message: the rows of a queue are read until it is known. */
import { EXTENT_SEQUENCES } from '../core/limits.js'
import { BEHIND, DELAYED, type EntryClass, LEASED, type OrderedEntry, READY, RETAINED } from './ordered-entry.js'
import type { EntryState } from './ordered-moves.js'
import { walk } from './ordered-pages.js'
import type { OrderedQueue } from './ordered-queue.js'
import type { OrderedQueues } from './ordered-queues.js'
import { classRows, readyRows } from './ordered-rows.js'
import type { Scan } from './ordered-state.js'
import type { Sweeping } from './ordered-sweep.js'

const PAGE = 1_000

/** An entry of the message that was looked for. */
export interface FoundEntry {
  readonly queue: OrderedQueue
  readonly state: EntryState
  readonly attempts: number
  /** Delayed: when it can be received. Leased: when the lease ends. Retained: when it was acknowledged. Else 0. */
  readonly until: number
}

export interface FoundEntries {
  readonly entries: FoundEntry[]
  /** False when so many rows were read that the rest was left out. */
  readonly complete: boolean
}

const CLASSES: readonly [EntryClass, EntryState][] = [
  [LEASED, 'leased'],
  [READY, 'ready'],
  [DELAYED, 'delayed'],
  [BEHIND, 'behind'],
  [RETAINED, 'retained'],
]

/**
 * Reads at most `rows_max` rows, about a second's work per million, a page at a time beside everything else. Nothing is read when no queue needs any
 * message of that part of the log.
 */
export async function findEntries(queues: OrderedQueues, w: Sweeping, seq: number, rows_max: number): Promise<FoundEntries> {
  const entries: FoundEntry[] = []
  if (queues.holds.of(Math.floor(seq / EXTENT_SEQUENCES)) === 0) return { entries, complete: true }
  await w.committed()
  let left = rows_max
  for (const queue of [...queues.every()]) {
    const s = queue.state
    for (const [cls, state] of CLASSES) {
      if (s.deleted || countOf(queue, cls) === 0) continue
      const see = (row: OrderedEntry, scan: Scan): boolean => {
        if (--left < 0) return false
        if (row.seq !== seq) return true
        const e = s.current(row, scan)
        if (e !== undefined) entries.push({ queue, state, attempts: e.attempts, until: untilOf(e) })
        return true
      }
      const ranges = cls === READY ? readyRows(s.id, s.lanes, s.nextPlace) : [classRows(s.id, cls, 0, 0)]
      for (const range of ranges) await walk(s, w.disk, range, PAGE, see, nothing)
      if (left < 0) return { entries, complete: false }
    }
  }
  return { entries, complete: true }
}

function countOf({ state: s }: OrderedQueue, cls: EntryClass): number {
  switch (cls) {
    case LEASED:
      return s.leases.size
    case READY:
      return s.inLanes
    case DELAYED:
      return s.delayed.total
    case BEHIND:
      return s.behind
    default:
      return s.retained
  }
}

function untilOf(e: OrderedEntry): number {
  return e.cls === DELAYED ? e.due : e.cls === LEASED || e.cls === RETAINED ? e.until : 0
}

const nothing = (): Promise<void> => Promise.resolve()
