/** Copies: which messages they are made of, when the publisher hears of it, what there is after a crash, and what has no room. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { compileTemplate } from '../../src/plugins/bridge/template.js'
import { arrived, type ClockedBroker, delivered, MqttClient, packet, startClocked, T, untilClosed } from '../support/broker.js'
import { connect, drained, names, queueOf } from './support.js'

let b: ClockedBroker
let dev: MqttClient
beforeEach(async () => {
  b = await startClocked({ retry: { interval_ms: 0 } })
  dev = await connect(b)
})
afterEach(async () => {
  b.disk.holding = false
  while (b.disk.step());
  await b.close()
})

const put = (name: string, rule: object) => b.bridges.put(name, { filter: 'a/#', queue: 'q', ...rule })
const counts = (name = 'r') => b.bridges.get(name)?.counts

/** The machine dies with what it was writing; another starts on what was committed. */
async function crash(): Promise<void> {
  b.disk.cut(false)
  const dead = b
  b = await startClocked({ after: dead.disk, clock: dead.clock, retry: { interval_ms: 0 } })
  for (const c of dead.broker.state.connections) c.transport.destroy()
  dev = await connect(b)
}

describe('a copy is made', () => {
  test('of every message that matches, at any QoS, retained or not, once for each rule', async () => {
    put('r', {})
    put('two', { filter: 'a/+/x' })
    for (const qos of [0, 1, 2] as const) {
      await dev.publishAndWait('a', `${qos}`, { qos })
      await dev.publishAndWait('a/b/x', `${qos}`, { qos, retain: true })
      await dev.publishAndWait('b', 'not this', { qos })
      await dev.publishAndWait('$a/b', 'not this', { qos })
    }
    await dev.ping()
    const each = [0, 1, 2].flatMap((qos) => [`a ${qos}`, `a/b/x ${qos}`, `a/b/x ${qos}`])
    expect(await drained(b, 'q')).toEqual(each)
    expect([counts('r')?.copied, counts('two')?.copied]).toEqual([6, 3])
  })

  test('of wills and of what programs publish; {client} is the publisher, or empty', async () => {
    put('r', { key: '{client}.' })
    const other = await MqttClient.connect(b.port, { client_id: 'lost', will: { topic: 'a/will', payload: 'gone', qos: 1 } })
    other.destroy()
    await other.closed
    while ([...b.broker.state.connections].some((c) => c.id === 'lost')) await dev.ping()
    for (const qos of [0, 1, 2] as const) {
      await new Promise<void>((resolve, reject) => {
        const done = (error?: Error | null): void => (error ? reject(error) : resolve())
        b.broker.aedes.publish({ cmd: 'publish', topic: 'a/program', payload: 'p', qos, retain: false, dup: false }, done)
      })
    }
    expect(await drained(b, 'q')).toEqual(['[lost.] a/will gone', ...Array(3).fill('[.] a/program p')])
  })

  test('not of QoS 0 where the rule says so', async () => {
    put('r', { qos0: false })
    dev.publish('a', '0')
    await dev.publishAndWait('a', '1', { qos: 1 })
    expect(await drained(b, 'q')).toEqual(['a 1'])
  })

  test('from the next message on after a rule was made, changed or ended', async () => {
    await dev.publishAndWait('a', '1', { qos: 1 })
    put('r', {})
    await dev.publishAndWait('a', '2', { qos: 1 })
    put('r', { queue: 'p' })
    await dev.publishAndWait('a', '3', { qos: 1 })
    b.bridges.delete('r')
    await dev.publishAndWait('a', '4', { qos: 1 })
    expect([await drained(b, 'q'), await drained(b, 'p')]).toEqual([['a 2'], ['a 3']])
  })

  test('with the priority, delay, life and tag that the rule says', async () => {
    put('late', { filter: 'a/late', priority: 16, tag: '{topic}' })
    put('now', { filter: 'a/now', priority: 1 })
    put('delayed', { filter: 'a/delayed', delay_s: 60 })
    put('short', { filter: 'a/short', ttl_s: 30 })
    for (const name of ['late', 'now', 'delayed', 'short']) await dev.publishAndWait(`a/${name}`, name, { qos: 1 })
    const [now, short, late] = await queueOf(b, 'q').receive({ max: 9, lease_ms: 0 })
    expect([now?.priority, short?.priority, late?.priority]).toEqual([1, 8, 16])
    expect([now?.tag, late?.tag]).toEqual(['', 'a/late'])
    expect((short?.expiresAt ?? 0) - (short?.acceptedAt ?? 0)).toBe(30_000)
    b.clock.advance(30_000)
    expect(queueOf(b, 'q').counts()).toMatchObject({ ready: 2, delayed: 1 })
    b.clock.advance(30_000)
    expect(await drained(b, 'q')).toEqual(['a/now now', 'a/delayed delayed', 'a/late late'])
  })
})

describe('what was acknowledged', () => {
  test('is in the queue: PUBACK and PUBREC wait for the commit of the copy, and a crash before it took back both', async () => {
    put('r', {})
    await b.bridges.committed()
    for (const qos of [1, 2] as const) {
      b.disk.holding = true
      dev.publish('a', `lost ${qos}`, { qos })
      const other = await connect(b, 'other')
      while (b.disk.waiting === 0) await other.ping()
      await other.ping()
      expect(dev.inbox).toEqual([])
      await crash()
      expect(await drained(b, 'q')).toEqual([])
      await dev.publishAndWait('a', `kept ${qos}`, { qos })
      await crash()
      expect(await drained(b, 'q')).toEqual([`a kept ${qos}`])
      await dev.ping()
    }
  })

  test('is one entry at QoS 2, whatever is sent again and whoever dies in between', async () => {
    const join = () => MqttClient.connect(b.port, { client_id: 'exact', clean: false, auto_ack: false })
    put('r', {})
    put('again', { filter: 'a/b' })
    await b.bridges.committed()
    let exact = await join()
    exact.publish('a/b', 'once', { qos: 2, id: 7 })
    await exact.expect(T.PUBREC)
    exact.send(packet.publish('a/b', 'once', { qos: 2, id: 7, dup: true }))
    await exact.expect(T.PUBREC)
    await crash()
    exact = await join()
    exact.send(packet.publish('a/b', 'once', { qos: 2, id: 7, dup: true }))
    await exact.expect(T.PUBREC)
    exact.send(packet.pubrel(7))
    await exact.expect(T.PUBCOMP)
    expect(await drained(b, 'q')).toEqual(['a/b once', 'a/b once'])
  })

  test('is there when the store failed and was opened again, and rules are at work on the new one', async () => {
    put('r', { queue: 'q-{1}', filter: 'a/+' })
    b.bridges.put('s', { filter: 'a/+', queue: 's' })
    await dev.publishAndWait('a/x', '1', { qos: 1 })
    b.disk.failing = true
    dev.publish('a/x', 'lost', { qos: 1 })
    b.bridges.put('lost', { filter: 'a/+', queue: 'lost' })
    await untilClosed(dev)
    expect(() => b.bridges.put('no', { filter: 'a', queue: 'q' })).toThrow('until it is open again')
    await b.reopen()
    expect(b.bridges.list().map((r) => r.name)).toEqual(['r', 's'])
    dev = await connect(b)
    await dev.publishAndWait('a/x', '2', { qos: 1 })
    expect(await drained(b, 'q-x')).toEqual(['a/x 1', 'a/x 2'])
    expect(await drained(b, 's')).toEqual(['a/x 1', 'a/x 2'])
    expect(names(b)).toEqual(['q-x', 's'])
    expect(counts()?.copied).toBe(3)
  })
})

describe('a queue without room', () => {
  const full = (attributes: object) => b.queues.ordered?.create('q', 'pull', { max_messages: 1, ...attributes })

  test('is not copied into: counted, the publisher acknowledged, others served', async () => {
    full({})
    put('r', {})
    put('other', { queue: 'other' })
    for (const qos of [0, 1, 2] as const) await dev.publishAndWait('a', `${qos}`, { qos })
    await dev.ping()
    expect(await drained(b, 'q')).toEqual(['a 0'])
    expect(await drained(b, 'other')).toEqual(['a 0', 'a 1', 'a 2'])
    expect(counts()).toMatchObject({ copied: 1, refused: 2 })
    expect(b.bridges.totals.reasons.queue_full).toBe(2)
  })

  test('keeps its own rule of what goes', async () => {
    full({ overflow: 'drop_oldest' })
    put('r', {})
    for (const text of ['1', '2']) await dev.publishAndWait('a', text, { qos: 1 })
    expect(await drained(b, 'q')).toEqual(['a 2'])
    expect(counts()).toMatchObject({ copied: 2, refused: 0 })
  })

  test.each(['reject', 'drop_newest'])('refuses the whole message where the copy is required (%s)', async (overflow) => {
    full({ overflow })
    put('r', { required: true })
    put('other', { queue: 'other' })
    const reader = await MqttClient.connect(b.port, { client_id: 'reader', clean: false })
    await reader.subscribe(['a/#', 1])
    await dev.publishAndWait('a', 'fits', { qos: 1 })
    dev.publish('a', 'no', { qos: 0, retain: true })
    await dev.ping()
    for (const qos of [1, 2] as const) {
      const refused = await connect(b, 'refused')
      refused.publish('a', 'no', { qos, retain: true })
      await untilClosed(refused)
    }
    expect(await delivered(reader)).toEqual(['a fits q1'])
    expect(await drained(b, 'other')).toEqual(['a fits'])
    expect(b.broker.state.stored?.retained.size).toBe(0)
    expect(await drained(b, 'q')).toEqual(['a fits'])
    await dev.publishAndWait('a', 'again', { qos: 2 })
    expect(await drained(b, 'q')).toEqual(['a again'])
    expect(b.bridges.totals).toMatchObject({ required: 3, copied: 4 })
  })

  test('does not let one rule take what another that requires it was promised', async () => {
    full({ max_messages: 3 })
    put('first', { filter: 'a' })
    put('second', { filter: 'a', required: true })
    put('third', { filter: 'a', required: true })
    await dev.publishAndWait('a', '1', { qos: 1 })
    expect(queueOf(b, 'q').counts().ready).toBe(3)
    expect(await drained(b, 'q')).toHaveLength(3)
    b.queues.ordered?.update(queueOf(b, 'q'), { max_messages: 2 })
    await dev.publishAndWait('a', '2', { qos: 1 })
    expect(counts('first')).toMatchObject({ copied: 1, refused: 1 })
    expect([counts('second')?.copied, counts('third')?.copied]).toEqual([2, 2])
    await drained(b, 'q')
    b.queues.ordered?.update(queueOf(b, 'q'), { max_messages: 1 })
    dev.publish('a', '3', { qos: 1 })
    await untilClosed(dev)
    expect(await drained(b, 'q')).toEqual([])
  })

  test('counts bytes and the largest message too, with nothing made of what is refused', async () => {
    b.queues.ordered?.create('q', 'pull', { max_bytes: 100, max_message_bytes: 60 })
    put('r', { required: true })
    put('fresh', { queue: 'q-{#}', required: true })
    for (const bytes of [200, 61 - 5]) {
      const refused = await connect(b, 'refused')
      refused.publish('a/x', 'x'.repeat(bytes), { qos: 1 })
      await untilClosed(refused)
    }
    expect(names(b)).toEqual(['q'])
    await dev.publishAndWait('a/x', 'x'.repeat(53), { qos: 1 })
    expect(queueOf(b, 'q').counts()).toMatchObject({ ready: 1, bytes: 60 })
    expect(names(b)).toEqual(['q', 'q-x'])
  })

  test('on a full disk nothing is copied, and a publisher that waits for an answer is refused', async () => {
    put('r', {})
    await b.bridges.committed()
    const store = b.broker.state.stored?.store
    Object.defineProperty(store, 'full', { get: () => true })
    dev.publish('a', '0')
    await dev.ping()
    dev.publish('a', '1', { qos: 1 })
    await untilClosed(dev)
    expect(await drained(b, 'q')).toEqual([])
    expect(b.broker.state.stats.refusedFull).toBe(2)
  })
})

describe('what the wildcards matched', () => {
  test('is put together no further than it can fit', () => {
    const { expand } = compileTemplate('key', '{#}'.repeat(80), 'a/#')
    const levels = 'x'.repeat(1_000)
    expect(expand({ topic: `a/${levels}`, client: '' })).toBe(levels)
    expect(expand({ topic: 'a/xyz', client: '' })).toBe('xyz'.repeat(80))
    expect(compileTemplate('queue', '{1}{1}', 'a/+').expand({ topic: `a/${'q'.repeat(128)}`, client: '' })).toBe('q'.repeat(256))
  })

  const hostile = [
    '..',
    '',
    ' ',
    'ü',
    '.x',
    '-x',
    'a b',
    '$x',
    '\u202e',
    'x'.repeat(300),
    'a..b',
    '__proto__',
    'constructor',
    '0',
  ]

  test('names a queue only where it is one; otherwise that copy is refused, never the publish', async () => {
    put('r', { filter: 'a/+/n', queue: '{1}', required: true })
    put('all', { filter: 'a/#', queue: 'all' })
    for (const level of hostile) await dev.publishAndWait(`a/${level}/n`, 'x', { qos: 1 })
    expect(names(b)).toEqual(['0', 'all', 'constructor'])
    expect(await drained(b, 'all')).toHaveLength(hostile.length)
    expect(counts()).toMatchObject({ copied: 2, refused: hostile.length - 2 })
    expect(b.bridges.totals.reasons.bad_name).toBe(hostile.length - 2)
  })

  test('is a key or tag as long as one may be', async () => {
    put('r', { filter: 'a/+', key: 'k{1}', required: true })
    put('s', { filter: 'a/+', tag: 't{1}', queue: 's' })
    for (const n of [254, 255]) await dev.publishAndWait(`a/${'x'.repeat(n)}`, 'x', { qos: 1 })
    await dev.publishAndWait(`a/${'é'.repeat(128)}`, 'x', { qos: 0 })
    await dev.publishAndWait('a/', 'x', { qos: 1 })
    expect(await drained(b, 'q')).toEqual([`[k${'x'.repeat(254)}] a/${'x'.repeat(254)} x`, '[k] a/ x'])
    expect([counts('r'), counts('s')]).toMatchObject([
      { copied: 2, refused: 2 },
      { copied: 2, refused: 2 },
    ])
    expect(b.bridges.totals.reasons.bad_key).toBe(4)
  })
})

test('a thousand rules cost a message only those that match it', async () => {
  for (let i = 0; i < 1_000; i++) b.bridges.put(`r${i}`, { filter: `t/${i}/+`, queue: `q${i % 10}`, key: '{1}' })
  b.bridges.put('all', { filter: 't/#', queue: 'all' })
  await b.bridges.committed()
  const route = b.broker.state.routes.of(b.broker.state.routes.topics.internName('t/7/x') as never)
  expect(route.takers).toHaveLength(2)
  for (let i = 0; i < 1_000; i += 100) await dev.publishAndWait(`t/${i}/x`, `${i}`, { qos: 1 })
  expect(await arrived(dev)).toEqual([])
  expect(await drained(b, 'all')).toHaveLength(10)
  expect(await drained(b, 'q0')).toHaveLength(10)
})
