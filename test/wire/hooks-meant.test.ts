/** Hooks are asked about what is meant by a reserved name, too: a rule written for `secret/#` holds for every way to it. */
import { afterEach, describe, expect, test } from 'vitest'
import type { DelayedMessages } from '../../src/plugins/bridge/index.js'
import {
  type ClockedBroker,
  type ClockedOptions,
  delivered,
  MqttClient,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'

type Hooks = NonNullable<ClockedOptions['aedes']>

let broker: ClockedBroker | undefined
afterEach(async () => {
  await broker?.close()
  broker = undefined
})

async function start(aedes: Hooks): Promise<ClockedBroker> {
  broker = await startClocked({ aedes })
  broker.queues.ordered?.create('q', 'pull', {})
  return broker
}

const secret = (topic: string): boolean => topic === 'secret' || topic.startsWith('secret/') || topic === '#'

/** As one writes it for Aedes; `asked` is what it was asked about. */
function rules(asked: string[] = []): Hooks {
  return {
    authorizeSubscribe(_client, s, done) {
      asked.push(s.topic)
      done(null, secret(s.topic) ? null : s)
    },
    authorizePublish(_client, p, done) {
      asked.push(p.topic)
      done(secret(p.topic) ? new Error('secret') : null)
    },
  }
}

describe.each([4, 5] as const)('version %i', (protocol) => {
  const connect = (b: ClockedBroker, o = {}): Promise<MqttClient> => MqttClient.connect(b.port, { protocol, ...o })
  const refused = protocol === 5 ? 0x87 : 0x80

  test('what a group shares, or what fills a queue, is refused as it is by itself', async () => {
    const asked: string[] = []
    const b = await start(rules(asked))
    const client = await connect(b)
    const filters = [
      '$share/g/secret/#',
      '$share/g/#',
      '$queue/q/secret/#',
      '$queue/new/secret/x',
      '$dead/share/g/secret/#',
    ] as const
    for (const filter of filters) expect(await client.subscribe([filter, 1])).toEqual([refused])
    expect(b.bridges.list()).toEqual([])
    expect(b.queues.ordered?.get('new')).toBeUndefined()
    expect(asked).toEqual([
      ...['$share/g/secret/#', 'secret/#', '$share/g/#', '#'],
      ...['$queue/q/secret/#', '$queue/q', 'secret/#', '$queue/new/secret/x', '$queue/new', 'secret/x'],
      ...['$dead/share/g/secret/#', 'secret/#'],
    ])
    expect(await client.subscribe(['$share/g/open/#', 1], ['$queue/q', 1], ['$queue/q/open', 1])).toEqual([1, 1, 1])
  })

  test('the queue that is consumed is asked about under its own name', async () => {
    const b = await start({ authorizeSubscribe: (_c, s, done) => done(null, s.topic === '$queue/q' ? null : s) })
    const client = await connect(b)
    expect(await client.subscribe(['$queue/q', 1], ['$queue/q/open', 1], ['$share/g/a', 1])).toEqual([refused, refused, 1])
  })

  test('an error about what is meant ends the connection, as in Aedes', async () => {
    const b = await start({ authorizeSubscribe: (_c, s, done) => done(secret(s.topic) ? new Error('no') : null, s) })
    const client = await connect(b)
    client.subscribe(['$share/g/secret/#', 1]).catch(() => {})
    await untilClosed(client)
  })

  test('a delayed message is refused by the topic that it is for', async () => {
    const asked: string[] = []
    const b = await start(rules(asked))
    const reader = await connect(b, { client_id: 'reader' })
    await reader.subscribe(['+/x', 1])
    for (const [qos, answer] of [
      [1, T.PUBACK],
      [2, T.PUBREC],
    ] as const) {
      const client = await connect(b, { client_id: `c${qos}` })
      client.publish('$delayed/1/secret/x', 'x', { qos })
      if (protocol === 5) expect((await client.expect(answer)).code).toBe(0x87)
      else await untilClosed(client)
    }
    expect(asked.slice(1)).toEqual(['$delayed/1/secret/x', 'secret/x', '$delayed/1/secret/x', 'secret/x'])
    const client = await connect(b, { client_id: 'open' })
    await client.publishAndWait('$delayed/1/open/x', 'x', { qos: 1 })
    await b.clock.advance(2_000)
    expect((await reader.expect(T.PUBLISH)).topic).toBe('open/x')
    expect(await delivered(reader)).toEqual([])
  })

  test('a will is refused by the topic that it is for', async () => {
    const b = await start(rules())
    const reader = await connect(b, { client_id: 'reader' })
    await reader.subscribe(['+/will', 1])
    for (const topic of ['$delayed/1/secret/will', 'secret/will', '$delayed/1/open/will']) {
      const client = await connect(b, { client_id: 'leaver', will: { topic, payload: topic, qos: 1, retain: false } })
      client.destroy()
      await expect.poll(() => b.broker.state.stored?.sessions.get('leaver')?.connection ?? null).toBeNull()
    }
    await expect.poll(() => b.broker.offer<DelayedMessages>('delayed')?.waiting).toBe(1)
    await b.queues.ordered?.committed()
    await b.clock.advance(2_000)
    expect((await reader.expect(T.PUBLISH)).topic).toBe('open/will')
    expect(await delivered(reader)).toEqual([])
  })

  test('what a hook changes about what is meant holds', async () => {
    const b = await start({
      authorizeSubscribe(_client, s, done) {
        if (!s.topic.startsWith('$')) done(null, { ...s, topic: `tenant/${s.topic}`, qos: 1 })
        else done(null, s)
      },
      authorizePublish(_client, p, done) {
        if (!p.topic.startsWith('$') && !p.topic.startsWith('tenant/')) {
          p.topic = `tenant/${p.topic}`
          p.payload = Buffer.from(`${p.payload}!`)
        }
        done(null)
      },
    })
    const client = await connect(b, { client_id: 'c' })
    expect(await client.subscribe(['$share/g/a/#', 2], ['$queue/q/b', 1])).toEqual([1, 1])
    expect([...(b.broker.state.stored?.sessions.get('c')?.filters?.keys() ?? [])]).toEqual([
      '$share/g/tenant/a/#',
      '$queue/q/tenant/b',
    ])
    expect(b.bridges.list().map((r) => r.filter)).toEqual(['tenant/b'])
    await client.publishAndWait('$delayed/1/a/x', 'x', { qos: 1 })
    await b.clock.advance(2_000)
    const { topic, payload } = await client.expect(T.PUBLISH)
    expect(`${topic} ${payload}`).toBe('tenant/a/x x!')
  })

  test('a hook that changes what may not be changed, or answers with a QoS that is none, refuses', async () => {
    const b = await start({
      authorizeSubscribe(_client, s, done) {
        if (s.topic === '$queue/q') done(null, { ...s, topic: '$queue/other' })
        else if (s.topic === 'none') done(null, { ...s, qos: 128 as never })
        else done(null, s)
      },
    })
    const client = await connect(b)
    const [queue, group, plain] = await client.subscribe(['$queue/q/a', 1], ['$share/g/none', 1], ['a', 1])
    expect([queue, (group ?? 0) >= 0x80, plain]).toEqual([refused, true, 1])
  })

  test('a stored session that comes back is asked anew, and loses what it may not have', async () => {
    let strict = false
    const b = await start({
      authorizeSubscribe: (_c, s, done) => setImmediate(() => done(null, strict && secret(s.topic) ? null : s)),
    })
    const o = { client_id: 'old', clean: false, ...(protocol === 5 ? { properties: { sessionExpiryInterval: 100 } } : {}) }
    const client = await connect(b, o)
    expect(await client.subscribe(['$share/g/secret/#', 1], ['$queue/q/secret/x', 1], ['$share/g/open', 1])).toEqual([1, 1, 1])
    await client.disconnect()
    strict = true
    await connect(b, o)
    expect([...(b.broker.state.stored?.sessions.get('old')?.filters?.keys() ?? [])]).toEqual(['$share/g/open'])
  })

  test('each copy of a group, a queue and a delayed message is asked about under its own topic', async () => {
    const asked: string[] = []
    const b = await start({
      authorizeForward(_client, p) {
        asked.push(p.topic)
        return secret(p.topic) ? null : p
      },
    })
    const client = await connect(b)
    await client.subscribe(['$share/g/#', 1], ['$queue/q/+/queue', 1], ['+/late', 0])
    for (const t of [
      'secret/group',
      'open/group',
      'secret/queue',
      'open/queue',
      '$delayed/1/secret/late',
      '$delayed/1/open/late',
    ]) {
      await client.publishAndWait(t, 'x', { qos: 1 })
    }
    await b.clock.advance(2_000)
    await expect.poll(() => new Set(asked).size).toBe(6)
    expect((await delivered(client)).filter((m) => m.includes('secret'))).toEqual([])
    expect(new Set(asked)).toEqual(
      new Set(['secret/group', 'open/group', 'secret/queue', 'open/queue', 'secret/late', 'open/late']),
    )
  })
})

test('a program that subscribes a client, or takes a client for its own, is asked as a SUBSCRIBE is', async () => {
  const b = await start(rules())
  await MqttClient.connect(b.port, { client_id: 'c' })
  const client = b.broker.aedes.clients.c as unknown as { subscribe(o: object, done: (e?: Error) => void): void }
  for (const topic of ['$share/g/secret/#', '$queue/q/secret/#', '$share/g/open']) {
    await new Promise<void>((resolve) => client.subscribe({ topic, qos: 1 }, () => resolve()))
  }
  expect([...(b.broker.state.stored?.sessions.get('c')?.filters?.keys() ?? [])]).toEqual(['$share/g/open'])
})

test('one SUBSCRIBE of thousands of reserved filters is asked about in a loop', async () => {
  const asked: string[] = []
  const b = await start(rules(asked))
  const client = await MqttClient.connect(b.port, {})
  const filters = Array.from({ length: 3_000 }, (_, i) => [`$share/g${i}/secret/x`, 1] as const)
  expect((await client.subscribe(...filters)).every((code) => code === 0x80)).toBe(true)
  expect(asked).toHaveLength(6_000)
})
