/** Operations that walk over a queue's entries: looking without taking, sending dead letters home, going back in time. */

import type { MessageLog } from '../store/log.js'
import type { MessageView } from '../store/message.js'
import { arrive, replay } from './ordered-decide.js'
import { BEHIND, DELAYED, type EntryClass, LEASED, type OrderedEntry, READY, RETAINED } from './ordered-entry.js'
import type { LastInLine } from './ordered-line.js'
import { walk } from './ordered-pages.js'
import { leave, newerWaits } from './ordered-place.js'
import type { OrderedQueue } from './ordered-queue.js'
import { makeRoom } from './ordered-room.js'
import { classRows, entryKey, readyRows } from './ordered-rows.js'
import type { Scan } from './ordered-state.js'
import type { Sweeping } from './ordered-sweep.js'
import { tick } from './ordered-tick.js'

const PAGE = 256

export type EntryState = 'ready' | 'behind' | 'delayed' | 'leased' | 'retained'

const STATES: readonly [EntryClass, EntryState][] = [
  [READY, 'ready'],
  [BEHIND, 'behind'],
  [DELAYED, 'delayed'],
  [LEASED, 'leased'],
  [RETAINED, 'retained'],
]

/** Where an entry was found: class, rank and slot of its row. */
export interface PeekPlace {
  readonly cls: number
  readonly rank: number
  readonly slot: number
}

/** An entry as `peek` shows it. */
export interface Peeked {
  readonly at: PeekPlace
  readonly seq: number
  readonly place: number
  readonly state: EntryState
  readonly attempts: number
  readonly priority: number
  readonly key: string
  readonly tag: string
  readonly bytes: number
  readonly acceptedAt: number
  readonly expiresAt: number
  /** Delayed: when it can be received. Leased: when the lease ends. Else 0. */
  readonly until: number
  readonly origin: number
  readonly diedAt: number
  readonly message: MessageView | undefined
}

export interface PeekOptions {
  readonly limit: number
  /** Default: ready, behind, delayed. */
  readonly states?: readonly EntryState[]
  /** Only what is behind this entry, in the order of a peek; it need not be there any more. */
  readonly after?: PeekPlace
}

/** Entries in the order in which they would be handed out, state by state, with their payloads. Takes nothing, changes nothing. */
export async function peek(q: OrderedQueue, log: MessageLog, w: Sweeping, o: PeekOptions): Promise<Peeked[]> {
  const s = q.state
  const states = o.states ?? ['ready', 'behind', 'delayed']
  const found: { e: OrderedEntry; state: EntryState; until: number; at: PeekPlace }[] = []
  await w.committed()
  let { after } = o
  for (const [cls, state] of STATES) {
    // The classes before the one where the last peek ended have been seen.
    if (after !== undefined && after.cls !== cls) continue
    const from = after
    after = undefined
    if (!states.includes(state) || found.length >= o.limit) continue
    const see = (row: OrderedEntry, scan: Scan): boolean => {
      if (found.length >= o.limit) return false
      const e = s.current(row, scan)
      if (e === undefined || (e.expiresAt !== 0 && e.expiresAt <= w.now() && cls !== RETAINED && cls !== LEASED)) return true
      const at = { cls, rank: row.rank, slot: row.slot }
      found.push({ e, state, until: cls === DELAYED ? e.due : cls === LEASED ? e.until : 0, at })
      return found.length < o.limit
    }
    const size = Math.min(PAGE, o.limit)
    const ranges = cls === READY ? readyRows(s.id, s.lanes, s.nextPlace) : [classRows(s.id, cls, 0, 0)]
    const start = from === undefined ? undefined : entryKey(s.id, cls, from.rank, from.slot + 1)
    for (const { gte, lt } of ranges) {
      if (found.length >= o.limit || (start !== undefined && start.compare(lt) >= 0)) continue
      const range = { gte: start !== undefined && start.compare(gte) > 0 ? start : gte, lt }
      await walk(s, w.disk, range, size, see, () => Promise.resolve())
    }
  }
  const out: Peeked[] = []
  for (const { e, state, until, at } of found) {
    // If it left between the two steps, what is known of it is still shown.
    const message = await log.fetch(e.seq).catch(() => undefined)
    const { seq, place, attempts, priority, key, tag, bytes, acceptedAt, expiresAt, origin, diedAt } = e
    out.push({
      at,
      seq,
      place,
      state,
      attempts,
      priority,
      key,
      tag,
      bytes,
      acceptedAt,
      expiresAt,
      until,
      origin,
      diedAt,
      message,
    })
  }
  return out
}

export interface RedriveOptions {
  /** Dead letters to move at most. */
  readonly max: number
  /** Only those that died in this queue, or in one of its name that is gone. */
  readonly of?: OrderedQueue
  /** Only those of this key. */
  readonly key?: string
  /** Into this queue, wherever they died; default home. */
  readonly to?: OrderedQueue
}

export interface Redriven {
  moved: number
  /** Nobody knows where they belong: their queue is gone. */
  homeless: number
  /** They died in other queues than `of`. */
  others: number
  /** Set when a queue that they belong to has no room; the rest stays. */
  full: boolean
}

/** Returns dead letters to the queues they died in, attempts 0, at once receivable. Each page of them is one commit. */
export async function redrive(
  dead: OrderedQueue,
  home: (origin: number) => OrderedQueue | undefined,
  w: Sweeping,
  o: RedriveOptions,
): Promise<Redriven> {
  const s = dead.state
  const result: Redriven = { moved: 0, homeless: 0, others: 0, full: false }
  await w.committed()
  const touched = new Set<OrderedQueue>()
  const visit = (row: OrderedEntry, scan: Scan): boolean => {
    if (result.moved >= o.max || s.deleted) return false
    const e = s.current(row, scan)
    if (e === undefined || (o.key !== undefined && e.key !== o.key)) return true
    // A queue of the user's own holds messages that never died, too.
    if (e.origin === 0 && dead.kind !== 'dead') return true
    const belongs = home(e.origin)
    if (o.of !== undefined && belongs !== o.of) {
      result.others++
      return true
    }
    const target = o.to ?? belongs
    if (target === undefined || target === dead || target.state.deleted) {
      result.homeless++
      return true
    }
    const went = sendHome(dead, e, target, w.now())
    if (went === 'full') {
      result.full = true
      return false
    }
    if (went === 'moved') result.moved++
    touched.add(target)
    return result.moved < o.max
  }
  const between = async (): Promise<void> => {
    dead.after()
    for (const q of touched) q.after()
    touched.clear()
    await w.committed()
  }
  for (const range of readyRows(s.id, s.lanes, s.nextPlace)) {
    if (result.moved < o.max && !result.full) await walk(s, w.disk, range, PAGE, visit, between)
  }
  return result
}

function sendHome(
  { state: s }: OrderedQueue,
  e: OrderedEntry,
  { state: t }: OrderedQueue,
  now: number,
): 'moved' | 'replaced' | 'full' {
  tick(t, now)
  const { seq, bytes, acceptedAt, priority, key, tag } = e
  if (newerWaits(t, key, seq, now)) {
    leave(s, e, 'replaced', now)
    return 'replaced'
  }
  if (makeRoom(t, e, now) !== 'room') return 'full'
  arrive(t, { seq, bytes, acceptedAt, expiresAt: 0, delay_ms: 0, priority, key, tag, dedupId: '', origin: 0 }, now)
  leave(s, e, 'redriven', now)
  return 'moved'
}

/**
 * Sends dead letters of queues of another kind home: `home` gets each message in the turn in which it leaves here, so that both are one
 * commit, and says whether it took it. At most `max`; returns how many went.
 */
export async function redriveTo(dead: OrderedQueue, max: number, home: (message: MessageView) => boolean): Promise<number> {
  let moved = 0
  while (moved < max) {
    const got = await dead.receive({ max: Math.min(PAGE, max - moved), wait_ms: 0 })
    const kept = got.filter((d) => d.message === undefined || !home(d.message) || !dead.release(d.receipt, 'redriven'))
    dead.takeBack(kept)
    moved += got.length - kept.length
    if (got.length === 0 || kept.length > 0) break
  }
  await dead.committed()
  return moved
}

export interface SeekOptions {
  /** Messages accepted at this moment (milliseconds since 1970) or later, */
  readonly time?: number
  /** or with this store sequence or a higher one; all that are kept when neither is given. */
  readonly seq?: number
}

/** Makes retained messages receivable again, attempts 0, at their old places. Returns how many. */
export async function seek(q: OrderedQueue, w: Sweeping, o: SeekOptions): Promise<number> {
  const s = q.state
  let n = 0
  const last: LastInLine = new Map()
  await w.committed()
  await walk(
    s,
    w.disk,
    classRows(s.id, RETAINED, 0, s.retainedSlot),
    PAGE,
    (row, scan) => {
      if (s.deleted) return false
      const e = s.current(row, scan)
      if (e === undefined || e.acceptedAt < (o.time ?? 0) || e.seq < (o.seq ?? 0)) return true
      replay(s, e, w.now(), last)
      n++
      return true
    },
    async () => {
      last.clear()
      q.after()
      await w.committed()
    },
  )
  return n
}
