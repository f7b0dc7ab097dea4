/** Queues and rules that are made by subscribing: how many, whose, how dear, and not where clients authenticate. */
import { afterEach, expect, test } from 'vitest'
import type { AuthMethod } from '../../src/broker/auth-method.js'
import type { CountedLimit } from '../../src/core/refusals.js'
import { type ClockedBroker, type ClockedOptions, MqttClient, startClocked } from '../support/broker.js'

let b: ClockedBroker
afterEach(() => b.close())

const QUOTA = 0x97
const NOT_ALLOWED = 0x87
const five = (client_id: string): Promise<MqttClient> =>
  MqttClient.connect(b.port, { client_id, protocol: 5, timeout_ms: 15_000, properties: { sessionExpiryInterval: 3600 } })
const refused = (limit: CountedLimit): number => b.broker.state.refusals.of(limit)

test('each client makes so many, all together so many, counted over a restart and given back with the rule', async () => {
  const o: ClockedOptions = { bridge: { max_client_rules: 2, max_auto_rules: 3 } }
  b = await startClocked(o)
  const first = await five('first')
  expect(await first.subscribe(['$queue/a/x', 1], ['$queue/b/x', 1], ['$queue/c/x', 1])).toEqual([1, 1, QUOTA])
  // What is there is no new one.
  expect(await first.subscribe(['$queue/a/x', 0])).toEqual([0])
  await b.close()
  b = await startClocked({ ...o, after: b.disk, clock: b.clock })
  const [again, second] = [await five('first'), await five('second')]
  expect(await again.subscribe(['$queue/c/x', 1])).toEqual([QUOTA])
  expect(await second.subscribe(['$queue/a/x', 1], ['$queue/c/x', 1], ['$queue/d/x', 1])).toEqual([1, 1, QUOTA])
  expect([refused('bridge.max_client_rules'), refused('bridge.max_auto_rules')]).toEqual([1, 1])
  const old = await MqttClient.connect(b.port, { client_id: 'old' })
  expect(await old.subscribe(['$queue/e/x', 1])).toEqual([0x80])
  const own = b.bridges.list().find(({ queue }) => queue === 'a')
  expect(own).toBeDefined()
  b.bridges.delete(own?.name ?? '')
  expect(await again.subscribe(['$queue/e/x', 1])).toEqual([1])
  // A rule that an operator takes over is nobody's any more.
  const taken = b.bridges.list().find(({ queue }) => queue === 'b')
  b.bridges.put(taken?.name ?? '', { filter: 'x', queue: 'b' })
  expect(await again.subscribe(['$queue/f/x', 1])).toEqual([1])
})

test('where clients authenticate nobody makes any, unless it is allowed; what is there is consumed', async () => {
  const method: AuthMethod = { name: 'TEST', begin: () => ({ kind: 'refused', reason: '' }) } as unknown as AuthMethod
  const plugin = {
    name: 'test-auth',
    setup: (api: { authenticateWith(method: AuthMethod): void }) => api.authenticateWith(method),
  }
  const authenticate = (_c: unknown, _u: unknown, _p: unknown, done: (error: null, yes: boolean) => void): void =>
    done(null, true)
  for (const auth of [{ plugins: [plugin] }, { aedes: { authenticate } }] as ClockedOptions[]) {
    b = await startClocked(auth)
    b.bridges.put('made', { filter: 'x', queue: 'there' })
    const client = await five('c')
    expect(await client.subscribe(['$queue/new/x', 1], ['$queue/there/x', 1], ['$queue/there', 1])).toEqual([NOT_ALLOWED, 1, 1])
    await b.close()
    b = await startClocked({ ...auth, share: { auto_queues: 'yes' } })
    expect(await (await five('c')).subscribe(['$queue/new/x', 1])).toEqual([1])
    await b.close()
  }
  b = await startClocked({ share: { auto_queues: 'no' } })
  expect(await (await five('c')).subscribe(['$queue/new/x', 1])).toEqual([NOT_ALLOWED])
})

test('a SUBSCRIBE of many looks at no other rule, and a message that a thousand match is stored once', async () => {
  b = await startClocked({ bridge: { max_client_rules: 3_000, max_auto_rules: 3_000, max_auto_queues: 1_000 } })
  let looked = 0
  const list = b.bridges.list.bind(b.bridges)
  b.bridges.list = () => {
    looked++
    return list()
  }
  const client = await five('c')
  const one = Array.from({ length: 2_000 }, (_, i): [string, number] => [`$queue/one/f/${i}`, 1])
  expect(new Set(await client.subscribe(...one))).toEqual(new Set([1]))
  const many = Array.from({ length: 999 }, (_, i): [string, number] => [`$queue/q${i}/all/#`, 0])
  expect(new Set(await client.subscribe(...many))).toEqual(new Set([0]))
  expect(looked).toBe(0)
  await client.unsubscribe(...many.map(([filter]) => filter))
  const journal = b.broker.state.stored?.store.journal as { bytesWritten: number; flush(): Promise<void> }
  await journal.flush()
  const before = journal.bytesWritten
  await client.publishAndWait('all/x', Buffer.alloc(100_000), { qos: 1 })
  await journal.flush()
  // An entry and a head for each queue, about 260 bytes together.
  expect(journal.bytesWritten - before).toBeLessThan(100_000 + 999 * 500)
})
