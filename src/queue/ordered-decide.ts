/**
 * The rules of an ordered queue: given its state, a command and the moment, which entries move where. Pure like the state it works
 * on, so that a test can run it against a model and cut it off at any commit. Every command first does what is due (`tick`), so
 * what it sees is the queue as of `now`.
 */
import { BEHIND, DELAYED, LEASED, OrderedEntry, READY, RETAINED } from './ordered-entry.js'

export { LEASES_MAX } from './ordered-leases.js'

import type { OrderedDeparture, OrderedState } from './ordered-state.js'
import type { Window } from './ordered-window.js'

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
  dedupId: string
  /** A dead letter: the queue it died in; 0 for none. */
  origin: number
}

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

/** Takes a message in; there is room for it. Returns its entry. */
export function arrive(s: OrderedState, m: Arrival, now: number): OrderedEntry {
  const a = s.attributes
  const keep = a.retention_s === 0 ? 0 : now + a.retention_s * 1000
  const expires = keep === 0 ? m.expiresAt : m.expiresAt === 0 ? keep : Math.min(keep, m.expiresAt)
  const e = new OrderedEntry(s.nextPlace++, m.seq, m.priority, m.bytes, m.acceptedAt, expires, m.key, s.epoch)
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

/** A retained entry is received again, as if for the first time, at its old place. */
export function replay(s: OrderedState, e: OrderedEntry, now: number): void {
  s.take(e)
  e.attempts = 0
  e.firstLeasedAt = 0
  e.until = 0
  e.due = 0
  e.expiresAt = s.attributes.retention_s === 0 ? 0 : now + s.attributes.retention_s * 1000
  enter(s, e, now)
}

/** A retained entry is kept no longer. */
export function forget(s: OrderedState, e: OrderedEntry): void {
  s.take(e)
  s.effects.drop(e.seq)
}

function enter(s: OrderedState, e: OrderedEntry, now: number): void {
  s.bytes += e.bytes
  if (keyed(s, e)) joinKey(s, e, now)
  else place(s, e, now)
}

/** The sequence of the message that was sent with this id within the window, or 0. */
export function knownId(s: OrderedState, id: string, now: number): number {
  const known = s.ids.get(id)
  return known !== undefined && known.until > now ? known.seq : 0
}

/* ---- keys ---- */

const keyed = (s: OrderedState, e: OrderedEntry): boolean => e.key !== '' && (s.attributes.fifo || s.attributes.last_value)

/** Puts a new entry where its key lets it. */
function joinKey(s: OrderedState, e: OrderedEntry, now: number): void {
  const { fifo, last_value } = s.attributes
  if (last_value) replaceWaiting(s, e.key, now)
  const k = fifo ? s.keyOf(e.key) : undefined
  if (k === undefined) {
    // A last-value queue notes the place too, in `place`.
    if (!last_value)
      s.setKey(e.key, { epoch: s.epoch, head: e.place, tail: e.place, cls: READY, rank: 0, seq: e.seq, bytes: e.bytes })
    place(s, e, now)
    return
  }
  dropVoidLink(s, k.tail)
  s.put(e, BEHIND, 0, k.tail)
  s.setKey(e.key, { ...k, tail: e.place })
}

/** A purge leaves rows behind until they are swept; one that is about to be overwritten lets go of its message now. */
function dropVoidLink(s: OrderedState, place: number): void {
  if (s.swept === s.epoch) return
  const old = s.links.get(place)
  if (old !== undefined && old.epoch !== s.epoch) s.effects.drop(old.seq)
}

/** The waiting entry of a last-value key goes. */
function replaceWaiting(s: OrderedState, key: string, now: number): void {
  const k = s.keyOf(key)
  if (k === undefined) return
  if (k.tail !== k.head) {
    const behind = s.links.get(k.head)
    if (behind === undefined) return
    s.take(behind)
    s.bytes -= behind.bytes
    s.effects.drop(behind.seq)
    s.effects.departed(s, 'replaced', 1)
    s.setKey(key, { ...k, tail: k.head })
  } else if (k.cls !== LEASED) {
    leave(s, s.waitingOf(key, k), 'replaced', now)
  }
}

/** READY, or DELAYED while it is not due. */
function place(s: OrderedState, e: OrderedEntry, now: number): void {
  if (e.due > now) s.put(e, DELAYED, e.due, e.place)
  else {
    e.due = 0
    s.put(e, READY, e.priority, e.place)
  }
  if (s.attributes.last_value && e.key !== '') located(s, e)
}

/** Notes where the waiting (or leased) head of a last-value key is. */
function located(s: OrderedState, e: OrderedEntry): void {
  const k = s.keyOf(e.key)
  const tail = k === undefined || k.tail === k.head ? e.place : k.tail
  s.setKey(e.key, { epoch: s.epoch, head: e.place, tail, cls: e.cls, rank: e.rank, seq: e.seq, bytes: e.bytes })
}

/** The entry leaves for good. */
export function leave(s: OrderedState, e: OrderedEntry, why: OrderedDeparture, now: number): void {
  s.take(e)
  s.bytes -= e.bytes
  s.effects.drop(e.seq)
  s.effects.departed(s, why, 1)
  if (keyed(s, e)) leftKey(s, e, now)
}

/** After `e` is gone: the next of its key comes forward. */
function leftKey(s: OrderedState, e: OrderedEntry, now: number): void {
  const k = s.keyOf(e.key)
  if (k === undefined || k.head !== e.place) return
  let head = e.place
  // A loop, as any number of them may have expired while they were behind.
  for (;;) {
    const next = head === k.tail ? undefined : s.links.get(head)
    if (next === undefined) {
      s.deleteKey(e.key)
      return
    }
    s.take(next)
    head = next.place
    if (next.expiresAt === 0 || next.expiresAt > now) {
      s.setKey(e.key, { ...k, head, cls: READY, rank: next.priority, seq: next.seq, bytes: next.bytes })
      place(s, next, now)
      return
    }
    s.bytes -= next.bytes
    s.effects.drop(next.seq)
    s.effects.departed(s, 'expired', 1)
  }
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
  s.effects.departed(s, 'acked', 1)
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

/** The hand-out never reached anybody: it does not count, and nobody dies of it. */
export function takeBack(s: OrderedState, e: OrderedEntry, now: number): void {
  e.attempts--
  putBack(s, e, 0, now)
}

function putBack(s: OrderedState, e: OrderedEntry, delay_ms: number, now: number): void {
  if (e.expiresAt !== 0 && e.expiresAt <= now) {
    leave(s, e, 'expired', now)
    return
  }
  if (s.attributes.last_value && e.key !== '') {
    if (newerWaits(s, e)) {
      leave(s, e, 'replaced', now)
      return
    }
    // An older one of the key came back before: this one replaces it.
    if (!s.attributes.fifo) replaceWaiting(s, e.key, now)
  }
  s.take(e)
  e.high = 0
  e.low = 0
  e.until = 0
  e.due = delay_ms > 0 ? now + delay_ms : 0
  place(s, e, now)
}

function newerWaits(s: OrderedState, e: OrderedEntry): boolean {
  const k = s.keyOf(e.key)
  if (k === undefined) return false
  return s.attributes.fifo ? k.tail !== k.head : k.head > e.place
}

/* ---- time ---- */

/** How many entries one turn moves at most, so that a million due at once do not hold up the loop. */
export const DUE_PER_TURN = 1_000

/** Does what is due at `now`: ended leases go back, delays end, messages expire. Returns the next moment, `now` when there is more to do. */
export function tick(s: OrderedState, now: number): number {
  let left = DUE_PER_TURN
  while (left > 0 && s.leases.nextEnd <= now) {
    giveBack(s, s.leases.next as OrderedEntry, 0, now)
    left--
  }
  while (left > 0) {
    const e = s.delayed.first
    if (e === undefined || e.due > now) break
    if (e.expiresAt !== 0 && e.expiresAt <= now) leave(s, e, 'expired', now)
    else {
      s.take(e)
      place(s, e, now)
    }
    left--
  }
  for (const w of s.windows) if (w.minExpiresAt <= now) w.expire(now, (e) => leave(s, e, 'expired', now))
  shed(s, now)
  return left === 0 ? now : nextDue(s)
}

/** The nearest moment at which `tick` has something to do; Infinity for none. */
export function nextDue(s: OrderedState): number {
  let at = s.leases.nextEnd
  const d = s.delayed
  const due = d.first !== undefined ? d.first.due : d.spilled && d.page === null ? d.markRank : Number.POSITIVE_INFINITY
  if (due < at) at = due
  for (const w of s.windows) if (w.minExpiresAt < at) at = w.minExpiresAt
  return at
}

/* ---- purge ---- */

/** All that waits is gone; its rows carry an older epoch and are swept later. Returns how many. */
export function purge(s: OrderedState): number {
  const n = s.waiting
  let held = 0
  for (const e of s.leases.all()) held += e.bytes
  s.epoch++
  s.bytes = held
  s.behind = 0
  for (const w of s.windows) w.clear()
  for (const e of s.touched) if (e.cls !== LEASED && e.cls !== RETAINED) e.cls = 0
  for (const e of s.leases.all()) {
    if (e.key === '' || !s.attributes.fifo) continue
    s.setKey(e.key, { epoch: s.epoch, head: e.place, tail: e.place, cls: LEASED, rank: 0, seq: e.seq, bytes: e.bytes })
  }
  s.change()
  if (n > 0) s.effects.departed(s, 'purged', n)
  return n
}
