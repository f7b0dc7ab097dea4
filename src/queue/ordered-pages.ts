/** Reading index rows: pages for the windows, and walks over a whole class for redrive, replay, peek and sweeps. */
import type { Damaged, Disk, KeyRange } from '../store/disk.js'
import { orderedIndexFields } from '../store/keys.js'
import { decodeEntry, type EntryClass, type OrderedEntry } from './ordered-entry.js'
import { recount } from './ordered-lose.js'
import { classRows, laneRows } from './ordered-rows.js'
import type { OrderedState, Scan } from './ordered-state.js'
import type { Window } from './ordered-window.js'

/** Brings the next `limit` rows of `window` into memory. */
export async function readPage(s: OrderedState, window: Window, limit: number, disk: Disk): Promise<void> {
  const request = window.beginPage(s.effects.committedGroup)
  s.scans.add(request)
  try {
    const { fromRank, fromSlot } = request
    const range =
      window.lane < 0 ? classRows(s.id, window.cls, fromRank, fromSlot) : laneRows(s.id, window.cls, window.lane, fromSlot)
    const rows: OrderedEntry[] = []
    let read = 0
    let mark: { rank: number; slot: number } | undefined
    const seen = (key: Buffer): void => {
      const { rank, seq } = orderedIndexFields(key)
      mark = { rank, slot: seq + 1 }
      read++
    }
    const onDamaged = ({ key, lt }: Damaged): void => {
      if (lt !== undefined) return
      seen(key)
      s.effects.damaged(s)
    }
    for await (const { key, value } of disk.scan(range, { limit, onDamaged })) {
      const e = entryOf(key, value)
      if (e === undefined) {
        onDamaged({ key })
        continue
      }
      seen(key)
      rows.push(e)
    }
    window.endPage(request, rows, read < limit, mark, s)
    recount(s, window)
  } finally {
    window.abandonPage(request)
    s.scans.delete(request)
    s.settle()
  }
}

export function entryOf(key: Buffer, value: Buffer): OrderedEntry | undefined {
  const { klass, rank, seq } = orderedIndexFields(key)
  return decodeEntry(klass as EntryClass, rank, seq, value)
}

/**
 * Walks the rows of a class in pages of `size`. `visit` gets each row with the scan that read it, in one turn per page, and returns false
 * to end the walk; `between` is awaited after each page, so that what a page changed is committed before the next is read.
 */
export async function walk(
  s: OrderedState,
  disk: Disk,
  range: KeyRange,
  size: number,
  visit: (row: OrderedEntry, scan: Scan) => boolean,
  between: () => Promise<void>,
): Promise<void> {
  let gte = range.gte
  for (;;) {
    const scan: Scan = { sawGroup: s.effects.committedGroup }
    s.scans.add(scan)
    let go = true
    let read = 0
    try {
      const rows: OrderedEntry[] = []
      const onDamaged = ({ key, lt }: Damaged): void => {
        if (lt !== undefined) return
        read++
        gte = key
      }
      for await (const { key, value } of disk.scan({ gte, lt: range.lt }, { limit: size, onDamaged })) {
        read++
        gte = key
        const e = entryOf(key, value)
        if (e !== undefined) rows.push(e)
      }
      for (const row of rows) if (!(go = visit(row, scan))) break
    } finally {
      s.scans.delete(scan)
      s.settle()
    }
    await between()
    if (!go || read < size) return
    gte = Buffer.concat([gte, Buffer.from([0])])
  }
}
