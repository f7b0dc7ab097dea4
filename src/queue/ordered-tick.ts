/** What time does to a queue (leases that end, delays that are over, messages that expire), and a purge, which is the end of time for all. */
import { giveBack } from './ordered-decide.js'
import { LEASED, type OrderedEntry, RETAINED } from './ordered-entry.js'
import { leave, place } from './ordered-place.js'
import { shed } from './ordered-room.js'
import type { OrderedState } from './ordered-state.js'

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
    if (e === undefined || e.rank > now) break
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
  const due = d.first !== undefined ? d.first.rank : d.spilled && d.page === null ? d.markRank : Number.POSITIVE_INFINITY
  if (due < at) at = due
  for (const w of s.windows) if (w.minExpiresAt < at) at = w.minExpiresAt
  return at
}

/** All that waits is gone; its rows carry an older epoch and are swept later. Returns how many. */
export function purge(s: OrderedState): number {
  const n = s.waiting
  let held = 0
  for (const e of s.leases.all()) held += e.bytes
  s.epoch++
  s.bytes = held
  s.behind = 0
  s.behindExpiresAt = Number.POSITIVE_INFINITY
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
