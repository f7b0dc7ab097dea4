/** Attributes of queues where two of them meet: limits, keys, last values, expiry, seek. `ordered-model.test.ts` draws them all together. */
import { afterEach, describe, expect, it } from 'vitest'
import type { OutgoingMessage } from '../src/queue/ordered-api.js'
import type { OrderedQueue } from '../src/queue/ordered-queue.js'
import { deadNameOf } from '../src/queue/ordered-queues.js'
import { OrderedRig } from './support/ordered-rig.js'

let rig: OrderedRig
const small = { entries: 8, page: 4, ahead: 2, lookaside: 4 }

const open = async (sizes?: typeof small): Promise<void> => {
  rig = await OrderedRig.open(sizes)
}
afterEach(() => rig.queues.close())

/** `key=value` has a key. */
const message = (text: string, o: Partial<OutgoingMessage> = {}): OutgoingMessage => {
  const key = text.includes('=') ? { key: text.split('=')[0] as string } : {}
  return { view: rig.view(text), ...key, ...o }
}
const send = (q: OrderedQueue, text: string, o: Partial<OutgoingMessage> = {}) => q.send([message(text, o)])[0].outcome

async function texts(q: OrderedQueue, max = 1_000): Promise<string[]> {
  const out: string[] = []
  while (out.length < max) {
    const got = await q.receive({ max: 1, wait_ms: 0 })
    if (got.length === 0) break
    out.push(rig.text(got[0].seq))
    q.ack([got[0].receipt])
  }
  return out
}

describe('a newer value of a key needs no room but its own', () => {
  for (const overflow of ['reject', 'drop_oldest', 'drop_newest'] as const) {
    for (const fifo of [false, true]) {
      it(`in a full queue (${overflow}${fifo ? ', fifo' : ''})`, async () => {
        await open()
        const q = rig.queues.create('q', 'pull', { last_value: true, fifo, max_messages: 2, overflow })
        for (const text of ['a=1', 'b=1', 'b=2', 'b=3']) expect(send(q, text)).toBe('stored')
        expect(q.counts().ready).toBe(2)
        expect(await texts(q)).toEqual(['a=1', 'b=3'])
        expect(rig.queues.departures.pull).toMatchObject({ replaced: 2, dropped_oldest: 0, refused: 0 })
      })
    }
  }

  it('in bytes too, and a larger one must fit', async () => {
    await open()
    const bytes = 5 + 'b=1'.length
    const q = rig.queues.create('q', 'pull', { last_value: true, max_bytes: 2 * bytes })
    for (const text of ['a=1', 'b=1', 'b=2']) expect(send(q, text)).toBe('stored')
    expect(send(q, 'b=22')).toBe('refused')
    expect(await texts(q)).toEqual(['a=1', 'b=2'])
  })

  it('while it waits for its moment, or is on disk only', async () => {
    await open(small)
    let q = rig.queues.create('q', 'pull', { last_value: true, max_messages: 12 })
    for (let i = 0; i < 12; i++) send(q, `k${i}=1`, i % 3 === 0 ? { delay_ms: 5_000 } : {})
    await rig.restart()
    q = rig.queue('q')
    for (let i = 0; i < 12; i++) expect(send(q, `k${i}=2`)).toBe('stored')
    expect(q.counts()).toMatchObject({ ready: 12, delayed: 0 })
    expect(await texts(q)).toEqual(Array.from({ length: 12 }, (_, i) => `k${i}=2`))
  })

  it('in a batch', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { last_value: true, max_messages: 2 })
    const batch = (...all: string[]) => q.send(all.map((text) => message(text))).map(({ outcome }) => outcome)
    expect(batch('a=1', 'b=1', 'a=2', 'b=2')).toEqual(Array(4).fill('stored'))
    expect(batch('b=3', 'a=3')).toEqual(['stored', 'stored'])
    expect(batch('b=4', 'c=1')).toEqual(['refused', 'refused'])
    expect(await texts(q)).toEqual(['b=3', 'a=3'])
  })

  it('but one that is held by a receiver keeps its own', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { last_value: true, max_messages: 2 })
    send(q, 'a=1')
    send(q, 'b=1')
    const [a] = await q.receive()
    expect(send(q, 'a=2')).toBe('refused')
    q.ack([a.receipt])
    expect(send(q, 'a=2')).toBe('stored')
  })

  it('as a required copy of a bridge rule', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { last_value: true, max_messages: 2 })
    send(q, 'a=1')
    send(q, 'b=1')
    expect(q.fits([{ bytes: 8, key: 'b' }])).toBe(true)
    expect(
      q.fits([
        { bytes: 8, key: 'b' },
        { bytes: 8, key: 'b' },
      ]),
    ).toBe(true)
    expect(q.fits([{ bytes: 8, key: 'c' }])).toBe(false)
  })

  it('and an older one that comes home from the dead letters does not replace it', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { last_value: true, max_attempts: 1 })
    send(q, 'a=1')
    const [d] = await q.receive()
    q.nack([d.receipt])
    send(q, 'a=2')
    const dead = rig.queue(deadNameOf('q'))
    expect(await rig.queues.redrive(dead, { max: 10 })).toMatchObject({ moved: 0, full: false })
    expect(dead.counts().ready).toBe(0)
    expect(await texts(q)).toEqual(['a=2'])
    expect(rig.queues.departures.dead.replaced).toBe(1)
  })
})

describe('seek in a FIFO queue', () => {
  const filled = async (sizes?: typeof small): Promise<OrderedQueue> => {
    await open(sizes)
    const q = rig.queues.create('q', 'pull', { fifo: true, retain_s: 3_600 })
    for (const text of ['k=0', 'k=1', 'k=2', 'k=3']) send(q, text)
    expect(await texts(q, 2)).toEqual(['k=0', 'k=1'])
    return q
  }

  it('puts what was acknowledged before what waits', async () => {
    const q = await filled()
    expect(await rig.queues.seek(q, {})).toBe(2)
    expect(await texts(q)).toEqual(['k=0', 'k=1', 'k=2', 'k=3'])
    expect(await rig.queues.seek(q, {})).toBe(4)
    expect(await texts(q)).toEqual(['k=0', 'k=1', 'k=2', 'k=3'])
  })

  it('after a restart, when the next is on disk only or waits for its moment', async () => {
    await filled(small)
    await rig.restart()
    let q = rig.queue('q')
    const [two] = await q.receive()
    expect(rig.text(two.seq)).toBe('k=2')
    q.nack([two.receipt], 1_000)
    for (let i = 0; i < 20; i++) send(q, `other${i}`, { delay_ms: 500, key: `x${i}` })
    await rig.restart()
    q = rig.queue('q')
    expect(await rig.queues.seek(q, {})).toBe(2)
    expect(await texts(q)).toEqual(['k=0', 'k=1'])
    expect(q.counts()).toMatchObject({ ready: 1, delayed: 21 })
    rig.clock.advance(1_000)
    const rest = await texts(q)
    expect(rest.filter((text) => text.startsWith('k='))).toEqual(['k=2', 'k=3'])
  })

  it('behind the one that somebody holds, which comes after them if it is given back', async () => {
    const q = await filled()
    const [two] = await q.receive()
    expect(await rig.queues.seek(q, {})).toBe(2)
    expect(await q.receive({ wait_ms: 0 })).toEqual([])
    q.nack([two.receipt])
    expect(await texts(q)).toEqual(['k=0', 'k=1', 'k=2', 'k=3'])
  })
})

describe('what expired takes up no room', () => {
  it('behind a held message of its key', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { fifo: true, max_messages: 3 })
    send(q, 'k=0')
    const [head] = await q.receive()
    for (const text of ['k=1', 'k=2']) send(q, text, { expires_at: rig.clock.now() + 1_000 })
    expect(send(q, 'k=3')).toBe('refused')
    await rig.flush()
    rig.clock.advance(1_000)
    await rig.queues.quiet()
    expect(q.counts()).toMatchObject({ ready: 0, leased: 1 })
    expect(rig.queues.departures.pull.expired).toBe(2)
    expect(send(q, 'k=3')).toBe('stored')
    q.ack([head.receipt])
    expect(await texts(q)).toEqual(['k=3'])
    expect(rig.queues.holds.total).toBe(0)
  })

  it('in the middle of such a line, also after a restart', async () => {
    await open(small)
    let q = rig.queues.create('q', 'pull', { fifo: true, max_messages: 8 })
    send(q, 'k=0')
    await q.receive({ lease_ms: 3_600_000 })
    for (let i = 1; i < 8; i++) send(q, `k=${i}`, i % 3 === 0 ? {} : { expires_at: rig.clock.now() + 1_000 })
    await rig.restart()
    q = rig.queue('q')
    rig.clock.step(1_000)
    expect(q.mayLackRoom([message('k=8')])).toBe(true)
    await q.expireUnseen()
    expect(q.counts()).toMatchObject({ ready: 2, leased: 1 })
    expect(send(q, 'k=8')).toBe('stored')
    rig.clock.advance(3_600_000)
    expect(await texts(q)).toEqual(['k=0', 'k=3', 'k=6', 'k=8'])
  })

  it('behind many that stay, where it is on disk only', async () => {
    await open(small)
    const q = rig.queues.create('q', 'pull', { max_messages: 100 })
    for (let i = 0; i < 50; i++) send(q, `${i}`)
    for (let i = 50; i < 100; i++) send(q, `${i}`, { expires_at: rig.clock.now() + 1_000 })
    await rig.flush()
    rig.clock.advance(1_000)
    await rig.queues.quiet()
    expect(q.counts().ready).toBe(50)
    expect(send(q, '100')).toBe('stored')
  })

  it('and a queue that nobody reads is not read again and again for it', async () => {
    await open(small)
    const q = rig.queues.create('q', 'pull', {})
    for (let i = 0; i < 50; i++) send(q, `${i}`, { expires_at: rig.clock.now() + 1_000 + i })
    await rig.flush()
    let looks = 0
    const { scan } = rig.base
    rig.base.scan = (...args) => {
      looks++
      return scan.apply(rig.base, args)
    }
    for (let i = 0; i < 100; i++) {
      rig.clock.advance(11)
      await rig.queues.quiet()
    }
    expect(looks).toBeLessThan(20)
    rig.clock.advance(1_000)
    await rig.queues.quiet()
    expect(q.counts().ready).toBe(0)
  })
})

describe('drop_oldest in a FIFO queue', () => {
  it('drops the oldest that waits behind a held message, for whichever key', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { fifo: true, max_messages: 3, overflow: 'drop_oldest' })
    for (const text of ['k=0', 'k=1', 'k=2']) send(q, text)
    const [head] = await q.receive()
    expect(send(q, 'other=0')).toBe('stored')
    expect(send(q, 'k=3')).toBe('stored')
    expect(rig.queues.departures.pull).toMatchObject({ dropped_oldest: 2, refused: 0 })
    expect(await texts(q)).toEqual(['other=0'])
    q.ack([head.receipt])
    expect(await texts(q)).toEqual(['k=3'])
    expect(rig.queues.holds.total).toBe(0)
  })

  it('takes the older of two that are held up, and of what is ready', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { fifo: true, max_messages: 6, overflow: 'drop_oldest' })
    for (const text of ['a=0', 'b=0', 'b=1', 'a=1', 'c=0', 'a=2']) send(q, text)
    const held = await q.receive({ max: 2 })
    for (const text of ['d=0', 'd=1', 'd=2']) expect(send(q, text)).toBe('stored')
    // b=1, a=1 and c=0 went.
    q.ack(held.map(({ receipt }) => receipt))
    expect(await texts(q)).toEqual(['a=2', 'd=0', 'd=1', 'd=2'])
  })

  it('refuses only when all of it is held', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { fifo: true, max_messages: 2, overflow: 'drop_oldest' })
    send(q, 'a=0')
    send(q, 'b=0')
    await q.receive({ max: 2 })
    expect(send(q, 'c=0')).toBe('refused')
  })

  it('drops what waited before, not what came in, also right after a restart', async () => {
    await open()
    let q = rig.queues.create('q', 'pull', { max_messages: 2, overflow: 'drop_oldest' })
    send(q, 'later', { delay_ms: 1_000 })
    send(q, 'urgent', { priority: 1 })
    await rig.restart()
    q = rig.queue('q')
    await q.idle()
    expect(send(q, 'new', { priority: 16 })).toBe('stored')
    expect(await texts(q)).toEqual(['new'])
    expect(q.counts().delayed).toBe(1)
  })
})

describe('a message that is given back unworked', () => {
  it('has had no attempt, and dies of none', async () => {
    await open()
    const q = rig.queues.create('q', 'pull', { max_attempts: 1 })
    send(q, 'm')
    for (let i = 0; i < 3; i++) {
      const [d] = await q.receive()
      expect(d.attempts).toBe(1)
      expect(d.firstLeasedAt).toBe(rig.clock.now())
      expect(q.nack([d.receipt], 100, false)).toEqual(['ok'])
      expect(q.counts()).toMatchObject({ delayed: 1, ready: 0 })
      rig.clock.advance(100)
    }
    const [d] = await q.receive()
    expect(q.nack([d.receipt])).toEqual(['ok'])
    expect(rig.queue(deadNameOf('q')).counts().ready).toBe(1)
  })
})
