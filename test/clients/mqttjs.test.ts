/** The `mqtt` package for Node, unchanged, over TCP and WebSocket, as MQTT 5, 3.1.1 and 3.1. */
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startTestApp } from '../support/broker.js'

let app: Awaited<ReturnType<typeof startTestApp>>
const open: MqttClient[] = []
beforeAll(async () => {
  app = await startTestApp()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.endAsync(true)))
})
afterAll(() => app.close())

type Door = 'tcp' | 'ws'
async function connect(door: Door, o: IClientOptions = {}): Promise<MqttClient> {
  const url = door === 'tcp' ? `mqtt://127.0.0.1:${app.mqttPort}` : `ws://127.0.0.1:${app.httpPort}/mqtt`
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, ...o })
  open.push(client)
  return client
}

const versions: [Door, 3 | 4 | 5][] = [
  ['tcp', 5],
  ['ws', 5],
  ['tcp', 4],
  ['ws', 4],
  ['tcp', 3],
  ['ws', 3],
]
const protocol = (version: 3 | 4 | 5): IClientOptions => ({
  protocolVersion: version,
  protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
})

test.each(versions)(
  '%s, protocol level %d: 5,000 messages there and back at each QoS, none lost, none doubled, in order',
  async (door, version) => {
    const o = protocol(version)
    const subscriber = await connect(door, { ...o, clientId: `s-${door}-${version}` })
    const publisher = await connect(door, { ...o, clientId: `p-${door}-${version}` })
    const share = version === 3 ? 500 : 5000
    for (const qos of [0, 1, 2] as const) {
      const topic = `round/${door}/${version}/${qos}`
      const got: string[] = []
      const all = new Promise<void>((resolve) => {
        subscriber.removeAllListeners('message')
        subscriber.on('message', (name, payload) => {
          if (name === topic) got.push(payload.toString())
          if (got.length === share) resolve()
        })
      })
      expect(await subscriber.subscribeAsync(topic, { qos })).toMatchObject([{ topic, qos }])
      for (let n = 0; n < share; n += 500)
        await Promise.all(Array.from({ length: 500 }, (_, i) => publisher.publishAsync(topic, `${n + i}`, { qos })))
      await all
      expect(got).toEqual(Array.from({ length: share }, (_, n) => `${n}`))
      await subscriber.unsubscribeAsync(topic)
    }
  },
  40_000,
)

test('a stored session over WebSocket: away, back by TCP, nothing missing', async () => {
  const o: IClientOptions = { clientId: 'mover', clean: false }
  const first = await connect('ws', o)
  await first.subscribeAsync('move/#', { qos: 2 })
  await first.endAsync()
  const publisher = await connect('tcp')
  for (let n = 0; n < 100; n++) await publisher.publishAsync(`move/${n % 3}`, `${n}`, { qos: (n % 2) + 1 === 1 ? 1 : 2 })
  // Its handler must be there before the first message: no connectAsync.
  const got: string[] = []
  const back = mqtt.connect(`mqtt://127.0.0.1:${app.mqttPort}`, { ...o, reconnectPeriod: 0 })
  open.push(back)
  const present = new Promise<boolean>((resolve) => back.once('connect', (connack) => resolve(connack.sessionPresent)))
  await new Promise<void>((resolve) =>
    back.on('message', (_topic, payload) => {
      if (got.push(payload.toString()) === 100) resolve()
    }),
  )
  expect(await present).toBe(true)
  // This client shows a QoS 2 message at its PUBREL: the order is one per QoS.
  for (const rest of [0, 1]) {
    const numbers = got.map(Number).filter((n) => n % 2 === rest)
    expect(numbers).toEqual(Array.from({ length: 50 }, (_, n) => 2 * n + rest))
  }
})

test.each([
  [4, 'tcp'],
  [5, 'tcp'],
  [4, 'ws'],
  [5, 'ws'],
] as const)(
  '3,000 QoS 2 messages in a loop, MQTT level %i over %s: all are taken, on one connection',
  async (protocolVersion, door) => {
    const client = await connect(door, { protocolVersion, clientId: `burst-${protocolVersion}-${door}` })
    let closed = 0
    client.on('close', () => closed++)
    await Promise.all(Array.from({ length: 3000 }, (_, n) => client.publishAsync('flood', `${n}`, { qos: 2 })))
    expect(closed).toBe(0)
    await client.endAsync()
  },
  40_000,
)

test('a large message, retained, goes through both doors whole', async () => {
  const payload = Buffer.alloc(900_000, 'aqueduct ')
  const publisher = await connect('ws')
  await publisher.publishAsync('large', payload, { qos: 1, retain: true })
  for (const door of ['tcp', 'ws'] as const) {
    const reader = await connect(door)
    const came = new Promise<[Buffer, boolean]>((resolve) => reader.once('message', (_t, body, p) => resolve([body, p.retain])))
    await reader.subscribeAsync('large', { qos: 1 })
    const [body, retain] = await came
    expect(body.equals(payload)).toBe(true)
    expect(retain).toBe(true)
  }
})

test('a WebSocket that is cut sends the will', async () => {
  const watcher = await connect('tcp')
  await watcher.subscribeAsync('ws-will', { qos: 1 })
  const came = new Promise<string>((resolve) => watcher.once('message', (_t, body) => resolve(body.toString())))
  const client = await connect('ws', { will: { topic: 'ws-will', payload: Buffer.from('gone'), qos: 1, retain: false } })
  client.stream.destroy()
  expect(await came).toBe('gone')
})

test.each(['tcp', 'ws'] as const)('%s, MQTT 5: properties, identifiers and reasons arrive', async (door) => {
  const subscriber = await connect(door, { protocolVersion: 5, properties: { topicAliasMaximum: 4 } })
  const publisher = await connect(door, { protocolVersion: 5 })
  const came = new Promise<IPublishPacket[]>((resolve) => {
    const got: IPublishPacket[] = []
    subscriber.on('message', (_topic, _payload, packet) => {
      if (got.push(packet) === 3) resolve(got)
    })
  })
  await subscriber.subscribeAsync(`five/${door}/#`, { qos: 2, properties: { subscriptionIdentifier: 7 } })
  const properties = {
    contentType: 'text/plain',
    responseTopic: 'answers',
    correlationData: Buffer.from('4711'),
    messageExpiryInterval: 60,
    userProperties: { a: 'b' },
  }
  for (const qos of [0, 1, 2] as const) await publisher.publishAsync(`five/${door}/x`, 'payload', { qos, properties })
  for (const packet of await came) {
    expect(packet.topic).toBe(packet.qos === 1 ? '' : `five/${door}/x`)
    expect(packet.payload.toString()).toBe('payload')
    expect(packet.properties).toMatchObject({ ...properties, subscriptionIdentifier: 7 })
  }
  expect(await subscriber.unsubscribeAsync(`five/${door}/y`)).toMatchObject({ granted: [0x11] })
})
