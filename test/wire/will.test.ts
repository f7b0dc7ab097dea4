/** Wills: when they are sent, when not, as what, and that a broker which dies does not forget them. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  arrived,
  type ClientOptions,
  type ClockedBroker,
  delivered,
  describe,
  MqttClient,
  packet,
  startClocked,
  startTestApp,
  T,
  untilClosed,
} from '../support/broker.js'

let b: ClockedBroker
let witness: MqttClient
beforeAll(async () => {
  b = await startClocked()
  witness = await MqttClient.connect(b.port, { client_id: 'witness' })
  await witness.subscribe(['will/#', 2])
})
afterEach(() => {
  witness.inbox.length = 0
})
afterAll(() => b.close())

const will = (topic: string, more = {}): ClientOptions => ({ will: { topic: `will/${topic}`, payload: 'gone', qos: 1, ...more } })
const join = (client_id: string, o: ClientOptions) => MqttClient.connect(b.port, { client_id, ...o })

/** The broker has noticed that nobody of that name is here. */
async function gone(client_id: string): Promise<void> {
  while ([...b.broker.state.connections].some((c) => c.id === client_id)) await witness.ping()
  await witness.ping()
}

async function willRows(): Promise<number> {
  await witness.ping()
  let count = 0
  for await (const { key } of b.disk.scan({ gte: Buffer.from('W'), lt: Buffer.from('X') })) if (key.length > 0) count++
  return count
}

test('a connection that is lost sends its will, at its QoS, once [MQTT-3.1.2-8] [MQTT-3.1.2-16]', async () => {
  for (const qos of [0, 1, 2] as const) {
    const client = await join('lost', will(`lost-${qos}`, { qos }))
    client.destroy()
    await gone('lost')
    expect(await delivered(witness)).toEqual([`will/lost-${qos} gone q${qos}`])
  }
  expect(await willRows()).toBe(0)
})

test('a socket that is only half closed by the client is a lost connection, too [MQTT-3.1.2-8]', async () => {
  const client = await join('half', will('half'))
  client.socket.end()
  await gone('half')
  expect(await delivered(witness)).toEqual(['will/half gone q1'])
})

test('DISCONNECT takes the will back, also from the store [MQTT-3.1.2-10] [MQTT-3.14.4-3]', async () => {
  const client = await join('polite', { ...will('polite'), clean: false })
  expect(await willRows()).toBe(1)
  await client.disconnect()
  await gone('polite')
  expect(await delivered(witness)).toEqual([])
  expect(await willRows()).toBe(0)
})

test('no will, nothing sent [MQTT-3.1.2-12]', async () => {
  const client = await join('plain', {})
  client.destroy()
  await gone('plain')
  expect(await arrived(witness)).toEqual([])
})

test('a protocol error sends the will [MQTT-3.1.2-8]', async () => {
  const client = await join('wrong', will('wrong'))
  client.send(Buffer.from([0xf0, 0]))
  await untilClosed(client)
  expect(await delivered(witness)).toEqual(['will/wrong gone q1'])
})

test('a keep alive that runs out sends the will [MQTT-3.1.2-8] [MQTT-3.1.2-24]', async () => {
  const client = await join('tired', { ...will('tired'), keepalive_s: 5 })
  b.clock.advance(7_500)
  await witness.ping()
  expect(await delivered(witness)).toEqual([])
  b.clock.advance(751)
  expect(await delivered(witness)).toEqual(['will/tired gone q1'])
  await untilClosed(client)
})

test('whoever is taken over loses the connection without a word: the will is sent, the heir keeps its own [MQTT-3.1.2-8] [MQTT-3.1.4-2]', async () => {
  for (const clean of [true, false]) {
    const former = await join('taken', { ...will('former'), clean })
    const heir = await join('taken', { ...will('heir'), clean })
    await former.closed
    expect(await delivered(witness)).toEqual(['will/former gone q1'])
    expect(await willRows()).toBe(1)
    heir.destroy()
    await gone('taken')
    expect(await delivered(witness)).toEqual(['will/heir gone q1'])
  }
})

test('a will is of its connection: sent once, and not again after a reconnect without one [MQTT-3.1.2-10]', async () => {
  const first = await join('once', { ...will('once'), clean: false })
  first.destroy()
  await gone('once')
  expect(await delivered(witness)).toEqual(['will/once gone q1'])
  const second = await join('once', { clean: false })
  second.destroy()
  await gone('once')
  expect(await delivered(witness)).toEqual([])
})

test('a retained will stays for those who come later; an empty one clears [MQTT-3.1.2-17] [MQTT-3.3.1-10]', async () => {
  const client = await join('keeper', will('kept', { retain: true }))
  client.destroy()
  await gone('keeper')
  expect(await delivered(witness)).toEqual(['will/kept gone q1'])
  const late = await join('late', {})
  await late.subscribe(['will/kept', 1])
  expect(await delivered(late)).toEqual(['will/kept gone q1 retain'])
  const eraser = await join('eraser', will('kept', { retain: true, payload: '' }))
  eraser.destroy()
  await gone('eraser')
  await late.subscribe(['will/kept', 1])
  expect(await delivered(late)).toEqual(['will/kept  q1'])
  await late.disconnect()
})

test('a will may be empty, and may hold any bytes', async () => {
  const bytes = Buffer.from([0, 255, 1, 0xc3])
  for (const payload of [Buffer.alloc(0), bytes]) {
    const client = await join('bytes', will('bytes', { payload }))
    client.destroy()
    await gone('bytes')
    expect((await arrived(witness))[0].payload).toEqual(payload)
  }
})

test('a will waits in stored sessions like any message [MQTT-3.1.2-5]', async () => {
  const reader = await join('reader', { clean: false })
  await reader.subscribe(['will/offline', 1])
  await reader.disconnect()
  const client = await join('leaver', will('offline'))
  client.destroy()
  await gone('leaver')
  const back = await join('reader', { clean: false })
  expect(await delivered(back)).toEqual(['will/offline gone q1'])
  await back.disconnect()
})

test('a will to a reserved topic is dropped and counted, like a publish', async () => {
  const spy = await join('spy', {})
  await spy.subscribe(['$SYS/fake', 0])
  const { stats } = b.broker.state
  const before = stats.droppedReserved
  for (const topic of ['$SYS/fake', '$dead/session/x', '$share/g/x', '$queue/q', '$delayed/x']) {
    const client = await join('sly', { will: { topic, payload: 'x', retain: true, qos: 1 } })
    client.destroy()
    await gone('sly')
  }
  expect(stats.droppedReserved - before).toBe(5)
  expect(await delivered(spy)).toEqual([])
  expect(await willRows()).toBe(0)
  await spy.disconnect()
})

test('a hook that is slow to judge a will does not cost the heir its own', async () => {
  const asked: (() => void)[] = []
  const authorizePublish = (_c: unknown, _p: unknown, done: (error?: Error | null) => void): void =>
    void asked.push(() => done(null))
  const slow = await startClocked({ aedes: { authorizePublish } })
  const on = (o: ClientOptions) => MqttClient.connect(slow.port, { client_id: 'x', ...o })
  await on(will('first'))
  const heir = await on(will('second'))
  expect(asked).toHaveLength(1)
  asked[0]()
  await heir.ping()
  let rows = 0
  for await (const { key } of slow.disk.scan({ gte: Buffer.from('W'), lt: Buffer.from('X') })) if (key.length > 0) rows++
  expect(rows).toBe(1)
  await heir.disconnect()
  await slow.close()
})

test('a broker that died sends the wills of all who were connected when it starts again, and only theirs [MQTT-3.1.2-8]', async () => {
  const folder = mkdtempSync(path(tmpdir(), 'aqueduct-will-'))
  const store = (name: string) => ({ store: { durability: 'os', path: path(folder, name) } }) as const
  const first = await startTestApp(store('a'))
  const on = (client_id: string, o: ClientOptions) => MqttClient.connect(first.mqttPort, { client_id, ...o })
  const reader = await on('reader', { clean: false })
  await reader.subscribe(['will/#', 2])
  await on('connected', { ...will('connected', { qos: 2 }), clean: false })
  await on('clean', will('clean', { retain: true }))
  const polite = await on('polite', will('polite'))
  await polite.disconnect()
  await reader.publishAndWait('flush', '', { qos: 1, retain: true })
  // What the disk has at this moment is what a killed process leaves behind.
  cpSync(path(folder, 'a'), path(folder, 'b'), { recursive: true })
  const second = await startTestApp(store('b'))
  const back = await MqttClient.connect(second.mqttPort, { client_id: 'reader', clean: false })
  // DUP is no matter here: after a crash anything may have been sent before.
  const got = [await back.expect(T.PUBLISH), await back.expect(T.PUBLISH)].map((p) => describe({ ...p, dup: false }))
  expect(got.sort()).toEqual(['will/clean gone q1', 'will/connected gone q2'])
  await back.subscribe(['will/clean', 0])
  expect(await delivered(back)).toEqual(['will/clean gone q0 retain'])
  await second.close()
  // They are not sent once more.
  const third = await startTestApp(store('b'))
  const again = await MqttClient.connect(third.mqttPort, { client_id: 'reader', clean: false })
  await again.publishAndWait('will/last', 'x', { qos: 1 })
  expect(describe(await again.expect(T.PUBLISH))).toBe('will/last x q1')
  await third.close()
  await first.close()
  rmSync(folder, { recursive: true })
})

test('a broker that ends in order sends the wills of its clients', async () => {
  const folder = mkdtempSync(path(tmpdir(), 'aqueduct-will-'))
  const settings = { store: { durability: 'os', path: folder } } as const
  const first = await startTestApp(settings)
  const reader = await MqttClient.connect(first.mqttPort, { client_id: 'reader', clean: false })
  await reader.subscribe(['will/#', 1])
  await reader.disconnect()
  await MqttClient.connect(first.mqttPort, { client_id: 'x', ...will('stopped') })
  await first.close()
  const second = await startTestApp(settings)
  const back = await MqttClient.connect(second.mqttPort, { client_id: 'reader', clean: false })
  expect(describe(await back.expect(T.PUBLISH))).toBe('will/stopped gone q1')
  await second.close()
  rmSync(folder, { recursive: true })
})

test('CONNECTs that are refused never send their will [MQTT-3.1.4-5]', async () => {
  for (let n = 0; n < 50; n++) {
    const client = await MqttClient.open(b.port)
    client.send(packet.connect({ client_id: '', clean: false, ...will('refused') } as never))
    await untilClosed(client)
  }
  expect(await delivered(witness)).toEqual([])
  expect(await willRows()).toBe(0)
})
