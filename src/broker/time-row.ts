/**
 * The row by which a store knows what time it is (`core/broker-time.ts`). It costs no flush of its own while nothing happens to the clocks: it rides
 * with a commit that is made anyway, at most every `SAVE_MS`.
 */
import { type BrokerTime, ERAS_MAX, type Era, type SavedTime } from '../core/broker-time.js'
import type { Log } from '../core/log.js'
import { getU48, putU48 } from '../store/bytes.js'
import type { Contributor, Journal } from '../store/journal.js'
import { metaKey } from '../store/keys.js'
import type { Store } from '../store/store.js'

/** After a power cut, and where the wall clock then is not believed, time goes on at the last commit, or by so much before it. */
const SAVE_MS = 1_000
const VERSION = 1
const ERA_BYTES = 14
const key = metaKey('time')

/** Lets the broker's time go on where this store stands, and keeps it in there. */
export async function standOnTime(time: BrokerTime, store: Store, log: Log): Promise<TimeRow> {
  const value = await store.disk.get(key)
  const saved = value === undefined ? undefined : readTimeRow(value)
  if (value !== undefined && saved === undefined)
    log.warn({}, 'what the store says about its time cannot be read: the wall clock decides what has ended')
  time.resume(saved)
  const row = new TimeRow(time, store.journal)
  // Until this boot is known, a step of the clock and a kill would be taken for time that passed.
  if (saved === undefined || !time.isSaved(saved)) row.save()
  store.journal.contribute(row)
  return row
}

export class TimeRow implements Contributor {
  private readonly time: BrokerTime
  private readonly journal: Journal
  private saved_ms: number

  constructor(time: BrokerTime, journal: Journal) {
    this.time = time
    this.journal = journal
    this.saved_ms = time.uptime_ms()
  }

  /** Something changed, or this is the end: within a moment. */
  save(): void {
    this.saved_ms = this.time.uptime_ms()
    this.journal.putLazily(key, writeTimeRow(this.time.saved()))
  }

  seal(put: (key: Buffer, value: Buffer) => void): void {
    const now_ms = this.time.uptime_ms()
    if (now_ms - this.saved_ms < SAVE_MS) return
    this.saved_ms = now_ms
    put(key, writeTimeRow(this.time.saved()))
  }

  committed(): void {}
}

/** version u8 · last moment u48 · boot f64 · boot id u8 + bytes · eras u8, each: since u48, offset f64 */
export function writeTimeRow({ boot_id, booted, last, eras }: SavedTime): Buffer {
  const id = Buffer.from(boot_id ?? '', 'latin1').subarray(0, 255)
  const b = Buffer.alloc(17 + id.length + eras.length * ERA_BYTES)
  b[0] = VERSION
  putU48(b, 1, last)
  b.writeDoubleBE(booted, 7)
  b[15] = id.length
  id.copy(b, 16)
  let at = 16 + id.length
  b[at++] = eras.length
  for (const { since, offset_ms } of eras) {
    putU48(b, at, since)
    b.writeDoubleBE(offset_ms, at + 6)
    at += ERA_BYTES
  }
  return b
}

/** Undefined for what is none. */
export function readTimeRow(b: Buffer): SavedTime | undefined {
  if (b.length < 17 || b[0] !== VERSION) return undefined
  const idEnd = 16 + (b[15] as number)
  const count = b[idEnd] ?? 0
  if (count < 1 || count > ERAS_MAX || b.length !== idEnd + 1 + count * ERA_BYTES) return undefined
  const eras: Era[] = []
  for (let at = idEnd + 1; at < b.length; at += ERA_BYTES) {
    eras.push({ since: getU48(b, at), offset_ms: b.readDoubleBE(at + 6) })
  }
  const booted = b.readDoubleBE(7)
  if (![booted, ...eras.map((e) => e.offset_ms)].every(Number.isFinite)) return undefined
  const id = b.toString('latin1', 16, idEnd)
  return { boot_id: id === '' ? undefined : id, booted, last: getU48(b, 1), eras }
}
