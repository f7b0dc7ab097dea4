/** From a queue's state to its head row and back: what it needs to go on after a restart without reading its index. */
import type { OrderedEntry } from './ordered-entry.js'
import type { Head, LaneHead } from './ordered-rows.js'
import type { OrderedState } from './ordered-state.js'

const low = { rank: 0, slot: 0 }

export function headOf(s: OrderedState): Head {
  const lanes: LaneHead[] = []
  for (const lane of s.lanes) {
    if (lane === undefined || lane.total === 0) continue
    lane.low(low, s.nextPlace)
    lanes.push({ rank: lane.lane, slot: low.slot, total: lane.total })
  }
  s.delayed.low(low, s.nextPlace)
  return {
    nextPlace: s.nextPlace,
    epoch: s.epoch,
    swept: s.swept,
    bytes: s.bytes,
    behind: s.behind,
    retained: s.retained,
    retainedBytes: s.retainedBytes,
    delayed: s.delayed.total,
    delayedRank: low.rank,
    delayedSlot: low.slot,
    idEnd: s.idEnd,
    ids: s.idCount,
    retainedSlot: s.retainedSlot,
    deleted: s.deleted,
    lanes,
  }
}

/** Takes up where a head row and the rows of leased entries say. */
export function takeUp(s: OrderedState, h: Head, leased: Iterable<OrderedEntry>): void {
  s.nextPlace = h.nextPlace
  s.epoch = h.epoch
  s.swept = h.swept
  s.bytes = h.bytes
  s.behind = h.behind
  s.behindExpiresAt = 0
  s.retained = h.retained
  s.retainedBytes = h.retainedBytes
  s.retainedSlot = h.retainedSlot
  s.idCount = h.ids
  s.idEnd = h.idEnd
  s.deleted = h.deleted
  for (const lane of h.lanes) s.lane(lane.rank).recover(lane.total, lane.rank, lane.slot)
  s.delayed.recover(h.delayed, h.delayedRank, h.delayedSlot)
  for (const e of leased) s.leases.add(e)
}
