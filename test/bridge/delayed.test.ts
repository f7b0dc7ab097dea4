/** Publishing to `$delayed/{s}/{topic}`: when, as what, in which order, and once, whoever dies in between. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Plugin } from '../../src/broker/plugin.js'
import { type ClockedBroker, delivered, MqttClient, startClocked, T, untilClosed } from '../support/broker.js'
import { connect, drained, names, queueOf } from './support.js'

let b: ClockedBroker
let dev: MqttClient
let reader: MqttClient
beforeEach(async () => {
  b = await startClocked({ retry: { interval_ms: 0 }, delayed: { max_messages: 2_000, max_bytes: 200_000 } })
  await join()
})
afterEach(async () => {
  b.disk.holding = false
  while (b.disk.step());
  await b.close()
})

async function join(): Promise<void> {
  dev = await connect(b)
  reader = await MqttClient.connect(b.port, { client_id: 'reader', clean: false })
  await reader.subscribe(['#', 2])
}

/** Lets timers, reads and commits that follow from what is due come to an end. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await dev.ping()
  await b.broker.state.stored?.store.journal.flush()
  await dev.ping()
}

async function passed(ms: number): Promise<string[]> {
  b.clock.advance(ms)
  await settled()
  return delivered(reader)
}

async function startAgain(how: 'crash' | 'stop', down_ms = 0): Promise<void> {
  const before = b
  if (how === 'crash') {
    before.disk.cut(false)
    for (const c of before.broker.state.connections) c.transport.destroy()
  } else await before.close()
  before.clock.advance(down_ms)
  b = await startClocked({ after: before.disk, clock: before.clock, retry: { interval_ms: 0 } })
  await join()
  await settled()
}

const waiting = () => b.broker.offer<{ waiting: number }>('delayed')?.waiting

describe('a delayed message', () => {
  test('that comes due while the store is being opened is published when it is open', async () => {
    await dev.publishAndWait('$delayed/10/a/b', 'x', { qos: 1 })
    await settled()
    const before = b
    await before.die()
    const slow: Plugin = {
      name: 'slow',
      setup: (api) =>
        api.onOpen(async () => {
          before.clock.advance(10_000)
          for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
        }),
    }
    b = await startClocked({ after: before.disk, clock: before.clock, retry: { interval_ms: 0 }, plugins: [slow] })
    await join()
    await settled()
    expect(await delivered(reader)).toEqual(['a/b x q1'])
    expect(waiting()).toBe(0)
  })

  test('is published when it is due, as it was sent, and seen by nobody before', async () => {
    for (const qos of [0, 1, 2] as const) await dev.publishAndWait('$delayed/10/a/b', `${qos}`, { qos, retain: qos === 2 })
    await dev.ping()
    expect(waiting()).toBe(3)
    expect(await passed(9_999)).toEqual([])
    expect(await passed(1)).toEqual(['a/b 0 q0', 'a/b 1 q1', 'a/b 2 q2'])
    expect(waiting()).toBe(0)
    expect(await passed(60_000)).toEqual([])
    const late = await connect(b, 'late')
    await late.subscribe(['a/#', 0])
    expect(await delivered(late)).toEqual(['a/b 2 q0 retain'])
  })

  test('is acknowledged when it is stored', async () => {
    await dev.publishAndWait('$delayed/1/a', 'first', { qos: 1 })
    b.disk.holding = true
    dev.publish('$delayed/1/a', 'x', { qos: 1 })
    while (b.disk.waiting === 0) await reader.ping()
    await reader.ping()
    expect(dev.inbox).toEqual([])
    b.disk.holding = false
    while (b.disk.step());
    await dev.expect(T.PUBACK)
  })

  test('goes out in the order of its moment, then of acceptance', async () => {
    for (const [s, text] of [
      [3, 'c'],
      [1, 'a'],
      [2, 'b'],
      [1, 'aa'],
      [3, 'cc'],
    ]) {
      await dev.publishAndWait(`$delayed/${s}/t`, `${text}`, { qos: 1 })
    }
    expect(await passed(1_000)).toEqual(['t a q1', 't aa q1'])
    expect(await passed(5_000)).toEqual(['t b q1', 't c q1', 't cc q1'])
  })

  test('passes bridge rules, and $queue, then', async () => {
    b.bridges.put('r', { filter: 'a/+', queue: 'q', key: '{1}' })
    b.queues.ordered?.create('direct', 'pull', {})
    await dev.publishAndWait('$delayed/5/a/x', '1', { qos: 1 })
    await dev.publishAndWait('$delayed/5/$queue/direct', '2', { qos: 1 })
    expect(await drained(b, 'q')).toEqual([])
    await passed(5_000)
    expect(await drained(b, 'q')).toEqual(['[x] a/x 1'])
    expect(await drained(b, 'direct')).toEqual(['$queue/direct 2'])
    expect(waiting()).toBe(0)
  })

  test('whose queue is gone when it is due becomes a dead letter of that queue, in one commit', async () => {
    b.queues.ordered?.create('gone', 'pull', {})
    await dev.publishAndWait('$delayed/5/$queue/gone', 'late', { qos: 1 })
    b.queues.ordered?.delete(queueOf(b, 'gone'))
    await passed(5_000)
    expect(waiting()).toBe(0)
    expect(b.broker.state.stats.droppedReserved).toBe(1)
    await startAgain('crash')
    expect(await drained(b, '$dead/queue/gone')).toEqual(['$delayed/5/$queue/gone late'])
  })

  test('waits again while a rule that requires its copy has no room', async () => {
    b.queues.ordered?.create('q', 'pull', { max_messages: 1 })
    b.bridges.put('r', { filter: 'a', queue: 'q', required: true })
    for (const text of ['1', '2']) await dev.publishAndWait('$delayed/1/a', text, { qos: 1 })
    expect(await passed(1_000)).toEqual(['a 1 q1'])
    expect(await passed(5_000)).toEqual([])
    expect(waiting()).toBe(1)
    expect(await drained(b, 'q')).toEqual(['a 1'])
    expect(await passed(5_000)).toEqual(['a 2 q1'])
  })

  test('keeps MQTT 5 properties and its expiry, which counts from acceptance', async () => {
    const five = await MqttClient.connect(b.port, { client_id: 'five', protocol: 5 })
    const properties = (messageExpiryInterval: number) => ({
      messageExpiryInterval,
      contentType: 'text/plain',
      userProperties: [['k', 'v']],
    })
    const send = async (expiry: number, text: string) => {
      const id = five.publish('$delayed/10/a', text, { qos: 1, properties: properties(expiry) as never })
      await five.expect(T.PUBACK, (p) => p.id === id)
    }
    await send(9, 'expires')
    await send(25, 'stays')
    const seer = await MqttClient.connect(b.port, { client_id: 'seer', protocol: 5 })
    await seer.subscribe(['a', 1])
    b.clock.advance(10_000)
    const got = await seer.expect(T.PUBLISH)
    expect(got.payload.toString()).toBe('stays')
    expect(got.properties).toMatchObject({ ...properties(15) })
    await settled()
    expect(waiting()).toBe(0)
    expect(b.queues.departures().internal.expired).toBe(1)
  })

  test('is in no list of queues', async () => {
    await dev.publishAndWait('$delayed/5/a', '1', { qos: 1 })
    expect([...(b.queues.ordered?.all() ?? [])].map((q) => q.name)).toEqual([])
    expect(b.queues.ordered?.get('$delayed')).toBeUndefined()
    expect(names(b)).toEqual([])
  })

  test('needs room: beyond the bound it is refused', async () => {
    await dev.publishAndWait('$delayed/9/a', 'x'.repeat(150_000), { qos: 1 })
    dev.publish('$delayed/9/a', 'x'.repeat(60_000))
    await dev.ping()
    expect(waiting()).toBe(1)
    dev.publish('$delayed/9/a', 'x'.repeat(60_000), { qos: 1 })
    await untilClosed(dev)
    dev = await connect(b)
    await dev.publishAndWait('$delayed/9/a', 'x', { qos: 1 })
    expect(waiting()).toBe(2)
  })

  test.each([
    ...['$delayed', '$delayed/', '$delayed/5', '$delayed/5/', '$delayed/0/a', '$delayed/-1/a', '$delayed/1.5/a', '$delayed/05/a'],
    ...[
      '$delayed/a/b',
      '$delayed/4294968/a',
      '$delayed/5/$delayed/5/a',
      '$delayed/5/$SYS/a',
      '$delayed/5/$dead/queue/a',
      '$delayed/5/$share/g/a',
      '$delayed/5/$queue/none',
      '$delayed/5/$queue',
      '$delayed/5/$queue/',
    ],
  ])('%s is nothing that can be published to', async (topic) => {
    const before = b.broker.state.stats.droppedReserved
    dev.publish(topic, 'no', { qos: 1 })
    await untilClosed(dev)
    expect(dev.inbox).toEqual([])
    expect(b.broker.state.stats.droppedReserved).toBe(before + 1)
    expect(waiting()).toBe(0)
  })

  test('may wait for 49 days, and for a topic with empty levels', async () => {
    await dev.publishAndWait('$delayed/4294967//a//', 'long', { qos: 1 })
    await startAgain('stop', 4_294_967_000 - 1_000)
    expect(await passed(999)).toEqual([])
    expect(await passed(1)).toEqual(['/a// long q1'])
  })
})

describe('a broker that was down', () => {
  test.each(['crash', 'stop'] as const)(
    'publishes what came due meanwhile at its start, in the order of the moments (%s)',
    async (how) => {
      const sent: { due: number; text: string }[] = []
      for (let i = 0; i < 1_500; i++) {
        const due = ((i * 7_919) % 1_499) + 1
        sent.push({ due, text: `${due}-${i}` })
        dev.publish(`$delayed/${due}/t`, `${due}-${i}`, { qos: 1 })
      }
      await dev.publishAndWait('$delayed/9000/t', 'later', { qos: 2 })
      await startAgain(how, 1_600_000)
      const got: string[] = []
      while (got.length < sent.length) got.push(...(await delivered(reader)))
      sent.sort((x, y) => x.due - y.due)
      expect(got).toEqual(sent.map((one) => `t ${one.text} q1`))
      expect(await passed(9_000_000)).toEqual(['t later q2'])
    },
  )

  test('publishes each once, wherever it was cut', async () => {
    for (const applied of [false, true]) {
      await dev.publishAndWait('$delayed/5/a', `${applied}`, { qos: 2 })
      b.disk.holding = true
      b.clock.advance(5_000)
      while (b.disk.waiting === 0) await dev.ping()
      b.disk.cut(applied)
      const dead = b
      b = await startClocked({ after: dead.disk, clock: dead.clock, retry: { interval_ms: 0 } })
      for (const c of dead.broker.state.connections) c.transport.destroy()
      await join()
      await settled()
      // After the cut that got through it may have been sent before.
      expect(await delivered(reader)).toEqual([`a ${applied} q2${applied ? ' dup' : ''}`])
      await startAgain('crash')
      expect(await passed(60_000)).toEqual([])
    }
  })

  test('takes back at once what a process that died held and had not published', async () => {
    await dev.publishAndWait('$delayed/5/a', '1', { qos: 1 })
    const queue = b.queues.ordered?.internal('$delayed')
    if (queue === undefined) throw new Error('there is no queue of delayed messages')
    // As while a message is being read from the disk: handed out, and that is stored.
    queue.onReady = null
    b.clock.advance(5_000)
    expect(queue.lease(9)).toHaveLength(1)
    await queue.committed()
    await startAgain('crash')
    expect(await delivered(reader)).toEqual(['a 1 q1'])
    expect(waiting()).toBe(0)
  })

  test('goes on after a store that failed, with what had been handed out at once', async () => {
    for (const text of ['1', '2']) await dev.publishAndWait('$delayed/5/a', text, { qos: 1 })
    b.disk.failing = true
    b.clock.advance(5_000)
    dev.publish('b', 'lost', { qos: 1 })
    await untilClosed(dev)
    await b.reopen()
    await join()
    await settled()
    expect(await delivered(reader)).toEqual(['a 1 q1', 'a 2 q1'])
    expect(waiting()).toBe(0)
  })
})

test('nothing is made while nobody delays anything', async () => {
  await b.bridges.committed()
  await startAgain('stop')
  expect(b.queues.ordered?.internal('$delayed')).toBeUndefined()
  await dev.publishAndWait('$delayed/1/a', 'x', { qos: 1 })
  expect(b.queues.ordered?.internal('$delayed')?.counts().delayed).toBe(1)
})
