/** Peek, purge, redrive and seek over HTTP. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { ApiClient } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'

let app: App & { httpPort: number }
let api: ApiClient

beforeAll(async () => {
  app = await startTestApp()
  api = new ApiClient(app.httpPort)
})
afterAll(() => app.close())

const post = (path: string, body?: object) => api.call('POST', `/v1/queues/${path}`, body)

/** Hands everything out once and lets it die. */
async function kill(queue: string, n: number): Promise<void> {
  for (const m of await api.receive(queue, { max: n })) await api.settle(queue, 'nack', [m.receipt])
}

describe('peek', () => {
  it('shows what is there, state by state, and takes nothing', async () => {
    await api.put('seen', { fifo: true, retain_s: 100, dedup_window_s: 0 })
    await api.send('seen', { body: 'done', priority: 1 })
    const [done] = await api.receive('seen')
    await api.settle('seen', 'ack', [done.receipt])
    const ids = await api.send(
      'seen',
      { body: 'held', key: 'k', priority: 1 },
      { body: 'behind', key: 'k' },
      { body: 'later', delay_ms: 60_000 },
      { body: Buffer.from([0xff]).toString('base64'), encoding: 'base64' },
    )
    const [held] = await api.receive('seen')
    const seen = await api.call('GET', '/v1/queues/seen/peek?states=ready,behind,delayed,leased,retained&limit=256')
    expect(seen.body.messages.map((m: { body: string; state: string }) => [m.state, m.body])).toEqual([
      ['ready', '/w=='],
      ['behind', 'behind'],
      ['delayed', 'later'],
      ['leased', 'held'],
      ['retained', 'done'],
    ])
    expect(seen.body.messages[3]).toMatchObject({ id: ids[0], attempts: 1, key: 'k', until: held.leased_until, priority: 1 })
    expect(seen.body.messages[2].until).toBeGreaterThan(Date.now() + 30_000)
    const standard = await api.call('GET', '/v1/queues/seen/peek')
    expect(standard.body.messages).toHaveLength(3)
    expect((await api.call('GET', '/v1/queues/seen/peek?limit=1')).body.messages).toHaveLength(1)
    // A page that ends with the last message says that there is no more.
    for (const [limit, more] of [
      [2, true],
      [3, false],
      [4, false],
    ] as const)
      expect((await api.call('GET', `/v1/queues/seen/peek?limit=${limit}`)).body.next !== null).toBe(more)
    expect(await api.counts('seen')).toMatchObject({ ready: 2, leased: 1, delayed: 1, retained: 1 })
  })

  it.each([
    ['limit=0', 'limit is a whole number from 1 to 256: got "0".'],
    ['limit=257', 'limit is a whole number from 1 to 256: got "257".'],
    ['states=waiting', 'states is a list, parted by commas, of ready, behind, delayed, leased, retained: got "waiting".'],
    ['states=', /^states is a list.* got ""/],
    ['states=ready&states=there', /^states\[1\] is a list.* got "there"/],
    ['state=ready', 'The query has no field "state".'],
    ['after=1.2', 'after is the next of a page: got "1.2".'],
    ['after=1.-2.3', 'after is the next of a page: got "1.-2.3".'],
  ])('refuses %s', async (query, message) => {
    await api.put('seen')
    const refusal = await api.refused('GET', `/v1/queues/seen/peek?${query}`)
    expect(refusal).toMatchObject({ status: 400, code: 'attribute_invalid' })
    expect(refusal.message).toMatch(message)
  })
})

describe('peek in pages', () => {
  const all = 'states=ready,behind,delayed,leased,retained'

  it('shows each message once, whatever the size of the pages', async () => {
    await api.put('paged', { fifo: true, retain_s: 100, dedup_window_s: 0 })
    await api.send('paged', ...Array.from({ length: 5 }, () => ({ body: 'done', priority: 1 })))
    await api.settle(
      'paged',
      'ack',
      (await api.receive('paged', { max: 5 })).map((m) => m.receipt),
    )
    await api.send('paged', ...Array.from({ length: 5 }, (_, i) => ({ body: `held ${i}`, priority: 1 })))
    await api.receive('paged', { max: 5 })
    const rest = Array.from({ length: 40 }, (_, i) => ({
      body: String(i),
      priority: 3 + (i % 3),
      ...(i % 4 === 0 ? { key: `k${i % 8}` } : {}),
      ...(i % 5 === 0 ? { delay_ms: 60_000 + i } : {}),
    }))
    await api.send('paged', ...rest)
    const whole = (await api.call('GET', `/v1/queues/paged/peek?${all}&limit=256`)).body
    expect(whole.messages).toHaveLength(50)
    expect(whole.next).toBe(null)
    for (const limit of [1, 7, 49, 50]) {
      const seen: string[] = []
      let after = ''
      for (;;) {
        const { body } = await api.call('GET', `/v1/queues/paged/peek?${all}&limit=${limit}${after}`)
        expect(body.messages.length).toBeLessThanOrEqual(limit)
        seen.push(...body.messages.map((m: { id: string }) => m.id))
        if (body.next === null) break
        after = `&after=${body.next}`
      }
      expect(seen).toEqual(whole.messages.map((m: { id: string }) => m.id))
    }
  })

  it('goes on behind a message that has left', async () => {
    await api.put('moving')
    await api.send('moving', ...Array.from({ length: 6 }, (_, i) => String(i)))
    const { next } = (await api.call('GET', '/v1/queues/moving/peek?limit=3')).body
    await api.settle(
      'moving',
      'ack',
      (await api.receive('moving', { max: 4 })).map((m) => m.receipt),
    )
    const { body } = await api.call('GET', `/v1/queues/moving/peek?limit=3&after=${next}`)
    expect(body.messages.map((m: { body: string }) => m.body)).toEqual(['4', '5'])
    expect(body.next).toBe(null)
    expect((await api.call('GET', '/v1/queues/moving/peek?after=99.0.0')).body).toEqual({ messages: [], next: null })
  })
})

describe('purge', () => {
  it('throws away what waits and leaves what is leased', async () => {
    await api.put('purged')
    await api.send('purged', 'a', 'b', { body: 'c', delay_ms: 60_000 })
    const [a] = await api.receive('purged')
    expect((await post('purged/purge')).body).toEqual({ purged: 2 })
    expect((await post('purged/purge', {})).body).toEqual({ purged: 0 })
    expect(await api.settle('purged', 'ack', [a.receipt])).toEqual(['ok'])
  })
})

describe('redrive', () => {
  it('sends home what died in a queue', async () => {
    await api.put('mortal', { max_attempts: 1 })
    await api.send('mortal', { body: 'a', key: 'x' }, 'b', 'c')
    await kill('mortal', 3)
    expect(await api.counts('mortal')).toMatchObject({ ready: 0, dead: 3 })
    const dead = await api.call('GET', `/v1/queues/${encodeURIComponent('$dead/queue/mortal')}/peek?limit=1`)
    expect(dead.body.messages[0]).toMatchObject({ body: 'a', origin: 'mortal', died_at: expect.any(Number) })
    expect((await post('mortal/redrive', { key: 'y' })).body).toEqual({ moved: 0, homeless: 0, others: 0, full: false })
    expect((await post('mortal/redrive', { key: 'x' })).body).toEqual({ moved: 1, homeless: 0, others: 0, full: false })
    expect((await post('mortal/redrive', { max: 1 })).body.moved).toBe(1)
    expect((await post(`${encodeURIComponent('$dead/queue/mortal')}/redrive`)).body.moved).toBe(1)
    expect(await api.counts('mortal')).toMatchObject({ ready: 3, dead: 0 })
    expect((await api.receive('mortal', { max: 3 })).map((m) => [m.body, m.attempts])).toEqual([
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ])
  })

  it('knows home from a queue that several share', async () => {
    await api.put('graveyard')
    for (const q of ['one', 'two']) {
      await api.put(q, { max_attempts: 1, dead_letter: 'graveyard' })
      await api.send(q, q)
      await kill(q, 1)
    }
    await api.send('graveyard', 'alive')
    expect((await post('one/redrive')).body.moved).toBe(1)
    expect(await api.counts('graveyard')).toMatchObject({ ready: 2 })
    await api.call('DELETE', '/v1/queues/two')
    expect((await post('graveyard/redrive')).body).toEqual({ moved: 0, homeless: 1, others: 0, full: false })
    expect(await api.counts('graveyard')).toMatchObject({ ready: 2 })
  })

  it('goes to a new queue of the old one’s name, whose dead letters they are', async () => {
    await api.put('again', { max_attempts: 1 })
    await api.send('again', 'a')
    await kill('again', 1)
    await api.call('DELETE', '/v1/queues/again')
    const own = encodeURIComponent('$dead/queue/again')
    expect((await post(`${own}/redrive`)).body).toEqual({ moved: 0, homeless: 1, others: 0, full: false })
    await api.put('again')
    expect(await api.counts('again')).toMatchObject({ dead: 1 })
    expect((await post('again/redrive')).body).toEqual({ moved: 1, homeless: 0, others: 0, full: false })
    expect(await api.counts('again')).toMatchObject({ ready: 1, dead: 0 })
  })

  it('goes to a queue of one’s choice', async () => {
    await api.put('morgue')
    for (const q of ['left', 'right']) {
      await api.put(q, { max_attempts: 1, dead_letter: 'morgue' })
      await api.send(q, q)
      await kill(q, 1)
    }
    await api.put('clinic')
    await api.send('morgue', 'alive')
    expect((await post('left/redrive', { to: 'clinic' })).body).toEqual({ moved: 1, homeless: 0, others: 1, full: false })
    await api.call('DELETE', '/v1/queues/right')
    expect((await post('morgue/redrive', { to: 'clinic' })).body).toEqual({ moved: 1, homeless: 0, others: 0, full: false })
    expect((await api.receive('clinic', { max: 3 })).map((m) => [m.body, m.attempts])).toEqual([
      ['left', 1],
      ['right', 1],
    ])
    expect(await api.counts('morgue')).toMatchObject({ ready: 1 })
    for (const [to, status] of [
      ['nowhere', 404],
      ['morgue', 400],
      ['$dead/queue/again', 403],
    ] as const)
      expect(await api.refused('POST', '/v1/queues/morgue/redrive', { to })).toMatchObject({ status })
  })

  it('comes from a queue that no queue names any more', async () => {
    await api.put('old')
    await api.put('changed', { max_attempts: 1, dead_letter: 'old' })
    await api.send('changed', 'a')
    await kill('changed', 1)
    await api.put('changed', { dead_letter: '' })
    expect((await post('old/redrive')).body).toEqual({ moved: 1, homeless: 0, others: 0, full: false })
    expect(await api.counts('changed')).toMatchObject({ ready: 1 })
  })

  it('stops at a queue that is full, and leaves homeless ones alone', async () => {
    await api.put('grave')
    await api.put('small', { max_attempts: 1, max_messages: 2, dead_letter: 'grave' })
    await api.put('gone', { max_attempts: 1, dead_letter: 'grave' })
    await api.send('gone', 'g')
    await kill('gone', 1)
    await api.send('small', 'a', 'b')
    await kill('small', 2)
    await api.send('small', 'c')
    await api.call('DELETE', '/v1/queues/gone')
    expect((await post('grave/redrive')).body).toEqual({ moved: 1, homeless: 1, others: 0, full: true })
    expect(await api.counts('small')).toMatchObject({ ready: 2 })
    expect(await api.counts('grave')).toMatchObject({ ready: 2 })
  })

  it.each([[{ max: 0 }], [{ max: 10_001 }], [{ max: '1' }], [{ key: 1 }], [{ rate: 1 }]])('refuses %j', async (body) => {
    await api.put('mortal')
    expect(await api.refused('POST', '/v1/queues/mortal/redrive', body)).toMatchObject({ status: 400, code: 'attribute_invalid' })
  })
})

describe('seek', () => {
  it('brings acknowledged messages back, from a message, a time, or all', async () => {
    await api.put('kept', { retain_s: 1_000 })
    const ids = await api.send('kept', 'a', 'b', 'c')
    const drain = async (): Promise<string[]> => {
      const got = await api.receive('kept', { max: 9 })
      if (got.length > 0)
        await api.settle(
          'kept',
          'ack',
          got.map((m) => m.receipt),
        )
      return got.map((m) => m.body)
    }
    expect(await drain()).toEqual(['a', 'b', 'c'])
    expect(await api.counts('kept')).toMatchObject({ retained: 3 })
    expect((await post('kept/seek', { id: ids[1] })).body).toEqual({ replayed: 2 })
    expect(await drain()).toEqual(['b', 'c'])
    expect((await post('kept/seek', { time: Date.now() + 1_000 })).body).toEqual({ replayed: 0 })
    expect((await post('kept/seek')).body).toEqual({ replayed: 3 })
    expect(await drain()).toEqual(['a', 'b', 'c'])
  })

  it.each([
    [{ time: -1 }, /^time is a whole number/],
    [{ time: '2026' }, /^time is a whole number/],
    [{ id: 'zzz' }, /^id is a message's id/],
    [{ id: '1', time: 1 }, /not to both/],
    [{ seq: 1 }, /no field "seq"/],
  ])('refuses %j', async (body, message) => {
    await api.put('kept')
    const refusal = await api.refused('POST', '/v1/queues/kept/seek', body)
    expect(refusal).toMatchObject({ status: 400, code: 'attribute_invalid' })
    expect(refusal.message).toMatch(message)
  })
})
