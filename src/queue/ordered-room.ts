/** The limits of a queue: who is let in, and who goes to make room. */
import { leave } from './ordered-place.js'
import type { OrderedState } from './ordered-state.js'
import type { Window } from './ordered-window.js'

/** Whether there is room for one more message of `bytes`; makes room when the queue drops its oldest. */
export type Room = 'room' | 'refused' | 'dropped_newest'

export function makeRoom(s: OrderedState, bytes: number, now: number): Room {
  const a = s.attributes
  if (bytes > a.max_bytes) return refuse(s)
  while (s.count + 1 > a.max_messages || s.bytes + bytes > a.max_bytes) {
    if (a.overflow !== 'drop_oldest') return refuse(s)
    const dropped = dropOldest(s, now)
    if (dropped === 'none') return refuse(s)
    // The oldest are on disk and on their way: let this one in and drop the surplus when they arrive.
    if (dropped === 'later') break
  }
  return 'room'
}

/**
 * Whether `copies` more messages of `bytes` together, none larger than `largest`, would find room, dropping the oldest where the queue does that.
 * Changes nothing.
 */
export function fits(s: OrderedState, copies: number, bytes: number, largest: number): boolean {
  const a = s.attributes
  if (largest > a.max_message_bytes) return false
  if (s.count + copies <= a.max_messages && s.bytes + bytes <= a.max_bytes) return true
  if (a.overflow !== 'drop_oldest' || bytes > a.max_bytes) return false
  // What is leased stays, and what waits behind its FIFO key until it has come forward.
  let held = 0
  for (const e of s.leases.all()) held += e.bytes
  return s.leases.size + s.behind + copies <= a.max_messages && held + bytes <= a.max_bytes
}

/** Whether a batch of messages that are not too large can be let in whole. A refusal is counted for each of them. */
export function roomForAll(s: OrderedState, count: number, bytes: number): boolean {
  if (s.attributes.overflow === 'drop_newest' || fits(s, count, bytes, 0)) return true
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

/** The oldest of the least urgent lane that has something; then the delayed one that is due first. Never a leased one. */
function dropOldest(s: OrderedState, now: number): 'dropped' | 'later' | 'none' {
  for (let p = s.lanes.length - 1; p >= 0; p--) {
    const lane = s.lanes[p]
    if (lane === undefined || lane.total === 0) continue
    return dropFirst(s, lane, now)
  }
  return s.delayed.total === 0 ? 'none' : dropFirst(s, s.delayed, now)
}

function dropFirst(s: OrderedState, w: Window, now: number): 'dropped' | 'later' {
  const e = w.first
  if (e === undefined) return 'later'
  leave(s, e, 'dropped_oldest', now)
  return 'dropped'
}
