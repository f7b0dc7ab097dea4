/** The qos-retry plugin on a live connection: resending, back-off, attempts and the dead-letter queue. Time is moved by hand. */
import { expect, test } from 'vitest'
import type { MessageView } from '../../src/store/message.js'
import {
  arrived,
  type MqttClient as Client,
  type ClockedBroker,
  delivered,
  MqttClient,
  packet,
  startClocked,
  T,
} from '../support/broker.js'

const join = (b: ClockedBroker, client_id: string, clean: boolean, more = {}) =>
  MqttClient.connect(b.port, { client_id, clean, auto_ack: false, ...more })

/** Moves time on in the broker's own steps of a second; its socket gets a turn in each. */
async function pass(b: ClockedBroker, seconds: number, client: Client): Promise<string[]> {
  const got: string[] = []
  for (let s = 0; s < seconds; s++) {
    b.clock.advance(1000)
    for (const line of await delivered(client)) got.push(`${line} at ${s + 1}`)
  }
  return got
}

async function withBroker(
  o: Parameters<typeof startClocked>[0],
  run: (b: ClockedBroker, publisher: Client) => Promise<void>,
): Promise<void> {
  const b = await startClocked(o)
  const publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
  try {
    await run(b, publisher)
  } finally {
    await b.close()
  }
}

function textOf(m: MessageView | undefined): string {
  return m === undefined ? '-' : m.buffer.toString('utf8', m.payloadStart, m.end)
}

/** Payloads in the dead-letter queue of a session, in order. */
async function deadOf(b: ClockedBroker, client_id: string): Promise<string[]> {
  await b.broker.state.stored?.store.journal.flush()
  const { ordered } = b.queues
  const queue = ordered?.get(`$dead/session/${client_id}`)
  if (ordered === undefined || queue === undefined) return []
  return (await ordered.peek(queue, { limit: 100 })).map(({ message }) => textOf(message))
}

test('a PUBLISH without an answer is sent again with DUP, and each time after twice the wait [MQTT-3.3.1-1] [MQTT-4.4.0-1]', async () => {
  for (const [clean, qos] of [
    [true, 1],
    [false, 1],
    [false, 2],
  ] as const) {
    await withBroker({ retry: { interval_ms: 4_000 } }, async (b, publisher) => {
      const client = await join(b, 'c', clean)
      await client.subscribe(['t', qos])
      await publisher.publishAndWait('t', 'x', { qos })
      const first = await client.expect(T.PUBLISH)
      expect([first.id, first.dup]).toEqual([1, false])
      expect(await pass(b, 60, client)).toEqual([4, 12, 28, 60].map((s) => `t x q${qos} dup at ${s}`))
      if (qos === 1) client.send(packet.puback(1))
      else client.send(packet.pubrec(1))
      if (qos === 2) await client.expect(T.PUBREL)
      if (qos === 2) client.send(packet.pubcomp(1))
      await client.ping()
      expect(await pass(b, 600, client)).toEqual([])
    })
  }
})

test('back-off ends at 64 times the interval', async () => {
  await withBroker({ retry: { interval_ms: 1_000 } }, async (b, publisher) => {
    const client = await join(b, 'c', true)
    await client.subscribe(['t', 1])
    await publisher.publishAndWait('t', 'x', { qos: 1 })
    await client.expect(T.PUBLISH)
    const at = (await pass(b, 320, client)).map((line) => Number(line.split(' at ')[1]))
    expect(at).toEqual([1, 3, 7, 15, 31, 63, 127, 191, 255, 319])
  })
})

test('a PUBREL without PUBCOMP is sent again [MQTT-4.3.3-1]', async () => {
  await withBroker({ retry: { interval_ms: 5_000 } }, async (b, publisher) => {
    const client = await join(b, 'c', false)
    await client.subscribe(['t', 2])
    await publisher.publishAndWait('t', 'x', { qos: 2 })
    await client.expect(T.PUBLISH)
    client.send(packet.pubrec(1))
    await client.expect(T.PUBREL)
    b.clock.advance(4_000)
    expect(await arrived(client)).toEqual([])
    b.clock.advance(1_000)
    expect(await arrived(client)).toMatchObject([{ type: T.PUBREL, flags: 2, id: 1 }])
    client.send(packet.pubcomp(1))
    await client.ping()
    b.clock.advance(100_000)
    expect(await arrived(client)).toEqual([])
  })
})

test('interval 0: only a reconnect sends again', async () => {
  await withBroker({ retry: { interval_ms: 0 } }, async (b, publisher) => {
    const client = await join(b, 'c', false)
    await client.subscribe(['t', 1])
    await publisher.publishAndWait('t', 'x', { qos: 1 })
    await client.expect(T.PUBLISH)
    b.clock.advance(3_000_000)
    expect(await delivered(client)).toEqual([])
    await client.disconnect()
    const back = await join(b, 'c', false)
    expect(await delivered(back)).toEqual(['t x q1 dup'])
  })
})

test('a reconnect starts the waiting anew', async () => {
  await withBroker({ retry: { interval_ms: 4_000 } }, async (b, publisher) => {
    const client = await join(b, 'c', false)
    await client.subscribe(['t', 1])
    await publisher.publishAndWait('t', 'x', { qos: 1 })
    expect(await pass(b, 13, client)).toHaveLength(2 + 1)
    await client.disconnect()
    const back = await join(b, 'c', false)
    expect(await delivered(back)).toEqual(['t x q1 dup'])
    expect(await pass(b, 13, back)).toEqual(['t x q1 dup at 4', 't x q1 dup at 12'])
  })
})

test('nothing is sent again while our former copy has not left', async () => {
  await withBroker(
    { retry: { interval_ms: 1_000 }, settings: { max_output_bytes: 64 << 20, window: 32 } },
    async (b, publisher) => {
      const client = await join(b, 'stalled', true)
      await client.subscribe(['big', 1])
      client.socket.pause()
      const payload = Buffer.alloc(900_000, 'x')
      for (let n = 0; n < 20; n++) await publisher.publishAndWait('big', payload, { qos: 1 })
      const connection = [...b.broker.state.connections].find((c) => c.id === 'stalled')
      expect(connection?.unsent).toBe(true)
      const sent = b.broker.state.stats.sent[1]
      expect(sent).toBe(20)
      b.clock.advance(300_000)
      await publisher.ping()
      expect(b.broker.state.stats.sent[1]).toBe(sent)
      client.socket.resume()
      for (let n = 0; n < 20; n++) expect((await client.expect(T.PUBLISH)).dup).toBe(false)
      while (connection?.unsent === true) await publisher.ping()
      b.clock.advance(1_000)
      expect((await client.expect(T.PUBLISH)).dup).toBe(true)
    },
  )
})

test('max_attempts on a live connection: then to the dead-letter queue, and the next one comes', async () => {
  for (const clean of [true, false]) {
    await withBroker({ retry: { interval_ms: 1_000, max_attempts: 3 }, settings: { window: 1 } }, async (b, publisher) => {
      const client = await join(b, 'c', clean)
      await client.subscribe(['t', 1])
      for (const text of ['poison', 'next']) await publisher.publishAndWait('t', text, { qos: 1 })
      expect(await delivered(client)).toEqual(['t poison q1'])
      // Sent at 0, 1 and 3 seconds; given up after the third wait.
      expect(await pass(b, 6, client)).toEqual(['t poison q1 dup at 1', 't poison q1 dup at 3'])
      expect(await deadOf(b, 'c')).toEqual([])
      const [line] = await pass(b, 1, client)
      expect(line ?? (await delivered(client))[0]).toMatch(/^t next q1/)
      expect(await deadOf(b, 'c')).toEqual(['poison'])
      expect(b.queues.departures().session.dead).toBe(1)
      // An acknowledgement that comes too late is one of nothing.
      client.send(packet.puback(1))
      expect(await delivered(client)).toEqual([])
      client.send(packet.puback(2))
      await client.ping()
      expect(b.queues.departures().session.acked).toBe(1)
    })
  }
})

test('attempts are counted over reconnects', async () => {
  await withBroker({ retry: { interval_ms: 0, max_attempts: 3 }, settings: { window: 1 } }, async (b, publisher) => {
    const first = await join(b, 'c', false)
    await first.subscribe(['t', 2])
    for (const text of ['poison', 'next']) await publisher.publishAndWait('t', text, { qos: 2 })
    expect(await delivered(first)).toEqual(['t poison q2'])
    await first.disconnect()
    for (let n = 0; n < 2; n++) {
      const again = await join(b, 'c', false)
      expect(await delivered(again)).toEqual(['t poison q2 dup'])
      await again.disconnect()
    }
    const last = await join(b, 'c', false)
    expect((await last.expect(T.PUBLISH)).payload.toString()).toBe('next')
    expect(await deadOf(b, 'c')).toEqual(['poison'])
    expect(b.queues.departures().session).toMatchObject({ dead: 1, acked: 0 })
  })
})

test('attempts are counted over a restart of the broker, and the dead-letter queue is there after it', async () => {
  const one = await startClocked({ retry: { interval_ms: 0, max_attempts: 2 }, settings: { window: 1 } })
  const publisher = await MqttClient.connect(one.port, { client_id: 'publisher' })
  const first = await join(one, 'c', false)
  await first.subscribe(['t', 1])
  for (const text of ['a', 'b', 'c']) await publisher.publishAndWait('t', text, { qos: 1 })
  expect(await delivered(first)).toEqual(['t a q1'])
  await first.disconnect()
  await one.close()
  const two = await startClocked({ retry: { interval_ms: 0, max_attempts: 2 }, settings: { window: 1 }, after: one.disk })
  const second = await join(two, 'c', false)
  expect(await second.expect(T.PUBLISH)).toMatchObject({ dup: true, payload: Buffer.from('a') })
  await second.disconnect()
  const third = await join(two, 'c', false)
  expect(await third.expect(T.PUBLISH)).toMatchObject({ payload: Buffer.from('b') })
  expect(await deadOf(two, 'c')).toEqual(['a'])
  await two.close()
  const three = await startClocked({ after: one.disk })
  expect(await deadOf(three, 'c')).toEqual(['a'])
  await three.close()
})

test('a released QoS 2 message is never given up: only its PUBREL is sent again', async () => {
  await withBroker({ retry: { interval_ms: 1_000, max_attempts: 1 } }, async (b, publisher) => {
    const client = await join(b, 'c', false)
    await client.subscribe(['t', 2])
    await publisher.publishAndWait('t', 'x', { qos: 2 })
    await client.expect(T.PUBLISH)
    client.send(packet.pubrec(1))
    await client.expect(T.PUBREL)
    b.clock.advance(100_000)
    expect((await arrived(client)).every((p) => p.type === T.PUBREL && p.id === 1)).toBe(true)
    expect(await deadOf(b, 'c')).toEqual([])
  })
})
