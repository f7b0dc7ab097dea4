/**
 * The API behaves as the model of an ordered queue, under random requests, time, restarts and crashes: whatever was answered is so afterwards, to the
 * receipt. `MODEL_RUNS=3000 npx vitest run test/http-api/model.test.ts` is the long form.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseAttributes, type QueueAttributes } from '../../src/queue/attributes.js'
import { OrderedModel } from '../model/ordered-model.js'
import type { ReceivedMessage } from '../support/api-client.js'
import { type ClockedApi, startClockedApi } from '../support/api-server.js'

/** Longer than between two looks at what expired on the disk. */
const HOUSEKEEPING_MS = 60_000
const RUNS = Number(process.env.MODEL_RUNS ?? 12)

type Command =
  | {
      type: 'send'
      key: string
      priority: number
      delay_ms: number
      dedup_id: string
      ttl_s: number
      copies: number
      raw: boolean
    }
  | { type: 'receive'; max: number; lease_ms: number }
  | { type: 'ack' | 'extend' | 'nack'; which: number[]; ms: number }
  | { type: 'advance'; ms: number }
  | { type: 'purge' | 'redrive' | 'restart' | 'crash' | 'peek' }
  /** A batch is on its way when the process dies: it is stored whole, or not at all. */
  | { type: 'interrupted'; copies: number; applied: boolean }

interface Shape {
  readonly attributes: Partial<QueueAttributes>
  readonly ttl: boolean
}

const shapes: fc.Arbitrary<Shape> = fc
  .record({
    fifo: fc.boolean(),
    last_value: fc.boolean(),
    max_attempts: fc.constantFrom(0, 0, 1, 3),
    limit: fc.constantFrom<'none' | 'reject' | 'drop_newest'>('none', 'none', 'reject', 'drop_newest'),
    ttl: fc.boolean(),
  })
  // A newer message of a key that expires behind a leased one still replaces it when that comes back: the model has forgotten it by then.
  // What `drop_oldest` drops depends, after a restart, on what is in memory: `ordered-model.test.ts` has it where that is known.
  .filter(({ last_value, ttl }) => !(last_value && ttl))
  .map(({ limit, ttl, ...rest }) => ({
    attributes: {
      ...rest,
      retention_s: 0,
      dedup_window_s: 2,
      ...(limit === 'none' || ttl ? {} : { overflow: limit, max_messages: 10 }),
    },
    ttl,
  }))

const ms = fc.constantFrom(0, 1, 100, 1_000, 5_000)
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({
        type: fc.constant('send' as const),
        key: fc.constantFrom('', 'a', 'a', 'b'),
        priority: fc.constantFrom(1, 8, 8, 16),
        delay_ms: fc.constantFrom(0, 0, 0, 100, 3_000),
        dedup_id: fc.constantFrom('', '', 'x', 'y'),
        ttl_s: fc.constantFrom(0, 0, 1, 4),
        copies: fc.constantFrom(1, 1, 2, 7),
        raw: fc.boolean(),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({ type: fc.constant('receive' as const), max: fc.integer({ min: 1, max: 5 }), lease_ms: ms }),
    },
    {
      weight: 10,
      arbitrary: fc.record({
        type: fc.constantFrom('ack' as const, 'ack' as const, 'nack' as const, 'extend' as const),
        which: fc.array(fc.nat(11), { minLength: 1, maxLength: 3 }),
        ms,
      }),
    },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('advance' as const), ms }) },
    { weight: 3, arbitrary: fc.constantFrom<Command>({ type: 'purge' }, { type: 'redrive' }, { type: 'peek' }) },
    { weight: 2, arbitrary: fc.constantFrom<Command>({ type: 'restart' }, { type: 'crash' }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('interrupted' as const),
        copies: fc.integer({ min: 1, max: 5 }),
        applied: fc.boolean(),
      }),
    },
  ),
  { minLength: 30, maxLength: 80, size: 'max' },
)

class Runner {
  private server: ClockedApi
  private readonly shape: Shape
  private readonly model: OrderedModel
  private readonly receipts: string[] = []
  /** What became of receipts; not over a restart. */
  private readonly settled = new Map<string, string>()
  private sent = 0

  private constructor(server: ClockedApi, shape: Shape) {
    this.server = server
    this.shape = shape
    this.model = new OrderedModel(parseAttributes(shape.attributes))
  }

  static async run(shape: Shape, list: readonly Command[]): Promise<number> {
    const server = await startClockedApi()
    expect((await server.api.put('q', shape.attributes)).status).toBe(201)
    const r = new Runner(server, shape)
    try {
      for (const c of list) {
        await r.apply(c)
        await r.settle()
        await r.compare()
      }
      await r.drain()
    } finally {
      r.server.disk.holding = false
      while (r.server.disk.step());
      await r.server.close()
    }
    return list.length
  }

  private get api() {
    return this.server.api
  }

  private get now(): number {
    return this.server.clock.now()
  }

  /** All that is due is done and all pages have come, as after a moment of quiet. */
  private async settle(): Promise<void> {
    const { ordered } = this.server.queues
    for (let i = 0, busy = true; busy && i < 100; i++) {
      busy = false
      for (const q of ordered?.all() ?? []) {
        q.due(this.now)
        q.after()
        await q.idle()
        busy ||= q.nextDue() <= this.now || q.paging
      }
    }
    await ordered?.committed()
    this.model.tick(this.now)
  }

  private async compare(): Promise<void> {
    const { model, now } = this
    const c = await this.api.counts('q')
    const ready = model.ready(now).length
    const delayed = model.delayed(now).length
    expect([c.leased, c.dead]).toEqual([model.leased.length, model.dead.length])
    if (this.shape.ttl) expect((c.ready ?? 0) + (c.delayed ?? 0)).toBeGreaterThanOrEqual(ready + delayed)
    else expect(c).toMatchObject({ ready, delayed, bytes: model.entries.reduce((n, e) => n + e.bytes, 0) })
  }

  private async apply(c: Command): Promise<void> {
    const { api, model, now } = this
    switch (c.type) {
      case 'send':
        await this.send(c)
        return
      case 'receive':
        await this.receive(c.max, c.lease_ms)
        return
      case 'ack':
      case 'nack':
      case 'extend': {
        const receipts = c.which.map((n) => this.receipts.at(-1 - (n % Math.max(1, this.receipts.length))) ?? 'nothing')
        const field = c.type === 'ack' ? {} : c.type === 'nack' ? { delay_ms: c.ms } : { lease_ms: c.ms }
        const results = await api.settle('q', c.type, receipts, field)
        for (const [i, receipt] of receipts.entries()) {
          const e = model.holder(receipt, now)
          const again = e === undefined && this.settled.get(receipt) === c.type
          expect(results[i]).toBe(e === undefined && !again ? 'receipt_invalid' : 'ok')
          if (e === undefined) continue
          if (c.type !== 'extend') this.settled.set(receipt, c.type)
          if (c.type === 'ack') model.remove(e)
          else if (c.type === 'nack') model.giveBack(e, c.ms, now)
          else e.until = now + c.ms
        }
        return
      }
      case 'advance':
        this.server.clock.advance(c.ms)
        return
      case 'purge': {
        const n = model.purge(now)
        const { body } = await api.call('POST', '/v1/queues/q/purge')
        if (this.shape.ttl) expect(body.purged).toBeGreaterThanOrEqual(n)
        else expect(body.purged).toBe(n)
        return
      }
      case 'redrive': {
        if (model.a.max_messages === 10 || model.dead.length === 0) return
        const path = `/v1/queues/${encodeURIComponent('$dead/queue/q')}`
        const { body } = await api.call('GET', `${path}/peek?limit=256`)
        const texts = body.messages.map((m: { body: string }) => m.body)
        const { body: redriven } = await api.call('POST', '/v1/queues/q/redrive')
        expect(redriven).toEqual({ ...model.redrive(texts, now), homeless: 0, others: 0 })
        return
      }
      case 'peek': {
        const { body } = await api.call('GET', '/v1/queues/q/peek?states=leased,delayed&limit=256')
        const seen = body.messages.map((m: { body: string; attempts: number }) => `${m.body} ${m.attempts}`)
        expect(seen.sort()).toEqual([...model.leased, ...model.delayed(now)].map((e) => `${e.text} ${e.attempts}`).sort())
        return
      }
      case 'restart':
        await this.server.close()
        this.settled.clear()
        this.server = await startClockedApi({}, this.server)
        return
      case 'crash':
        await this.server.die()
        this.settled.clear()
        this.server = await startClockedApi({}, this.server)
        return
      case 'interrupted':
        await this.interrupted(c.copies, c.applied)
        return
    }
  }

  private async send(c: Command & { type: 'send' }): Promise<void> {
    const { model, now } = this
    const { key, priority, delay_ms } = c
    const dedupId = c.dedup_id
    const expiresAt = this.shape.ttl && c.ttl_s > 0 ? now + c.ttl_s * 1_000 : 0
    const fields = {
      priority,
      delay_ms,
      ...(key === '' ? {} : { key }),
      ...(dedupId === '' ? {} : { dedup_id: dedupId }),
      ...(expiresAt === 0 ? {} : { ttl_s: c.ttl_s }),
    }
    const texts = Array.from({ length: c.raw ? 1 : c.copies }, () => `m${this.sent++}`)
    const answer = c.raw
      ? await this.api.call(
          'POST',
          `/v1/queues/q/messages?${new URLSearchParams(fields as unknown as Record<string, string>)}`,
          texts[0],
          'text/plain',
        )
      : await this.api.call(
          'POST',
          '/v1/queues/q/messages',
          { messages: texts.map((body) => ({ body, ...fields })) },
          'application/vnd.aqueduct+json',
        )
    // All of them or none: the model says of each what the queue does with it, on a copy until it is known to be all.
    const trial = model.copy()
    const wanted = texts.map((text) =>
      trial.send({ text, bytes: bytesOf(text), priority, key, delay_ms, dedupId, expiresAt }, now),
    )
    if (answer.status === 409) {
      expect(answer.body.error.code).toBe('queue_full')
      expect(wanted).toContain('refused')
      return
    }
    expect(answer.status).toBe(201)
    const outcomes = answer.body.messages.map((m: { duplicate?: true; dropped?: true }) =>
      m.duplicate === true ? 'duplicate' : m.dropped === true ? 'dropped_newest' : 'stored',
    )
    expect(outcomes).toEqual(wanted)
    for (const text of texts) model.send({ text, bytes: bytesOf(text), priority, key, delay_ms, dedupId, expiresAt }, now)
  }

  private async receive(max: number, lease_ms: number): Promise<ReceivedMessage[]> {
    const { model, now } = this
    model.tick(now)
    const want = model.eligible(now)
    const got = await this.api.receive('q', { max, lease_ms })
    // Fewer than there are when the next are on the disk only; none only when there are none.
    expect(got.length).toBeLessThanOrEqual(max)
    if (got.length === 0) expect(want).toEqual([])
    expect(got.map((m) => [m.body, m.attempts])).toEqual(want.slice(0, got.length).map((e) => [e.text, e.attempts + 1]))
    for (const [i, m] of got.entries()) {
      model.lease(want[i] as (typeof want)[0], m.receipt, lease_ms, now)
      this.receipts.push(m.receipt)
    }
    return got
  }

  private async interrupted(copies: number, applied: boolean): Promise<void> {
    const { model, now } = this
    const texts = Array.from({ length: copies }, () => `m${this.sent++}`)
    this.server.disk.holding = true
    const waiting = this.server.disk.waiting
    const url = `${this.api.base}/v1/queues/q/messages`
    const body = JSON.stringify({ messages: texts.map((text) => ({ body: text })) })
    const answer = fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/vnd.aqueduct+json' } }).then(
      (response) => response.status,
      () => 0,
    )
    let status: number | undefined
    void answer.then((s) => {
      status = s
    })
    while (status === undefined && this.server.disk.waiting === waiting) await new Promise((resolve) => setImmediate(resolve))
    // Refused or dropped: nothing was written. Else it waits for the disk, and nobody was told anything.
    if (status !== undefined) expect(status).toBe(model.a.overflow === 'drop_newest' ? 201 : 409)
    await this.server.die(applied)
    expect(await answer).toBe(status ?? 0)
    this.settled.clear()
    this.server = await startClockedApi({}, this.server)
    const { body: seen } = await this.api.call('GET', '/v1/queues/q/peek?states=ready,behind,delayed&limit=256')
    const there = texts.filter((text) => seen.messages.some((m: { body: string }) => m.body === text))
    if (there.length === 0) return
    expect(applied).toBe(true)
    for (const text of texts)
      model.send({ text, bytes: bytesOf(text), priority: 8, key: '', delay_ms: 0, dedupId: '', expiresAt: 0 }, now)
    expect(there).toEqual(texts.filter((text) => model.entries.some((e) => e.text === text)))
  }

  /** Everything that is left comes out in the model's order. */
  private async drain(): Promise<void> {
    for (let i = 0; i < 1_000 && this.model.entries.length > 0; i++) {
      const got = await this.receive(256, 1_000)
      if (got.length > 0) {
        const receipts = got.map((m) => m.receipt)
        expect(await this.api.settle('q', 'ack', receipts)).toEqual(receipts.map(() => 'ok'))
        for (const e of this.model.entries.filter((e) => receipts.includes(e.receipt))) this.model.remove(e)
      }
      this.server.clock.advance(1_000)
      await this.settle()
    }
    // What expired where nobody read is let go of by itself, some rows at a time.
    for (let i = 0; this.shape.ttl && i < 10; i++) {
      this.server.clock.advance(HOUSEKEEPING_MS)
      await this.settle()
    }
    expect(await this.api.counts('q')).toMatchObject({ ready: 0, leased: 0, delayed: 0, bytes: 0 })
  }
}

/** What a message counts for: its topic `$queue/q` and the payload behind it. */
function bytesOf(text: string): number {
  return 4 + '$queue/q'.length + text.length
}

describe('the API behaves as its model', () => {
  it('under random requests, restarts and crashes', { timeout: 3_600_000 }, async () => {
    let applied = 0
    await fc.assert(
      fc.asyncProperty(shapes, commands, async (shape, list) => {
        applied += await Runner.run(shape, list)
      }),
      { numRuns: RUNS, endOnFailure: true },
    )
    if (process.env.MODEL_RUNS !== undefined) console.info(`${applied} requests and other commands`)
  })
})
