/** PUBLISH from an MQTT 5 client, byte by byte: properties, aliases, flow control, and the reasons of its answers. */
import { expect, test } from 'vitest'
import { type ClientOptions, MqttClient, packet, T } from '../support/broker.js'
import { broker, connect, disconnectReason, publishes, start } from '../support/five.js'

async function subscriber(port: number, filter = '#', qos: 0 | 1 | 2 = 2, o: ClientOptions = {}): Promise<MqttClient> {
  const client = await connect(port, { auto_ack: true, ...o })
  await client.subscribe([filter, qos])
  return client
}

test('every property arrives as it was given, user properties in their order [MQTT-3.3.2-17] [MQTT-3.3.2-18]', async () => {
  const port = await start()
  const client = await subscriber(port)
  const publisher = await connect(port)
  const properties = {
    payloadFormatIndicator: 1,
    contentType: 'text/plain',
    responseTopic: 'answers/here',
    correlationData: Buffer.from([0, 255]),
    userProperties: [
      ['b', '1'],
      ['a', '2'],
      ['b', '1'],
    ] as [string, string][],
  }
  for (const qos of [0, 1, 2] as const) await publisher.publishAndWait(`t/${qos}`, 'grüße', { qos, properties })
  for (const qos of [0, 1, 2] as const) {
    const got = await client.expect(T.PUBLISH)
    expect([got.topic, got.qos, got.payload.toString(), got.properties]).toEqual([`t/${qos}`, qos, 'grüße', properties])
  }
})

test('an alias stands for its topic on its connection, in both uses [MQTT-3.3.2-8] [MQTT-3.3.2-12]', async () => {
  const port = await start()
  const client = await subscriber(port)
  const old = await MqttClient.connect(port)
  await old.subscribe(['#', 1])
  const publisher = await connect(port)
  for (const qos of [0, 1, 2] as const) {
    publisher.publish(`t/${qos}`, 'a', { qos, properties: { topicAlias: 5 } })
    publisher.publish('', 'b', { qos, properties: { topicAlias: 5, contentType: 'c' } })
  }
  publisher.publish('', 'still', { properties: { topicAlias: 5 } })
  await publisher.ping()
  await publisher.expect(T.PUBREC)
  const seen = (await publishes(client)).map((p) => [p.topic, p.payload.toString(), p.properties])
  expect(seen).toEqual([
    ...['t/0', 't/1', 't/2'].flatMap((topic) => [
      [topic, 'a', {}],
      [topic, 'b', { contentType: 'c' }],
    ]),
    ['t/2', 'still', {}],
  ])
  const plain = (await publishes(old)).map((p) => `${p.topic} ${p.payload.toString()}`)
  expect(plain).toEqual(['t/0 a', 't/0 b', 't/1 a', 't/1 b', 't/2 a', 't/2 b', 't/2 still'])
  const stranger = await connect(port)
  stranger.send(packet.publish('', 'x', { properties: { topicAlias: 5 } }))
  expect(await disconnectReason(stranger)).toBe(0x82)
})

test('aliases at their bounds: 1 to what CONNACK allows [MQTT-3.3.2-9]', async () => {
  const port = await start({ max_topic_aliases: 2 })
  const good = await connect(port)
  await good.publishAndWait('a', '', { qos: 1, properties: { topicAlias: 2 } })
  for (const [alias, reason] of [
    [3, 0x94],
    [0, 0x94],
    [65_535, 0x94],
  ] as const) {
    const client = await connect(port)
    client.send(packet.publish('a', '', { properties: { topicAlias: alias } }))
    expect(await disconnectReason(client), `${alias}`).toBe(reason)
  }
})

test('a PUBLISH that is not right ends the connection with the reason', async () => {
  const port = await start({ max_topic_levels: 3 })
  for (const [bytes, reason] of [
    [packet.publish('', 'x', { properties: {} }), 0x82],
    [packet.publish('a/#', 'x', { properties: {} }), 0x81],
    [packet.publish(Buffer.from([0xff]), 'x', { properties: {} }), 0x81],
    [packet.publish('1/2/3/4', 'x', { properties: {} }), 0x90],
    [packet.publish('a', 'x', { properties: { subscriptionIdentifiers: [1] } }), 0x82],
    [packet.publish('a', 'x', { properties: { responseTopic: 'a/+' } }), 0x82],
    [packet.publish('a', 'x', { properties: { payloadFormatIndicator: 2 } }), 0x82],
    [packet.publish('a', 'x', { properties: { receiveMaximum: 2 } }), 0x81],
    [packet.publish('a', Buffer.from([0xc3]), { properties: { payloadFormatIndicator: 1 } }), 0x99],
    [packet.publish('a', 'x', { qos: 1, id: 0, properties: {} }), 0x82],
    [packet.frame(0x36, Buffer.from([0, 1, 97, 0, 1, 0])), 0x81],
    [packet.ack(T.PUBACK, 1, 0x92), 0x81],
  ] as const) {
    const client = await connect(port)
    client.send(bytes)
    expect(await disconnectReason(client), bytes.toString('hex')).toBe(reason)
  }
})

test('a payload that is not the UTF-8 it says is refused, and its identifier is free', async () => {
  const port = await start()
  const client = await connect(port)
  const bad = { payloadFormatIndicator: 1 }
  client.send(packet.publish('a', Buffer.from([0xff]), { qos: 1, id: 1, properties: bad }))
  expect((await client.expect(T.PUBACK)).code).toBe(0x99)
  client.send(packet.publish('a', Buffer.from([0xff]), { qos: 2, id: 2, properties: bad }))
  expect((await client.expect(T.PUBREC)).code).toBe(0x99)
  client.send(packet.publish('a', Buffer.from([0]), { qos: 2, id: 2, properties: bad }))
  expect((await client.expect(T.PUBREC)).code).toBe(0)
})

test('PUBACK says that nobody is there', async () => {
  const port = await start()
  const publisher = await connect(port)
  publisher.publish('a', 'x', { qos: 1 })
  expect((await publisher.expect(T.PUBACK)).code).toBe(0x10)
  await subscriber(port, 'a', 0)
  publisher.publish('a', 'x', { qos: 1 })
  expect((await publisher.expect(T.PUBACK)).code).toBe(0)
})

test('a topic that may not be published to is refused with 0x87; at QoS 0 it is dropped and counted', async () => {
  const port = await start()
  const publisher = await connect(port)
  publisher.publish('$SYS/x', 'x', { qos: 1 })
  expect((await publisher.expect(T.PUBACK)).code).toBe(0x87)
  publisher.publish('$dead/x', 'x', { qos: 2 })
  expect((await publisher.expect(T.PUBREC)).code).toBe(0x87)
  publisher.publish('$SYS/x', 'x')
  await publisher.ping()
  expect(broker().broker.state.stats.droppedReserved).toBe(3)
})

test('a hook that refuses is heard as 0x87, and the connection goes on', async () => {
  const port = await start(
    {},
    { aedes: { authorizePublish: (_client, p, done) => done(p.topic === 'no' ? new Error('no') : null) } },
  )
  const publisher = await connect(port)
  publisher.publish('no', 'x', { qos: 1 })
  expect((await publisher.expect(T.PUBACK)).code).toBe(0x87)
  publisher.publish('no', 'x', { qos: 2 })
  expect((await publisher.expect(T.PUBREC)).code).toBe(0x87)
  publisher.publish('no', 'x')
  await publisher.publishAndWait('yes', 'x', { qos: 2 })
  expect(broker().broker.state.stats.droppedRefused).toBe(3)
  expect(broker().broker.state.stats.received.slice(1)).toEqual([0, 1])
})

test('a full disk is 0x97, nothing is stored, and the identifier is free', async () => {
  const port = await start()
  const client = await subscriber(port, 'a', 2, { client_id: 's', clean: false, properties: { sessionExpiryInterval: 100 } })
  const publisher = await connect(port)
  const store = broker().broker.state.stored?.store as { full: boolean }
  Object.defineProperty(store, 'full', { value: true, configurable: true })
  publisher.publish('a', 'x', { qos: 1, id: 1 })
  expect((await publisher.expect(T.PUBACK)).code).toBe(0x97)
  publisher.publish('a', 'x', { qos: 2, id: 2 })
  expect((await publisher.expect(T.PUBREC)).code).toBe(0x97)
  Object.defineProperty(store, 'full', { value: false, configurable: true })
  await publisher.publishAndWait('a', 'now', { qos: 2, id: 2 })
  expect((await client.expect(T.PUBLISH)).payload.toString()).toBe('now')
  await client.ping()
  expect(client.inbox.filter((p) => p.type === T.PUBLISH)).toEqual([])
})

test('more messages without an answer than Receive Maximum end the connection [MQTT-3.3.4-7]', async () => {
  const port = await start({ max_inbound_qos2: 3 })
  const client = await connect(port)
  for (const id of [1, 2, 3]) client.publish('a', '', { qos: 2, id })
  for (const id of [1, 2, 3]) await client.expect(T.PUBREC, (p) => p.id === id)
  // PUBCOMP makes room for one more, of either QoS.
  client.send(packet.pubrel(1))
  await client.expect(T.PUBCOMP)
  await client.publishAndWait('a', '', { qos: 1, id: 9 })
  await client.publishAndWait('a', '', { qos: 1, id: 9 })
  client.publish('a', '', { qos: 2, id: 4 })
  await client.expect(T.PUBREC, (p) => p.id === 4)
  client.publish('a', '', { qos: 1, id: 5 })
  expect(await disconnectReason(client)).toBe(0x93)
})

test('a PUBREC that refuses gives its place back', async () => {
  const port = await start({ max_inbound_qos2: 1 })
  const client = await connect(port)
  for (let i = 1; i < 5; i++) {
    client.publish('$SYS/a', '', { qos: 2, id: i })
    expect((await client.expect(T.PUBREC)).code).toBe(0x87)
  }
  await client.publishAndWait('a', '', { qos: 2 })
})

test('what is left from earlier connections does not count for Receive Maximum, but is bounded', async () => {
  const port = await start({ max_inbound_qos2: 2 })
  const o = { client_id: 's', clean: false, properties: { sessionExpiryInterval: 100 } }
  const first = await connect(port, o)
  for (const id of [1, 2]) first.publish('a', '', { qos: 2, id })
  await first.expect(T.PUBREC, (p) => p.id === 2)
  first.destroy()
  const second = await connect(port, o)
  expect(second.connack?.present).toBe(true)
  second.publish('a', '', { qos: 2, id: 3 })
  expect((await second.expect(T.PUBREC)).code).toBe(0x97)
  second.send(packet.pubrel(1))
  expect((await second.expect(T.PUBCOMP)).code).toBe(0)
  await second.publishAndWait('a', '', { qos: 2, id: 3 })
})

test('a PUBLISH whose identifier is open is the open message, whatever DUP says; behind PUBCOMP it is a new one [MQTT-4.3.3-10]', async () => {
  const port = await start()
  const watcher = await subscriber(port)
  const o = { client_id: 'again', clean: false, properties: { sessionExpiryInterval: 100 } }
  const send = async (client: MqttClient, payload: string, dup: boolean): Promise<void> => {
    client.publish('a', payload, { qos: 2, id: 7, dup })
    expect(await client.expect(T.PUBREC)).toMatchObject({ id: 7, code: 0 })
  }
  const first = await connect(port, o)
  await send(first, 'one', false)
  await send(first, 'one', true)
  await send(first, 'one', false)
  first.destroy()
  const second = await connect(port, o)
  await send(second, 'one', false)
  second.send(packet.pubrel(7))
  expect((await second.expect(T.PUBCOMP)).code).toBe(0)
  await send(second, 'two', false)
  expect((await publishes(watcher)).map((p) => p.payload.toString())).toEqual(['one', 'two'])
})

test('a PUBLISH that is sent again does not count twice for Receive Maximum', async () => {
  const port = await start({ max_inbound_qos2: 2 })
  const client = await connect(port)
  for (let i = 0; i < 5; i++) client.publish('a', '', { qos: 2, id: 1 })
  await client.publishAndWait('a', '', { qos: 1, id: 2 })
  await client.ping()
})

test('PUBREL again, when its PUBCOMP was lost, is told that all is well; of what never was, it is not', async () => {
  const port = await start()
  const o = { client_id: 'lost', clean: false, properties: { sessionExpiryInterval: 100 } }
  const complete = async (client: MqttClient, id: number): Promise<number> => {
    client.send(packet.pubrel(id))
    return (await client.expect(T.PUBCOMP, (p) => p.id === id)).code
  }
  const first = await connect(port, o)
  await first.publishAndWait('a', '', { qos: 2, id: 7 })
  expect(await complete(first, 7)).toBe(0)
  first.destroy()
  const second = await connect(port, o)
  expect(second.connack?.present).toBe(true)
  expect([await complete(second, 7), await complete(second, 8)]).toEqual([0, 0x92])
  // What was completed before a start is not known any more: nobody hears of a failure that was none.
  await broker().reopen()
  const third = await connect(port, o)
  expect(third.connack?.present).toBe(true)
  expect(await complete(third, 7)).toBe(0)
})

test('an open QoS 2 identifier stays open over a start: the PUBLISH again, without DUP, is not a second message', async () => {
  const port = await start()
  const o = { client_id: 'open', clean: false, properties: { sessionExpiryInterval: 100 } }
  const watcher = await connect(port, { client_id: 'w', clean: false, properties: { sessionExpiryInterval: 100 } })
  await watcher.subscribe(['a', 0])
  const first = await connect(port, o)
  first.publish('a', 'one', { qos: 2, id: 7 })
  expect((await first.expect(T.PUBREC)).code).toBe(0)
  expect((await publishes(watcher)).map((p) => p.payload.toString())).toEqual(['one'])
  await broker().reopen()
  const back = await connect(port, { client_id: 'w', clean: false, properties: { sessionExpiryInterval: 100 } })
  const second = await connect(port, o)
  second.publish('a', 'one', { qos: 2, id: 7 })
  expect((await second.expect(T.PUBREC)).code).toBe(0)
  second.send(packet.pubrel(7))
  expect((await second.expect(T.PUBCOMP)).code).toBe(0)
  expect(await publishes(back)).toEqual([])
})

test('acknowledgements are as short as they can be', async () => {
  const port = await start()
  await subscriber(port)
  const client = await connect(port)
  const bytes: Buffer[] = []
  client.socket.on('data', (chunk: Buffer) => bytes.push(chunk))
  client.publish('a', '', { qos: 1, id: 258 })
  client.publish('$SYS/a', '', { qos: 1, id: 258 })
  await client.ping()
  expect(Buffer.concat(bytes).toString('hex')).toBe('40020102' + '4003010287' + 'd000')
})
