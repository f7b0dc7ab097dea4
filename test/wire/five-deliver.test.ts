/** What an MQTT 5 subscriber gets, byte by byte: options, identifiers, expiry, aliases, and its own limits. */
import { expect, test } from 'vitest'
import { arrived, MqttClient, type Packet, packet, T, untilClosed } from '../support/broker.js'
import { broker, connect, publishes, start, stop } from '../support/five.js'

const NO_LOCAL = 4
const AS_PUBLISHED = 8
const ONLY_NEW = 0x10
const NO_RETAINED = 0x20
const STAYS = { clean: false, properties: { sessionExpiryInterval: 1000 } }

const texts = async (client: MqttClient): Promise<string[]> =>
  (await publishes(client)).map((p) => `${p.payload.toString()}${p.retain ? ' retain' : ''}${p.dup ? ' dup' : ''}`)
const identifiers = (p: Packet): number[] => [...(p.properties.subscriptionIdentifiers ?? [])].sort((a, b) => a - b)

test('No Local keeps a client from its own messages, at each QoS [MQTT-3.8.3-3]', async () => {
  const port = await start()
  const client = await connect(port, { auto_ack: true })
  const other = await connect(port)
  await client.subscribe(['a', 2 | NO_LOCAL], ['b', 2])
  for (const qos of [0, 1, 2] as const) {
    for (const topic of ['a', 'b']) {
      await client.publishAndWait(topic, `own ${topic}${qos}`, { qos })
      await other.publishAndWait(topic, `other ${topic}${qos}`, { qos })
    }
  }
  expect((await texts(client)).sort()).toEqual([0, 1, 2].flatMap((q) => [`other a${q}`, `other b${q}`, `own b${q}`]).sort())
})

test('where filters overlap, a message comes once, with all identifiers; an own one by the filters without No Local [MQTT-3.3.4-4]', async () => {
  const port = await start()
  const client = await connect(port, { auto_ack: true })
  const other = await connect(port)
  await client.subscribeWith({ subscriptionIdentifiers: [1] }, ['a/#', 0])
  await client.subscribeWith({ subscriptionIdentifiers: [268_435_455] }, ['a/+', 2 | NO_LOCAL])
  await client.subscribeWith({ subscriptionIdentifiers: [1] }, ['a/b', 1])
  await client.subscribe(['+/b', 1])
  await other.publishAndWait('a/b', 'other', { qos: 2 })
  await client.publishAndWait('a/b', 'own', { qos: 2 })
  await client.publishAndWait('a/b', 'own', { qos: 0 })
  const got = await publishes(client)
  expect(got.map((p) => [p.payload.toString(), p.qos, identifiers(p)])).toEqual([
    ['other', 2, [1, 1, 268_435_455]],
    ['own', 1, [1, 1]],
    ['own', 0, [1, 1]],
  ])
})

test('identifiers are stored with what waits, and with the session', async () => {
  const port = await start()
  const o = { client_id: 's', ...STAYS }
  const first = await connect(port, o)
  await first.subscribeWith({ subscriptionIdentifiers: [300] }, ['a', 1])
  await first.disconnect()
  const publisher = await connect(port)
  await publisher.publishAndWait('a', 'waited', { qos: 1, properties: { contentType: 'c' } })
  const { disk } = broker()
  await stop()
  const later = await start({}, { after: disk })
  const again = await connect(later, o)
  expect(again.connack?.present).toBe(true)
  const waited = await again.expect(T.PUBLISH)
  expect([waited.payload.toString(), waited.properties]).toEqual(['waited', { contentType: 'c', subscriptionIdentifiers: [300] }])
  await (await connect(later)).publishAndWait('a', 'new', { qos: 1 })
  expect(identifiers(await again.expect(T.PUBLISH))).toEqual([300])
})

test('a subscription that is renewed has its new options and identifier, or none [MQTT-3.8.4-3]', async () => {
  const port = await start()
  const client = await connect(port, { auto_ack: true })
  const publisher = await connect(port)
  const got = async (): Promise<[number, number[]]> => {
    await publisher.publishAndWait('a', '', { qos: 2 })
    const p = await client.expect(T.PUBLISH)
    return [p.qos, identifiers(p)]
  }
  await client.subscribeWith({ subscriptionIdentifiers: [1] }, ['a', 1])
  expect(await got()).toEqual([1, [1]])
  await client.subscribeWith({ subscriptionIdentifiers: [2] }, ['a', 2])
  expect(await got()).toEqual([2, [2]])
  await client.subscribe(['a', 0])
  expect(await got()).toEqual([0, []])
})

test('Retain As Published keeps the flag, without it the flag is 0 [MQTT-3.3.1-12] [MQTT-3.3.1-13]', async () => {
  const port = await start()
  const client = await connect(port, { auto_ack: true })
  await client.subscribe(['kept', 2 | AS_PUBLISHED], ['plain', 2])
  const publisher = await connect(port)
  for (const qos of [0, 1, 2] as const) {
    for (const topic of ['kept', 'plain']) {
      await publisher.publishAndWait(topic, `${topic} ${qos}`, { qos, retain: true })
      await publisher.publishAndWait(topic, `${topic} ${qos} off`, { qos })
    }
  }
  expect(await texts(client)).toEqual(
    [0, 1, 2].flatMap((q) => [`kept ${q} retain`, `kept ${q} off`, `plain ${q}`, `plain ${q} off`]),
  )
})

test('Retain Handling: always, only for a new subscription, never [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]', async () => {
  const port = await start()
  const publisher = await connect(port)
  await publisher.publishAndWait('r', 'kept', { qos: 1, retain: true, properties: { contentType: 'c' } })
  const client = await connect(port, { auto_ack: true })
  const after = async (options: number): Promise<string[]> => {
    await client.subscribeWith({ subscriptionIdentifiers: [5] }, ['r', options])
    const got = await publishes(client)
    for (const p of got) expect(p.properties).toEqual({ contentType: 'c', subscriptionIdentifiers: [5] })
    return got.map((p) => `${p.payload.toString()} q${p.qos}${p.retain ? ' retain' : ''}`)
  }
  expect(await after(1 | NO_RETAINED)).toEqual([])
  expect(await after(1 | ONLY_NEW)).toEqual([])
  expect(await after(1)).toEqual(['kept q1 retain'])
  expect(await after(0)).toEqual(['kept q0 retain'])
  await client.unsubscribe('r')
  expect(await after(2 | ONLY_NEW)).toEqual(['kept q1 retain'])
})

test('the expiry that is left goes with the message, and what has expired is not delivered [MQTT-3.3.2-5] [MQTT-3.3.2-6]', async () => {
  const port = await start()
  const clock = broker().clock
  const o = { client_id: 's', ...STAYS }
  const first = await connect(port, o)
  await first.subscribe(['#', 2])
  const publisher = await connect(port)
  await publisher.publishAndWait('live', '', { qos: 1, properties: { messageExpiryInterval: 10 } })
  expect((await first.expect(T.PUBLISH)).properties.messageExpiryInterval).toBe(10)
  await publisher.publishAndWait('live', '', { properties: { messageExpiryInterval: 10 } })
  expect((await first.expect(T.PUBLISH)).properties.messageExpiryInterval).toBe(10)
  first.send(packet.puback(1))
  await first.disconnect()
  for (const s of [5, 10, 0xffff_ffff]) {
    await publisher.publishAndWait(`waits/${s}`, '', { qos: 2, properties: { messageExpiryInterval: s, contentType: 'c' } })
  }
  await publisher.publishAndWait('kept', 'x', { qos: 1, retain: true, properties: { messageExpiryInterval: 9 } })
  clock.advance(5_500)
  const again = await connect(port, { ...o, auto_ack: true })
  expect((await publishes(again)).map((p) => [p.topic, p.properties.messageExpiryInterval])).toEqual([
    ['waits/10', 5],
    ['waits/4294967295', 4_294_967_290],
    ['kept', 4],
  ])
  await again.subscribe(['kept', 0])
  const kept = await publishes(again)
  expect(kept.map((p) => [p.retain, p.properties.messageExpiryInterval])).toEqual([[true, 4]])
})

test('aliases go to a client that allows them: first the name, then the number [MQTT-3.1.2-26]', async () => {
  const port = await start({ max_topic_aliases: 3 })
  const client = await connect(port, { auto_ack: true, properties: { topicAliasMaximum: 2 } })
  await client.subscribe(['#', 1])
  const publisher = await MqttClient.connect(port)
  for (const topic of ['one', 'two', 'one', 'three', 'two', 'three'])
    await publisher.publishAndWait(topic, topic, { qos: topic === 'one' ? 0 : 1 })
  expect((await publishes(client)).map((p) => [p.topic, p.properties.topicAlias ?? 0, p.payload.toString()])).toEqual([
    ['one', 1, 'one'],
    ['two', 2, 'two'],
    ['', 1, 'one'],
    ['three', 0, 'three'],
    ['', 2, 'two'],
    ['three', 0, 'three'],
  ])
})

test('no alias where the client or this server wants none, and the topic beside it at QoS 2', async () => {
  const port = await start({ max_topic_aliases: 1 })
  const none = await connect(port, { auto_ack: true })
  const exact = await connect(port, { auto_ack: true, properties: { topicAliasMaximum: 9 } })
  await none.subscribe(['#', 2])
  await exact.subscribe(['#', 2])
  const publisher = await connect(port)
  for (const topic of ['one', 'two', 'one']) await publisher.publishAndWait(topic, '', { qos: 1 })
  await publisher.publishAndWait('one', '', { qos: 2 })
  const seen = async (c: MqttClient) => (await publishes(c)).map((p) => [p.topic, p.properties.topicAlias])
  expect((await seen(none)).every(([, alias]) => alias === undefined)).toBe(true)
  expect(await seen(exact)).toEqual([
    ['one', 1],
    ['two', undefined],
    ['', 1],
    ['one', 1],
  ])
})

test("the client's Receive Maximum narrows the window; PUBREC does not widen it, PUBCOMP does [MQTT-3.3.4-9]", async () => {
  const port = await start({ window: 10 })
  const client = await connect(port, { properties: { receiveMaximum: 2 } })
  await client.subscribe(['#', 2])
  const publisher = await connect(port)
  for (let n = 0; n < 5; n++) await publisher.publishAndWait('a', `${n}`, { qos: 2 })
  await publisher.publishAndWait('a', 'free', { qos: 0 })
  const first = await publishes(client)
  expect(first.map((p) => p.payload.toString())).toEqual(['0', '1', 'free'])
  client.send(packet.pubrec(first[0]?.id as number))
  await client.expect(T.PUBREL)
  expect(await texts(client)).toEqual([])
  client.send(packet.pubcomp(first[0]?.id as number))
  expect(await texts(client)).toEqual(['2'])
  client.send(packet.ack(T.PUBREC, first[1]?.id as number, 0x80))
  expect(await texts(client)).toEqual(['3'])
})

test('a message that the client refuses is done with; a PUBREC for nothing is told so [MQTT-4.3.3-4]', async () => {
  const port = await start()
  const o = { client_id: 's', ...STAYS }
  const client = await connect(port, o)
  await client.subscribe(['#', 2])
  const publisher = await connect(port)
  await publisher.publishAndWait('a', 'one', { qos: 1 })
  await publisher.publishAndWait('a', 'two', { qos: 2 })
  const [one, two] = await publishes(client)
  client.send(packet.ack(T.PUBACK, one?.id as number, 0x80))
  client.send(packet.ack(T.PUBREC, two?.id as number, 0x97))
  client.send(packet.pubrec(999))
  const pubrel = await client.expect(T.PUBREL)
  expect([pubrel.id, pubrel.code]).toEqual([999, 0x92])
  await client.disconnect()
  expect(await texts(await connect(port, o))).toEqual([])
})

test('a copy larger than the client takes is dropped and counted as delivered [MQTT-3.1.2-24] [MQTT-3.1.2-25]', async () => {
  const port = await start()
  const max = 60
  const client = await connect(port, { auto_ack: true, properties: { maximumPacketSize: max, topicAliasMaximum: 1 } })
  await client.subscribe(['#', 1])
  const publisher = await connect(port)
  // Fixed header 2, topic 3, identifier 2, property length 1.
  const sizes = [max - 8, max - 7, 5_000, 10]
  for (const size of sizes) await publisher.publishAndWait('a', 'x'.repeat(size), { qos: 1 })
  for (const size of [max - 6, max - 5, 5]) await publisher.publishAndWait('a', 'x'.repeat(size), {})
  const got = await publishes(client)
  expect(got.map((p) => [p.payload.length, p.topic, p.properties.topicAlias])).toEqual([
    // The alias would not have fitted.
    [max - 8, 'a', undefined],
    [10, 'a', 1],
    [5, '', 1],
  ])
  expect(broker().broker.state.stats.droppedTooLarge).toBe(4)
})

test('an answer that is larger than the client takes ends the connection', async () => {
  const port = await start()
  const client = await connect(port, { client_id: 'c', properties: { maximumPacketSize: 40 } })
  client.send(
    packet.subscribe(
      1,
      Array.from({ length: 100 }, (_, n) => [`f/${n}`, 0] as const),
      {},
    ),
  )
  const last = (await untilClosed(client)).at(-1)
  expect([last?.type, last?.code]).toEqual([T.DISCONNECT, 0x83])
})

test('nothing is sent again on a live connection, all of it with DUP on the next one [MQTT-4.4.0-1]', async () => {
  const port = await start({}, { retry: { interval_ms: 1000 } })
  const o = { client_id: 's', ...STAYS }
  const client = await connect(port, o)
  await client.subscribe(['#', 2])
  const publisher = await connect(port)
  for (const qos of [1, 2] as const) await publisher.publishAndWait('a', `q${qos}`, { qos })
  const [, two] = await publishes(client)
  client.send(packet.pubrec(two?.id as number))
  await client.expect(T.PUBREL)
  broker().clock.advance(60_000)
  expect(await arrived(client)).toEqual([])
  const again = await connect(port, o)
  const back = await arrived(again)
  expect(back.map((p) => [p.type, p.type === T.PUBLISH && p.dup])).toEqual([
    [T.PUBREL, false],
    [T.PUBLISH, true],
  ])
})

test('a session goes on from version to version, with all that waits', async () => {
  const port = await start()
  const old = await MqttClient.connect(port, { client_id: 's', clean: false })
  await old.subscribe(['#', 1])
  await old.disconnect()
  const publisher = await connect(port)
  const send = (text: string) => publisher.publishAndWait('a', text, { qos: 1, properties: { contentType: 'c' } })
  await send('for five')
  const five = await connect(port, { client_id: 's', ...STAYS, auto_ack: true })
  expect(five.connack?.present).toBe(true)
  expect((await publishes(five)).map((p) => [p.payload.toString(), p.properties])).toEqual([['for five', { contentType: 'c' }]])
  await five.subscribeWith({ subscriptionIdentifiers: [9] }, ['a', 1 | NO_LOCAL])
  await five.disconnect()
  await send('for four')
  const four = await MqttClient.connect(port, { client_id: 's', clean: false })
  expect([four.connack?.present, await texts(four)]).toEqual([true, ['for four']])
  await four.disconnect()
  await send('for five again')
  const last = await connect(port, { client_id: 's', ...STAYS, auto_ack: true })
  expect((await publishes(last)).map((p) => [p.payload.toString(), identifiers(p)])).toEqual([['for five again', [9]]])
})

test('messages of 3.1.1 and 5 reach clients of 3.1 to 5, at each QoS and as retained', async () => {
  const port = await start()
  const senders = [await MqttClient.connect(port), await connect(port)]
  const readers = await Promise.all(
    ([3, 4, 5] as const).map((protocol) => MqttClient.connect(port, { protocol, client_id: `r${protocol}` })),
  )
  for (const reader of readers) await reader.subscribe(['m/#', 2])
  const expected: string[] = []
  for (const [i, sender] of senders.entries()) {
    for (const qos of [0, 1, 2] as const) {
      const size = 1 + qos * 20_000
      await sender.publishAndWait(`m/${i}/${qos}`, 'x'.repeat(size), { qos, retain: true })
      expected.push(`m/${i}/${qos} ${size} ${qos} false`)
    }
  }
  const seen = async (c: MqttClient) => (await publishes(c)).map((p) => `${p.topic} ${p.payload.length} ${p.qos} ${p.retain}`)
  for (const reader of readers) expect(await seen(reader)).toEqual(expected)
  const retained = expected.map((line) => line.replace('false', 'true')).sort()
  for (const reader of readers) {
    await reader.subscribe(['m/#', 2])
    // A retained message may be overtaken by one of another QoS.
    expect((await seen(reader)).sort(), `${reader.connack?.code}`).toEqual(retained)
  }
})

test('SUBACK and UNSUBACK have a reason for each filter', async () => {
  const port = await start({ max_topic_levels: 3, deny_subscribe: ['no/+'] })
  const client = await connect(port)
  expect(await client.subscribe(['a', 0], ['b', 2], ['no/+', 1], ['1/2/3/4', 1], ['$share/g/a', 1], ['$queue/a', 1])).toEqual([
    0, 2, 0x80, 0x8f, 1, 0x8f,
  ])
  client.send(packet.unsubscribe(9, ['a', 'a', 'no/+'], {}))
  expect((await client.expect(T.UNSUBACK)).codes).toEqual([0, 0x11, 0x11])
  const old = await MqttClient.connect(port)
  expect(await old.subscribe(['a', 0], ['no/+', 1], ['1/2/3/4', 1], ['$queue/a', 1])).toEqual([0, 0x80, 0x80, 0x80])
})

test('a SUBSCRIBE or UNSUBSCRIBE that is not right ends the connection with the reason', async () => {
  const port = await start()
  for (const [bytes, reason] of [
    [packet.subscribe(1, [['a/#/b', 0]], {}), 0x81],
    [packet.subscribe(1, [['$share//a', 0]], {}), 0x81],
    [packet.subscribe(1, [['$share/g/a', NO_LOCAL]], {}), 0x82],
    [packet.subscribe(1, [['a', 3]], {}), 0x82],
    [packet.subscribe(1, [['a', 0x30]], {}), 0x82],
    [packet.subscribe(1, [['a', 0x40]], {}), 0x81],
    [packet.subscribe(0, [['a', 0]], {}), 0x82],
    [packet.subscribe(1, [], {}), 0x82],
    [packet.subscribe(1, [['a', 0]], { subscriptionIdentifiers: [0] }), 0x82],
    [packet.subscribe(1, [['a', 0]], { subscriptionIdentifiers: [1, 2] }), 0x82],
    [packet.subscribe(1, [['a', 0]], { topicAlias: 1 }), 0x81],
    [packet.unsubscribe(1, [], {}), 0x82],
    [packet.unsubscribe(1, ['a#'], {}), 0x81],
  ] as const) {
    const client = await connect(port)
    client.send(bytes)
    const last = (await untilClosed(client)).at(-1)
    expect([last?.type, last?.code], bytes.toString('hex')).toEqual([T.DISCONNECT, reason])
  }
})
