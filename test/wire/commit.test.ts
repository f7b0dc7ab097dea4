/** What we say, we have stored: on a disk that a test holds, nothing is acknowledged before its commit; cut there, nothing was promised. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  arrived,
  type ClockedBroker,
  delivered,
  describe,
  MqttClient,
  openWith,
  packet,
  startClocked,
  T,
} from '../support/broker.js'

let b: ClockedBroker
let other: MqttClient
beforeEach(async () => {
  b = await startClocked({ retry: { interval_ms: 0 } })
  other = await MqttClient.connect(b.port, { client_id: 'other' })
})
afterEach(async () => {
  b.disk.holding = false
  while (b.disk.step());
  await b.close()
})

const join = (client_id: string, clean: boolean, more = {}) =>
  MqttClient.connect(b.port, { client_id, clean, auto_ack: false, ...more })

/** Everything that was sent to the broker before has been handled, and what it could answer has come. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await other.ping()
}

/** Sends, sees that nothing comes while the disk is held, lets it go, and returns what came then. */
async function heldBack(client: MqttClient, bytes: Buffer): Promise<number[]> {
  b.disk.holding = true
  client.send(bytes)
  while (b.disk.waiting === 0) await other.ping()
  await settle()
  expect(client.inbox).toEqual([])
  release()
  await client.expect(0, () => true).then((p) => client.inbox.unshift(p))
  await settle()
  return client.inbox.splice(0).map((p) => p.type)
}

function release(): void {
  b.disk.holding = false
  while (b.disk.step());
}

/** The machine dies with the held writes lost; a new broker starts on what was committed. */
async function crash(): Promise<void> {
  b.disk.cut(false)
  const dead = b
  b = await startClocked({ after: dead.disk, retry: { interval_ms: 0 } })
  other = await MqttClient.connect(b.port, { client_id: 'other' })
  for (const c of dead.broker.state.connections) c.transport.destroy()
}

test('CONNACK waits when a session is made, resumed or wiped, or a will is stored [MQTT-3.2.2-2]', async () => {
  const connects = [
    packet.connect({ client_id: 'made', clean: false }),
    packet.connect({ client_id: 'made', clean: false }),
    packet.connect({ client_id: 'made', clean: true }),
    packet.connect({ client_id: 'will', clean: true, will: { topic: 'w', payload: 'w' } }),
  ]
  for (const bytes of connects) {
    const client = await MqttClient.open(b.port, { auto_ack: false })
    expect(await heldBack(client, bytes)).toEqual([T.CONNACK])
    await client.disconnect()
  }
  // A clean session without a will has nothing to store.
  b.disk.holding = true
  const clean = await openWith(b.port, packet.connect({ client_id: 'clean' }))
  await clean.expect(T.CONNACK)
})

test('SUBACK and UNSUBACK of a stored session wait; those of a clean one do not [MQTT-3.8.4-1] [MQTT-3.10.4-4]', async () => {
  const stored = await join('stored', false)
  expect(await heldBack(stored, packet.subscribe(1, [['a', 1]]))).toEqual([T.SUBACK])
  expect(await heldBack(stored, packet.unsubscribe(2, ['a']))).toEqual([T.UNSUBACK])
  b.disk.holding = true
  await other.subscribe(['a', 1])
  await other.unsubscribe('a')
})

test('PUBACK and PUBREC wait for stored copies and for retained messages [MQTT-4.3.2-2] [MQTT-4.3.3-2]', async () => {
  const stored = await join('stored', false)
  await stored.subscribe(['a', 2])
  const publisher = await join('publisher', true)
  expect(await heldBack(publisher, packet.publish('a', 'x', { qos: 1, id: 1 }))).toEqual([T.PUBACK])
  expect(await heldBack(publisher, packet.publish('a', 'x', { qos: 2, id: 2 }))).toEqual([T.PUBREC])
  expect(await heldBack(publisher, packet.publish('r', 'x', { qos: 1, id: 3, retain: true }))).toEqual([T.PUBACK])
  expect(await heldBack(publisher, packet.publish('r', '', { qos: 1, id: 4, retain: true }))).toEqual([T.PUBACK])
  // Nobody stores it: nothing to wait for.
  b.disk.holding = true
  await publisher.publishAndWait('nobody', 'x', { qos: 1 })
})

test('PUBREC and PUBCOMP wait for the identifier of a stored publisher; PUBREL waits for PUBREC [MQTT-4.3.3-1] [MQTT-4.3.3-2]', async () => {
  const publisher = await join('publisher', false)
  expect(await heldBack(publisher, packet.publish('nobody', 'x', { qos: 2, id: 1 }))).toEqual([T.PUBREC])
  expect(await heldBack(publisher, packet.pubrel(1))).toEqual([T.PUBCOMP])
  const subscriber = await join('subscriber', false)
  await subscriber.subscribe(['a', 2])
  await other.publishAndWait('a', 'x', { qos: 2 })
  const { id } = await subscriber.expect(T.PUBLISH)
  expect(await heldBack(subscriber, packet.pubrec(id))).toEqual([T.PUBREL])
})

test('live copies at QoS 0 and 1 do not wait for the stored ones; stored copies leave with their commit', async () => {
  const stored = await join('stored', false)
  await stored.subscribe(['a', 1])
  const live = await join('live', true)
  await live.subscribe(['a', 1])
  const publisher = await join('publisher', true)
  b.disk.holding = true
  publisher.publish('a', '0')
  publisher.publish('a', '1', { qos: 1 })
  expect((await live.expect(T.PUBLISH)).payload.toString()).toBe('0')
  expect((await live.expect(T.PUBLISH)).payload.toString()).toBe('1')
  await settle()
  // QoS 0 is never stored.
  expect(await delivered(stored)).toEqual(['a 0 q0'])
  release()
  await publisher.expect(T.PUBACK)
  expect(describe(await stored.expect(T.PUBLISH))).toBe('a 1 q1')
})

test('cut before the commit: nothing was said, nothing is there, and the resent message arrives once [MQTT-4.3.3-2]', async () => {
  const reader = await join('reader', false)
  await reader.subscribe(['a', 2])
  await reader.disconnect()
  const publisher = await join('publisher', false)
  await publisher.publishAndWait('a', 'said', { qos: 1 })
  b.disk.holding = true
  publisher.send(packet.publish('a', 'unsaid', { qos: 2, id: 9 }))
  publisher.send(packet.publish('kept', 'unsaid', { qos: 1, id: 10, retain: true }))
  while (b.disk.waiting === 0) await other.ping()
  await settle()
  expect(publisher.inbox).toEqual([])
  await crash()
  const again = await join('publisher', false)
  expect(again.connack?.present).toBe(true)
  again.send(packet.publish('a', 'unsaid', { qos: 2, id: 9, dup: true }))
  await again.expect(T.PUBREC)
  again.send(packet.pubrel(9))
  await again.expect(T.PUBCOMP)
  const back = await join('reader', false, { auto_ack: true })
  expect((await back.expect(T.PUBLISH)).payload.toString()).toBe('said')
  expect((await back.expect(T.PUBLISH)).payload.toString()).toBe('unsaid')
  await back.subscribe(['kept', 1])
  expect(await delivered(back)).toEqual([])
})

test('cut after PUBREC was said: the identifier is remembered, the message is there once [MQTT-4.3.3-2]', async () => {
  const reader = await join('reader', false)
  await reader.subscribe(['a', 2])
  await reader.disconnect()
  const publisher = await join('publisher', false)
  publisher.send(packet.publish('a', 'once', { qos: 2, id: 9 }))
  await publisher.expect(T.PUBREC)
  await crash()
  const again = await join('publisher', false)
  again.send(packet.publish('a', 'once', { qos: 2, id: 9, dup: true }))
  await again.expect(T.PUBREC)
  again.send(packet.pubrel(9))
  await again.expect(T.PUBCOMP)
  const back = await join('reader', false, { auto_ack: true })
  expect((await back.expect(T.PUBLISH)).payload.toString()).toBe('once')
  expect(await delivered(back)).toEqual([])
})

test('cut after PUBREL was sent: the next broker goes on with PUBREL, not with PUBLISH [MQTT-4.3.3-1] [MQTT-4.4.0-1]', async () => {
  const reader = await join('reader', false)
  await reader.subscribe(['a', 2])
  for (const text of ['one', 'two']) await other.publishAndWait('a', text, { qos: 2 })
  const one = await reader.expect(T.PUBLISH)
  const two = await reader.expect(T.PUBLISH)
  reader.send(packet.pubrec(one.id))
  await reader.expect(T.PUBREL)
  await crash()
  const back = await join('reader', false)
  expect(await back.next()).toMatchObject({ type: T.PUBREL, id: one.id })
  expect(await back.next()).toMatchObject({ type: T.PUBLISH, id: two.id, dup: true })
  back.send(packet.pubcomp(one.id))
  back.send(packet.pubrec(two.id))
  await back.expect(T.PUBREL)
  back.send(packet.pubcomp(two.id))
  expect(await arrived(back)).toEqual([])
})

test('a commit that fails closes those who wait for it, without an answer [MQTT-4.8.0-2]', async () => {
  const publisher = await join('publisher', true)
  b.disk.failing = true
  publisher.send(packet.publish('r', 'x', { qos: 1, id: 3, retain: true }))
  await publisher.closed
  expect(publisher.inbox).toEqual([])
})
