/** Random commands against the model, with restarts and crashes before the open commit, with everything paged and with nothing paged. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseAttributes, type QueueAttributes } from '../src/queue/attributes.js'
import { BEHIND, DELAYED, LEASED, READY, RETAINED } from '../src/queue/ordered-entry.js'
import { deadNameOf } from '../src/queue/ordered-queues.js'
import type { WindowSizes } from '../src/queue/ordered-window.js'
import type { Disk } from '../src/store/disk.js'
import { openLevelDisk } from '../src/store/level.js'
import { messageBytes } from '../src/store/message.js'
import { OrderedModel } from './model/ordered-model.js'
import { OrderedRig } from './support/ordered-rig.js'

const tiny: WindowSizes = { entries: 4, page: 2, ahead: 1, lookaside: 2 }
const narrow: WindowSizes = { entries: 4, page: 4, ahead: 3, lookaside: 3 }
const RUNS = Number(process.env.MODEL_RUNS ?? 400)

/** `rush`: the next command follows at once, while pages and sweeps of this one are still under way. */
type Command = { rush: boolean } & Act
type Act =
  | SendAct
  | { type: 'batch'; messages: readonly SendAct[] }
  | { type: 'lease'; max: number; lease_ms: number }
  | { type: 'ack'; which: number }
  | { type: 'takeBack' }
  | { type: 'nack'; which: number; delay_ms: number; count: boolean }
  | { type: 'update'; attributes: Partial<QueueAttributes> }
  | { type: 'seek'; back_ms: number }
  | { type: 'extend'; which: number; lease_ms: number }
  | { type: 'advance' | 'step'; ms: number }
  | { type: 'purge' | 'redrive' | 'flush' | 'restart' | 'crash' | 'audit' }

interface SendAct {
  type: 'send'
  key: string
  priority: number
  delay_ms: number
  dedupId: string
  ttl_ms: number
  copies: number
  /** Bytes beyond those that every message has. */
  more: number
}

interface Shape {
  attributes: QueueAttributes
  sizes: WindowSizes | undefined
  priorities: boolean
  ttl: boolean
  /** The clock is set; there are no ids then, as one whose time was over may be known again. */
  steps: boolean
  slow: boolean
}

/** Room for few messages, or for few bytes: a message has 15 to 40. */
const limits = fc.constantFrom<Partial<QueueAttributes>>(
  {},
  {},
  { max_messages: 2 },
  { max_messages: 4 },
  { max_messages: 10 },
  { max_bytes: 100 },
  { max_messages: 6, max_bytes: 120 },
)
const overflow = fc.constantFrom<QueueAttributes['overflow']>('reject', 'drop_oldest', 'drop_oldest', 'drop_newest')

const shapes: fc.Arbitrary<Shape> = fc
  .record({
    fifo: fc.constantFrom(true, true, false),
    last_value: fc.boolean(),
    max_attempts: fc.constantFrom(0, 0, 1, 3),
    retain_s: fc.constantFrom(0, 86_400),
    limits,
    overflow,
    paged: fc.constantFrom<WindowSizes | undefined>(undefined, tiny, narrow),
    priorities: fc.boolean(),
    ttl: fc.boolean(),
    steps: fc.boolean(),
    slow: fc.boolean(),
  })
  .map(({ fifo, last_value, max_attempts, retain_s, limits, overflow, paged, priorities, ttl, steps, slow }) => ({
    attributes: parseAttributes({
      fifo,
      last_value,
      max_attempts,
      retain_s,
      retention_s: 0,
      dedup_window_s: 2,
      overflow,
      ...limits,
    }),
    sizes: paged,
    priorities,
    ttl,
    steps,
    slow,
  }))

const which = fc.nat(1_000)
const key = fc.constantFrom('', 'a', 'a', 'a', 'b')
const ms = fc.constantFrom(0, 1, 100, 1_000, 5_000)
const send = fc.record({
  type: fc.constant('send' as const),
  key,
  priority: fc.constantFrom(1, 8, 8, 16),
  delay_ms: fc.constantFrom(0, 0, 0, 100, 3_000),
  dedupId: fc.constantFrom('', '', 'x', 'y', 'z'),
  ttl_ms: fc.constantFrom(0, 0, 500, 4_000),
  copies: fc.constantFrom(1, 1, 2, 7),
  more: fc.constantFrom(0, 0, 25),
})
const changes = fc.oneof(
  limits.map((some) => ({ max_messages: 1_000, max_bytes: 1_000_000, ...some })),
  fc.record({ max_attempts: fc.constantFrom(0, 1, 3) }),
  fc.constant({ retain_s: 86_400 }),
  fc.record({ dedup_window_s: fc.constantFrom(1, 100) }),
)
const acts: fc.Arbitrary<Act> = fc.oneof(
  { weight: 10, arbitrary: send },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('batch' as const), messages: fc.array(send, { minLength: 2, maxLength: 4 }) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant('lease' as const), max: fc.integer({ min: 1, max: 5 }), lease_ms: ms }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('ack' as const), which }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant('nack' as const), which, delay_ms: ms, count: fc.boolean() }) },
  { weight: 2, arbitrary: fc.constant<Act>({ type: 'takeBack' }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('extend' as const), which, lease_ms: ms }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('advance' as const), ms }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('step' as const), ms: fc.constantFrom(-2_000, -1, 1, 2_000) }) },
  { weight: 2, arbitrary: fc.constantFrom<Act>({ type: 'purge' }, { type: 'redrive' }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('seek' as const), back_ms: fc.constantFrom(2_000, 1_000_000, 1_000_000) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('update' as const), attributes: changes }) },
  { weight: 2, arbitrary: fc.constantFrom<Act>({ type: 'restart' }, { type: 'audit' }) },
  { weight: 3, arbitrary: fc.constantFrom<Act>({ type: 'flush' }, { type: 'crash' }) },
)
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.record({ act: acts, rush: fc.boolean() }).map(({ act, rush }): Command => ({ ...act, rush })),
  { maxLength: 60, size: 'max' },
)

class Runner {
  private readonly rig: OrderedRig
  private readonly shape: Shape
  private model: OrderedModel
  private saved: OrderedModel
  private receipts: string[] = []
  /** Not over a restart. */
  private readonly settled = new Map<string, string>()
  private texts = new Map<number, string>()
  private sent = 0

  private constructor(rig: OrderedRig, shape: Shape) {
    this.rig = rig
    this.shape = shape
    this.model = new OrderedModel(shape.attributes)
    this.saved = this.model.copy()
  }

  static async run(shape: Shape, list: readonly Command[], disk?: Disk): Promise<void> {
    const rig = await OrderedRig.open(shape.sizes, disk)
    rig.queues.create('q', 'pull', shape.attributes)
    await rig.flush()
    const r = new Runner(rig, shape)
    rig.slow = shape.slow
    // What is on the disk after a crash is what was in the queue when the last group went there.
    rig.onSeal = () => {
      r.saved = r.model.copy()
    }
    try {
      for (const c of list) {
        await r.apply(c)
        if (c.rush && r.mayRush(c)) continue
        await r.settle()
        r.compare()
      }
      await r.drain()
    } finally {
      rig.queues.close()
    }
  }

  /** Commands whose effect does not depend on what is due or on its way into memory. */
  private mayRush(c: Command): boolean {
    if (this.shape.ttl || this.shape.attributes.overflow === 'drop_oldest') return false
    return c.type === 'send' || c.type === 'ack' || c.type === 'nack' || c.type === 'extend' || c.type === 'purge'
  }

  private get q() {
    return this.rig.queue('q')
  }

  private get now() {
    return this.rig.clock.now()
  }

  /** All that is due is done and all pages have come, as after a moment of quiet. */
  private async settle(): Promise<void> {
    this.model.tick(this.now)
    for (let i = 0; i < 100; i++) {
      for (const q of this.rig.queues.all()) {
        q.due(this.now)
        q.after()
        await q.idle()
        if (q.state.unseenExpiresAt <= this.now) await q.expireUnseen()
      }
      await this.rig.queues.quiet()
      if (this.q.nextDue() > this.now && this.q.state.unseenExpiresAt > this.now && !this.q.paging) break
    }
    this.model.tick(this.now)
  }

  private compare(): void {
    const { model, now } = this
    const ready = model.ready(now).length
    const delayed = model.delayed(now).length
    const bytes = model.entries.reduce((n, e) => n + e.bytes, 0)
    expect(this.q.counts()).toEqual({ ready, leased: model.leased.length, delayed, bytes })
    expect(this.q.kept().retained).toBe(model.retained.length)
    expect(this.rig.queues.get(deadNameOf('q'))?.counts().ready ?? 0).toBe(model.dead.length)
  }

  private pick(n: number): string {
    return this.receipts.length === 0 ? 'nothing' : this.receipts[Math.max(0, this.receipts.length - 1 - (n % 12))]
  }

  private async apply(c: Command): Promise<void> {
    const { q, model, now, rig } = this
    switch (c.type) {
      case 'send':
        for (let i = 0; i < c.copies; i++) await this.send([c])
        return
      case 'batch':
        // A window of two rows has not enough to drop for all of them.
        if (this.shape.sizes !== undefined && this.shape.attributes.overflow === 'drop_oldest') return
        await this.send(c.messages)
        return
      case 'lease': {
        await this.settle()
        const got = await rig.take(q, c.max, c.lease_ms)
        const want = model.eligible(now)
        expect(got.map((d) => [this.texts.get(d.seq), d.attempts])).toEqual(
          want.slice(0, got.length).map((e) => [e.text, e.attempts + 1]),
        )
        if (got.length === 0) expect(want).toEqual([])
        got.forEach((d, i) => {
          model.lease(want[i], d.receipt, c.lease_ms, now)
          this.receipts.push(d.receipt)
        })
        return
      }
      case 'ack':
      case 'nack':
      case 'extend': {
        const receipt = this.pick(c.which)
        const e = model.holder(receipt, now)
        const results =
          c.type === 'ack'
            ? q.ack([receipt])
            : c.type === 'nack'
              ? q.nack([receipt], c.delay_ms, c.count)
              : q.extend([receipt], c.lease_ms)
        const again = e === undefined && this.settled.get(receipt) === c.type
        expect(results).toEqual([e === undefined && !again ? 'receipt_invalid' : 'ok'])
        if (e === undefined) return
        if (c.type !== 'extend') this.settled.set(receipt, c.type)
        if (c.type === 'ack') model.ack(e)
        else if (c.type === 'nack') c.count ? model.giveBack(e, c.delay_ms, now) : model.takeBack(e, c.delay_ms, now)
        else e.until = now + c.lease_ms
        return
      }
      case 'takeBack': {
        await this.settle()
        const [d] = await rig.take(q, 1, 10_000)
        if (d === undefined) return
        // Taken and given back: an attempt was not made, but a newer one of its last-value key may have come; none can within this command.
        q.takeBack([d])
        return
      }
      case 'advance':
        for (let left = c.ms; left > 0; ) {
          const ms = Math.min(left, model.nextMoment(this.now) - this.now)
          rig.clock.advance(ms)
          model.tick(this.now)
          left -= ms
        }
        return
      case 'step':
        if (this.shape.steps) rig.clock.step(c.ms)
        return
      case 'purge': {
        if (this.shape.ttl) await this.settle()
        expect(q.purge()).toBe(model.purge(now))
        return
      }
      case 'update':
        rig.queues.update(q, c.attributes)
        model.a = { ...model.a, ...c.attributes }
        return
      case 'seek': {
        await this.settle()
        const from = now - c.back_ms
        expect(await rig.queues.seek(q, { time: from })).toBe(model.seek(from, now))
        await this.settle()
        await rig.flush()
        this.saved = model.copy()
        return
      }
      case 'redrive': {
        const dead = rig.queues.get(deadNameOf('q'))
        if (dead === undefined) return
        await this.settle()
        const seen = (await rig.queues.peek(dead, { limit: 1_000 })).map((p) => this.texts.get(p.seq) as string)
        expect([...seen].sort()).toEqual(model.dead.map((e) => e.text).sort())
        expect(await rig.queues.redrive(dead, { max: 1_000 })).toEqual({ ...model.redrive(seen, now), homeless: 0, others: 0 })
        await this.settle()
        await rig.flush()
        this.saved = model.copy()
        return
      }
      case 'flush':
        await rig.flush()
        return
      case 'restart':
        this.settled.clear()
        await rig.restart()
        return
      case 'crash':
        this.settled.clear()
        this.model = this.saved.copy()
        await rig.crash()
        return
      case 'audit':
        await this.audit()
        return
    }
  }

  private async send(list: readonly SendAct[]): Promise<void> {
    const { q, now } = this
    const batch = list.map(({ key, priority, delay_ms, dedupId: id, ttl_ms, more }) => {
      const dedupId = this.shape.steps ? '' : id
      const text = `m${this.sent++}${'.'.repeat(more)}`
      const view = this.rig.view(text)
      const expiresAt = this.shape.ttl && ttl_ms > 0 ? now + ttl_ms : 0
      return {
        text,
        view,
        bytes: messageBytes(view),
        key,
        priority: this.shape.priorities ? priority : 8,
        delay_ms,
        dedupId,
        expiresAt,
      }
    })
    // What expired unseen takes up room until it was looked for: whoever sends over HTTP waits for that.
    // What has to go to make room and is on disk only comes into memory when the queue is nearly full.
    const drops = this.shape.attributes.overflow === 'drop_oldest'
    if (this.shape.ttl || drops) await this.settle()
    const results = q.send(batch.map(({ dedupId: dedup_id, expiresAt: expires_at, ...m }) => ({ ...m, dedup_id, expires_at })))
    const want = batch.length === 1 ? [this.model.send(batch[0], now)] : this.model.sendBatch(batch, now)
    expect(results.map(({ outcome }) => outcome)).toEqual(want)
    for (const [i, { seq, outcome }] of results.entries()) if (outcome === 'stored') this.texts.set(seq, batch[i].text)
  }

  /** The rows say the same as the counts: one row per entry, and the log holds exactly the messages that they need. */
  private async audit(): Promise<void> {
    const { q, rig } = this
    await rig.queues.quiet()
    await rig.flush()
    const rows = await rig.rows(q)
    expect(new Set(rows.map((e) => e.place)).size).toBe(rows.length)
    const of = (cls: number) => rows.filter((e) => e.cls === cls).length
    const s = q.state
    const counted = [s.inLanes, s.behind, s.delayed.total, s.leases.size, s.retained]
    expect([READY, BEHIND, DELAYED, LEASED, RETAINED].map(of)).toEqual(counted)
    const dead = rig.queues.get(deadNameOf('q'))
    const held = rows.length + (dead === undefined ? 0 : (await rig.rows(dead)).length)
    expect(rig.queues.holds.total).toBe(held)
  }

  /** Everything that is left comes out in the model's order, and nothing stays behind. */
  private async drain(): Promise<void> {
    const { rig } = this
    for (let i = 0; i < 1_000 && (this.model.entries.length > 0 || this.q.state.count > 0); i++) {
      await this.apply({ type: 'lease', max: 50, lease_ms: 1_000, rush: false })
      this.q.ack(this.receipts)
      for (const e of this.model.leased) if (this.receipts.includes(e.receipt) && e.until > this.now) this.model.ack(e)
      rig.clock.advance(1_000)
      await this.settle()
      this.compare()
    }
    await rig.flush()
    await this.audit()
    const left = this.q.counts()
    expect(left).toEqual({ ready: 0, leased: 0, delayed: 0, bytes: 0 })
    expect((await rig.rows(this.q)).length).toBe(this.model.retained.length)
  }
}

describe('an ordered queue behaves as its model', () => {
  it('under random commands, restarts and crashes', { timeout: 600_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(shapes, commands, (shape, list) => Runner.run(shape, list)),
      { numRuns: RUNS },
    )
  })

  it('on LevelDB too', { timeout: 600_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(shapes, commands, async (shape, list) => {
        const folder = await mkdtemp(join(tmpdir(), 'aqueduct-ordered-'))
        const disk = await openLevelDisk(folder)
        try {
          await Runner.run(shape, list, disk)
        } finally {
          await disk.close()
          await rm(folder, { recursive: true })
        }
      }),
      { numRuns: Math.ceil(RUNS / 20) },
    )
  })
})
