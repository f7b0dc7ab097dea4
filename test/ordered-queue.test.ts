import { afterEach, describe, expect, it } from 'vitest'
import { hasCode } from '../src/core/errors.js'
import type { OutgoingMessage } from '../src/queue/ordered-api.js'
import type { OrderedQueue } from '../src/queue/ordered-queue.js'
import { deadNameOf } from '../src/queue/ordered-queues.js'
import { OrderedRig } from './support/ordered-rig.js'

let rig: OrderedRig
const small = { entries: 8, page: 4, ahead: 2, lookaside: 4 }

async function open(sizes?: typeof small): Promise<void> {
  rig = await OrderedRig.open(sizes)
}

function send(q: OrderedQueue, text: string, o: Partial<OutgoingMessage> = {}) {
  return q.send([{ view: rig.view(text), ...o }])[0]
}

async function texts(q: OrderedQueue, max = 1_000): Promise<string[]> {
  const out: string[] = []
  while (out.length < max) {
    const got = await rig.take(q, max - out.length)
    if (got.length === 0) break
    await rig.flush()
    for (const d of got) {
      await rig.store.messages.load(d.seq)
      out.push(rig.text(d.seq))
    }
    q.ack(got.map((d) => d.receipt))
  }
  return out
}

afterEach(() => rig.queues.close())

describe('an ordered queue', () => {
  it('hands out in order of acceptance, once, with payload', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', {})
    for (let i = 0; i < 5; i++) expect(send(q, `m${i}`).outcome).toBe('stored')
    const got = await q.receive({ max: 3 })
    expect(got.map((d) => rig.text(d.seq))).toEqual(['m0', 'm1', 'm2'])
    expect(got.map((d) => d.attempts)).toEqual([1, 1, 1])
    expect(q.counts()).toMatchObject({ ready: 2, leased: 3, delayed: 0 })
    expect(q.ack(got.map((d) => d.receipt))).toEqual(['ok', 'ok', 'ok'])
    // Said again, as after a lost answer: it is done.
    expect(q.ack([got[0].receipt])).toEqual(['ok'])
    expect(q.nack([got[0].receipt])).toEqual(['receipt_invalid'])
    expect(await texts(q)).toEqual(['m3', 'm4'])
    expect(q.counts()).toEqual({ ready: 0, leased: 0, delayed: 0, bytes: 0 })
    expect(rig.queues.departures.pull.acked).toBe(5)
  })

  it('hands out the urgent first, and a returned message at its old place', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', {})
    send(q, 'late', { priority: 16 })
    send(q, 'a')
    send(q, 'b')
    send(q, 'now', { priority: 1 })
    const [now, a] = await q.receive({ max: 2 })
    expect(rig.text(now.seq)).toBe('now')
    q.nack([a.receipt])
    expect(await texts(q)).toEqual(['a', 'b', 'late'])
  })

  it('gives a message back when its lease ends, and refuses the old receipt', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { lease_ms: 1_000 })
    send(q, 'm')
    const [first] = await q.receive()
    rig.clock.advance(999)
    expect(q.counts().leased).toBe(1)
    rig.clock.advance(1)
    expect(q.counts()).toMatchObject({ leased: 0, ready: 1 })
    expect(q.ack([first.receipt])).toEqual(['receipt_invalid'])
    const [second] = await q.receive()
    expect(second.attempts).toBe(2)
    expect(q.ack([first.receipt])).toEqual(['receipt_invalid'])
    expect(q.nack([first.receipt])).toEqual(['receipt_invalid'])
    expect(q.extend([first.receipt], 5_000)).toEqual(['receipt_invalid'])
    expect(q.counts().leased).toBe(1)
    expect(q.ack([second.receipt])).toEqual(['ok'])
  })

  it('refuses a receipt that is over by the clock even before anybody has put the message back', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { lease_ms: 1_000 })
    send(q, 'm')
    const [d] = await q.receive()
    rig.clock.step(1_000)
    expect(q.ack([d.receipt])).toEqual(['receipt_invalid'])
    expect(q.counts().ready).toBe(1)
  })

  it('refuses receipts of other queues and nonsense', async () => {
    await open()
    const a = rig.queues.create('a', 'pull', {})
    const b = rig.queues.create('b', 'pull', {})
    send(a, 'm')
    send(b, 'm')
    const [d] = await a.receive()
    await b.receive()
    expect(b.ack([d.receipt, '', 'x'.repeat(32), '€'.repeat(32), d.receipt.slice(1), `${d.receipt}A`])).toEqual(
      Array(6).fill('receipt_invalid'),
    )
    expect(a.ack([d.receipt])).toEqual(['ok'])
  })

  it('refuses what is over even when more is over than one turn puts back', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { lease_ms: 1_000 })
    for (let i = 0; i < 1_500; i++) send(q, `${i}`)
    const got = q.lease(1_500)
    rig.clock.step(1_000)
    expect(new Set(q.ack(got.map((d) => d.receipt)))).toEqual(new Set(['receipt_invalid']))
    rig.clock.advance(1_000)
    expect(q.counts()).toMatchObject({ ready: 1_500, leased: 0 })
  })

  it('compares every bit of a receipt', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', {})
    send(q, 'm')
    const [d] = await q.receive()
    const bytes = Buffer.from(d.receipt, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const forged = Buffer.from(bytes)
      forged[bit >> 3] ^= 1 << (bit & 7)
      expect(q.ack([forged.toString('base64url')])).toEqual(['receipt_invalid'])
    }
    expect(q.ack([d.receipt])).toEqual(['ok'])
  })

  it('moves deadlines by no more than a step of the clock', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { lease_ms: 30_000 })
    send(q, 'leased')
    send(q, 'delayed', { delay_ms: 20_000 })
    await q.receive()
    // Forward: what was due in 30 s is due now, and timers notice within the 30 s that they were set for.
    rig.clock.step(3_600_000)
    rig.clock.advance(20_000)
    expect(q.counts()).toMatchObject({ ready: 2, leased: 0, delayed: 0 })
    const [d] = await q.receive()
    // Back: the lease ends an hour later than it would have, not more.
    rig.clock.step(-3_600_000)
    rig.clock.advance(3_600_000 + 29_999)
    expect(q.counts().leased).toBe(1)
    rig.clock.advance(1)
    expect(q.counts().leased).toBe(0)
    expect(q.ack([d.receipt])).toEqual(['receipt_invalid'])
  })

  it('extends a lease under the same receipt', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { lease_ms: 1_000 })
    send(q, 'm')
    const [d] = await q.receive()
    rig.clock.advance(900)
    expect(q.extend([d.receipt], 2_000)).toEqual(['ok'])
    rig.clock.advance(1_999)
    expect(q.counts().leased).toBe(1)
    rig.clock.advance(1)
    expect(q.counts().ready).toBe(1)
  })

  it('holds a message back for its delay, the queue’s or its own', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { delay_ms: 500 })
    send(q, 'own', { delay_ms: 100 })
    send(q, 'standard')
    send(q, 'none', { delay_ms: 0 })
    expect(q.counts()).toMatchObject({ ready: 1, delayed: 2 })
    expect(await texts(q)).toEqual(['none'])
    rig.clock.advance(99)
    expect(await texts(q)).toEqual([])
    rig.clock.advance(1)
    expect(await texts(q)).toEqual(['own'])
    rig.clock.advance(400)
    expect(await texts(q)).toEqual(['standard'])
  })

  it('gives back after the delay of a nack', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', {})
    send(q, 'm')
    const [d] = await q.receive()
    expect(q.nack([d.receipt], 250)).toEqual(['ok'])
    expect(q.counts()).toMatchObject({ ready: 0, delayed: 1, leased: 0 })
    rig.clock.advance(250)
    expect((await q.receive())[0].attempts).toBe(2)
  })

  it('lets messages expire by retention and by their own moment', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { retention_s: 10 })
    send(q, 'kept')
    q.send([{ view: rig.view('short', { expiresAt: rig.clock.now() + 1_000 }) }])
    rig.clock.advance(1_000)
    expect(q.counts().ready).toBe(1)
    rig.clock.advance(8_999)
    expect(q.counts().ready).toBe(1)
    rig.clock.advance(1)
    expect(q.counts()).toEqual({ ready: 0, leased: 0, delayed: 0, bytes: 0 })
    expect(rig.queues.departures.pull.expired).toBe(2)
  })

  it('lets a delayed message expire on time after a restart, and the next of its key come forward', async () => {
    await open()
    rig.queues.create('q', 'pull', { fifo: true })
    const view = rig.view('never', { expiresAt: rig.clock.now() + 1_000 })
    rig.queue('q').send([{ view, key: 'k', delay_ms: 60_000 }])
    rig.queue('q').send([{ view: rig.view('next'), key: 'k' }])
    await rig.restart()
    const q = rig.queue('q')
    rig.clock.advance(1_000)
    // Its row is read now; what it says is done in the next turn.
    await q.idle()
    rig.clock.advance(1)
    expect(q.counts()).toMatchObject({ ready: 1, delayed: 0 })
    const [d] = await q.receive()
    expect(rig.text(d.seq)).toBe('next')
  })

  it('keeps leases, attempts, delays and receipts over a restart and a crash', async () => {
    await open()
    let q = rig.queues.create('q', 'pull', { lease_ms: 10_000 })
    send(q, 'a')
    send(q, 'b')
    send(q, 'c', { delay_ms: 5_000 })
    const [a] = await q.receive()
    await rig.restart()
    q = rig.queue('q')
    expect(q.counts()).toMatchObject({ ready: 1, leased: 1, delayed: 1 })
    expect(q.attributes.lease_ms).toBe(10_000)
    await rig.crash()
    q = rig.queue('q')
    rig.clock.advance(5_000)
    await q.idle()
    expect(await texts(q)).toEqual(['b', 'c'])
    expect(q.extend([a.receipt], 1_000)).toEqual(['ok'])
    await rig.restart()
    q = rig.queue('q')
    rig.clock.advance(1_000)
    const [again] = await q.receive()
    expect(again.attempts).toBe(2)
    expect(q.ack([a.receipt])).toEqual(['receipt_invalid'])
    expect(q.ack([again.receipt])).toEqual(['ok'])
  })

  it('takes a lease back that was not committed, and its receipt never fits the next one', async () => {
    await open()
    let q = rig.queues.create('q', 'pull', {})
    send(q, 'm')
    await rig.flush()
    const [lost] = q.lease(1)
    await rig.crash()
    q = rig.queue('q')
    expect(q.counts()).toMatchObject({ ready: 1, leased: 0 })
    const [d] = await q.receive()
    expect(d.attempts).toBe(1)
    expect(d.place).toBe(lost.place)
    expect(q.ack([lost.receipt])).toEqual(['receipt_invalid'])
  })

  it('stores a message once for all queues that take it', async () => {
    await open()
    const a = rig.queues.create('a', 'pull', {})
    const b = rig.queues.create('b', 'pull', {})
    const view = rig.view('shared')
    rig.engine.begin(view)
    const one = a.offer({ view })
    const two = b.offer({ view })
    expect(two.seq).toBe(one.seq)
    await rig.flush()
    expect(rig.queues.holds.total).toBe(2)
    expect(await texts(a)).toEqual(['shared'])
    await rig.restart()
    expect(rig.queues.holds.total).toBe(1)
    expect(await texts(rig.queue('b'))).toEqual(['shared'])
    expect(rig.queues.holds.total).toBe(0)
  })
})

describe('a failing disk', () => {
  it('answers nothing that was not stored, and after reopening the queue is as it was', async () => {
    await open()
    let q = rig.queues.create('q', 'pull', {})
    send(q, 'kept')
    await rig.flush()
    rig.failing = true
    const waiting = q.receive()
    await expect(waiting).rejects.toSatisfy((e) => hasCode(e, 'store_failed'))
    await expect(q.receive()).rejects.toSatisfy((e) => hasCode(e, 'store_failed'))
    expect(() => send(q, 'refused')).toThrow('takes nothing')
    rig.failing = false
    await rig.crash()
    q = rig.queue('q')
    const [d] = await q.receive()
    expect([rig.text(d.seq), d.attempts]).toEqual(['kept', 1])
  })
})

describe('limits', () => {
  it('refuses when full, and counts it', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { max_messages: 2 })
    expect(['a', 'b', 'c'].map((t) => send(q, t).outcome)).toEqual(['stored', 'stored', 'refused'])
    expect(rig.queues.departures.pull.refused).toBe(1)
    await q.receive()
    expect(send(q, 'd').outcome).toBe('refused')
  })

  it('drops the newest or the oldest when told to, never a leased one', async () => {
    await open()
    const n = rig.queues.create('n', 'pull', { max_messages: 1, overflow: 'drop_newest' })
    expect([send(n, 'a').outcome, send(n, 'b').outcome]).toEqual(['stored', 'dropped_newest'])
    const o = rig.queues.create('o', 'pull', { max_messages: 2, overflow: 'drop_oldest' })
    send(o, 'a')
    await o.receive()
    for (const t of ['b', 'c', 'd']) expect(send(o, t).outcome).toBe('stored')
    expect(o.counts()).toMatchObject({ ready: 1, leased: 1 })
    expect(await texts(o)).toEqual(['d'])
    expect(rig.queues.departures.pull).toMatchObject({ dropped_newest: 1, dropped_oldest: 2 })
  })

  it('counts bytes', async () => {
    await open()
    const size = 4 + 1 + 10
    const q = rig.queues.create('q', 'pull', { max_bytes: 2 * size })
    const ten = '0123456789'
    expect([send(q, ten).outcome, send(q, ten).outcome, send(q, ten).outcome]).toEqual(['stored', 'stored', 'refused'])
    expect(q.counts().bytes).toBe(2 * size)
  })

  it('refuses a message that is too large, and a bad option, before anything of the batch is stored', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { max_message_bytes: 20 })
    const bad = (o: Partial<OutgoingMessage>, text = 'x') => {
      try {
        q.send([{ view: rig.view('ok') }, { view: rig.view(text), ...o }])
      } catch (error) {
        return error
      }
    }
    expect(hasCode(bad({}, 'x'.repeat(16)), 'message_too_large')).toBe(true)
    for (const o of [
      { priority: 0 },
      { priority: 17 },
      { priority: 1.5 },
      { delay_ms: -1 },
      { key: 'k'.repeat(256) },
      { dedup_id: 'é'.repeat(128) },
    ]) {
      expect(hasCode(bad(o), 'attribute_invalid')).toBe(true)
    }
    expect(q.counts().ready).toBe(0)
  })

  it('drops the oldest of a queue that is mostly on disk', async () => {
    await open(small)
    const q = rig.queues.create('q', 'pull', { max_messages: 30, overflow: 'drop_oldest' })
    for (let i = 0; i < 100; i++) send(q, `${i}`)
    await q.idle()
    for (let i = 0; i < 40; i++) await q.idle()
    expect(q.counts().ready).toBe(30)
    expect(await texts(q)).toEqual(Array.from({ length: 30 }, (_, i) => `${70 + i}`))
  })
})

describe('keys', () => {
  it('hands out one message of a FIFO key at a time, in order, and others meanwhile', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { fifo: true })
    for (const [t, key] of [
      ['a1', 'a'],
      ['a2', 'a'],
      ['b1', 'b'],
      ['a3', 'a'],
      ['free', ''],
    ]) {
      send(q, t, { key })
    }
    const first = await q.receive({ max: 10 })
    expect(first.map((d) => rig.text(d.seq))).toEqual(['a1', 'b1', 'free'])
    expect(q.counts()).toMatchObject({ ready: 2, leased: 3 })
    q.nack([first[0].receipt], 1_000)
    expect(await q.receive({ max: 10 })).toEqual([])
    rig.clock.advance(1_000)
    const [a1] = await q.receive({ max: 10 })
    expect(rig.text(a1.seq)).toBe('a1')
    q.ack([a1.receipt])
    const [a2] = await q.receive({ max: 10 })
    expect(rig.text(a2.seq)).toBe('a2')
    await rig.crash()
    const again = rig.queue('q')
    expect(await again.receive({ max: 10 })).toEqual([])
    again.ack([a2.receipt])
    expect(await texts(again)).toEqual(['a3'])
  })

  it('keeps only the newest waiting message of a last-value key', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { last_value: true })
    send(q, 'a1', { key: 'a' })
    send(q, 'b1', { key: 'b' })
    send(q, 'a2', { key: 'a' })
    expect(q.counts().ready).toBe(2)
    const [b1, a2] = await q.receive({ max: 2 })
    expect([rig.text(b1.seq), rig.text(a2.seq)]).toEqual(['b1', 'a2'])
    send(q, 'a3', { key: 'a' })
    expect(q.counts()).toMatchObject({ ready: 1, leased: 2 })
    // It would be waiting again, and a newer one waits: it is replaced.
    expect(q.nack([a2.receipt])).toEqual(['ok'])
    expect(q.counts()).toMatchObject({ ready: 1, leased: 1 })
    expect(await texts(q)).toEqual(['a3'])
    expect(rig.queues.departures.pull.replaced).toBe(2)
  })
})

describe('de-duplication', () => {
  it('knows an id for its window, also after a restart and after the message has left', async () => {
    await open()
    let q = rig.queues.create('q', 'pull', { dedup_window_s: 10 })
    const first = send(q, 'm', { dedup_id: 'x' })
    expect(send(q, 'm', { dedup_id: 'x' })).toEqual({ seq: first.seq, outcome: 'duplicate' })
    expect(await texts(q)).toEqual(['m'])
    await rig.restart()
    q = rig.queue('q')
    rig.clock.advance(9_999)
    expect(send(q, 'm', { dedup_id: 'x' })).toEqual({ seq: first.seq, outcome: 'duplicate' })
    rig.clock.advance(1)
    expect(send(q, 'm', { dedup_id: 'x' }).outcome).toBe('stored')
    expect(q.kept().ids).toBe(1)
    await rig.flush()
    rig.clock.advance(40_000)
    await rig.queues.quiet()
    expect(q.kept().ids).toBe(0)
  })
})

describe('dead letters', () => {
  it('go to the dead-letter queue in one commit and home again', async () => {
    await open()
    let q = rig.queues.create('q', 'pull', { max_attempts: 2, lease_ms: 1_000 })
    send(q, 'm')
    await q.receive()
    rig.clock.advance(1_000)
    const [d] = await q.receive()
    expect(d.attempts).toBe(2)
    await rig.flush()
    rig.clock.advance(1_000)
    await rig.crash()
    // The move was not committed: it is still leased there, its lease over.
    q = rig.queue('q')
    expect(q.counts().leased + q.counts().ready).toBe(1)
    expect(rig.queues.get(deadNameOf('q'))?.counts().ready ?? 0).toBe(0)
    rig.clock.advance(1)
    await rig.restart()
    q = rig.queue('q')
    const dead = rig.queue(deadNameOf('q'))
    expect(q.counts()).toMatchObject({ ready: 0, leased: 0 })
    expect(dead.counts().ready).toBe(1)
    expect(await rig.queues.redrive(dead, { max: 10 })).toEqual({ moved: 1, homeless: 0, others: 0, full: false })
    const [back] = await q.receive()
    expect(back.attempts).toBe(1)
    expect(rig.text(back.seq)).toBe('m')
    expect(dead.counts()).toEqual({ ready: 0, leased: 0, delayed: 0, bytes: 0 })
    expect(rig.queues.holds.total).toBe(1)
  })

  it('keep their tag, as everything that has one does', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { max_attempts: 20, lease_ms: 0 })
    send(q, 'plain')
    send(q, 'm', { tag: 'é'.repeat(127), key: 'k' })
    expect(() => send(q, 'm', { tag: 'é'.repeat(128) })).toThrow('tag has at most 255 bytes')
    const tags = async (of: string) => (await rig.queue(of).receive({ max: 9 })).map((d) => d.tag.length)
    for (let i = 0; i < 17; i++) {
      expect(await tags('q')).toEqual([0, 127])
      rig.clock.advance(1)
      if (i % 8 === 0) await rig.restart()
    }
    for (let i = 0; i < 3; i++) {
      await tags('q')
      rig.clock.advance(1)
    }
    await rig.restart()
    const dead = rig.queue(deadNameOf('q'))
    expect((await rig.queues.peek(dead, { limit: 9 })).map((p) => p.tag.length)).toEqual([0, 127])
    await rig.queues.redrive(dead, { max: 9 })
    expect(await tags('q')).toEqual([0, 127])
  })

  it('of a plain queue come in one commit, and go home in one', async () => {
    await open()
    const session = rig.engine.createQueue({
      name: 'dev',
      kind: 'session',
      durable: true,
      limits: { max_messages: 10, max_bytes: 1_000, overflow: 'drop_oldest' },
    })
    const view = rig.view('poison')
    rig.engine.begin(view)
    rig.engine.append(session, 1)
    await rig.flush()
    const entry = session.lease()
    if (entry === undefined) throw new Error('nothing to lease')
    const dead = rig.queues.dead('$dead/session/dev')
    expect(dead.id).not.toBe(session.id)
    expect(dead.bring({ seq: entry.seq, bytes: entry.bytes, acceptedAt: view.acceptedAt })).toBe(true)
    session.ack(entry, 'dead')
    await rig.restart()
    const again = rig.queues.dead('$dead/session/dev')
    const home = rig.engine.byName('session', 'dev')
    if (home === undefined) throw new Error('the session is gone')
    expect([again.counts().ready, home.counts().ready]).toEqual([1, 0])
    const moved = await rig.queues.redriveTo(again, 10, (message) => {
      rig.engine.begin(message)
      return rig.engine.append(home, 1)
    })
    expect(moved).toBe(1)
    await rig.restart()
    expect(rig.queues.dead('$dead/session/dev').counts()).toMatchObject({ ready: 0, leased: 0 })
    expect(rig.engine.byName('session', 'dev')?.counts().ready).toBe(1)
    expect(rig.queues.holds.total).toBe(0)
  })

  it('stay where they are while the dead-letter queue has no room', async () => {
    await open()
    rig.queues.create('d', 'pull', { max_messages: 1 })
    const q = rig.queues.create('q', 'pull', { max_attempts: 1, dead_letter: 'd' })
    send(q, 'a')
    send(q, 'b')
    q.nack((await q.receive({ max: 2 })).map((d) => d.receipt))
    expect(q.counts().ready).toBe(1)
    expect(rig.queue('d').counts().ready).toBe(1)
  })
})

describe('long polls', () => {
  it('wakes exactly one waiter per message, in the order they came', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', {})
    const order: string[] = []
    const poll = (name: string) =>
      q.receive({ wait_ms: 10_000 }).then((got) => order.push(`${name}:${got.map((d) => rig.text(d.seq))}`))
    const polls = [poll('1'), poll('2'), poll('3')]
    await Promise.resolve()
    await new Promise((resolve) => setImmediate(resolve))
    expect(q.waiting).toBe(3)
    send(q, 'x')
    send(q, 'y')
    await polls[1]
    expect(order).toEqual(['1:x', '2:y'])
    rig.clock.advance(10_000)
    await polls[2]
    expect(order).toEqual(['1:x', '2:y', '3:'])
    expect(rig.clock.pending).toBeLessThan(10)
  })

  it('never gives a message to one that has gone', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', {})
    const left = new AbortController()
    const gone = q.receive({ wait_ms: 10_000, signal: left.signal })
    await new Promise((resolve) => setImmediate(resolve))
    left.abort()
    expect(await gone).toEqual([])
    send(q, 'x')
    // One that goes between the hand-out and its commit: the message is back, and the attempt not counted.
    const late = new AbortController()
    const lost = q.receive({ signal: late.signal })
    late.abort()
    expect(await lost).toEqual([])
    const [d] = await q.receive()
    expect(d.attempts).toBe(1)
  })

  it('end when the queue is deleted or closed', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', {})
    const poll = q.receive({ wait_ms: 10_000 })
    await new Promise((resolve) => setImmediate(resolve))
    rig.queues.delete(q)
    expect(await poll).toEqual([])
    expect(() => q.lease(1)).toThrow('deleted')
  })
})

describe('purge, delete, peek, seek', () => {
  it('purges what waits and sweeps its rows, also over a crash', async () => {
    await open(small)
    let q = rig.queues.create('q', 'pull', { fifo: true })
    for (let i = 0; i < 50; i++) send(q, `${i}`, { key: `k${i % 5}`, priority: 1 + (i % 3), delay_ms: i % 7 === 0 ? 1_000 : 0 })
    const held = await rig.take(q, 2)
    await rig.flush()
    expect(q.purge()).toBe(48)
    expect(q.counts()).toMatchObject({ ready: 0, leased: 2, delayed: 0 })
    send(q, 'after', { key: 'k0' })
    await rig.flush()
    await rig.crash()
    q = rig.queue('q')
    await rig.queues.quiet()
    await rig.flush()
    expect((await rig.rows(q)).length).toBe(3)
    expect(rig.queues.holds.total).toBe(3)
    q.ack(held.map((d) => d.receipt))
    expect(await texts(q)).toEqual(['after'])
    expect(rig.queues.departures.pull.acked).toBe(3)
  })

  it('keeps what is sent right after a purge, of the same keys, while the old rows are swept', async () => {
    await open(small)
    const q = rig.queues.create('q', 'pull', { fifo: true })
    for (const key of ['a', 'a', 'a', 'b', 'b']) send(q, key, { key })
    const [a] = await rig.take(q, 1)
    await rig.flush()
    expect(q.purge()).toBe(4)
    for (const [t, key] of [
      ['a new', 'a'],
      ['b new', 'b'],
      ['b newer', 'b'],
    ]) {
      send(q, t, { key })
    }
    await rig.queues.quiet()
    await rig.flush()
    expect(rig.queues.holds.total).toBe(4)
    send(q, 'b newest', { key: 'b' })
    const [b] = await rig.take(q, 10)
    expect(rig.text(b.seq)).toBe('b new')
    expect(await rig.take(q, 10)).toEqual([])
    q.ack([a.receipt, b.receipt])
    expect(await texts(q)).toEqual(['a new', 'b newer', 'b newest'])
    await rig.flush()
    expect(rig.queues.holds.total).toBe(0)
    expect(await rig.rows(q)).toEqual([])
  })

  it('deletes a queue and all its rows, going on after a crash', async () => {
    await open(small)
    const q = rig.queues.create('q', 'pull', { dedup_window_s: 60 })
    for (let i = 0; i < 20; i++) send(q, `${i}`, { dedup_id: `${i}` })
    await q.receive({ max: 3 })
    await rig.flush()
    rig.queues.delete(q)
    await rig.flush()
    await rig.crash()
    expect(rig.queues.get('q')).toBeUndefined()
    await rig.queues.quiet()
    await rig.flush()
    expect(await rig.rows(q)).toEqual([])
    expect(rig.queues.holds.total).toBe(0)
    const again = rig.queues.create('q', 'pull', {})
    expect(again.id).toBeGreaterThan(q.id)
    await rig.restart()
    expect(rig.queue('q').counts().ready).toBe(0)
  })

  it('peeks in order without taking', async () => {
    await open(small)
    const q = rig.queues.create('q', 'pull', {})
    for (let i = 0; i < 20; i++) send(q, `${i}`, { priority: i < 10 ? 8 : 3 })
    send(q, 'later', { delay_ms: 1_000 })
    const seen = await rig.queues.peek(q, { limit: 30 })
    expect(seen.map((p) => rig.text(p.seq))).toEqual([...Array.from({ length: 20 }, (_, i) => `${(i + 10) % 20}`), 'later'])
    expect(seen[20]).toMatchObject({ state: 'delayed', until: rig.clock.now() + 1_000 })
    expect((await rig.queues.peek(q, { limit: 3 })).length).toBe(3)
    expect(q.counts()).toMatchObject({ ready: 20, delayed: 1, leased: 0 })
  })

  it('replays acknowledged messages for as long as they are retained', async () => {
    await open(small)
    let q = rig.queues.create('q', 'pull', { retain_s: 60 })
    for (let i = 0; i < 12; i++) send(q, `${i}`)
    expect((await texts(q)).length).toBe(12)
    expect(q.kept().retained).toBe(12)
    await rig.restart()
    q = rig.queue('q')
    expect(await rig.queues.seek(q, { seq: 6 })).toBe(7)
    expect(await texts(q)).toEqual(['5', '6', '7', '8', '9', '10', '11'])
    await rig.flush()
    rig.clock.advance(100_000)
    await rig.queues.quiet()
    expect(q.kept()).toEqual({ retained: 0, retainedBytes: 0, ids: 0 })
    expect(rig.queues.holds.total).toBe(0)
    expect(await rig.queues.seek(q, {})).toBe(0)
  })

  it('does not replay a value over a newer one that waits', async () => {
    for (const fifo of [false, true]) {
      await open()
      const q = rig.queues.create('q', 'pull', { retain_s: 60, last_value: true, fifo })
      for (const t of ['a1', 'a2']) {
        send(q, t, { key: 'a' })
        expect(await texts(q)).toEqual([t])
      }
      expect(await rig.queues.seek(q, {})).toBe(2)
      // Of the replayed ones the newest stays.
      expect(await texts(q)).toEqual(['a2'])
      send(q, 'a3', { key: 'a' })
      await rig.queues.seek(q, {})
      expect(await texts(q)).toEqual(['a3'])
      expect(rig.queues.holds.total).toBe(q.kept().retained)
    }
  })

  it('pages through a long queue without holding it in memory', async () => {
    await open(small)
    let q = rig.queues.create('q', 'pull', {})
    for (let i = 0; i < 200; i++) send(q, `${i}`)
    expect(q.state.lane(8).size).toBeLessThanOrEqual(small.entries)
    await rig.restart()
    q = rig.queue('q')
    expect(q.counts().ready).toBe(200)
    expect(await texts(q)).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`))
    expect(q.counts()).toEqual({ ready: 0, leased: 0, delayed: 0, bytes: 0 })
  })
})
