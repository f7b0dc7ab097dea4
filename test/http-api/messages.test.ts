/** Messages through HTTP: sent, received, acknowledged, given back, kept. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { ApiClient, BATCH } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'

let app: App & { httpPort: number }
let api: ApiClient
let made = 0

beforeAll(async () => {
  app = await startTestApp()
  api = new ApiClient(app.httpPort)
})
afterAll(() => app.close())

async function queue(attributes: object = {}): Promise<string> {
  const name = `q${made++}`
  expect((await api.put(name, attributes)).status).toBe(201)
  return name
}

describe('a message', () => {
  it('goes in as any body and comes out as it was', async () => {
    const q = await queue()
    const sent = await api.call('POST', `/v1/queues/${q}/messages`, 'grüße', 'text/plain')
    expect(sent.status).toBe(201)
    expect(sent.body).toEqual({ messages: [{ id: expect.stringMatching(/^[0-9a-f]{12}$/) }] })
    const before = Date.now()
    const [m] = await api.receive(q, { lease_ms: 5_000 })
    expect(m).toEqual({
      id: sent.body.messages[0].id,
      receipt: expect.stringMatching(/^[\w-]{32}$/),
      topic: `$queue/${q}`,
      body: 'grüße',
      encoding: 'text',
      attempts: 1,
      priority: 8,
      accepted_at: expect.any(Number),
      first_leased_at: expect.any(Number),
      leased_until: expect.any(Number),
      expires_at: expect.any(Number),
    })
    expect(m.leased_until - m.first_leased_at).toBe(5_000)
    expect(m.first_leased_at).toBeGreaterThanOrEqual(before)
    // The queue's retention counts from when it took the message.
    expect(m.expires_at as number).toBeGreaterThanOrEqual(m.accepted_at + 345_600_000)
  })

  it.each([
    ['', 'text'],
    ['\ufeffwith a mark', 'text'],
    ['\u0000', 'text'],
    [Buffer.from([0xff, 0x00, 0x80]), 'base64'],
    [Buffer.from('ed9fbfeda080', 'hex'), 'base64'],
  ])('of %j is kept to the byte', async (payload, encoding) => {
    const q = await queue()
    const bytes = Buffer.from(payload)
    await api.call('POST', `/v1/queues/${q}/messages`, bytes, 'application/octet-stream')
    await api.send(q, { body: bytes.toString('base64'), encoding: 'base64' })
    for (const m of await api.receive(q, { max: 2 })) {
      expect(m.encoding).toBe(encoding)
      expect(Buffer.from(m.body, encoding === 'text' ? 'utf8' : 'base64')).toEqual(bytes)
    }
  })

  it('needs no content type', async () => {
    const q = await queue()
    const bytes = Buffer.from('plain')
    expect((await api.call('POST', `/v1/queues/${q}/messages`, bytes)).status).toBe(201)
    expect((await api.call('POST', `/v1/queues/${q}/messages`)).status).toBe(201)
    expect((await api.receive(q, { max: 9 })).map((m) => m.body)).toEqual(['plain', ''])
  })

  it('takes its attributes from the query', async () => {
    const q = await queue()
    const query = 'key=device%201&priority=1&delay_ms=0&dedup_id=x&ttl_s=60&topic=devices/1'
    await api.call('POST', `/v1/queues/${q}/messages?${query}`, 'a', 'text/plain')
    const again = await api.call('POST', `/v1/queues/${q}/messages?dedup_id=x`, 'a', 'text/plain')
    const [m] = await api.receive(q)
    expect(again.body).toEqual({ messages: [{ id: m.id, duplicate: true }] })
    expect(m).toMatchObject({ key: 'device 1', priority: 1, topic: 'devices/1' })
    expect((m.expires_at as number) - m.accepted_at).toBe(60_000)
  })

  it('comes as one of a batch', async () => {
    const q = await queue()
    const answer = await api.call(
      'POST',
      `/v1/queues/${q}/messages`,
      {
        messages: [
          { body: 'late', priority: 16, topic: 't' },
          { body: 'AP8=', encoding: 'base64', priority: 1, key: 'k', tag: 'hot' },
          { body: 'once', dedup_id: 'd' },
          { body: 'once more', dedup_id: 'd' },
        ],
      },
      `${BATCH}; charset=utf-8`,
    )
    expect(answer.status).toBe(201)
    const ids = answer.body.messages.map((m: { id: string }) => m.id)
    expect(answer.body.messages[3]).toEqual({ id: ids[2], duplicate: true })
    const got = await api.receive(q, { max: 10 })
    expect(got.map((m) => [m.id, m.body])).toEqual([
      [ids[1], 'AP8='],
      [ids[2], 'once'],
      [ids[0], 'late'],
    ])
    expect(got[0]).toMatchObject({ key: 'k', tag: 'hot' })
  })

  it('waits for its delay', async () => {
    const q = await queue({ delay_ms: 60_000 })
    await api.send(q, 'later', { body: 'now', delay_ms: 0 })
    expect((await api.receive(q, { max: 9 })).map((m) => m.body)).toEqual(['now'])
    expect(await api.counts(q)).toMatchObject({ ready: 0, leased: 1, delayed: 1 })
  })
})

describe('a full queue', () => {
  it('takes nothing of a batch that does not fit whole', async () => {
    const q = await queue({ max_messages: 3 })
    await api.send(q, 'a', 'b')
    const batch = { messages: [{ body: 'c' }, { body: 'd' }] }
    expect(await api.refused('POST', `/v1/queues/${q}/messages`, batch, BATCH)).toMatchObject({ status: 409, code: 'queue_full' })
    expect(await api.counts(q)).toMatchObject({ ready: 2 })
    await api.send(q, 'c')
    expect(await api.refused('POST', `/v1/queues/${q}/messages`, 'd', 'text/plain')).toMatchObject({ code: 'queue_full' })
    expect((await api.receive(q, { max: 9 })).map((m) => m.body)).toEqual(['a', 'b', 'c'])
  })

  it('counts duplicates in a batch once', async () => {
    const q = await queue({ max_messages: 1 })
    const ids = await api.send(q, { body: 'a', dedup_id: 'x' }, { body: 'a', dedup_id: 'x' })
    expect(ids[0]).toBe(ids[1])
    expect(await api.send(q, { body: 'a', dedup_id: 'x' })).toEqual([ids[0]])
  })

  it('is full by bytes, too', async () => {
    const q = await queue({ max_bytes: 100 })
    expect(await api.refused('POST', `/v1/queues/${q}/messages`, 'x'.repeat(100))).toMatchObject({ code: 'queue_full' })
    await api.send(q, 'x'.repeat(50))
    expect(await api.refused('POST', `/v1/queues/${q}/messages`, 'x'.repeat(50))).toMatchObject({ code: 'queue_full' })
  })

  it('drops what it says it drops', async () => {
    const oldest = await queue({ max_messages: 2, overflow: 'drop_oldest' })
    await api.send(oldest, 'a', 'b')
    await api.send(oldest, 'c')
    expect((await api.receive(oldest, { max: 9 })).map((m) => m.body)).toEqual(['b', 'c'])
    expect(await api.refused('POST', `/v1/queues/${oldest}/messages`, 'd')).toMatchObject({ code: 'queue_full' })
    const newest = await queue({ max_messages: 1, overflow: 'drop_newest' })
    const answer = await api.call('POST', `/v1/queues/${newest}/messages`, { messages: [{ body: 'a' }, { body: 'b' }] }, BATCH)
    expect(answer.body.messages).toEqual([{ id: expect.any(String) }, { id: null, dropped: true }])
    expect((await api.receive(newest, { max: 9 })).map((m) => m.body)).toEqual(['a'])
  })

  it('refuses a batch that would have to drop what is leased', async () => {
    const q = await queue({ max_messages: 3, overflow: 'drop_oldest' })
    await api.send(q, 'a', 'b', 'c')
    await api.receive(q, { max: 2 })
    const batch = { messages: [{ body: 'd' }, { body: 'e' }] }
    expect(await api.refused('POST', `/v1/queues/${q}/messages`, batch, BATCH)).toMatchObject({ code: 'queue_full' })
    expect(await api.counts(q)).toMatchObject({ ready: 1, leased: 2 })
  })
})

describe('a receipt', () => {
  it('acknowledges its delivery, and says so again to who did not hear it', async () => {
    const q = await queue()
    await api.send(q, 'a', 'b')
    const [a, b] = await api.receive(q, { max: 2 })
    expect(await api.settle(q, 'ack', [a.receipt, 'nonsense', b.receipt])).toEqual(['ok', 'receipt_invalid', 'ok'])
    expect(await api.settle(q, 'ack', [b.receipt, a.receipt])).toEqual(['ok', 'ok'])
    for (const other of ['nack', 'extend'] as const) expect(await api.settle(q, other, [a.receipt])).toEqual(['receipt_invalid'])
    expect(await api.counts(q)).toMatchObject({ ready: 0, leased: 0, bytes: 0 })
  })

  it('gives its message back once, however often it says so', async () => {
    const [q, other] = [await queue(), await queue()]
    await api.send(q, 'a')
    const [first] = await api.receive(q)
    for (let i = 0; i < 2; i++) expect(await api.settle(q, 'nack', [first.receipt])).toEqual(['ok'])
    const [second] = await api.receive(q)
    expect(second.attempts).toBe(2)
    // It touches no newer delivery, and is no acknowledgement; nor is it one for another queue.
    expect(await api.settle(q, 'nack', [first.receipt])).toEqual(['ok'])
    expect(await api.settle(q, 'ack', [first.receipt])).toEqual(['receipt_invalid'])
    expect(await api.settle(other, 'nack', [first.receipt])).toEqual(['receipt_invalid'])
    expect(await api.counts(q)).toMatchObject({ ready: 0, leased: 1 })
  })

  it('gives its message back without an attempt', async () => {
    const q = await queue({ max_attempts: 1 })
    await api.send(q, 'a')
    for (let i = 0; i < 3; i++) {
      const [m] = await api.receive(q)
      expect(m.attempts).toBe(1)
      expect(await api.settle(q, 'nack', [m.receipt], { count: false })).toEqual(['ok'])
    }
    expect(await api.counts(q)).toMatchObject({ ready: 1, dead: 0 })
  })

  it('has no text that is no UTF-8: two of them would be the same', async () => {
    const q = await queue({ fifo: true })
    const half = '\ud83d'
    for (const m of [
      { body: half },
      { body: 'x', key: half },
      { body: 'x', dedup_id: half },
      { body: 'x', tag: half },
      { body: 'x', topic: `a/${half}` },
      { body: 'x', properties: { content_type: half } },
      { body: 'x', properties: { user_properties: [[half, 'x']] } },
    ]) {
      const refusal = await api.refused('POST', `/v1/queues/${q}/messages`, { messages: [m] }, BATCH)
      expect(refusal).toMatchObject({ status: 400 })
    }
    for (const field of ['key', 'tag', 'dedup_id', 'topic'])
      expect(await api.refused('POST', `/v1/queues/${q}/messages?${field}=%ed%a0%bd`, 'x', 'text/plain')).toMatchObject({
        status: 400,
      })
    expect(await api.counts(q)).toMatchObject({ ready: 0 })
    await expect(app.queues.send(q, [{ body: half }])).rejects.toMatchObject({ code: 'attribute_invalid' })
    await expect(app.queues.send(q, [{ body: 'x', key: half }])).rejects.toMatchObject({ code: 'attribute_invalid' })
    await expect(app.publish({ topic: 'a', body: half })).rejects.toMatchObject({ code: 'attribute_invalid' })
    await expect(app.publish({ topic: half })).rejects.toMatchObject({ code: 'topic_invalid' })
    for (const field of ['key', 'tag', 'when', 'filter', 'queue'])
      expect(await api.refused('PUT', '/v1/bridges/half', { filter: 'a', queue: 'q', [field]: half })).toMatchObject({
        status: 400,
      })
  })

  it('takes properties from the query', async () => {
    const q = await queue()
    const properties = { content_type: 'a/b', correlation_data: 'AP8=', user_properties: [['n', 'ü&=']] }
    const path = `/v1/queues/${q}/messages?properties=${encodeURIComponent(JSON.stringify(properties))}`
    expect((await api.call('POST', path, 'x', 'text/plain')).status).toBe(201)
    expect((await api.receive(q))[0].properties).toEqual(properties)
    for (const wrong of ['no json', '[]', '{"colour":1}'])
      expect(
        await api.refused('POST', `/v1/queues/${q}/messages?properties=${encodeURIComponent(wrong)}`, 'x', 'text/plain'),
      ).toMatchObject({ status: 400, code: 'attribute_invalid' })
  })

  it('gives its message back, at once or later', async () => {
    const q = await queue()
    await api.send(q, 'a', 'b')
    const [a, b] = await api.receive(q, { max: 2 })
    expect(await api.settle(q, 'nack', [a.receipt])).toEqual(['ok'])
    expect(await api.settle(q, 'nack', [b.receipt], { delay_ms: 60_000 })).toEqual(['ok'])
    expect(await api.receive(q, { max: 2 })).toMatchObject([{ id: a.id, attempts: 2, first_leased_at: a.first_leased_at }])
    expect(await api.counts(q)).toMatchObject({ ready: 0, leased: 1, delayed: 1 })
  })

  it('keeps its message longer', async () => {
    const q = await queue()
    await api.send(q, 'a')
    const [a] = await api.receive(q, { lease_ms: 60_000 })
    expect(await api.settle(q, 'extend', [a.receipt], { lease_ms: 0 })).toEqual(['ok'])
    const [again] = await api.receive(q)
    expect(again).toMatchObject({ id: a.id, attempts: 2 })
    for (const verb of ['ack', 'nack', 'extend'] as const)
      expect(await api.settle(q, verb, [a.receipt])).toEqual(['receipt_invalid'])
    expect(await api.settle(q, 'extend', [again.receipt])).toEqual(['ok'])
    expect(await api.settle(q, 'ack', [again.receipt])).toEqual(['ok'])
  })

  it('is for its queue only', async () => {
    const [q, other] = [await queue(), await queue()]
    await api.send(q, 'a')
    await api.send(other, 'b')
    const [a] = await api.receive(q)
    await api.receive(other)
    expect(await api.settle(other, 'ack', [a.receipt])).toEqual(['receipt_invalid'])
    expect(await api.counts(other)).toMatchObject({ leased: 1 })
  })
})

describe('dead letters', () => {
  it('go where they belong, and the queue says how many there are', async () => {
    const q = await queue({ max_attempts: 2 })
    await api.send(q, 'poison')
    for (let i = 0; i < 2; i++) {
      const [m] = await api.receive(q)
      await api.settle(q, 'nack', [m.receipt])
    }
    expect(await api.receive(q)).toEqual([])
    expect(await api.counts(q)).toMatchObject({ ready: 0, dead: 1 })
    const dead = `$dead/queue/${q}`
    expect((await api.call('GET', `/v1/queues/${encodeURIComponent(dead)}`)).body).toMatchObject({ name: dead, kind: 'dead' })
    expect(await api.refused('POST', `/v1/queues/${encodeURIComponent(dead)}/messages`, 'x')).toMatchObject({
      status: 403,
      code: 'not_authorised',
    })
    const [m] = await api.receive(dead)
    expect(m.body).toBe('poison')
    expect(await api.settle(dead, 'ack', [m.receipt])).toEqual(['ok'])
    expect(await api.counts(q)).toMatchObject({ dead: 0 })
  })
})
