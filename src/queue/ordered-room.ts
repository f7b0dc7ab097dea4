/** The limits of a queue: who is let in, and who goes to make room. */
import type { OrderedEntry } from './ordered-entry.js'
import { firstHeldUp } from './ordered-line.js'
import { leave, replaceWaiting, waitingOf } from './ordered-place.js'
import type { OrderedState } from './ordered-state.js'
import type { Window } from './ordered-window.js'

/** Whether there is room for one more message; makes room when the queue drops its oldest. */
export type Room = 'room' | 'refused' | 'dropped_newest'

/** A message that wants in, as far as limits go. */
export interface Wanted {
  readonly bytes: number
  /** '' for none. In a last-value queue it takes the room of the waiting message of its key. */
  readonly key: string
}

export function makeRoom(s: OrderedState, { bytes, key }: Wanted, now: number): Room {
  const a = s.attributes
  const old = a.last_value && key !== '' ? waitingOf(s, key) : undefined
  if (bytes > a.max_bytes) return refuse(s)
  if (s.count + (old === undefined ? 1 : 0) <= a.max_messages && s.bytes + bytes - (old?.bytes ?? 0) <= a.max_bytes) return 'room'
  // Only what is leased stays, whatever is dropped.
  if (a.overflow !== 'drop_oldest' || s.leases.size + 1 > a.max_messages || s.leases.bytes + bytes > a.max_bytes) return refuse(s)
  if (old !== undefined) replaceWaiting(s, key, now)
  while (s.count + 1 > a.max_messages || s.bytes + bytes > a.max_bytes) {
    // The oldest are on disk and on their way: let this one in and drop the surplus when they arrive.
    if (dropOldest(s, now) !== 'dropped') break
  }
  return 'room'
}

/** Whether all of these would find room one after the other, dropping the oldest where the queue does that, but none of these. Changes nothing. */
export function fits(s: OrderedState, wanted: Iterable<Wanted>): boolean {
  const a = s.attributes
  const drops = a.overflow === 'drop_oldest'
  let count = drops ? s.leases.size : s.count
  let bytes = drops ? s.leases.bytes : s.bytes
  const before = new Map<string, number>()
  for (const m of wanted) {
    if (m.bytes > a.max_message_bytes) return false
    let replaced: number | undefined
    if (a.last_value && m.key !== '') {
      replaced = before.get(m.key) ?? (drops ? undefined : waitingOf(s, m.key)?.bytes)
      before.set(m.key, m.bytes)
    }
    if (replaced === undefined) count++
    bytes += m.bytes - (replaced ?? 0)
    if (count > a.max_messages || bytes > a.max_bytes) return false
  }
  return true
}

/** Whether a batch of `count` messages can be let in whole. A refusal is counted for each of them. */
export function roomForAll(s: OrderedState, wanted: Iterable<Wanted>, count: number): boolean {
  if (s.attributes.overflow === 'drop_newest' || fits(s, wanted)) return true
  s.effects.departed(s, 'refused', count)
  return false
}

function refuse(s: OrderedState): Room {
  const why = s.attributes.overflow === 'drop_newest' ? 'dropped_newest' : 'refused'
  s.effects.departed(s, why, 1)
  return why
}

/** Drops what is over the limits, as far as it is in memory. */
export function shed(s: OrderedState, now: number): void {
  const a = s.attributes
  if (a.overflow !== 'drop_oldest') return
  while (s.count > a.max_messages || s.bytes > a.max_bytes) if (dropOldest(s, now) !== 'dropped') return
}

/**
 * The oldest of the least urgent that have something, ready or held up behind a leased message of their key; then the delayed one that is due
 * first. Never a leased one.
 */
function dropOldest(s: OrderedState, now: number): 'dropped' | 'later' | 'none' {
  const held = firstHeldUp(s)
  for (let p = s.lanes.length - 1; p >= 0; p--) {
    const lane = s.lanes[p]
    const isThere = lane !== undefined && lane.total > 0
    if (held?.priority === p && (!isThere || held.place < firstPlace(lane))) return drop(s, held, now)
    if (isThere) return dropFirst(s, lane, now)
  }
  return s.delayed.total === 0 ? 'none' : dropFirst(s, s.delayed, now)
}

/** Nothing of the lane is before it. */
function firstPlace(lane: Window): number {
  return lane.first?.place ?? lane.markSlot
}

function dropFirst(s: OrderedState, w: Window, now: number): 'dropped' | 'later' {
  const e = w.first
  return e === undefined ? 'later' : drop(s, e, now)
}

function drop(s: OrderedState, e: OrderedEntry, now: number): 'dropped' {
  leave(s, e, 'dropped_oldest', now)
  return 'dropped'
}
