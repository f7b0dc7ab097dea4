/**
 * The rules of an ordered queue: given its state, a command and the moment, which entries move where. Pure like the state it works
 * on, so that a test can run it against a model and cut it off at any commit. Before every command its caller does what is due
 * (`ordered-tick.ts`), so that the command sees the queue as of `now`.
 */
import { LEASED, OrderedEntry, RETAINED } from './ordered-entry.js'
import { type LastInLine, rejoin, returned } from './ordered-line.js'
import { enter, keyed, leave, leftKey, located, newerWaits, place, replaceWaiting } from './ordered-place.js'
import type { OrderedState } from './ordered-state.js'

/** A message that wants in. */
export interface Arrival {
  /** Store sequence of the message. */
  seq: number
  bytes: number
  acceptedAt: number
  /** 0: the queue's retention alone decides. */
  expiresAt: number
  /** Milliseconds; negative: the queue's own delay. */
  delay_ms: number
  /** 1 (first) to 16. */
  priority: number
  /** '' for none. */
  key: string
  /** '' for none. */
  tag: string
  /** '' for none. */
  dedupId: string
  /** A dead letter: the queue it died in; 0 for none. */
  origin: number
}

/** Takes a message in; there is room for it. Returns its entry. */
export function arrive(s: OrderedState, m: Arrival, now: number): OrderedEntry {
  const a = s.attributes
  const keep = a.retention_s === 0 ? 0 : now + a.retention_s * 1000
  const expires = keep === 0 ? m.expiresAt : m.expiresAt === 0 ? keep : Math.min(keep, m.expiresAt)
  const e = new OrderedEntry(s.nextPlace++, m.seq, m.priority, m.bytes, m.acceptedAt, expires, m.key, s.epoch)
  e.tag = m.tag
  const delay = m.delay_ms < 0 ? a.delay_ms : m.delay_ms
  e.due = delay > 0 ? now + delay : 0
  if (m.origin !== 0) {
    e.origin = m.origin
    e.diedAt = now
  }
  s.effects.hold(m.seq)
  enter(s, e, now)
  if (m.dedupId !== '' && a.dedup_window_s > 0) {
    s.setId(m.dedupId, { seq: m.seq, until: now + a.dedup_window_s * 1000, slot: e.place })
  }
  return e
}

/** A retained entry is received again, as if for the first time, at its old place; not where a newer one of its last-value key waits. */
export function replay(s: OrderedState, e: OrderedEntry, now: number, last: LastInLine): void {
  if (newerWaits(s, e.key, e.seq, now)) {
    forget(s, e)
    s.effects.departed(s, 'replaced', 1, e)
    return
  }
  s.take(e)
  e.attempts = 0
  e.firstLeasedAt = 0
  e.until = 0
  e.due = 0
  e.expiresAt = s.attributes.retention_s === 0 ? 0 : now + s.attributes.retention_s * 1000
  const { fifo, last_value } = s.attributes
  if (fifo && !last_value && e.key !== '') {
    s.bytes += e.bytes
    rejoin(s, e, now, last)
  } else enter(s, e, now)
}

/** A retained entry is kept no longer. */
export function forget(s: OrderedState, e: OrderedEntry): void {
  s.take(e)
  s.effects.drop(e.seq)
}

/** The sequence of the message that was sent with this id within the window, or 0. */
export function knownId(s: OrderedState, id: string, now: number): number {
  const known = s.ids.get(id)
  return known !== undefined && known.until > now ? known.seq : 0
}

/* ---- hand out and take back ---- */

/** The next entry that may be handed out, or undefined: nothing is ready, or it is on disk. */
export function firstReady(s: OrderedState, now: number): OrderedEntry | undefined {
  for (const lane of s.lanes) {
    if (lane === undefined || lane.total === 0) continue
    for (;;) {
      const e = lane.first
      if (e === undefined) {
        if (lane.total > 0) return undefined
        break
      }
      if (e.expiresAt === 0 || e.expiresAt > now) return e
      leave(s, e, 'expired', now)
    }
  }
  return undefined
}

/** Hands `e` out until `now + lease_ms`; its random bits are set. */
export function lend(s: OrderedState, e: OrderedEntry, lease_ms: number, now: number): void {
  s.take(e)
  e.attempts++
  e.until = now + lease_ms
  if (e.firstLeasedAt === 0) e.firstLeasedAt = now
  s.put(e, LEASED, 0, e.place)
  if (s.attributes.last_value && e.key !== '') {
    // Leased is not waiting any more: a newer one does not replace it.
    if (s.attributes.fifo) located(s, e)
    else s.deleteKey(e.key)
  }
}

/** The leased entry that a receipt names, or undefined when it is not that delivery any more. */
export function holder(s: OrderedState, placeOf: number, high: number, low: number): OrderedEntry | undefined {
  const e = s.leases.get(placeOf)
  return e !== undefined && e.high === high && e.low === low ? e : undefined
}

export function acknowledge(s: OrderedState, e: OrderedEntry, now: number): void {
  if (s.attributes.retain_s === 0) {
    leave(s, e, 'acked', now)
    return
  }
  s.take(e)
  s.bytes -= e.bytes
  e.until = now
  s.put(e, RETAINED, 0, e.place)
  s.effects.departed(s, 'acked', 1, e)
  if (keyed(s, e)) leftKey(s, e, now)
}

export function extend(s: OrderedState, e: OrderedEntry, lease_ms: number, now: number): void {
  e.until = now + lease_ms
  s.leases.extended(e)
  s.writeRow(e)
}

/** A hand-out ended without an acknowledgement: back after `delay_ms`, or to the dead-letter queue. */
export function giveBack(s: OrderedState, e: OrderedEntry, delay_ms: number, now: number): void {
  const most = s.attributes.max_attempts
  if (most > 0 && e.attempts >= most && s.effects.bury(s, e, now)) {
    leave(s, e, 'dead', now)
    return
  }
  putBack(s, e, delay_ms, now)
}

/** Its holder will not have it, and nobody else gets it: to the dead-letter queue where attempts are limited, else it is done with. */
export function reject(s: OrderedState, e: OrderedEntry, now: number): void {
  if (s.attributes.max_attempts === 0) leave(s, e, 'refused', now)
  else if (s.effects.bury(s, e, now)) leave(s, e, 'dead', now)
  else putBack(s, e, 0, now)
}

/** Nobody worked on it: the hand-out does not count, and it does not die of it. Back after `delay_ms`. */
export function takeBack(s: OrderedState, e: OrderedEntry, delay_ms: number, now: number): void {
  e.attempts--
  if (e.attempts === 0) e.firstLeasedAt = 0
  putBack(s, e, delay_ms, now)
}

function putBack(s: OrderedState, e: OrderedEntry, delay_ms: number, now: number): void {
  if (e.expiresAt !== 0 && e.expiresAt <= now) {
    leave(s, e, 'expired', now)
    return
  }
  if (s.attributes.last_value && e.key !== '') {
    if (newerWaits(s, e.key, e.seq, now)) {
      leave(s, e, 'replaced', now)
      return
    }
    // An older one of the key came back before: this one replaces it.
    replaceWaiting(s, e.key, now)
  }
  s.take(e)
  e.high = 0
  e.low = 0
  e.until = 0
  e.due = delay_ms > 0 ? now + delay_ms : 0
  if (s.attributes.fifo && e.key !== '') returned(s, e, now)
  else place(s, e, now)
}
