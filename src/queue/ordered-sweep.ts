/**
 * Background work on the rows of ordered queues: deleting what a purge or a deleted queue left, forgetting ids and retained messages
 * whose time is over. Each page of work is one commit; after a crash it begins again and finds less.
 */
import type { Damaged, Disk } from '../store/disk.js'
import { dedupOf, orderedIndexFields } from '../store/keys.js'
import { forget } from './ordered-decide.js'
import { BEHIND, DELAYED, type EntryClass, LEASED, READY, RETAINED } from './ordered-entry.js'
import { entryOf, walk } from './ordered-pages.js'
import { classRows, definitionKey, entryKey, headKey, ID_END, keyOfKeyRow, keyRows } from './ordered-rows.js'
import type { OrderedState } from './ordered-state.js'

const SWEEP_ROWS = 512

export interface Sweeping {
  readonly disk: Disk
  /** Resolves when what was put so far is committed; rejects when it will not be. */
  committed(): Promise<void>
  now(): number
}

/** Deletes the rows of older epochs. */
export async function sweepPurged(s: OrderedState, w: Sweeping): Promise<void> {
  while (s.swept < s.epoch && !s.deleted) {
    const epoch = s.epoch
    // From here on every row of an older epoch that a scan sees is dead for good: what was leased has its row elsewhere.
    await w.committed()
    for (const cls of [READY, DELAYED] as const) await sweepClass(s, w, cls, epoch)
    await sweepBehind(s, w, epoch)
    await sweepKeys(s, w, epoch)
    if (s.deleted) return
    s.swept = epoch
    s.change()
    await w.committed()
  }
}

async function sweepClass(s: OrderedState, w: Sweeping, cls: EntryClass, epoch: number): Promise<void> {
  await walk(
    s,
    w.disk,
    classRows(s.id, cls, 0, 0),
    SWEEP_ROWS,
    (row) => {
      if (s.deleted) return false
      if (row.epoch < epoch) {
        s.effects.del(entryKey(s.id, cls, row.rank, row.slot))
        s.effects.drop(row.seq)
        s.effects.swept(s, 'purged', row)
      }
      return true
    },
    w.committed,
  )
}

/** A row of this class is named by its predecessor, so a newer one may have taken its key: what is there now decides. */
async function sweepBehind(s: OrderedState, w: Sweeping, epoch: number): Promise<void> {
  await walk(
    s,
    w.disk,
    classRows(s.id, BEHIND, 0, 0),
    SWEEP_ROWS,
    (row) => {
      if (s.deleted) return false
      if (row.epoch >= epoch) return true
      const now = s.links.get(row.slot)
      if (now === undefined || now.epoch >= epoch) return true
      s.effects.del(entryKey(s.id, BEHIND, 0, row.slot))
      s.links.set(row.slot, undefined, s.effects.openGroup)
      s.effects.drop(now.seq)
      s.effects.swept(s, 'purged', now)
      return true
    },
    w.committed,
  )
}

async function sweepKeys(s: OrderedState, w: Sweeping, epoch: number): Promise<void> {
  let n = 0
  for await (const { key } of w.disk.scan(keyRows(s.id))) {
    if (s.deleted) return
    const name = keyOfKeyRow(key)
    const now = s.keys.get(name)
    if (now !== undefined && now.epoch < epoch) s.deleteKey(name)
    if (++n % SWEEP_ROWS === 0) await w.committed()
  }
}

/** Deletes all rows of a deleted queue, the head last, so that a restart goes on where this stopped. */
export async function sweepDeleted(s: OrderedState, w: Sweeping): Promise<void> {
  await w.committed()
  for (const cls of [READY, BEHIND, DELAYED, LEASED, RETAINED, ID_END]) {
    let more = true
    while (more) {
      let n = 0
      const onDamaged = ({ key, lt }: Damaged): void => {
        if (lt !== undefined) return
        n++
        s.effects.del(key)
      }
      for await (const { key, value } of w.disk.scan(classRows(s.id, cls, 0, 0), { limit: SWEEP_ROWS, onDamaged })) {
        n++
        s.effects.del(key)
        const e = cls === ID_END ? undefined : entryOf(key, value)
        if (e === undefined) continue
        s.effects.drop(e.seq)
        if (cls !== RETAINED) s.effects.swept(s, e.epoch === s.epoch || cls === LEASED ? 'deleted' : 'purged', e)
      }
      more = n === SWEEP_ROWS
      await w.committed()
    }
  }
  let n = 0
  for await (const { key } of w.disk.scan(dedupOf(s.id))) {
    s.effects.del(key)
    if (++n % SWEEP_ROWS === 0) await w.committed()
  }
  await w.committed()
  s.effects.del(headKey(s.id))
  s.effects.del(definitionKey(s.id))
  await w.committed()
}

/** Forgets ids whose window is over. */
export async function sweepIds(s: OrderedState, w: Sweeping): Promise<void> {
  if (s.idCount === 0) return
  const now = w.now()
  const was = s.idEnd
  let next = 0
  let n = 0
  for await (const { key, value } of w.disk.scan(classRows(s.id, ID_END, s.idEnd, 0))) {
    if (s.deleted) return
    const { rank: until, seq: slot } = orderedIndexFields(key)
    if (until > now) {
      next = until
      break
    }
    const id = value.toString()
    const known = s.ids.get(id)
    // A row that a newer send of the id has already replaced is being deleted by that send.
    if (known !== undefined && known.until === until && known.slot === slot) {
      s.deleteId(id)
      s.effects.del(key)
    }
    if (++n % SWEEP_ROWS === 0) await w.committed()
  }
  // Ids that are not committed yet may end before the next one on disk; they have their rows by the next time.
  if (next > 0) s.idEnd = Math.min(next, now + 1)
  else if (s.idCount === 0) s.idEnd = 0
  if (s.idEnd !== was && n > 0) s.change()
}

/** Lets go of acknowledged messages that were kept for `retain_s`. */
export async function sweepRetained(s: OrderedState, w: Sweeping): Promise<void> {
  if (s.retained === 0) return
  const before = w.now() - s.attributes.retain_s * 1000
  const from = s.retainedSlot
  let first = 0
  await walk(
    s,
    w.disk,
    classRows(s.id, RETAINED, 0, from),
    SWEEP_ROWS,
    (row, scan) => {
      if (s.deleted) return false
      const e = s.current(row, scan)
      if (e === undefined) return true
      if (e.until > before) {
        first = e.slot
        return false
      }
      forget(s, e)
      return true
    },
    w.committed,
  )
  // One that was acknowledged meanwhile may stand before what was read.
  if (first <= from || s.retainedSlot !== from) return
  s.retainedSlot = first
  s.change()
}
