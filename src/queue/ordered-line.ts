/**
 * The line behind a FIFO key, seen as a whole: putting an old entry back to its place in it (seek), and finding who waits first behind a
 * message that somebody holds (limits).
 *
 * Always true: the entries of a line are in order of place, but for a leased one, which stays its head until it is done.
 */
import { BEHIND, DELAYED, decodeEntry, type OrderedEntry, READY } from './ordered-entry.js'
import { dropVoidLink, joinKey, leftKey, place } from './ordered-place.js'
import { entryKey, type KeyRecord } from './ordered-rows.js'
import type { OrderedState } from './ordered-state.js'

/** Of each key the entry that was put back last in this turn. They come in order of place, so the next one belongs behind it. */
export type LastInLine = Map<string, number>

/** Puts `e`, which is nowhere, to its place among the entries of its key. */
export function rejoin(s: OrderedState, e: OrderedEntry, now: number, last?: LastInLine): void {
  const k = s.keyOf(e.key)
  const head = k === undefined || k.head < e.place || s.leases.get(k.head) !== undefined ? undefined : headOf(s, k)
  if (k === undefined) joinKey(s, e, now)
  else if (head === undefined) insertBehind(s, e, k, last?.get(e.key) ?? k.head)
  else {
    s.take(head)
    dropVoidLink(s, e.place)
    s.put(head, BEHIND, 0, e.place)
    s.setKey(e.key, { ...k, head: e.place })
    place(s, e, now)
  }
  last?.set(e.key, e.place)
}

/** A leased head that came back, and is nowhere, is still the head, unless older ones were put back behind it meanwhile: they go first. */
export function returned(s: OrderedState, e: OrderedEntry, now: number): void {
  const k = s.keyOf(e.key)
  const next = k === undefined || k.tail === e.place ? undefined : s.links.get(e.place)
  if (next === undefined || next.place > e.place) place(s, e, now)
  else {
    leftKey(s, e, now)
    rejoin(s, e, now)
  }
}

/** `from`: an entry of the line, its head or one before the place of `e`. */
function insertBehind(s: OrderedState, e: OrderedEntry, k: KeyRecord, from: number): void {
  let before = from
  let next = before === k.tail ? undefined : s.links.get(before)
  while (next !== undefined && next.place < e.place) {
    before = next.place
    next = before === k.tail ? undefined : s.links.get(before)
  }
  if (next === undefined) {
    dropVoidLink(s, before)
    s.setKey(e.key, { ...k, tail: e.place })
  } else {
    s.take(next)
    dropVoidLink(s, e.place)
    s.put(next, BEHIND, 0, e.place)
  }
  s.put(e, BEHIND, 0, before)
}

/** The waiting head of a FIFO key, wherever it is. */
function headOf(s: OrderedState, k: KeyRecord): OrderedEntry | undefined {
  for (const w of s.windows) {
    const found = w.findPlace(k.head)
    if (found !== undefined) return found
  }
  for (let i = s.touched.length - 1; i >= 0; i--) {
    const e = s.touched[i]
    if (e.place === k.head) return e.cls === READY || e.cls === DELAYED ? e : undefined
  }
  for (const lane of s.lanes) {
    if (lane?.spilled !== true) continue
    const found = stored(s, READY, lane.lane, k.head)
    if (found !== undefined) return found
  }
  return k.cls === DELAYED ? stored(s, DELAYED, k.rank, k.head) : undefined
}

function stored(s: OrderedState, cls: typeof READY | typeof DELAYED, rank: number, at: number): OrderedEntry | undefined {
  const row = s.effects.fetch(entryKey(s.id, cls, rank, at))
  const e = row === undefined ? undefined : decodeEntry(cls, rank, at, row)
  return e?.epoch === s.epoch ? e : undefined
}

/** Leases that are looked at to find who waits behind them. */
const LOOK_MAX = 1_024

/**
 * Of the messages that are first behind a leased one of their FIFO key the least urgent, and of these the oldest. With more than LOOK_MAX leases
 * it may be another one than the very oldest.
 */
export function firstHeldUp(s: OrderedState): OrderedEntry | undefined {
  if (s.behind === 0) return undefined
  let found: OrderedEntry | undefined
  let looked = 0
  for (const { key, place: at } of s.leases.all()) {
    if (++looked > LOOK_MAX && found !== undefined) break
    const e = key === '' ? undefined : s.links.get(at)
    // One of an older number was purged.
    if (e === undefined || e.epoch !== s.epoch) continue
    if (found === undefined || e.priority > found.priority || (e.priority === found.priority && e.place < found.place)) found = e
  }
  return found
}
