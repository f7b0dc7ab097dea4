/** A store in memory with ordered queues on it, that can be cut off before its open commit and opened again. */
import { silentLog } from '../../src/core/log.js'
import type { Random } from '../../src/core/random.js'
import { type Engine, openEngine } from '../../src/queue/engine.js'
import { type OrderedEntry, READY } from '../../src/queue/ordered-entry.js'
import { entryOf } from '../../src/queue/ordered-pages.js'
import type { OrderedQueue } from '../../src/queue/ordered-queue.js'
import { type OrderedQueues, openOrderedQueues } from '../../src/queue/ordered-queues.js'
import { ID_END } from '../../src/queue/ordered-rows.js'
import type { WindowSizes } from '../../src/queue/ordered-window.js'
import type { Disk, KeyRange, Op, Row, ScanOptions } from '../../src/store/disk.js'
import { orderedIndexOf } from '../../src/store/keys.js'
import { MemoryDisk } from '../../src/store/memory.js'
import type { MessageView } from '../../src/store/message.js'
import { openStore, type Store } from '../../src/store/store.js'
import { ManualClock } from './clock.js'
import { checked } from './store.js'

/** Passes everything on until it is cut; then writes go nowhere and are never answered, as for a process that has died. */
class Cuttable implements Disk {
  cut = false
  readonly inner: Disk
  readonly slow: () => boolean
  readonly failing: () => boolean
  /** What was on its way to the disk at the cut gets there. */
  last: Promise<void> = Promise.resolve()
  constructor(inner: Disk, slow: () => boolean, failing: () => boolean) {
    this.inner = inner
    this.slow = slow
    this.failing = failing
  }
  write(ops: readonly Op[], sync: boolean): Promise<void> {
    if (this.failing()) return Promise.reject(new Error('no space left'))
    if (this.cut) return new Promise(() => {})
    this.last = this.inner.write(ops, sync)
    return this.last
  }
  get(key: Buffer): Promise<Buffer | undefined> {
    return this.inner.get(key)
  }
  getSync(key: Buffer): Buffer | undefined {
    return this.inner.getSync(key)
  }
  async *scan(range: KeyRange, options?: ScanOptions): AsyncIterable<Row> {
    if (!this.slow()) {
      yield* this.inner.scan(range, options)
      return
    }
    // As LevelDB does: what is there at the call, told some turns later.
    const rows: Row[] = []
    for await (const row of this.inner.scan(range, options)) rows.push(row)
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    yield* rows
  }
  compact(range: KeyRange): Promise<void> {
    return this.inner.compact(range)
  }
  approximateBytes(range: KeyRange): Promise<number> {
    return this.inner.approximateBytes(range)
  }
  freeBytes(): Promise<number> {
    return this.inner.freeBytes()
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
}

/** Repeatable bits (a small counter generator; unguessable is not needed here). */
export function seededRandom(seed: number): Random {
  let x = seed >>> 0 || 1
  const next = (): number => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return x >>> 0
  }
  return {
    bytes: (length) => Buffer.from(Array.from({ length }, () => next() & 0xff)),
    below: (below) => next() % below,
  }
}

export class OrderedRig {
  readonly clock = new ManualClock()
  readonly base: Disk
  /** Reads take some turns of the event loop, in which commits happen. */
  slow = false
  /** Writes fail. */
  failing = false
  /** Called when the open group goes to the disk. */
  onSeal: () => void = () => {}
  store!: Store
  engine!: Engine
  queues!: OrderedQueues
  private disk!: Cuttable
  private readonly sizes: WindowSizes | undefined
  private seed = 1

  private constructor(base: Disk, sizes: WindowSizes | undefined) {
    this.base = base
    this.sizes = sizes
  }

  static async open(sizes?: WindowSizes, base: Disk = new MemoryDisk()): Promise<OrderedRig> {
    const rig = new OrderedRig(base, sizes)
    await rig.start()
    return rig
  }

  private async start(): Promise<void> {
    const { clock } = this
    const log = silentLog
    this.disk = new Cuttable(
      this.base,
      () => this.slow,
      () => this.failing,
    )
    this.store = await openStore({ path: '', durability: 'fsync', min_free_bytes: 0, max_bytes: 0, clock, log, disk: this.disk })
    this.engine = await openEngine({
      store: this.store,
      clock,
      log,
      recoverOthers: async (engine) => {
        const { disk } = this
        this.store.journal.contribute({ seal: () => (disk.cut ? undefined : this.onSeal()), committed: () => {} })
        const random = seededRandom(++this.seed)
        const sizes = this.sizes
        const takeId = (): number => engine.takeQueueId()
        this.queues = await openOrderedQueues({
          store: this.store,
          clock,
          log,
          random,
          takeId,
          ...(sizes === undefined ? {} : { sizes }),
        })
      },
    })
  }

  /** Everything so far is on the disk. */
  flush(): Promise<void> {
    return this.store.journal.flush()
  }

  /** Ends in order and starts again. */
  async restart(): Promise<void> {
    await this.flush()
    this.queues.close()
    await this.engine.close()
    await this.store.close()
    await this.start()
  }

  /** Dies now: what is not committed is lost. Starts again. */
  async crash(): Promise<void> {
    this.disk.cut = true
    this.queues.close()
    await this.engine.close()
    await this.disk.last
    await this.start()
  }

  queue(name: string): OrderedQueue {
    const q = this.queues.get(name)
    if (q === undefined) throw new Error(`no queue ${name}`)
    return q
  }

  /** A message with `text` as its payload. */
  view(text: string, o: { topic?: string; expiresAt?: number } = {}): MessageView {
    return messageView(o.topic ?? 't', text, this.clock.now(), o.expiresAt ?? 0)
  }

  /** Hands out up to `max`, bringing in what is only on disk. */
  async take(q: OrderedQueue, max: number, lease_ms?: number) {
    for (;;) {
      const got = q.lease(max, lease_ms)
      if (got.length > 0) return got
      if (!q.paging) return got
      await q.idle()
    }
  }

  text(seq: number): string {
    const m = this.store.messages.read(seq)
    if (m === undefined) throw new Error(`message ${seq} is not in memory`)
    return m.buffer.toString('utf8', m.payloadStart, m.end)
  }

  /** Every index row of a queue as it is on the disk. */
  async rows(q: OrderedQueue): Promise<OrderedEntry[]> {
    const out: OrderedEntry[] = []
    for await (const { key, value } of checked(this.base).scan(orderedIndexOf(q.id))) {
      if (key[5] === ID_END) continue
      const e = entryOf(key, value)
      if (e === undefined) throw new Error('a row that is no entry')
      out.push(e)
    }
    return out
  }

  /** Rows of one class, in key order. */
  async ready(q: OrderedQueue): Promise<OrderedEntry[]> {
    return (await this.rows(q)).filter((e) => e.cls === READY)
  }
}

export function messageView(topic: string, text: string, acceptedAt: number, expiresAt = 0): MessageView {
  const t = Buffer.from(topic)
  const p = Buffer.from(text)
  const buffer = Buffer.alloc(4 + t.length + p.length)
  buffer.writeUInt16BE(t.length, 0)
  t.copy(buffer, 2)
  p.copy(buffer, 4 + t.length)
  return { buffer, bodyStart: 0, payloadStart: 4 + t.length, end: buffer.length, properties: undefined, acceptedAt, expiresAt }
}
