/**
 * What an ordered queue holds, and the moves of an entry between its states. Pure: no clock, no disk, no promise; rows go to
 * `Effects`, which puts them into the open commit group. The rules that choose moves are in `ordered-decide.ts`.
 *
 * Always true:
 * - each entry has one row, of the class that `cls` says; structures in memory hold a part of the rows and know which;
 * - of the entries of one FIFO key only the first is READY, DELAYED or LEASED; the others are BEHIND, each under its predecessor's place;
 * - of the entries of one last-value key at most one waits (READY, DELAYED or BEHIND).
 */
import { PRIORITY_MAX } from '../core/limits.js'
import type { QueueAttributes } from './attributes.js'
import {
  BEHIND,
  DELAYED,
  decodeEntry,
  type EntryClass,
  encodeEntry,
  GONE,
  LEASED,
  OrderedEntry,
  READY,
  RETAINED,
} from './ordered-entry.js'
import { Leases } from './ordered-leases.js'
import { Lookaside } from './ordered-lookaside.js'
import {
  decodeIdRecord,
  decodeKeyRecord,
  encodeIdRecord,
  encodeKeyRecord,
  entryKey,
  ID_END,
  type IdRecord,
  idRowKey,
  type KeyRecord,
  keyRowKey,
} from './ordered-rows.js'
import { WINDOW_SIZES, Window, type WindowSizes } from './ordered-window.js'
import type { Departure } from './queue.js'

/** `replaced`: a newer message of the same last-value key took its place. `redriven`: a dead letter went back where it died. */
/** The world of an ordered queue, as far as decisions need it. */
export interface Effects {
  readonly openGroup: number
  readonly committedGroup: number
  put(key: Buffer, value: Buffer): void
  del(key: Buffer): void
  /** A committed row; undefined, too, when it is damaged, which is counted. Blocks for one small read. Throws `store_failed`. */
  fetch(key: Buffer): Buffer | undefined
  /** Rows of the queue are damaged or missing: its message keys are to be looked through. */
  damaged(state: OrderedState): void
  /** One more, one fewer entry needs the message. */
  hold(seq: number): void
  drop(seq: number): void
  /** `e`: the entry, where it is a single one. */
  departed(state: OrderedState, why: Departure, count: number, e?: OrderedEntry): void
  /** An entry that was counted before has been found and is gone for good: by a purge, with its queue. */
  swept(state: OrderedState, why: Departure, e: OrderedEntry): void
  /** The head row has to be written in this group. */
  changed(state: OrderedState): void
  /** Moves a dead entry into its dead-letter queue. False: that one has no room and the entry stays. */
  bury(state: OrderedState, e: OrderedEntry, now: number): boolean
}

/** A read of index rows that is on its way. */
export interface Scan {
  readonly sawGroup: number
}

export class OrderedState {
  readonly id: number
  attributes: QueueAttributes
  readonly effects: Effects
  readonly sizes: WindowSizes
  /** By priority; made when first used. */
  readonly lanes: (Window | undefined)[] = new Array(PRIORITY_MAX + 1).fill(undefined)
  readonly delayed: Window
  /** The delayed and every lane there is. */
  readonly windows: Window[]
  readonly leases = new Leases()
  readonly keys: Lookaside<string, KeyRecord>
  /** The entry behind the one at a place. */
  readonly links: Lookaside<number, OrderedEntry>
  readonly ids: Lookaside<string, IdRecord>
  /** Entries whose row changed in a group that a running page may not have seen, in order of change. */
  touched: OrderedEntry[] = []
  /** Reads on their way, each with the last group that was committed when it began. */
  readonly scans = new Set<Scan>()
  nextPlace = 1
  epoch = 0
  swept = 0
  behind = 0
  /** Bytes of what is ready, delayed, behind and leased. */
  bytes = 0
  retained = 0
  retainedBytes = 0
  retainedSlot = 0
  idCount = 0
  idEnd = 0
  deleted = false
  dirty = false
  /** Set when an entry became ready; whoever wakes consumers clears it. */
  becameReady = false

  constructor(id: number, attributes: QueueAttributes, effects: Effects, sizes: WindowSizes = WINDOW_SIZES) {
    this.id = id
    this.sizes = sizes
    this.delayed = new Window(DELAYED, -1, sizes)
    this.windows = [this.delayed]
    this.attributes = attributes
    this.effects = effects
    const source = <K, V>(fetch: (key: K) => V | undefined) => ({
      fetch,
      get committedGroup() {
        return effects.committedGroup
      },
    })
    const read = <V>(key: Buffer, decode: (b: Buffer) => V | undefined): V | undefined => {
      const b = effects.fetch(key)
      return b === undefined ? undefined : decode(b)
    }
    this.keys = new Lookaside(
      source((key: string) => read(keyRowKey(id, key), decodeKeyRecord)),
      sizes.lookaside,
    )
    this.ids = new Lookaside(
      source((key: string) => read(idRowKey(id, key), decodeIdRecord)),
      sizes.lookaside,
    )
    this.links = new Lookaside(
      source((place: number) => read(entryKey(id, BEHIND, 0, place), (b) => decodeEntry(BEHIND, 0, place, b))),
      sizes.lookaside,
    )
  }

  /* ---- counts ---- */

  get inLanes(): number {
    let n = 0
    for (const lane of this.lanes) if (lane !== undefined) n += lane.total
    return n
  }

  get waiting(): number {
    return this.inLanes + this.behind + this.delayed.total
  }

  get count(): number {
    return this.waiting + this.leases.size
  }

  /* ---- moves ---- */

  lane(priority: number): Window {
    let lane = this.lanes[priority]
    if (lane === undefined) {
      lane = new Window(READY, priority, this.sizes)
      this.lanes[priority] = lane
      this.windows.push(lane)
    }
    return lane
  }

  /** Puts an entry that is nowhere into a class. */
  put(e: OrderedEntry, cls: EntryClass, rank: number, slot: number): void {
    e.cls = cls
    e.rank = rank
    e.slot = slot
    e.epoch = this.epoch
    switch (cls) {
      case READY:
        this.lane(rank).add(e)
        this.becameReady = true
        break
      case DELAYED:
        this.delayed.add(e)
        break
      case LEASED:
        this.leases.add(e)
        break
      case BEHIND:
        this.behind++
        this.links.set(slot, e, this.effects.openGroup)
        break
      case RETAINED:
        this.retained++
        this.retainedBytes += e.bytes
        if (this.retained === 1 || slot < this.retainedSlot) this.retainedSlot = slot
        break
    }
    this.writeRow(e)
  }

  /** Takes an entry out of its class; it is nowhere then. */
  take(e: OrderedEntry): void {
    this.effects.del(entryKey(this.id, e.cls, e.rank, e.slot))
    switch (e.cls) {
      case READY:
        this.lane(e.rank).remove(e)
        break
      case DELAYED:
        this.delayed.remove(e)
        break
      case LEASED:
        this.leases.remove(e)
        break
      case BEHIND:
        this.behind--
        this.links.set(e.slot, undefined, this.effects.openGroup)
        break
      case RETAINED:
        this.retained--
        this.retainedBytes -= e.bytes
        break
    }
    e.cls = GONE
    this.touch(e)
  }

  /** Writes the row of an entry that stays where it is. */
  writeRow(e: OrderedEntry): void {
    this.effects.put(entryKey(this.id, e.cls, e.rank, e.slot), encodeEntry(e))
    this.touch(e)
  }

  private touch(e: OrderedEntry): void {
    e.group = this.effects.openGroup
    this.touched.push(e)
    this.change()
  }

  change(): void {
    if (this.dirty) return
    this.dirty = true
    this.effects.changed(this)
  }

  /** Forgets touched entries that every later scan sees. */
  settle(): void {
    let floor = this.effects.committedGroup
    for (const scan of this.scans) if (scan.sawGroup < floor) floor = scan.sawGroup
    const touched = this.touched
    let keep = 0
    while (keep < touched.length && touched[keep].group <= floor) keep++
    if (keep === touched.length) this.touched = []
    else if (keep > 0) this.touched = touched.slice(keep)
  }

  /**
   * The entry that a row read by `scan` stands for, as it is now: the object in memory, the row itself when nothing has changed it since,
   * or undefined when it moved on.
   */
  current(row: OrderedEntry, scan: Scan): OrderedEntry | undefined {
    if (row.epoch !== this.epoch && row.cls !== LEASED && row.cls !== RETAINED) return undefined
    if (row.cls === LEASED) return this.leases.get(row.place)
    if (row.cls === READY || row.cls === DELAYED) {
      const window = row.cls === READY ? this.lane(row.rank) : this.delayed
      if (window.covers(row.rank, row.slot)) return window.find(row.rank, row.slot)
    }
    for (let i = this.touched.length - 1; i >= 0 && this.touched[i].group > scan.sawGroup; i--) {
      const e = this.touched[i]
      if (e.place !== row.place) continue
      return e.cls === row.cls && e.rank === row.rank && e.slot === row.slot ? e : undefined
    }
    return row
  }

  /* ---- keys ---- */

  /** The record of a message key, unless a purge has made it void. */
  keyOf(key: string): KeyRecord | undefined {
    const k = this.keys.get(key)
    return k === undefined || k.epoch !== this.epoch ? undefined : k
  }

  setKey(key: string, record: KeyRecord): void {
    this.keys.set(key, record, this.effects.openGroup)
    this.effects.put(keyRowKey(this.id, key), encodeKeyRecord(record))
  }

  deleteKey(key: string): void {
    this.keys.set(key, undefined, this.effects.openGroup)
    this.effects.del(keyRowKey(this.id, key))
  }

  /** The entry that a last-value key's record names: the object in memory, or a stand-in with all that a move needs. */
  waitingOf(key: string, k: KeyRecord): OrderedEntry {
    const window = k.cls === DELAYED ? this.delayed : this.lane(k.rank)
    const found = window.covers(k.rank, k.head) ? window.find(k.rank, k.head) : undefined
    if (found !== undefined) return found
    const e = new OrderedEntry(k.head, k.seq, k.cls === READY ? k.rank : 0, k.bytes, 0, 0, key, this.epoch)
    e.cls = k.cls
    e.rank = k.rank
    e.slot = k.head
    return e
  }

  /* ---- ids ---- */

  setId(id: string, record: IdRecord): void {
    const old = this.ids.get(id)
    if (old !== undefined) this.effects.del(entryKey(this.id, ID_END, old.until, old.slot))
    else this.idCount++
    if (this.idEnd === 0 || record.until < this.idEnd) this.idEnd = record.until
    this.ids.set(id, record, this.effects.openGroup)
    this.effects.put(idRowKey(this.id, id), encodeIdRecord(record))
    this.effects.put(entryKey(this.id, ID_END, record.until, record.slot), Buffer.from(id))
    this.change()
  }

  deleteId(id: string): void {
    this.idCount--
    this.ids.set(id, undefined, this.effects.openGroup)
    this.effects.del(idRowKey(this.id, id))
    this.change()
  }
}
