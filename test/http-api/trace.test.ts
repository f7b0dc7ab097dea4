/** "Where did my message go?" */
import { afterEach, describe, expect, it } from 'vitest'
import { departures } from '../../src/store/keys.js'
import type { ApiClient } from '../support/api-client.js'
import { type ClockedApi, startClockedApi } from '../support/api-server.js'
import { MqttClient, T } from '../support/broker.js'

let server: ClockedApi | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

async function start(retain_s: number, max_bytes = 2 ** 30): Promise<{ api: ApiClient; server: ClockedApi }> {
  server = await startClockedApi({ trace: { retain_s, max_bytes } })
  return { api: server.api, server }
}

interface Trace {
  topic: string | null
  accepted_at: number | null
  queues: { queue: string; state: string; holder: string | null }[]
  left: { queue: string; kind: string; reason: string; at: number; attempts: number }[]
  complete: boolean
}

async function trace(api: ApiClient, id: string): Promise<Trace> {
  const { status, body } = await api.call('GET', `/v1/messages/${id}`)
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

const leave = async (api: ClockedApi, client_id: string, filter: string): Promise<void> => {
  const client = await MqttClient.connect(api.port, { client_id, clean: false })
  await client.subscribe([filter, 2])
  await client.disconnect()
}

describe('a message that waits', () => {
  it('is found in every queue that took it, in its state there', async () => {
    const { api, server } = await start(0)
    await leave(server, 'kitchen', 'home/#')
    await leave(server, 'hall', 'home/door')
    server.bridges.put('home', { filter: 'home/#', queue: 'home' })
    server.bridges.put('late', { filter: 'home/+', queue: 'late', delay_s: 60 })
    await server.bridges.committed()
    const { body } = await api.call('POST', '/v1/publish', { topic: 'home/door', body: 'open' })
    await api.call('POST', '/v1/publish', { topic: 'home/door', body: 'another' })
    const [m] = await api.receive('home', { lease_ms: 5_000 })
    expect(m.id).toBe(body.id)
    const hall = await MqttClient.connect(server.port, { client_id: 'hall', clean: false, auto_ack: false })
    await hall.expect(T.PUBLISH)
    const now = server.clock.now()
    expect(await trace(api, body.id)).toEqual({
      id: body.id,
      topic: 'home/door',
      accepted_at: now,
      queues: expect.arrayContaining([
        { queue: 'kitchen', kind: 'session', state: 'ready', attempts: 0, until: null, holder: null },
        { queue: 'hall', kind: 'session', state: 'leased', attempts: 1, until: null, holder: 'hall' },
        { queue: 'home', kind: 'pull', state: 'leased', attempts: 1, until: now + 5_000, holder: null },
        { queue: 'late', kind: 'pull', state: 'delayed', attempts: 0, until: now + 60_000, holder: null },
      ]),
      left: [],
      complete: true,
    })
    await api.settle('home', 'ack', [m.receipt])
    expect((await trace(api, body.id)).queues.map((q) => q.queue).sort()).toEqual(['hall', 'kitchen', 'late'])
    hall.destroy()
  })

  it('is found where it died, and where it was sent home', async () => {
    const { api } = await start(0)
    await api.put('mortal', { max_attempts: 1 })
    const [id] = await api.send('mortal', 'x', 'y')
    const [m] = await api.receive('mortal')
    await api.settle('mortal', 'nack', [m.receipt])
    expect((await trace(api, id as string)).queues).toMatchObject([{ queue: '$dead/queue/mortal', kind: 'dead', state: 'ready' }])
    await api.call('POST', '/v1/queues/mortal/redrive')
    expect((await trace(api, id as string)).queues).toMatchObject([
      { queue: 'mortal', kind: 'pull', state: 'ready', attempts: 0 },
    ])
  })

  it('is found after a restart', async () => {
    const { api, server: first } = await start(0)
    await leave(first, 'kitchen', 'home/#')
    await api.put('home')
    const { body } = await api.call('POST', '/v1/publish', { topic: 'home/x' })
    const [sent] = await api.send('home', 'y')
    await first.close()
    server = await startClockedApi({}, first)
    expect((await trace(server.api, body.id)).queues).toMatchObject([{ queue: 'kitchen', state: 'ready' }])
    expect((await trace(server.api, sent as string)).queues).toMatchObject([{ queue: 'home', state: 'ready' }])
  })

  it.each(['zz', '', '000000000000', 'ffffffffffff', '00000000000g', '1'])('is not %j', async (id) => {
    const { api } = await start(0)
    await api.put('any')
    await api.send('any', 'x')
    expect(await api.refused('GET', `/v1/messages/${id}`)).toMatchObject({ status: 404, code: 'message_not_found' })
  })
})

describe('departures', () => {
  it('cost nothing and are not known when nobody asked for them', async () => {
    const { api, server } = await start(0)
    await api.put('q')
    const [id] = await api.send('q', 'x')
    const [m] = await api.receive('q')
    await api.settle('q', 'ack', [m.receipt])
    expect((await trace(api, id as string)).left).toEqual([])
    for await (const row of server.disk.scan(departures)) throw new Error(`a row ${row.key.toString('hex')}`)
  })

  it('say how a message left each queue', async () => {
    const { api, server } = await start(100)
    await leave(server, 'kitchen', 'all')
    await leave(server, 'hall', 'all')
    const queues = {
      acked: {},
      purged: {},
      deleted: {},
      replaced: { last_value: true },
      dropped_oldest: { max_messages: 1, overflow: 'drop_oldest' },
      dead: { max_attempts: 1 },
      expired: { retention_s: 1 },
    }
    for (const [name, attributes] of Object.entries(queues)) {
      await api.put(name, attributes)
      server.bridges.put(name, { filter: 'all', queue: name, key: 'k' })
    }
    await server.bridges.committed()
    const { body } = await api.call('POST', '/v1/publish', { topic: 'all', body: '1' })
    const id = body.id as string
    const at = server.clock.now()
    const [acked] = await api.receive('acked')
    await api.settle('acked', 'ack', [acked.receipt])
    const [dead] = await api.receive('dead')
    await api.settle('dead', 'nack', [dead.receipt])
    await api.call('POST', '/v1/queues/purged/purge')
    await api.call('DELETE', '/v1/queues/deleted')
    for (const q of ['replaced', 'dropped_oldest']) await api.send(q, { body: '2', key: 'k' })
    const kitchen = await MqttClient.connect(server.port, { client_id: 'kitchen', clean: false })
    await kitchen.ping()
    await kitchen.ping()
    await api.call('POST', '/v1/sessions/hall/purge')
    server.clock.advance(1_000)
    await server.queues.ordered?.quiet()
    await server.queues.ordered?.committed()
    await api.call('POST', '/v1/publish', { topic: 'all', body: 'flush' })
    const { left, queues: held } = await trace(api, id)
    expect(left.map((l) => `${l.kind} ${l.queue} ${l.reason} ${l.attempts}`).sort()).toEqual([
      'pull acked acked 1',
      'pull dead dead 1',
      'pull deleted deleted 0',
      'pull dropped_oldest dropped_oldest 0',
      'pull expired expired 0',
      'pull purged purged 0',
      'pull replaced replaced 0',
      'session hall purged 0',
      'session kitchen acked 1',
    ])
    expect(left[0]?.at).toBe(at)
    expect(held.map((h) => h.queue)).toEqual(['$dead/queue/dead'])
    await kitchen.disconnect()
  })

  it('are forgotten in time, also after a restart', async () => {
    const { api, server: first } = await start(100)
    await api.put('q', { retention_s: 0 })
    const [id] = await api.send('q', 'x')
    await api.send('q', 'stays')
    const [m] = await api.receive('q')
    await api.settle('q', 'ack', [m.receipt])
    await first.close()
    server = await startClockedApi({ trace: { retain_s: 100, max_bytes: 2 ** 30 } }, first)
    server.clock.advance(99_000)
    expect((await trace(server.api, id as string)).left).toMatchObject([{ reason: 'acked' }])
    server.clock.advance(30_000)
    const { left } = await trace(server.api, id as string)
    expect(left).toEqual([])
    await server.queues.trace?.sweep()
    for await (const row of server.disk.scan(departures)) throw new Error(`a row ${row.key.toString('hex')}`)
  })

  it('take no more bytes than they may: the oldest go first', async () => {
    const { api, server } = await start(6_400, 40_000)
    await api.put('q', { retention_s: 0 })
    const ids: string[] = []
    for (let round = 0; round < 12; round++) {
      ids.push(...(await api.send('q', ...Array.from({ length: 256 }, () => 'x'))))
      const got = await api.receive('q', { max: 256, lease_ms: 43_200_000 })
      await api.settle(
        'q',
        'ack',
        got.map((m) => m.receipt),
      )
      server.clock.advance(200_000)
    }
    await server.queues.trace?.sweep()
    expect(await server.disk.approximateBytes(departures)).toBeLessThanOrEqual(40_000)
    const last = await server.queues.trace?.find(Number.parseInt(ids.at(-1) as string, 16))
    const first = await server.queues.trace?.find(Number.parseInt(ids[0] as string, 16))
    expect([last?.length, first?.length]).toEqual([1, 0])
  })
})

describe('many questions at once', () => {
  it('take turns, and what finds too many waiting is told to come again', async () => {
    const { api, server } = await start(0)
    const ordered = server.queues.ordered
    if (ordered === undefined) throw new Error('no queues')
    const find = ordered.find.bind(ordered)
    let running = 0
    let most = 0
    ordered.find = async (...args) => {
      most = Math.max(most, ++running)
      try {
        return await find(...args)
      } finally {
        running--
      }
    }
    await leave(server, 'away', 't')
    const { id } = (await api.call('POST', '/v1/publish', { topic: 't', qos: 1 })).body
    const answers = await Promise.allSettled(Array.from({ length: 80 }, () => server.operations.trace(id)))
    const refused = answers.filter((one) => one.status === 'rejected')
    expect(refused.length).toBe(15)
    for (const one of refused) expect(one.reason).toMatchObject({ code: 'busy' })
    expect(most).toBe(1)
    expect((await trace(api, id)).queues).toHaveLength(1)
  })
})
