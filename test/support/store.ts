import type { Clock } from '../../src/core/clock.js'
import { type Log, silentLog } from '../../src/core/log.js'
import { type Engine, openEngine } from '../../src/queue/engine.js'
import type { QueueLimits } from '../../src/queue/queue.js'
import { CheckedDisk } from '../../src/store/checked.js'
import { Damage } from '../../src/store/damage.js'
import type { Disk, Row } from '../../src/store/disk.js'
import { everything } from '../../src/store/keys.js'
import type { MessageView } from '../../src/store/message.js'
import { openStore, type Store } from '../../src/store/store.js'
import { ManualClock } from './clock.js'

export const NO_LIMITS: QueueLimits = {
  max_messages: Number.MAX_SAFE_INTEGER,
  max_bytes: Number.MAX_SAFE_INTEGER,
  overflow: 'reject',
}

/** A message of topic `t` whose payload is `payload`. */
export function message(payload: string | Buffer, more: Partial<MessageView> = {}): MessageView {
  const topic = Buffer.from('t')
  const body = Buffer.from(payload)
  const buffer = Buffer.concat([Buffer.from([0, topic.length]), topic, Buffer.from([0, 0]), body])
  return {
    buffer,
    bodyStart: 0,
    payloadStart: 4 + topic.length,
    end: buffer.length,
    properties: undefined,
    acceptedAt: Date.UTC(2026, 0, 1),
    expiresAt: 0,
    ...more,
  }
}

export function payloadOf(view: MessageView | undefined): string {
  return view === undefined ? '(not in memory)' : view.buffer.toString('latin1', view.payloadStart, view.end)
}

export interface Opened {
  store: Store
  engine: Engine
  clock: ManualClock
}

export async function openOn(
  disk: Disk,
  o: { clock?: Clock; log?: Log; ringEntriesMax?: number; min_free_bytes?: number } = {},
): Promise<Opened> {
  const clock = (o.clock as ManualClock | undefined) ?? new ManualClock()
  const log = o.log ?? silentLog
  const store = await openStore({
    path: '',
    durability: 'fsync',
    min_free_bytes: o.min_free_bytes ?? 0,
    max_bytes: 0,
    clock,
    log,
    disk,
  })
  const more = o.ringEntriesMax === undefined ? {} : { ringEntriesMax: o.ringEntriesMax }
  return { store, engine: await openEngine({ store, clock, log, ...more }), clock }
}

/** The rows of `disk` as the store sees them. */
export function checked(disk: Disk): CheckedDisk {
  return new CheckedDisk(disk, new Damage(silentLog))
}

/** Lets everything that was asked for in this turn begin. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** All rows whose key begins with `prefix`. */
export async function rowsOf(disk: Disk, prefix: string): Promise<Row[]> {
  const rows: Row[] = []
  for await (const row of disk.scan(everything)) if (row.key.toString('latin1', 0, 1) === prefix) rows.push(row)
  return rows
}
