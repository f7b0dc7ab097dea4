/**
 * Plain queues against the model: random commands, a disk that is held and cut at any commit, tiny rings so that everything pages.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Engine } from '../src/queue/engine.js'
import type { PlainQueue } from '../src/queue/plain.js'
import type { Entry, QueueLimits } from '../src/queue/queue.js'
import { MemoryDisk } from '../src/store/memory.js'
import type { Store } from '../src/store/store.js'
import { type ModelEntry, QueuesModel } from './model/queue-model.js'
import { ManualClock } from './support/clock.js'
import { CutDisk } from './support/cut-disk.js'
import { message, NO_LIMITS, openOn, payloadOf, turn } from './support/store.js'

const NAMES = ['a', 'b', 'c']

type Command =
  | { do: 'append'; to: number[]; size: number; flags: number; extra: boolean }
  | { do: 'lease'; q: number; times: number }
  | { do: 'ack' | 'release'; q: number; pick: number }
  | { do: 'releaseAll' | 'recreate'; q: number }
  | { do: 'purge'; q: number; leased: boolean }
  | { do: 'step' | 'settle' | 'checkpoint' | 'restart' | 'lazy' | 'tidy' }
  | { do: 'crash'; applied: boolean }

const q = fc.nat({ max: NAMES.length - 1 })
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      to: fc.uniqueArray(q, { minLength: 1 }),
      size: fc.oneof(
        { weight: 9, arbitrary: fc.nat({ max: 20 }) },
        { weight: 1, arbitrary: fc.constantFrom(2_000, 40_000, 70_000) },
      ),
      flags: fc.nat({ max: 255 }),
      extra: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('lease' as const), q, times: fc.integer({ min: 1, max: 6 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom('ack' as const, 'ack' as const, 'release' as const), q, pick: fc.nat() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('releaseAll' as const, 'recreate' as const), q }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const), q, leased: fc.boolean() }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom('step' as const, 'step' as const, 'settle' as const, 'checkpoint' as const, 'lazy' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'tidy' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), applied: fc.boolean() }) },
)

class Run {
  readonly rows = new MemoryDisk()
  readonly model = new QueuesModel()
  readonly limits: QueueLimits
  readonly ringEntriesMax: number
  disk!: CutDisk
  store!: Store
  engine!: Engine
  clock = new ManualClock()
  /** Entries handed out by the real thing, by queue. */
  leased = new Map<string, Entry[]>()
  serial = 0

  constructor(limits: QueueLimits, ringEntriesMax: number) {
    this.limits = limits
    this.ringEntriesMax = ringEntriesMax
  }

  async open(): Promise<void> {
    this.disk = new CutDisk(this.rows)
    this.clock = new ManualClock()
    const opened = await openOn(this.disk, { clock: this.clock, ringEntriesMax: this.ringEntriesMax })
    this.store = opened.store
    this.engine = opened.engine
    this.leased.clear()
    this.disk.onWrite = () => {
      this.sync()
      this.model.seal()
    }
    this.disk.onApplied = () => this.model.applied()
    for (const name of NAMES) {
      if (this.model.queues.has(name) !== (this.engine.byName('session', name) !== undefined))
        throw new Error(`queue ${name} is wrongly there or not`)
      this.queue(name).limits = this.limits
      this.checkCounts(name)
    }
    this.disk.holding = true
  }

  queue(name: string): PlainQueue {
    const found = this.engine.byName('session', name)
    if (found !== undefined) return found as PlainQueue
    this.model.create(name)
    return this.engine.createQueue({ name, kind: 'session', limits: this.limits, durable: true }) as PlainQueue
  }

  async run(c: Command): Promise<void> {
    this.sync()
    switch (c.do) {
      case 'append':
        return this.append(
          c.to.map((i) => NAMES[i]),
          c.size,
          c.flags,
          c.extra,
        )
      case 'lease': {
        for (let i = 0; i < c.times; i++) this.lease(NAMES[c.q])
        return
      }
      case 'ack':
      case 'release':
        return this.giveBack(NAMES[c.q], c.pick, c.do)
      case 'releaseAll': {
        this.queue(NAMES[c.q]).releaseAll()
        this.model.releaseAll(NAMES[c.q])
        this.leased.delete(NAMES[c.q])
        return
      }
      case 'recreate': {
        this.engine.deleteQueue(this.queue(NAMES[c.q]))
        this.model.delete(NAMES[c.q])
        this.leased.delete(NAMES[c.q])
        this.queue(NAMES[c.q])
        return
      }
      case 'purge': {
        expect(this.queue(NAMES[c.q]).purge(c.leased)).toBe(this.model.purge(NAMES[c.q], c.leased))
        if (c.leased) this.leased.delete(NAMES[c.q])
        return
      }
      case 'step': {
        await turn()
        this.disk.step()
        return turn()
      }
      case 'lazy': {
        this.clock.advance(50)
        return turn()
      }
      case 'settle':
        return this.settle()
      case 'checkpoint':
        return this.store.messages.checkpoint.request()
      case 'tidy': {
        void this.store.messages.tidier.run(Number.POSITIVE_INFINITY, true)
        return turn()
      }
      case 'restart': {
        await this.settle()
        await this.engine.close()
        this.disk.holding = false
        await this.store.close()
        this.model.crash()
        return this.open()
      }
      case 'crash': {
        this.disk.cut(c.applied)
        this.model.crash()
        void this.engine.close()
        return this.open()
      }
    }
  }

  append(names: string[], size: number, flags: number, extra: boolean): void {
    const payload = `${++this.serial}`.padEnd(size, '.')
    const view = message(payload)
    this.engine.begin(view)
    const took = names.filter((name) => {
      const queue = this.queue(name)
      const before = queue.counts()
      const took = this.engine.append(queue, flags, extra ? Buffer.from(`x${payload.length}`) : undefined)
      if (took) {
        // The model drops as many as the queue did; which ones is seen when the rest comes out.
        const dropped = before.ready + before.leased + 1 - (queue.counts().ready + queue.counts().leased)
        for (let i = 0; i < dropped; i++) this.model.dropOldest(name)
        const over = queue.held > this.limits.max_messages || queue.bytes > this.limits.max_bytes
        if (over) expect(queue.tail).not.toBeNull()
      } else {
        expect(before.ready + before.leased >= this.limits.max_messages || queue.bytes + view.end > this.limits.max_bytes).toBe(
          true,
        )
      }
      return took
    })
    this.model.append(took, payload, view.end, flags, extra ? `x${payload.length}` : undefined)
    for (const name of names) this.checkCounts(name)
  }

  lease(name: string): void {
    const queue = this.queue(name)
    const due = this.model.next(name)
    const ready = queue.hasReady
    const peeked = queue.peekIndex()
    const entry = queue.lease()
    expect(entry !== undefined).toBe(ready)
    if (entry === undefined) {
      // A page of the tail may be on its way; `finish` shows that it comes.
      if (due !== undefined) expect(queue.tail).not.toBeNull()
      return
    }
    expect(due).toBeDefined()
    expect(peeked).toBe(entry.index)
    this.same(entry, due as ModelEntry)
    ;(due as ModelEntry).state = 'leased'
    const list = this.leased.get(name) ?? []
    list.push(entry)
    this.leased.set(name, list)
  }

  same(entry: Entry, due: ModelEntry): void {
    expect({ index: entry.index, flags: entry.flags, bytes: entry.bytes, extra: entry.extra?.toString() }).toEqual({
      index: due.index,
      flags: due.flags,
      bytes: due.bytes,
      extra: due.extra,
    })
  }

  giveBack(name: string, pick: number, how: 'ack' | 'release'): void {
    const list = this.leased.get(name) ?? []
    if (list.length === 0) return
    const [entry] = list.splice(pick % list.length, 1)
    const queue = this.queue(name)
    if (how === 'ack') {
      queue.ack(entry)
      this.model.remove(name, entry.index)
      // Neither again nor back.
      queue.ack(entry)
      queue.release(entry)
    } else {
      queue.release(entry)
      const e = this.model.byIndex(name, entry.index)
      if (e !== undefined) e.state = 'ready'
    }
    this.checkCounts(name)
  }

  async settle(): Promise<void> {
    this.disk.holding = false
    while (this.disk.step()) await turn()
    await this.store.journal.flush()
    await this.engine.idle()
    await this.store.journal.flush()
    this.sync()
    for (const name of NAMES) this.checkCounts(name)
    this.disk.holding = true
  }

  /** Limits that waited for a page of the tail are made good when it is in: the model drops as many. */
  sync(): void {
    if (this.limits.overflow !== 'drop_oldest') return
    for (const name of NAMES) {
      const queue = this.engine.byName('session', name) as PlainQueue | undefined
      if (queue === undefined) continue
      for (let n = this.model.queue(name).entries.length - queue.held; n > 0; n--) this.model.dropOldest(name)
    }
  }

  checkCounts(name: string): void {
    const queue = this.queue(name)
    const counts = queue.counts()
    const list = this.model.queue(name).entries
    expect({ ready: counts.ready, leased: counts.leased, bytes: counts.bytes }).toEqual({
      ready: list.filter((e) => e.state === 'ready').length,
      leased: list.filter((e) => e.state === 'leased').length,
      bytes: list.reduce((n, e) => n + e.bytes, 0),
    })
  }

  /** Everything comes out, in order and with its payload; then the store holds no message any more. */
  async finish(): Promise<void> {
    await this.settle()
    this.disk.holding = false
    for (const name of NAMES) {
      const queue = this.queue(name)
      queue.releaseAll()
      this.model.releaseAll(name)
      const expected = this.model.queue(name).entries
      for (const due of expected) {
        if (!queue.hasReady) await this.engine.idle()
        const entry = queue.lease()
        if (entry === undefined) throw new Error(`entry ${due.index} of ${name} does not come`)
        this.same(entry, due)
        if (queue.read(entry) === undefined) await queue.load(entry)
        expect(payloadOf(queue.read(entry)).slice(0, 30)).toBe(due.payload.slice(0, 30))
        queue.ack(entry)
      }
      expect(queue.lease()).toBeUndefined()
      expect(queue.counts()).toEqual({ ready: 0, leased: 0, delayed: 0, bytes: 0 })
      this.model.queue(name).entries = []
    }
    await this.settle()
    const live = [...this.store.messages.extents.all()].reduce((n, e) => n + e.live, 0)
    expect(live).toBe(0)
    await this.engine.close()
    this.disk.holding = false
    await this.store.close()
  }
}

async function check(commands: Command[], limits: QueueLimits, ring: number): Promise<void> {
  const run = new Run(limits, ring)
  await run.open()
  for (const c of commands) await run.run(c)
  await run.finish()
}

const sequences = fc.array(command, { minLength: 1, maxLength: 80, size: 'max' })

describe('plain queues behave as the model', () => {
  test('everything in memory', async () => {
    await fc.assert(
      fc.asyncProperty(sequences, (commands) => check(commands, NO_LIMITS, 1_000)),
      { numRuns: 60 },
    )
  }, 60_000)

  test('rings of four entries', async () => {
    await fc.assert(
      fc.asyncProperty(sequences, (commands) => check(commands, NO_LIMITS, 4)),
      { numRuns: Number(process.env.RUNS ?? 60) },
    )
  }, 60_000)

  test('limits of six entries and each overflow, rings of four', async () => {
    await fc.assert(
      fc.asyncProperty(
        sequences,
        fc.constantFrom('reject' as const, 'drop_oldest' as const, 'drop_newest' as const),
        (commands, overflow) => check(commands, { max_messages: 6, max_bytes: 80_000, overflow }, 4),
      ),
      { numRuns: Number(process.env.RUNS ?? 60) },
    )
  }, 60_000)
})
