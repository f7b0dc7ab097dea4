/** Limits that a running broker holds: full sessions, slow readers. Others stay unharmed, and what is lost is counted. */
import { expect, test } from 'vitest'
import { delivered, MqttClient, type Packet, packet, startClocked, T } from '../support/broker.js'

const ROOMY = Number.MAX_SAFE_INTEGER

test('session.max_messages with drop_oldest keeps the newest, with drop_newest the oldest; each loss is counted', async () => {
  for (const overflow of ['drop_oldest', 'drop_newest'] as const) {
    const b = await startClocked({ limits: { max_messages: 5, max_bytes: ROOMY, overflow } })
    const publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
    const away = await MqttClient.connect(b.port, { client_id: 'away', clean: false })
    await away.subscribe(['t', 1])
    await away.disconnect()
    // Acknowledged all the same: a full session never holds up a publisher.
    for (let n = 0; n < 12; n++) await publisher.publishAndWait('t', `${n}`, { qos: 1 })
    const back = await MqttClient.connect(b.port, { client_id: 'away', clean: false })
    const kept = overflow === 'drop_oldest' ? [7, 8, 9, 10, 11] : [0, 1, 2, 3, 4]
    expect(await delivered(back)).toEqual(kept.map((n) => `t ${n} q1`))
    const tally = b.queues.departures().session
    expect([tally.dropped_oldest, tally.dropped_newest]).toEqual(overflow === 'drop_oldest' ? [7, 0] : [0, 7])
    await b.close()
  }
})

test('a live subscriber that does not answer holds its window; behind it the limit counts, and others get everything', async () => {
  const b = await startClocked({
    settings: { window: 2 },
    limits: { max_messages: 5, max_bytes: ROOMY, overflow: 'drop_oldest' },
    retry: { interval_ms: 0 },
  })
  const publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
  for (const clean of [true, false]) {
    const stuck = await MqttClient.connect(b.port, { client_id: 'stuck', clean, auto_ack: false })
    const well = await MqttClient.connect(b.port, { client_id: 'well', clean })
    for (const client of [stuck, well]) await client.subscribe(['t', 1])
    const before = b.queues.departures().session.dropped_oldest
    for (let n = 0; n < 10; n++) {
      await publisher.publishAndWait('t', `${n}`, { qos: 1 })
      // Its answer is in.
      await well.ping()
    }
    expect(await delivered(well)).toEqual(Array.from({ length: 10 }, (_, n) => `t ${n} q1`))
    expect(await delivered(stuck)).toEqual(['t 0 q1', 't 1 q1'])
    stuck.auto_ack = true
    stuck.send(Buffer.concat([packet.puback(1), packet.puback(2)]))
    // What was dropped leaves a gap, also in the identifiers, and no disorder.
    const rest: Packet[] = [await stuck.expect(T.PUBLISH), await stuck.expect(T.PUBLISH), await stuck.expect(T.PUBLISH)]
    expect(rest.map((p) => p.payload.toString())).toEqual(['7', '8', '9'])
    expect(b.queues.departures().session.dropped_oldest - before).toBe(5)
    await stuck.disconnect()
    await well.disconnect()
  }
  await b.close()
})

test('session.max_bytes: the oldest go until the new one fits; one that never fits is refused, counted and acknowledged', async () => {
  const b = await startClocked({ limits: { max_messages: ROOMY, max_bytes: 4096, overflow: 'drop_oldest' } })
  const publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
  const away = await MqttClient.connect(b.port, { client_id: 'away', clean: false })
  await away.subscribe(['t', 1])
  await away.disconnect()
  for (let n = 0; n < 8; n++) await publisher.publishAndWait('t', Buffer.alloc(1000, 48 + n), { qos: 1 })
  await publisher.publishAndWait('t', Buffer.alloc(5000), { qos: 1 })
  expect(b.queues.departures().session).toMatchObject({ dropped_oldest: 4, refused: 1 })
  const back = await MqttClient.connect(b.port, { client_id: 'away', clean: false })
  expect((await delivered(back)).map((line) => line[2])).toEqual(['4', '5', '6', '7'])
  await b.close()
})

test('a reader that stalls loses QoS 0 beyond max_output_bytes, counted; another reader and QoS 1 lose nothing', async () => {
  const b = await startClocked({ settings: { max_output_bytes: 65_536 }, retry: { interval_ms: 0 } })
  const publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
  const stalled = await MqttClient.connect(b.port, { client_id: 'stalled' })
  const well = await MqttClient.connect(b.port, { client_id: 'well' })
  for (const client of [stalled, well]) await client.subscribe(['t/#', 1])
  stalled.socket.pause()
  let count = 0
  well.onPacket = (p) => {
    if (p.type === T.PUBLISH && p.qos === 0) count++
  }
  const { stats } = b.broker.state
  const payload = Buffer.alloc(16_384, 'x')
  let sent = 0
  while (stats.droppedQos0 < 100) {
    for (let i = 0; i < 50; i++) publisher.publish('t/0', payload)
    sent += 50
    await publisher.ping()
    await well.ping()
    expect(sent).toBeLessThan(10_000)
  }
  for (let n = 0; n < 10; n++) await publisher.publishAndWait('t/1', `${n}`, { qos: 1 })
  await well.ping()
  const dropped = stats.droppedQos0
  expect(count).toBe(sent)
  const connection = [...b.broker.state.connections].find((c) => c.id === 'stalled')
  // One packet may pass the mark, and a slab that the kernel has not taken.
  expect(connection?.transport.pendingBytes).toBeLessThan(65_536 + 65_536 + payload.length)
  let got = 0
  const late: string[] = []
  stalled.onPacket = (p) => {
    if (p.type !== T.PUBLISH) return
    if (p.qos === 0) got++
    else late.push(p.payload.toString())
  }
  stalled.socket.resume()
  while (late.length < 10) await stalled.ping()
  expect(late).toEqual(Array.from({ length: 10 }, (_, n) => `${n}`))
  expect(got).toBe(sent - dropped)
  await b.close()
})

test('what a single turn produces for a reader that is not slow is not dropped, however small max_output_bytes is', async () => {
  const b = await startClocked({ settings: { max_output_bytes: 16_384 } })
  const reader = await MqttClient.connect(b.port, { client_id: 'reader' })
  await reader.subscribe(['t', 0])
  const publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
  const burst = Buffer.concat(Array.from({ length: 60 }, () => packet.publish('t', Buffer.alloc(1000))))
  publisher.send(burst)
  for (let n = 0; n < 60; n++) await reader.expect(T.PUBLISH)
  expect(b.broker.state.stats.droppedQos0).toBe(0)
  await b.close()
})

test('2,000 filters in one session: subscribed, delivered once, resumed and removed without delay', async () => {
  const b = await startClocked()
  const client = await MqttClient.connect(b.port, { client_id: 'many', clean: false })
  const filters = Array.from({ length: 2000 }, (_, n) => [`many/${n}/+`, 1] as const)
  expect(await client.subscribe(...filters)).toEqual(Array(2000).fill(1))
  await client.disconnect()
  const back = await MqttClient.connect(b.port, { client_id: 'many', clean: false })
  expect(back.connack?.present).toBe(true)
  await back.publishAndWait('many/1999/x', 'm', { qos: 1 })
  expect(await delivered(back)).toEqual(['many/1999/x m q1'])
  await back.unsubscribe(...filters.map(([filter]) => filter))
  await back.publishAndWait('many/1999/x', 'm', { qos: 1 })
  expect(await delivered(back)).toEqual([])
  await b.close()
})
