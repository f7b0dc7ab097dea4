/** MQTT 5 as programs written for Aedes meet it: properties in hooks, listeners and events, and with what a program publishes. */
import { afterEach, expect, test } from 'vitest'
import { type ClockedBroker, type ClockedOptions, MqttClient, startClocked, T } from '../support/broker.js'

let broker: ClockedBroker | undefined
afterEach(async () => {
  await broker?.close()
  broker = undefined
})

async function start(aedes: NonNullable<ClockedOptions['aedes']> = {}): Promise<ClockedBroker> {
  broker = await startClocked({ aedes })
  return broker
}

const connect = (port: number, o = {}): Promise<MqttClient> => MqttClient.connect(port, { protocol: 5, ...o })

/** As `mqtt-packet` reads them; the objects of user properties have no prototype. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null))

const GIVEN = {
  contentType: 'text/plain',
  responseTopic: 'answers',
  correlationData: Buffer.from('cd'),
  payloadFormatIndicator: 1,
  messageExpiryInterval: 30,
  userProperties: [
    ['a', '1'],
    ['a', '2'],
    ['b', '3'],
  ] as [string, string][],
}
const SEEN = {
  contentType: 'text/plain',
  responseTopic: 'answers',
  correlationData: Buffer.from('cd'),
  payloadFormatIndicator: true,
  messageExpiryInterval: 30,
  userProperties: { a: ['1', '2'], b: '3' },
}

test('hooks see the properties of CONNECT, its will, SUBSCRIBE and PUBLISH', async () => {
  const seen: Record<string, unknown> = {}
  const { port } = await start({
    preConnect(_client, p, done) {
      seen.connect ??= (p as { properties?: unknown }).properties
      seen.will ??= (p as { will?: { properties?: unknown } }).will?.properties
      done(null, true)
    },
    authorizeSubscribe(_client, s, done) {
      seen.subscribe = (s as { properties?: unknown }).properties
      done(null, s)
    },
    authorizePublish(_client, p, done) {
      seen.publish ??= (p as { properties?: unknown }).properties
      done(null)
    },
    authorizeForward(_client, p) {
      seen.forward = (p as { properties?: unknown }).properties
      return p
    },
  })
  const client = await connect(port, {
    properties: { receiveMaximum: 5, userProperties: [['k', 'v']] },
    will: { topic: 'w', payload: 'x', properties: { willDelayInterval: 5 } },
  })
  await client.subscribeWith({ subscriptionIdentifiers: [7], userProperties: [['s', 't']] }, ['a', 1])
  await client.publishAndWait('a', 'x', { qos: 1, properties: GIVEN })
  const got = await client.expect(T.PUBLISH)
  expect(got.properties).toEqual({ ...GIVEN, subscriptionIdentifiers: [7] })
  expect(plain(seen)).toEqual(
    plain({
      connect: { receiveMaximum: 5, userProperties: { k: 'v' } },
      will: { willDelayInterval: 5 },
      subscribe: { subscriptionIdentifier: 7, userProperties: { s: 't' } },
      publish: SEEN,
      forward: SEEN,
    }),
  )
})

test('listeners and events get them, too; without any there is no such field', async () => {
  const { broker, port } = await start()
  const heard: unknown[] = []
  broker.aedes.on('publish', ((p: { topic: string }) => p.topic === 'a' && heard.push(p)) as never)
  const client = await connect(port)
  await client.publishAndWait('a', 'x', { qos: 1, properties: GIVEN })
  await client.publishAndWait('a', 'x', { qos: 0 })
  await client.ping()
  expect(plain((heard[0] as { properties: unknown }).properties)).toEqual(plain(SEEN))
  expect(heard[1]).not.toHaveProperty('properties')
})

test('a program publishes with properties, and to one client', async () => {
  const { broker, port } = await start()
  const client = await connect(port, { client_id: 'c', auto_ack: true })
  await client.subscribe(['a', 1])
  const publish = (packet: object) =>
    new Promise<Error | null | undefined>((resolve) => broker.aedes.publish(packet, (error: Error | null) => resolve(error)))
  const packet = { topic: 'a', payload: 'x', qos: 1, properties: { ...SEEN, topicAlias: 5, subscriptionIdentifier: 3 } }
  expect(await publish(packet)).toBeNull()
  expect((await client.expect(T.PUBLISH)).properties).toEqual(GIVEN)
  const connection = broker.aedes.clients.c as { publish(packet: object, done: (error?: Error) => void): void }
  await new Promise<void>((resolve) => connection.publish({ ...packet, topic: 'else' }, () => resolve()))
  const direct = await client.expect(T.PUBLISH)
  expect([direct.topic, direct.properties]).toEqual(['else', GIVEN])
})

test('properties that the wire cannot carry are an error, and nothing is published', async () => {
  const { broker, port } = await start()
  const client = await connect(port)
  await client.subscribe(['#', 0])
  for (const properties of [
    { contentType: 'a\0' },
    { contentType: 7 },
    { responseTopic: 'a/+' },
    { correlationData: 'text' },
    { messageExpiryInterval: -1 },
    { messageExpiryInterval: 1.5 },
    { userProperties: { a: 'x'.repeat(70_000) } },
  ]) {
    const error = await new Promise<Error | null | undefined>((resolve) =>
      broker.aedes.publish({ topic: 'a', payload: 'x', properties }, (e: Error | null) => resolve(e)),
    )
    expect(error, JSON.stringify(properties).slice(0, 60)).toBeInstanceOf(Error)
  }
  await client.ping()
  expect(client.inbox.filter((p) => p.type === T.PUBLISH)).toEqual([])
})

test('a hook that changes topic or payload leaves the properties with the message', async () => {
  const { port } = await start({
    authorizePublish(_client, p, done) {
      p.topic = 'changed'
      done(null)
    },
  })
  const client = await connect(port)
  await client.subscribe(['changed', 1])
  await client.publishAndWait('a', 'x', { qos: 1, properties: { ...GIVEN, topicAlias: 3 } })
  await client.publishAndWait('', 'y', { qos: 0, properties: { topicAlias: 3 } })
  const got = [await client.expect(T.PUBLISH), await client.expect(T.PUBLISH)]
  expect(got.map((p) => [p.topic, p.payload.toString()])).toEqual([
    ['changed', 'x'],
    ['changed', 'y'],
  ])
  expect(got[0]?.properties).toEqual(GIVEN)
})
