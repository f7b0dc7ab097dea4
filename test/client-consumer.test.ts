/** The consumer's rules, exact to the millisecond: what it holds, extends, acknowledges and gives back. */
import { describe, expect, it } from 'vitest'
import { startConsumer } from '../src/client/consumer.js'
import { Stopped } from '../src/client/job.js'
import { systemRandom } from '../src/core/random.js'
import { ManualClock } from './support/clock.js'
import { away, consumerRig, FakeSource, refused, settle } from './support/fake-source.js'

describe('a consumer', () => {
  it('asks for as many messages as it has room for', async () => {
    const { source, handled } = await consumerRig({ concurrency: 5, max_batch: 3, wait_ms: 1000, lease_ms: 2000 })
    expect(source.receives.map((o) => o.max)).toEqual([3])
    expect(source.receives[0]).toMatchObject({ wait_ms: 1000, lease_ms: 2000 })
    await source.deliver(3)
    expect(source.receives.map((o) => o.max)).toEqual([3, 2])
    await source.deliver(2)
    // Full: it asks again only when a handler is done and the message is settled.
    expect(source.receives).toHaveLength(2)
    await handled[1]?.done()
    expect(source.receives.map((o) => o.max)).toEqual([3, 2, 1])
  })

  it('acknowledges what its handler has done, in one request what was done together', async () => {
    const { source, handled, consumer } = await consumerRig({ concurrency: 4 })
    await source.deliver(4)
    expect(source.calls('ack')).toEqual([])
    await Promise.all([handled[2]?.done(), handled[0]?.done()])
    expect(source.calls('ack')).toEqual(['r3 r1'])
    source.holds.add('ack')
    await handled[1]?.done()
    await handled[3]?.done()
    expect(source.calls('ack')).toEqual(['r3 r1', 'r2'])
    source.holds.clear()
    source.held.shift()?.()
    await settle()
    expect(source.calls('ack')).toEqual(['r3 r1', 'r2', 'r4'])
    expect(consumer.counts).toEqual({ received: 4, acknowledged: 4, failed: 0, returned: 0, lost: 0, running: 0 })
  })

  it('gives back what its handler threw at, later with each attempt', async () => {
    const { source, handled, consumer, troubles } = await consumerRig()
    for (const attempts of [1, 2, 5, 40]) {
      await source.deliver(1, attempts)
      await handled.at(-1)?.fail()
    }
    expect(source.asked.map((a) => [a.verb, a.ms])).toEqual([1000, 2000, 16_000, 300_000].map((ms) => ['nack', ms]))
    expect(consumer.counts).toMatchObject({ failed: 4, acknowledged: 0 })
    expect(troubles).toEqual(['r1 failed', 'r2 failed', 'r3 failed', 'r4 failed'])
  })

  it.each([
    [5, 5],
    [() => 7.4, 7],
    [() => -1, 0],
    [() => Number.NaN, 1000],
    [
      () => {
        throw new Error('oh')
      },
      1000,
    ],
  ])('waits as retry_ms says: %s', async (retry_ms, expected) => {
    const { source, handled } = await consumerRig({ retry_ms })
    await source.deliver(1)
    await handled[0]?.fail()
    expect(source.asked).toEqual([{ verb: 'nack', receipts: ['r1'], ms: expected }])
  })

  it('takes a handler that throws at once as one that rejects', async () => {
    const source = new FakeSource()
    const handler = (): never => {
      throw new Error('at once')
    }
    const needs = { clock: new ManualClock(), random: systemRandom, warn: () => {} }
    startConsumer(source, handler, { retry_ms: 0 }, needs)
    await settle()
    await source.deliver(1)
    expect(source.calls('nack')).toEqual(['r1'])
  })

  it('says trouble to who did not ask to be told, the same at most every 10 s', async () => {
    const source = new FakeSource()
    const said: string[] = []
    const clock = new ManualClock()
    const handler = (): never => {
      throw new ReferenceError('store is not defined')
    }
    const o = { retry_ms: 0, concurrency: 3 }
    startConsumer(source, handler, o, { clock, random: systemRandom, warn: (line) => void said.push(line) })
    await settle()
    await source.deliver(3)
    expect(said).toHaveLength(1)
    expect(said[0]).toMatch(/^aqueduct consume: message [^ ]+, attempt 1: ReferenceError: store is not defined\n/)
    clock.advance(10_000)
    await settle()
    await source.deliver(1)
    expect(said).toHaveLength(2)
    expect(said[1]).toMatch(/ \(and 2 times more\)$/)
  })

  it('goes on when whoever is told of trouble throws', async () => {
    const on_trouble = (): never => {
      throw new Error('deaf')
    }
    const { source, handled } = await consumerRig({ on_trouble })
    await source.deliver(1)
    await handled[0]?.fail()
    expect(source.calls('nack')).toEqual(['r1'])
    expect(source.receives).toHaveLength(2)
  })

  it.each([
    { concurrency: 0 },
    { concurrency: 1.5 },
    { max_batch: 257 },
    { lease_ms: 999 },
    { wait_ms: 0 },
    { wait_ms: 30_001 },
    { retry_ms: -1 },
    { limit: 0 },
    { idle_ms: 0 },
  ])('refuses %j at once', (o) => {
    const needs = { clock: new ManualClock(), random: systemRandom }
    const source = new FakeSource()
    expect(() => startConsumer(source, () => {}, o, needs)).toThrow(RangeError)
    expect(source.receives).toEqual([])
  })

  it('ends by itself after `limit` messages, when all of them are done', async () => {
    const { source, handled, consumer, advance } = await consumerRig({ concurrency: 2, limit: 3 })
    await source.deliver(2)
    await handled[0]?.done()
    expect(source.receives.map((o) => o.max)).toEqual([2, 1])
    await source.deliver(1)
    await handled[1]?.done()
    await advance(600_000)
    expect(consumer.counts.running).toBe(1)
    await handled[2]?.done()
    await consumer.ended
    expect(consumer.counts).toMatchObject({ received: 3, acknowledged: 3, running: 0 })
    expect(source.receives).toHaveLength(2)
  })

  it('ends by itself when nothing came for `idle_ms`, and not while something is in hand', async () => {
    const { source, handled, consumer, advance } = await consumerRig({ concurrency: 2, idle_ms: 500 })
    expect(source.receives[0]?.wait_ms).toBe(500)
    await source.deliver(1)
    await advance(500)
    await source.deliver(0)
    expect(source.receives).toHaveLength(3)
    await handled[0]?.done()
    await advance(499)
    await source.deliver(0)
    await advance(500)
    await source.deliver(0)
    await consumer.ended
    expect(consumer.counts.acknowledged).toBe(1)
  })
})

describe('a lease', () => {
  it('is extended at its half, for as long as the handler runs', async () => {
    const { source, handled, advance } = await consumerRig({ lease_ms: 10_000 })
    await source.deliver(1)
    await advance(4_999)
    expect(source.calls('extend')).toEqual([])
    await advance(1)
    expect(source.asked).toEqual([{ verb: 'extend', receipts: ['r1'], ms: 10_000 }])
    for (let i = 0; i < 3; i++) await advance(5_000)
    expect(source.calls('extend')).toEqual(['r1', 'r1', 'r1', 'r1'])
    await handled[0]?.done()
    await advance(60_000)
    expect(source.calls('extend')).toHaveLength(4)
    expect(source.calls('ack')).toEqual(['r1'])
    expect(handled[0]?.signal.aborted).toBe(false)
  })

  it('is extended in the same request as others that are nearly due', async () => {
    const { source, advance } = await consumerRig({ concurrency: 3, lease_ms: 16_000 })
    await source.deliver(1)
    await advance(1_000)
    await source.deliver(1)
    await advance(1_000)
    await source.deliver(1)
    await advance(6_000)
    expect(source.calls('extend')).toEqual(['r1 r2'])
    await advance(2_000)
    expect(source.calls('extend')).toEqual(['r1 r2', 'r3'])
  })

  it('that the server says is gone aborts the handler, and nothing of it is acknowledged', async () => {
    const { source, handled, consumer, troubles, advance } = await consumerRig({ lease_ms: 10_000, concurrency: 2 })
    source.replies.extend = [['receipt_invalid', 'ok']]
    await source.deliver(2)
    await advance(5_000)
    expect(handled[0]?.signal.aborted).toBe(true)
    expect(handled[0]?.signal.reason).toBeInstanceOf(Stopped)
    expect(handled[0]?.signal.reason.code).toBe('lease_lost')
    expect(handled[1]?.signal.aborted).toBe(false)
    expect(troubles).toEqual(['The message is no longer ours: its lease was over, or it was deleted.'])
    await handled[0]?.done()
    await handled[1]?.done()
    expect(source.calls('ack')).toEqual(['r2'])
    expect(source.calls('nack')).toEqual([])
    expect(consumer.counts).toMatchObject({ acknowledged: 1, lost: 1, running: 0 })
  })

  it('survives a server that is away for a part of it', async () => {
    const { source, handled, advance } = await consumerRig({ lease_ms: 16_000 })
    source.replies.extend = [away(), away()]
    await source.deliver(1)
    await advance(8_000)
    await advance(1_000)
    await advance(1_000)
    expect(source.calls('extend')).toHaveLength(3)
    await advance(7_999)
    expect(source.calls('extend')).toHaveLength(3)
    expect(handled[0]?.signal.aborted).toBe(false)
    await advance(1)
    expect(source.calls('extend')).toHaveLength(4)
  })

  it('that could not be extended before its end is taken for lost', async () => {
    const { source, handled, advance, consumer } = await consumerRig({ lease_ms: 16_000 })
    source.replies.extend = Array.from({ length: 100 }, away)
    await source.deliver(1)
    for (let i = 0; i < 15; i++) await advance(1_000)
    expect(handled[0]?.signal.aborted).toBe(false)
    await advance(1_000)
    expect(handled[0]?.signal.reason.code).toBe('lease_lost')
    expect(consumer.counts).toMatchObject({ lost: 1, running: 0 })
  })

  it('is lost when the queue is', async () => {
    const { source, handled, advance } = await consumerRig({ lease_ms: 10_000 })
    source.replies.extend = [refused()]
    await source.deliver(1)
    await advance(5_000)
    expect(handled[0]?.signal.reason.code).toBe('lease_lost')
  })

  it('that is asked for while the message is acknowledged does not abort what is done', async () => {
    const { source, handled, advance, consumer } = await consumerRig({ lease_ms: 10_000 })
    source.holds.add('extend')
    source.replies.extend = [['receipt_invalid']]
    await source.deliver(1)
    await advance(5_000)
    await handled[0]?.done()
    source.held.shift()?.()
    await settle()
    expect(handled[0]?.signal.aborted).toBe(false)
    expect(consumer.counts).toMatchObject({ acknowledged: 1, lost: 0 })
  })
})

describe('an acknowledgement', () => {
  it('is tried again, with pauses, while the lease lasts and the server is away', async () => {
    const { source, handled, advance, consumer } = await consumerRig({ lease_ms: 10_000 })
    source.replies.ack = [away(), away(), away()]
    await source.deliver(1)
    await handled[0]?.done()
    for (const pause of [50, 100]) {
      const before = source.calls('ack').length
      await advance(pause - 1)
      expect(source.calls('ack')).toHaveLength(before)
      await advance(1)
      expect(source.calls('ack')).toHaveLength(before + 1)
    }
    await advance(200)
    expect(source.calls('ack')).toEqual(['r1', 'r1', 'r1', 'r1'])
    expect(consumer.counts).toMatchObject({ acknowledged: 1, lost: 0 })
    await advance(60_000)
    expect(source.calls('ack')).toHaveLength(4)
  })

  it('is given up when the lease is over, and the message counted as lost', async () => {
    const { source, handled, advance, consumer } = await consumerRig({ lease_ms: 1_000 })
    source.replies.ack = Array.from({ length: 100 }, away)
    await source.deliver(1)
    await handled[0]?.done()
    for (let i = 0; i < 20; i++) await advance(100)
    const tried = source.calls('ack').length
    expect(tried).toBeGreaterThan(3)
    expect(consumer.counts).toMatchObject({ lost: 1, acknowledged: 0, running: 0 })
    await advance(60_000)
    expect(source.calls('ack')).toHaveLength(tried)
  })

  it('that came too late counts as lost and is not repeated', async () => {
    const { source, handled, advance, consumer } = await consumerRig()
    source.replies.ack = [['receipt_invalid']]
    await source.deliver(1)
    await handled[0]?.done()
    await advance(60_000)
    expect(source.calls('ack')).toEqual(['r1'])
    expect(consumer.counts).toMatchObject({ lost: 1, acknowledged: 0 })
  })
})

describe('a server that is away', () => {
  it('is asked again, later each time and at most 10 s later, and at once when it was there', async () => {
    const { source, advance, troubles } = await consumerRig({ concurrency: 2 })
    for (const pause of [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
      const before = source.receives.length
      await source.fail(away())
      await advance(pause - 1)
      expect(source.receives).toHaveLength(before)
      await advance(1)
      expect(source.receives).toHaveLength(before + 1)
    }
    expect(troubles).toHaveLength(9)
    await source.deliver(1)
    await source.fail(away())
    await advance(50)
    expect(source.receives).toHaveLength(12)
  })

  it('or answers at once with nothing, is not asked without a pause', async () => {
    const { source, advance } = await consumerRig({ wait_ms: 1_000 })
    await source.deliver(0)
    expect(source.receives).toHaveLength(1)
    await advance(50)
    expect(source.receives).toHaveLength(2)
    await advance(1_000)
    await source.deliver(0)
    expect(source.receives).toHaveLength(3)
  })

  it('and refuses what no later try can mend ends the consumer, after its handlers', async () => {
    const { source, handled, consumer } = await consumerRig({ concurrency: 2 })
    await source.deliver(1)
    await source.fail(refused())
    expect(consumer.counts.running).toBe(1)
    await handled[0]?.done()
    await expect(consumer.ended).rejects.toMatchObject({ code: 'queue_not_found' })
    expect(source.calls('ack')).toEqual(['r1'])
    expect(source.receives).toHaveLength(2)
  })
})

describe('stop', () => {
  it('receives no more, lets handlers finish, and resolves', async () => {
    const { source, handled, consumer, advance } = await consumerRig({ concurrency: 3 })
    await source.deliver(2)
    const stopped = consumer.stop({ within_ms: 5_000 })
    expect(source.receives.at(-1)?.signal?.aborted).toBe(true)
    await advance(4_000)
    await handled[0]?.done()
    await handled[1]?.fail()
    await stopped
    await consumer.ended
    expect(consumer.counts).toMatchObject({ acknowledged: 1, failed: 1, returned: 0 })
    expect(source.receives).toHaveLength(2)
    expect(handled.every(({ signal }) => !signal.aborted)).toBe(true)
  })

  it('extends leases until the end, then gives back at once what is not done and tells the handler', async () => {
    const { source, handled, consumer, advance } = await consumerRig({ concurrency: 2, lease_ms: 4_000 })
    await source.deliver(2)
    const stopped = consumer.stop({ within_ms: 5_000 })
    await handled[0]?.done()
    await advance(4_999)
    expect(source.calls('extend').length).toBeGreaterThan(0)
    expect(source.calls('nack')).toEqual([])
    await advance(1)
    await stopped
    expect(source.asked.filter((a) => a.verb === 'nack')).toEqual([{ verb: 'nack', receipts: ['r2'], ms: 0, count: false }])
    expect(handled[1]?.signal.reason.code).toBe('stopping')
    await handled[1]?.done()
    expect(source.calls('ack')).toEqual(['r1'])
    expect(consumer.counts).toMatchObject({ acknowledged: 1, returned: 1, running: 0 })
  })

  it('gives back what came at the last moment, unseen', async () => {
    const { source, handled, consumer } = await consumerRig({ concurrency: 2 })
    const [o] = source.receives
    // The answer is there, and nobody has looked at it yet.
    const delivered = source.deliver(2)
    const stopped = consumer.stop()
    await delivered
    await stopped
    expect(o?.signal?.aborted).toBe(true)
    expect(handled).toEqual([])
    expect(source.asked).toEqual([{ verb: 'nack', receipts: ['r1', 'r2'], ms: 0, count: false }])
    expect(consumer.counts).toMatchObject({ returned: 2, running: 0 })
  })

  it('lets a request that has just begun answer, and gives back what it brings', async () => {
    const { source, consumer, advance, handled, clock } = await consumerRig({ concurrency: 2 })
    source.answers_within_ms = 1_000
    await advance(400)
    const stopped = consumer.stop({ within_ms: 0 })
    await advance(599)
    expect(source.receives[0]?.signal?.aborted).toBe(false)
    await source.deliver(2)
    await stopped
    expect(handled).toEqual([])
    expect(source.calls('nack')).toEqual(['r1 r2'])
    expect(clock.pending).toBe(0)
  })

  it('leaves a request that waits', async () => {
    const { source, consumer, advance, clock } = await consumerRig()
    source.answers_within_ms = 1_000
    await advance(400)
    const stopped = consumer.stop()
    await advance(599)
    expect(source.receives[0]?.signal?.aborted).toBe(false)
    await advance(1)
    expect(source.receives[0]?.signal?.aborted).toBe(true)
    await stopped
    const other = await consumerRig()
    other.source.answers_within_ms = 1_000
    await other.advance(1_000)
    await other.consumer.stop()
    expect([clock.pending, other.clock.pending]).toEqual([0, 0])
  })

  it('does not wait for a server that is away', async () => {
    const { source, handled, consumer, advance } = await consumerRig({ lease_ms: 60_000 })
    source.replies.ack = Array.from({ length: 100 }, away)
    await source.deliver(1)
    await handled[0]?.done()
    const stopped = consumer.stop({ within_ms: 1_000 })
    await advance(999)
    expect(consumer.counts.running).toBe(1)
    await advance(1)
    await stopped
    expect(consumer.counts).toMatchObject({ lost: 1, running: 0 })
  })

  it('ends a pause', async () => {
    const { source, consumer, clock } = await consumerRig()
    await source.fail(away())
    await consumer.stop()
    expect(clock.pending).toBe(0)
  })

  it('may be asked for again, or by a signal, also by one that was aborted before', async () => {
    const controller = new AbortController()
    const { consumer, source } = await consumerRig({ signal: controller.signal })
    controller.abort()
    await Promise.all([consumer.stop(), consumer.stop(), consumer.ended])
    expect(source.receives).toHaveLength(1)
    const never = await consumerRig({ signal: AbortSignal.abort() })
    await never.consumer.ended
    expect(never.source.receives).toEqual([])
  })

  it('leaves no timer behind', async () => {
    const { source, handled, consumer, clock } = await consumerRig({ concurrency: 3 })
    await source.deliver(3)
    await handled[0]?.done()
    const stopped = consumer.stop()
    await handled[1]?.fail()
    await handled[2]?.done()
    await stopped
    expect(clock.pending).toBe(0)
  })
})
