/** CONNECT and CONNACK, byte by byte, for MQTT 3.1.1 and 3.1. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MqttClient, openWith, packet, startTestApp, T, untilClosed } from '../support/broker.js'

let app: Awaited<ReturnType<typeof startTestApp>>
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.close())

const text = (value: string | Buffer): Buffer => {
  const body = Buffer.from(value as string)
  return Buffer.concat([Buffer.from([body.length >> 8, body.length & 255]), body])
}

/** A CONNECT put together by hand: anything may be wrong in it. */
function connect(o: { name?: string; level?: number; flags?: number; keepalive?: number; fields?: Buffer[] }): Buffer {
  const keepalive = o.keepalive ?? 0
  return packet.frame(
    0x10,
    text(o.name ?? 'MQTT'),
    Buffer.from([o.level ?? 4, o.flags ?? 2, keepalive >> 8, keepalive & 255]),
    ...(o.fields ?? [text('c')]),
  )
}

/** The bytes that the broker answers `bytes` with before it closes. */
async function answerTo(bytes: Buffer): Promise<number[]> {
  const client = await openWith(app.mqttPort, bytes)
  const got: Buffer[] = []
  client.socket.on('data', (chunk: Buffer) => got.push(chunk))
  await untilClosed(client)
  return [...Buffer.concat(got)]
}

async function accepted(bytes: Buffer): Promise<void> {
  const client = await openWith(app.mqttPort, bytes)
  const connack = await client.expect(T.CONNACK)
  expect([connack.flags, connack.code, connack.present]).toEqual([0, 0, false])
  await client.disconnect()
}

test('a valid CONNECT gets exactly 20 02 00 00 [MQTT-3.1.4-4] [MQTT-3.2.0-1] [MQTT-3.2.2-3]', async () => {
  const client = await openWith(app.mqttPort, connect({}))
  const got: Buffer[] = []
  client.socket.on('data', (chunk: Buffer) => got.push(chunk))
  await client.expect(T.CONNACK)
  await client.disconnect()
  expect([...Buffer.concat(got)]).toEqual([0x20, 2, 0, 0])
})

test('any other protocol name is closed without an answer [MQTT-3.1.2-1] [MQTT-3.1.4-1] [MQTT-3.2.2-6]', async () => {
  for (const name of ['', 'mqtt', 'MQTTT', 'HTTP']) expect(await answerTo(connect({ name })), name).toEqual([])
})

test('a level that is not spoken gets return code 1, then the end [MQTT-3.1.2-2] [MQTT-3.2.2-4] [MQTT-3.2.2-5]', async () => {
  for (const level of [0, 2, 3, 6, 0x85, 255])
    expect(await answerTo(connect({ level })), `level ${level}`).toEqual([0x20, 2, 0, 1])
  expect(await answerTo(connect({ name: 'MQIsdp', level: 4 }))).toEqual([0x20, 2, 0, 1])
})

test('the reserved connect flag must be 0 [MQTT-3.1.2-3]', async () => {
  expect(await answerTo(connect({ flags: 3 }))).toEqual([])
})

test('will flags fit together: no QoS 3, nothing without a will [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-14] [MQTT-3.1.2-15]', async () => {
  const will = [text('c'), text('w'), text('gone')]
  expect(await answerTo(connect({ flags: 0b0001_1110, fields: will }))).toEqual([])
  expect(await answerTo(connect({ flags: 0b0000_1010 }))).toEqual([])
  expect(await answerTo(connect({ flags: 0b0010_0010 }))).toEqual([])
  for (const qos of [0, 1, 2]) await accepted(connect({ flags: 0b0010_0110 | (qos << 3), fields: will }))
})

test('will fields are there when the flag says so, and only then [MQTT-3.1.2-9] [MQTT-3.1.2-11]', async () => {
  expect(await answerTo(connect({ flags: 6 }))).toEqual([])
  expect(await answerTo(connect({ flags: 6, fields: [text('c'), text('w')] }))).toEqual([])
  expect(await answerTo(connect({ flags: 2, fields: [text('c'), text('w'), text('gone')] }))).toEqual([])
})

test('a will topic is a topic name in UTF-8 [MQTT-3.1.3-10] [MQTT-4.7.1-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2]', async () => {
  for (const topic of ['', 'a/#', '+', 'a\0b', Buffer.from([0xff])])
    expect(await answerTo(connect({ flags: 6, fields: [text('c'), text(topic), text('x')] })), String(topic)).toEqual([])
})

test('user name and password follow their flags [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.2-20] [MQTT-3.1.2-21]', async () => {
  await accepted(connect({ flags: 0x82, fields: [text('c'), text('me')] }))
  await accepted(connect({ flags: 0xc2, fields: [text('c'), text('me'), text(Buffer.from([0, 255]))] }))
  await accepted(connect({ flags: 0xc2, fields: [text('c'), text(''), text('')] }))
  expect(await answerTo(connect({ flags: 0x82 }))).toEqual([])
  expect(await answerTo(connect({ flags: 0xc2, fields: [text('c'), text('me')] }))).toEqual([])
  expect(await answerTo(connect({ flags: 2, fields: [text('c'), text('me')] }))).toEqual([])
  expect(await answerTo(connect({ flags: 0x82, fields: [text('c'), text('me'), text('pw')] }))).toEqual([])
})

test('a password needs a user name [MQTT-3.1.2-22]', async () => {
  expect(await answerTo(connect({ flags: 0x42, fields: [text('c'), text('pw')] }))).toEqual([])
})

test('client id and user name are UTF-8 [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-3.1.3-4] [MQTT-3.1.3-11]', async () => {
  for (const bad of [Buffer.from([0xc3]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0x61, 0])]) {
    expect(await answerTo(connect({ fields: [text(bad)] }))).toEqual([])
    expect(await answerTo(connect({ flags: 0x82, fields: [text('c'), text(bad)] }))).toEqual([])
  }
})

test('there is always a client id field [MQTT-3.1.3-1] [MQTT-3.1.3-3]', async () => {
  expect(await answerTo(connect({ fields: [] }))).toEqual([])
  expect(await answerTo(connect({ fields: [Buffer.from([0, 5, 0x61])] }))).toEqual([])
})

test('client ids of 1 to 23 letters and digits are taken, and far longer ones [MQTT-3.1.3-5]', async () => {
  for (const id of ['a', '0123456789abcdefghijABC', 'x'.repeat(60_000), 'ein/gerät #+$', '__proto__', 'constructor'])
    await accepted(packet.connect({ client_id: id }))
})

test('an empty id with a clean session gets a name of its own [MQTT-3.1.3-6] [MQTT-3.1.3-2]', async () => {
  const two = await Promise.all([1, 2].map(() => MqttClient.connect(app.mqttPort, { client_id: '' })))
  for (const client of two) expect(client.connack?.code).toBe(0)
  await two[0].ping()
  await two[1].ping()
  await Promise.all(two.map((client) => client.disconnect()))
})

test('an empty id without a clean session gets return code 2 [MQTT-3.1.3-7] [MQTT-3.1.3-8] [MQTT-3.1.3-9]', async () => {
  expect(await answerTo(connect({ flags: 0, fields: [text('')] }))).toEqual([0x20, 2, 0, 2])
})

test('MQTT 3.1: ids of one character or more, else return code 2', async () => {
  const old = (id: string): Buffer => connect({ name: 'MQIsdp', level: 3, fields: [text(id)] })
  await accepted(old('x'.repeat(23)))
  await accepted(old('é'.repeat(23)))
  await accepted(old('x'.repeat(28)))
  expect(await answerTo(old(''))).toEqual([0x20, 2, 0, 2])
})

test('MQTT 3.1 has no session-present bit: the byte is unused and stays 0', async () => {
  const o = { client_id: 'old-present', clean: false, protocol: 3 } as const
  const first = await MqttClient.connect(app.mqttPort, o)
  await first.disconnect()
  const second = await MqttClient.connect(app.mqttPort, o)
  expect(second.connack).toMatchObject({ code: 0, present: false })
  await second.disconnect()
})

test('the first packet is CONNECT, or the connection ends without an answer [MQTT-3.1.0-1]', async () => {
  const firsts = [
    packet.pingreq(),
    packet.publish('t', 'x'),
    packet.subscribe(1, [['t', 0]]),
    packet.disconnect(),
    Buffer.from([0x20, 2, 0, 0]),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
  ]
  for (const bytes of firsts) expect(await answerTo(bytes)).toEqual([])
})

test('a second CONNECT ends the connection [MQTT-3.1.0-2]', async () => {
  const client = await openWith(app.mqttPort, Buffer.concat([connect({}), connect({})]))
  const got = await untilClosed(client)
  expect(got.map((p) => [p.type, p.code])).toEqual([[T.CONNACK, 0]])
})

test('nothing that follows a refused CONNECT is looked at [MQTT-3.1.4-5]', async () => {
  const witness = await MqttClient.connect(app.mqttPort, { client_id: 'witness' })
  await witness.subscribe(['refused/#', 0])
  const refused = connect({ flags: 0, fields: [text('')] })
  const answer = await answerTo(Buffer.concat([refused, packet.publish('refused/1', 'x'), packet.pingreq()]))
  expect(answer).toEqual([0x20, 2, 0, 2])
  await witness.ping()
  expect(witness.inbox).toEqual([])
  await witness.disconnect()
})

test('packets right behind a good CONNECT, in the same write, are all handled, after CONNACK [MQTT-3.2.0-1]', async () => {
  for (const clean of [true, false]) {
    const o = { client_id: `eager-${clean}`, clean, will: { topic: 'w', payload: 'w' } }
    const all = [
      packet.connect(o),
      packet.subscribe(1, [['eager', 1]]),
      packet.publish('eager', 'me', { qos: 1, id: 9 }),
      packet.pingreq(),
    ]
    const client = await openWith(app.mqttPort, Buffer.concat(all))
    await client.expect(T.PUBLISH).then((p) => client.inbox.push(p))
    await client.expect(T.PINGRESP).then((p) => client.inbox.push(p))
    expect(client.inbox[0]).toMatchObject({ type: T.CONNACK, code: 0 })
    const types = client.inbox.map((p) => p.type).sort((a, b) => a - b)
    expect(types).toEqual([T.CONNACK, T.PUBLISH, T.PUBACK, T.SUBACK, T.PINGRESP])
    client.send(packet.disconnect())
    await untilClosed(client)
  }
})

test('one client id, twenty CONNECTs at once: exactly one stays [MQTT-3.1.4-2]', async () => {
  for (const clean of [true, false]) {
    const o = { client_id: `crowd-${clean}`, clean }
    const all = await Promise.all(Array.from({ length: 20 }, () => MqttClient.open(app.mqttPort)))
    for (const client of all) client.send(packet.connect(o))
    const ended = all.map((client) => client.closed.then(() => client))
    let left = all
    while (left.length > 1) {
      const gone = await Promise.race(left.map((client) => ended[all.indexOf(client)]))
      left = left.filter((client) => client !== gone)
    }
    await left[0].expect(T.CONNACK)
    await left[0].ping()
    expect(left[0].is_closed).toBe(false)
    expect([...app.broker.state.connections].filter((c) => c.id === o.client_id)).toHaveLength(1)
    await left[0].disconnect()
  }
})
