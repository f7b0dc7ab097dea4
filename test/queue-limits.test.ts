/** Limits, overflow and departures of plain and volatile queues: each edge, the same for both. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Departure, Entry, QueueLimits, SessionQueue } from '../src/queue/queue.js'
import { CutDisk } from './support/cut-disk.js'
import { message, NO_LIMITS, type Opened, openOn, payloadOf, turn } from './support/store.js'

/** `message('x'.repeat(n))` counts for n + 5 bytes. */
const HEAD = 5

for (const durable of [true, false]) {
  describe(durable ? 'a plain queue' : 'a volatile queue', () => {
    let o: Opened
    let queue: SessionQueue
    beforeEach(async () => {
      o = await openOn(new CutDisk())
    })

    const start = (limits: Partial<QueueLimits>): void => {
      queue = o.engine.createQueue({ name: 'q', kind: 'session', limits: { ...NO_LIMITS, ...limits }, durable })
    }
    const give = (payload: string, flags = 0, extra?: Buffer): boolean => {
      o.engine.begin(message(payload))
      return o.engine.append(queue, flags, extra)
    }
    const lease = (): Entry => {
      const entry = queue.lease()
      if (entry === undefined) throw new Error('nothing to lease')
      return entry
    }
    const left = (): Partial<Record<Departure, number>> =>
      Object.fromEntries(Object.entries(o.engine.departures.session).filter(([, n]) => n > 0))
    const waiting = async (): Promise<string[]> => {
      await o.store.journal.flush()
      const entries: Entry[] = []
      for (let e = queue.lease(); e !== undefined; e = queue.lease()) entries.push(e)
      const payloads = entries.map((e) => payloadOf(queue.read(e)))
      for (const e of entries.reverse()) queue.release(e, false)
      return payloads
    }

    test.each(['reject', 'drop_newest'] as const)('%s: the one beyond the limit does not come in', async (overflow) => {
      start({ max_messages: 2, overflow })
      expect([give('a'), give('b'), give('c')]).toEqual([true, true, false])
      expect(await waiting()).toEqual(['a', 'b'])
      expect(left()).toEqual(overflow === 'reject' ? { refused: 1 } : { dropped_newest: 1 })
    })

    test('drop_oldest: the oldest makes room', async () => {
      start({ max_messages: 2, overflow: 'drop_oldest' })
      expect([give('a'), give('b'), give('c')]).toEqual([true, true, true])
      expect(await waiting()).toEqual(['b', 'c'])
      expect(left()).toEqual({ dropped_oldest: 1 })
    })

    test('a limit in bytes holds to the byte', async () => {
      start({ max_bytes: 2 * (HEAD + 10) })
      expect([give('x'.repeat(10)), give('x'.repeat(11)), give('x'.repeat(10)), give('')]).toEqual([true, false, true, false])
      expect(queue.counts().bytes).toBe(2 * (HEAD + 10))
    })

    test('drop_oldest drops as many as the bytes need, and none when even all would not do', async () => {
      start({ max_bytes: 100, overflow: 'drop_oldest' })
      for (const payload of ['a', 'b', 'c']) give(payload.repeat(20))
      expect(give('d'.repeat(60))).toBe(true)
      expect((await waiting()).map((p) => p[0])).toEqual(['c', 'd'])
      expect(give('e'.repeat(96))).toBe(false)
      expect((await waiting()).map((p) => p[0])).toEqual(['c', 'd'])
      expect(left()).toEqual({ dropped_oldest: 2, refused: 1 })
    })

    test('what is leased is never dropped: with everything leased the newest is refused', async () => {
      start({ max_messages: 2, overflow: 'drop_oldest' })
      give('a')
      give('b')
      await o.store.journal.flush()
      const a = lease()
      const b = lease()
      expect(give('c')).toBe(false)
      queue.release(a)
      expect(give('c')).toBe(true)
      expect(queue.counts()).toMatchObject({ ready: 1, leased: 1 })
      queue.ack(a)
      queue.ack(b)
      expect(await waiting()).toEqual(['c'])
      expect(left()).toEqual({ refused: 1, dropped_oldest: 1, acked: 1 })
    })

    test('raised and lowered limits hold from the next message on', async () => {
      start({ max_messages: 1 })
      expect([give('a'), give('b')]).toEqual([true, false])
      queue.limits = { ...NO_LIMITS, max_messages: 2 }
      expect([give('b'), give('c')]).toEqual([true, false])
      queue.limits = { ...NO_LIMITS, max_messages: 1, overflow: 'drop_oldest' }
      expect(give('c')).toBe(true)
      expect(await waiting()).toEqual(['c'])
    })

    test('what came back goes first, in its old order, and counts its hand-outs', async () => {
      start({})
      for (const p of ['a', 'b', 'c', 'd']) give(p)
      await o.store.journal.flush()
      const [a, b, c] = [lease(), lease(), lease()]
      queue.release(c)
      queue.release(a, false)
      expect(queue.peekIndex()).toBe(0)
      expect(lease()).toBe(a)
      expect(a.attempts).toBe(1)
      expect(lease()).toBe(c)
      expect(c.attempts).toBe(2)
      queue.releaseAll()
      expect(await waiting()).toEqual(['a', 'b', 'c', 'd'])
      expect(b.attempts).toBe(1)
    })

    test('an entry is given back once: a late acknowledgement does nothing', async () => {
      start({})
      give('a')
      await o.store.journal.flush()
      const a = lease()
      queue.releaseAll()
      queue.ack(a)
      expect(queue.counts().ready).toBe(1)
      expect(lease()).toBe(a)
      queue.ack(a, 'expired')
      queue.ack(a)
      queue.release(a)
      expect(queue.counts()).toEqual({ ready: 0, leased: 0, delayed: 0, bytes: 0 })
      expect(left()).toEqual({ expired: 1 })
    })

    test('flags and extra bytes come along', async () => {
      start({})
      give('a', 0xa5, Buffer.from('more'))
      give('b', 0)
      await o.store.journal.flush()
      const [a, b] = [lease(), lease()]
      expect([a.flags, a.extra?.toString(), b.flags, b.extra]).toEqual([0xa5, 'more', 0, undefined])
    })

    test('purging takes what waits; what is leased only when asked', async () => {
      start({})
      for (const p of ['a', 'b', 'c']) give(p)
      await o.store.journal.flush()
      const a = lease()
      queue.release(lease())
      expect(queue.purge()).toBe(2)
      expect(queue.counts()).toMatchObject({ ready: 0, leased: 1 })
      queue.ack(a)
      give('d')
      expect(await waiting()).toEqual(['d'])
      expect(left()).toEqual({ purged: 2, acked: 1 })
    })

    test('deleting counts what was in it', async () => {
      start({})
      for (const p of ['a', 'b']) give(p)
      await o.store.journal.flush()
      lease()
      o.engine.deleteQueue(queue)
      expect(left()).toEqual({ deleted: 2 })
      expect(o.engine.byName('session', 'q')).toBeUndefined()
      expect(queue.counts()).toMatchObject({ ready: 0, leased: 0, bytes: 0 })
    })

    test(durable ? 'is heard of after the commit' : 'is heard of at once', async () => {
      start({})
      let heard = 0
      queue.onReady = () => heard++
      give('a')
      expect(heard).toBe(durable ? 0 : 1)
      expect(queue.hasReady).toBe(!durable)
      expect(queue.lease() === undefined).toBe(durable)
      await o.store.journal.flush()
      await turn()
      expect(heard).toBe(1)
    })
  })
}

describe('the engine', () => {
  test('a message goes to durable and volatile queues alike, and says whether anything waits for a commit', async () => {
    const { engine, store } = await openOn(new CutDisk())
    const make = (name: string, durable: boolean): SessionQueue =>
      engine.createQueue({ name, kind: 'session', limits: NO_LIMITS, durable })
    const [v, w, d] = [make('v', false), make('w', false), make('d', true)]
    const view = message('hello', { properties: Buffer.from([1, 2]), expiresAt: 99 })
    engine.begin(view)
    engine.append(v, 1)
    expect(engine.durable).toBe(false)
    engine.append(w, 1)
    engine.append(d, 1)
    expect(engine.durable).toBe(true)
    // The reader's buffer is used again after the turn.
    view.buffer.fill(0)
    await store.journal.flush()
    for (const queue of [v, w, d]) {
      const entry = queue.lease()
      if (entry === undefined) throw new Error('nothing')
      const read = queue.read(entry)
      expect(payloadOf(read)).toBe('hello')
      expect([read?.properties, read?.expiresAt, read?.acceptedAt]).toEqual([Buffer.from([1, 2]), 99, view.acceptedAt])
    }
    engine.begin(message('x'))
    expect(engine.durable).toBe(false)
  })

  test('a name is taken once per kind, and ids are never given again', async () => {
    const disk = new CutDisk()
    const { engine, store } = await openOn(disk)
    const make = (e: typeof engine, name: string, kind: 'session' | 'dead' = 'session'): SessionQueue =>
      e.createQueue({ name, kind, limits: NO_LIMITS, durable: true })
    const a = make(engine, 'a')
    make(engine, 'a', 'dead')
    expect(() => make(engine, 'a')).toThrow(expect.objectContaining({ code: 'queue_exists' }))
    const b = make(engine, 'b')
    engine.deleteQueue(b)
    await store.journal.flush()
    const again = await openOn(new CutDisk(disk.rows))
    expect(again.engine.queue(a.id)).toBe(again.engine.byName('session', 'a'))
    expect([...again.engine.queues()].map((q) => `${q.kind}/${q.name}`)).toEqual(['session/a', 'dead/a'])
    expect(make(again.engine, 'c').id).toBeGreaterThan(b.id)
  })

  test('a queue made anew under a deleted name starts empty, also after a crash in between', async () => {
    const disk = new CutDisk()
    const { engine, store } = await openOn(disk)
    const make = (e: typeof engine): SessionQueue =>
      e.createQueue({ name: 'a', kind: 'session', limits: NO_LIMITS, durable: true })
    const old = make(engine)
    engine.begin(message('old'))
    engine.append(old, 0)
    await store.journal.flush()
    engine.deleteQueue(old)
    make(engine)
    await store.journal.flush()
    disk.cut(false)
    const again = await openOn(new CutDisk(disk.rows))
    expect(again.engine.byName('session', 'a')?.counts().ready).toBe(0)
  })

  test('attempts of what was handed out survive an orderly restart', async () => {
    const disk = new CutDisk()
    const { engine, store } = await openOn(disk)
    const a = engine.createQueue({ name: 'a', kind: 'session', limits: NO_LIMITS, durable: true })
    for (const p of ['x', 'y']) {
      engine.begin(message(p))
      engine.append(a, 0)
    }
    await store.journal.flush()
    for (let i = 0; i < 3; i++) {
      const entry = a.lease()
      if (entry === undefined) throw new Error('nothing')
      a.release(entry)
    }
    await engine.close()
    await store.close()
    const again = await openOn(new CutDisk(disk.rows))
    const queue = again.engine.byName('session', 'a')
    expect([queue?.lease()?.attempts, queue?.lease()?.attempts]).toEqual([4, 1])
  })
})
