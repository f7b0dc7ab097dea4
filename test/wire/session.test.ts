/** Clean and stored sessions, what CONNACK says of them, takeover, keep alive, DISCONNECT and PINGREQ. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  arrived,
  type ClockedBroker,
  closesOn,
  delivered,
  MqttClient,
  packet,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'
import { ManualClock } from '../support/clock.js'

let b: ClockedBroker
beforeAll(async () => {
  b = await startClocked({ settings: { connect_timeout_s: 10 }, retry: { interval_ms: 0 } })
})
afterAll(() => b.close())

const join = (client_id: string, clean: boolean, more = {}) => MqttClient.connect(b.port, { client_id, clean, ...more })
const isHere = (client_id: string): boolean => [...b.broker.state.connections].some((c) => c.id === client_id)

test('session present: no for a new one, yes for a stored one, also without subscriptions [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-4.1.0-1]', async () => {
  const first = await join('present', false)
  expect(first.connack).toMatchObject({ code: 0, present: false })
  await first.disconnect()
  const second = await join('present', false)
  expect(second.connack).toMatchObject({ code: 0, present: true })
  second.destroy()
  await second.closed
  const third = await join('present', false)
  expect(third.connack?.present).toBe(true)
  await third.disconnect()
})

test('a clean session starts empty, says so, and leaves nothing behind [MQTT-3.1.2-6] [MQTT-3.2.2-1]', async () => {
  const stored = await join('wiped', false)
  await stored.subscribe(['wiped', 1])
  await stored.disconnect()
  const publisher = await join('wiper', true)
  await publisher.publishAndWait('wiped', 'waits', { qos: 1 })
  const clean = await join('wiped', true)
  expect(clean.connack?.present).toBe(false)
  await publisher.publishAndWait('wiped', 'not subscribed', { qos: 1 })
  expect(await delivered(clean)).toEqual([])
  await clean.subscribe(['wiped', 1])
  await clean.disconnect()
  const again = await join('wiped', false)
  expect(again.connack?.present).toBe(false)
  await publisher.publishAndWait('wiped', 'still not', { qos: 1 })
  expect(await delivered(again)).toEqual([])
  await again.disconnect()
  await publisher.disconnect()
})

test('a stored session keeps subscriptions and QoS 1 and 2 messages, in order, not QoS 0 [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-4.5.0-1]', async () => {
  const device = await join('stored', false)
  await device.subscribe(['stored/+', 2])
  await device.disconnect()
  const publisher = await join('storer', true)
  for (const [n, qos] of [1, 2, 0, 1, 2].entries()) {
    await publisher.publishAndWait('stored/x', `m${n}`, { qos: qos as 0 | 1 | 2 })
  }
  await publisher.ping()
  const back = await join('stored', false)
  expect(await delivered(back)).toEqual(['stored/x m0 q1', 'stored/x m1 q2', 'stored/x m3 q1', 'stored/x m4 q2'])
  await publisher.publishAndWait('stored/y', 'live', { qos: 0 })
  await publisher.ping()
  expect(await delivered(back)).toEqual(['stored/y live q0'])
  await back.disconnect()
  await publisher.disconnect()
})

test('retained messages are no part of a session [MQTT-3.1.2-7]', async () => {
  const owner = await join('owner', true)
  await owner.publishAndWait('owned', 'kept', { qos: 1, retain: true })
  await owner.disconnect()
  const reader = await join('reader', true)
  await reader.subscribe(['owned', 1])
  expect(await delivered(reader)).toEqual(['owned kept q1 retain'])
  await reader.disconnect()
})

test('a session that is taken over goes on where it was; the former connection is closed [MQTT-3.1.4-2] [MQTT-3.1.4-3]', async () => {
  const former = await join('taken', false, { auto_ack: false })
  await former.subscribe(['taken', 1])
  const publisher = await join('taker', true)
  await publisher.publishAndWait('taken', 'one', { qos: 1 })
  const first = await former.expect(T.PUBLISH)
  const heir = await join('taken', false)
  expect(heir.connack?.present).toBe(true)
  await former.closed
  expect(await delivered(heir)).toEqual(['taken one q1 dup'])
  expect(first.dup).toBe(false)
  await heir.disconnect()
  await publisher.disconnect()
})

test('DISCONNECT ends the connection; what follows it is not looked at [MQTT-3.14.4-1] [MQTT-3.14.4-2]', async () => {
  const witness = await join('quit-witness', true)
  await witness.subscribe(['quit', 0])
  const client = await join('quitter', true)
  client.send(Buffer.concat([packet.disconnect(), packet.publish('quit', 'late'), packet.pingreq()]))
  expect(await untilClosed(client)).toEqual([])
  expect(await delivered(witness)).toEqual([])
  await witness.disconnect()
})

test('DISCONNECT with flags or bytes is malformed [MQTT-3.14.1-1]', async () => {
  for (const bytes of [Buffer.from([0xe1, 0]), Buffer.from([0xe0, 1, 0])]) expect(await closesOn(b.port, bytes)).toEqual([])
})

test('PINGREQ is answered once each, behind the answers to what came before [MQTT-3.12.4-1]', async () => {
  const client = await join('pinger', false)
  const all = [1, 2, 3].flatMap((id) => [packet.publish('ping', 'x', { qos: 1, id }), packet.pingreq()])
  client.send(Buffer.concat(all))
  const types: number[] = []
  for (let i = 0; i < 6; i++) types.push((await client.next()).type)
  expect(types).toEqual([T.PUBACK, T.PINGRESP, T.PUBACK, T.PINGRESP, T.PUBACK, T.PINGRESP])
  await client.disconnect()
})

test('a client is given one and a half times its keep alive, not less, and little more [MQTT-3.1.2-24]', async () => {
  const { stats } = b.broker.state
  const before = stats.keepaliveTimeouts
  for (const keepalive_s of [1, 10]) {
    const client = await join('silent', true, { keepalive_s })
    // Anything counts as a sign of life, at any time between two looks of the broker.
    b.clock.advance(130)
    await client.ping()
    b.clock.advance(keepalive_s * 1500)
    await client.ping()
    b.clock.advance(keepalive_s * 1500 - 1)
    expect(isHere('silent'), `after ${keepalive_s} s`).toBe(true)
    b.clock.advance(751)
    expect(isHere('silent'), `after ${keepalive_s} s`).toBe(false)
    await untilClosed(client)
  }
  expect(stats.keepaliveTimeouts - before).toBe(2)
})

test('a client is never given less, also when the broker looks a little late each time [MQTT-3.1.2-24]', async () => {
  class LateClock extends ManualClock {
    override uptime_ms(): number {
      return super.uptime_ms() * 1.01
    }
  }
  const late = await startClocked({ clock: new LateClock() })
  const client = await MqttClient.connect(late.port, { client_id: 'late', keepalive_s: 1 })
  late.clock.advance(240)
  await client.ping()
  // 1.42 s by the broker's own watch.
  late.clock.advance(1410)
  expect(late.broker.state.connections.size).toBe(1)
  await client.disconnect()
  await late.close()
})

test('keep alive 0 holds nobody [MQTT-3.1.2-24]', async () => {
  const client = await join('timeless', true, { keepalive_s: 0 })
  b.clock.advance(3_000_000)
  await client.ping()
  await client.disconnect()
})

test('max_keepalive_s holds those who ask for more, or for none', async () => {
  const held = await startClocked({ settings: { max_keepalive_s: 60 } })
  const clients = await Promise.all(
    [0, 61, 30].map((keepalive_s) => MqttClient.connect(held.port, { client_id: `k${keepalive_s}`, keepalive_s })),
  )
  const names = (): string[] => [...held.broker.state.connections].map((c) => c.id).sort()
  held.clock.advance(45_000)
  expect(names()).toEqual(['k0', 'k30', 'k61'])
  held.clock.advance(2_000)
  expect(names()).toEqual(['k0', 'k61'])
  held.clock.advance(43_000)
  expect(names()).toEqual(['k0', 'k61'])
  held.clock.advance(2_000)
  expect(names()).toEqual([])
  await Promise.all(clients.map((client) => client.closed))
  await held.close()
})

test('a connection that says nothing, or only the start of a CONNECT, is closed after connect_timeout_s', async () => {
  const mute = await MqttClient.open(b.port)
  const slow = await MqttClient.open(b.port)
  slow.send(packet.connect({ client_id: 'slow' }).subarray(0, 9))
  const other = await join('in-time', true)
  const waiting = (): number => [...b.broker.state.connections].filter((c) => c.phase === 'waiting').length
  while (waiting() < 2) await other.ping()
  b.clock.advance(10_000)
  await other.ping()
  expect([mute.is_closed, slow.is_closed]).toEqual([false, false])
  b.clock.advance(500)
  expect(await untilClosed(mute)).toEqual([])
  expect(await untilClosed(slow)).toEqual([])
  expect(await arrived(other)).toEqual([])
  await other.disconnect()
})

test('sessions end session_expiry_s after their connection, with all that waits in them; connected ones never do', async () => {
  const short = await startClocked({ settings: { session_expiry_s: 60 } })
  const on = (client_id: string, clean = false) => MqttClient.connect(short.port, { client_id, clean })
  const leaver = await on('leaver')
  await leaver.subscribe(['x', 1])
  const stayer = await on('stayer')
  await stayer.subscribe(['x', 1])
  await leaver.disconnect()
  const publisher = await on('publisher', true)
  await publisher.publishAndWait('x', 'm', { qos: 1 })
  const { sessions } = short.broker.state.stored ?? {}
  short.clock.advance(59_000)
  expect(sessions?.get('leaver')?.mailbox.waiting).toBe(1)
  short.clock.advance(6_000)
  expect(sessions?.get('leaver')).toBeUndefined()
  expect(sessions?.get('stayer')).toBeDefined()
  expect(short.broker.state.stats.sessionsExpired).toBe(1)
  const back = await on('leaver')
  expect(back.connack?.present).toBe(false)
  expect(await delivered(back)).toEqual([])
  await Promise.all([back, stayer, publisher].map((c) => c.disconnect()))
  await short.close()
})
