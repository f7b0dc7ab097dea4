/**
 * What becomes of an ordered queue when rows of it are damaged: counts that say more than there is, message keys whose first entry is gone, heads.
 *
 * Always true: an entry whose row is damaged has left its queue (`damaged`); of a FIFO key the next comes forward; an entry that waits behind one that
 * cannot be found goes behind what its key has now, or comes forward.
 */
import { BEHIND, DELAYED, LEASED, type OrderedEntry, READY } from './ordered-entry.js'
import { lose } from './ordered-lose.js'
import { entryOf } from './ordered-pages.js'
import { leftKey, place } from './ordered-place.js'
import { classRows, decodeKeyRecord, keyOfKeyRow, keyRows } from './ordered-rows.js'
import type { OrderedState, Scan } from './ordered-state.js'
import type { Sweeping } from './ordered-sweep.js'

/**
 * Looks through the message keys of a queue: those whose first entry is not there, and entries that wait behind nobody. Beside everything else; each
 * key in one turn. What it takes is memory for the place of each entry: this is rare.
 */
export async function mendKeys(s: OrderedState, w: Sweeping): Promise<void> {
  if (!s.attributes.fifo && !s.attributes.last_value) return
  await w.committed()
  // While it is there, all that changes is remembered in `touched`.
  const scan: Scan = { sawGroup: s.effects.committedGroup }
  s.scans.add(scan)
  try {
    const living = await placesOf(s, w)
    for await (const { key, value } of w.disk.scan(keyRows(s.id))) {
      if (s.deleted) return
      if (decodeKeyRecord(value) === undefined) continue
      const name = keyOfKeyRow(key)
      const k = s.keyOf(name)
      if (k === undefined || living.has(k.head) || s.leases.get(k.head) !== undefined) continue
      if (s.touched.some((e) => e.place === k.head)) continue
      leftKey(s, { key: name, place: k.head }, w.now())
    }
  } finally {
    s.scans.delete(scan)
    s.settle()
  }
  await w.committed()
  await mendBehind(s, w)
}

/** Places of the entries that may be the first of their key. */
async function placesOf(s: OrderedState, w: Sweeping): Promise<Set<number>> {
  const places = new Set<number>()
  for (const cls of [READY, DELAYED, LEASED]) {
    for await (const { key, value } of w.disk.scan(classRows(s.id, cls, 0, 0))) {
      const e = entryOf(key, value)
      if (e !== undefined) places.add(e.place)
    }
  }
  return places
}

async function mendBehind(s: OrderedState, w: Sweeping): Promise<void> {
  if (s.behind === 0) return
  const { rows, exact } = await behindRows(s, w)
  if (exact >= 0) {
    const missing = s.behind - exact
    if (missing > 0) {
      s.behind = exact
      lose(s, missing)
    }
  }
  for (const [key, entries] of rows) {
    if (s.deleted) return
    relink(s, key, entries, w.now())
    await w.committed()
  }
}

/** Entries that wait behind others, by key; `exact`: how many, when nothing changed while they were read, else -1. */
async function behindRows(s: OrderedState, w: Sweeping): Promise<{ rows: Map<string, OrderedEntry[]>; exact: number }> {
  const rows = new Map<string, OrderedEntry[]>()
  const before = s.behind
  let moved = s.touched.length > 0
  let n = 0
  for await (const { key, value } of w.disk.scan(classRows(s.id, BEHIND, 0, 0))) {
    moved ||= s.touched.length > 0 || s.behind !== before
    const row = entryOf(key, value)
    if (row === undefined || row.epoch !== s.epoch) continue
    n++
    const list = rows.get(row.key)
    if (list === undefined) rows.set(row.key, [row])
    else list.push(row)
  }
  return { rows, exact: moved || s.touched.length > 0 || s.behind !== before ? -1 : n }
}

/** Joins what cannot be reached from the first of `key`. */
function relink(s: OrderedState, key: string, rows: readonly OrderedEntry[], now: number): void {
  const reached = new Set<number>()
  const k = s.keyOf(key)
  let tail = k?.head ?? 0
  if (k !== undefined) {
    for (let at = k.head; at !== k.tail; ) {
      const next = s.links.get(at)
      if (next === undefined || next.key !== key || reached.has(next.place)) break
      reached.add(next.place)
      at = tail = next.place
    }
  }
  const lost: OrderedEntry[] = []
  for (const row of rows) {
    const e = s.links.get(row.slot)
    if (e !== undefined && e.place === row.place && e.epoch === s.epoch && !reached.has(e.place)) lost.push(e)
  }
  lost.sort((a, b) => a.place - b.place)
  if (lost.length === 0) {
    if (k !== undefined && k.tail !== tail) s.setKey(key, { ...k, tail })
    return
  }
  for (const e of lost) s.take(e)
  if (k !== undefined) {
    for (const e of lost) {
      s.put(e, BEHIND, 0, tail)
      tail = e.place
    }
    s.setKey(key, { ...k, tail })
    return
  }
  const [head, ...others] = lost
  tail = head.place
  for (const e of others) {
    s.put(e, BEHIND, 0, tail)
    tail = e.place
  }
  s.setKey(key, { epoch: s.epoch, head: head.place, tail, cls: READY, rank: head.priority, seq: head.seq, bytes: head.bytes })
  place(s, head, now)
}
