/**
 * Where an entry goes when it comes in or comes back, and what its going means for others of its key. The rules of FIFO and
 * last-value keys are all here.
 *
 * FIFO: the first living entry of a key is its head; the others wait behind it, and when it is gone the next comes forward. Last value:
 * of the entries of a key at most one waits; a newer one replaces it. Leased is not waiting.
 */
import { BEHIND, DELAYED, LEASED, type OrderedEntry, READY } from './ordered-entry.js'
import type { OrderedState } from './ordered-state.js'
import type { Departure } from './queue.js'

/** Puts a new entry, or one that is as good as new, to its place. */
export function enter(s: OrderedState, e: OrderedEntry, now: number): void {
  s.bytes += e.bytes
  if (keyed(s, e)) joinKey(s, e, now)
  else place(s, e, now)
}

export const keyed = (s: OrderedState, e: Pick<OrderedEntry, 'key'>): boolean =>
  e.key !== '' && (s.attributes.fifo || s.attributes.last_value)

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
export function replaceWaiting(s: OrderedState, key: string, now: number): void {
  const k = s.keyOf(key)
  if (k === undefined) return
  if (k.tail !== k.head) {
    const behind = s.links.get(k.head)
    if (behind === undefined) return
    s.take(behind)
    s.bytes -= behind.bytes
    s.effects.drop(behind.seq)
    s.effects.departed(s, 'replaced', 1, behind)
    s.setKey(key, { ...k, tail: k.head })
  } else if (k.cls !== LEASED) {
    leave(s, s.waitingOf(key, k), 'replaced', now)
  }
}

/** When something happens to a delayed entry: it is due, or it expires first. Its row stands at that moment, so that it is read in time. */
function wakeOf(e: OrderedEntry): number {
  return e.expiresAt !== 0 && e.expiresAt < e.due ? e.expiresAt : e.due
}

/** READY, or DELAYED while it is not due. */
export function place(s: OrderedState, e: OrderedEntry, now: number): void {
  if (e.due > now) s.put(e, DELAYED, wakeOf(e), e.place)
  else {
    e.due = 0
    s.put(e, READY, e.priority, e.place)
  }
  if (s.attributes.last_value && e.key !== '') located(s, e)
}

/** Notes where the waiting (or leased) head of a last-value key is. */
export function located(s: OrderedState, e: OrderedEntry): void {
  const k = s.keyOf(e.key)
  const tail = k === undefined || k.tail === k.head ? e.place : k.tail
  s.setKey(e.key, { epoch: s.epoch, head: e.place, tail, cls: e.cls, rank: e.rank, seq: e.seq, bytes: e.bytes })
}

/** The entry leaves for good. */
export function leave(s: OrderedState, e: OrderedEntry, why: Departure, now: number): void {
  s.take(e)
  s.bytes -= e.bytes
  s.effects.drop(e.seq)
  s.effects.departed(s, why, 1, e)
  if (keyed(s, e)) leftKey(s, e, now)
}

/** After `e` is gone: the next of its key comes forward. */
export function leftKey(s: OrderedState, e: Pick<OrderedEntry, 'key' | 'place'>, now: number): void {
  const k = s.keyOf(e.key)
  if (k === undefined && s.attributes.fifo && s.behind > 0) {
    // The key's row is damaged: who waits behind `e` must not wait for ever.
    s.effects.damaged(s)
  }
  if (k === undefined || k.head !== e.place) return
  let head = e.place
  // A loop, as any number of them may have expired while they were behind.
  for (;;) {
    const next = head === k.tail ? undefined : s.links.get(head)
    if (next === undefined) {
      // More should follow: whoever mends looks for it.
      if (head !== k.tail) s.effects.damaged(s)
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
    s.effects.departed(s, 'expired', 1, next)
  }
}
