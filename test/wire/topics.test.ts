/** Topics and filters on the wire: matching, overlapping, `$`, reserved names, lengths, depth, UTF-8; SUBSCRIBE and UNSUBSCRIBE. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  arrived,
  type ClockedBroker,
  closesOn,
  delivered,
  MqttClient,
  openWith,
  packet,
  type QoS,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'

let b: ClockedBroker
let publisher: MqttClient
let reader: MqttClient
beforeAll(async () => {
  b = await startClocked({ settings: { deny_subscribe: ['test/nosubscribe', 'no/#'], max_topic_levels: 200 } })
  publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
})
beforeEach(async () => {
  reader = await MqttClient.connect(b.port, { client_id: 'reader' })
})
afterEach(() => reader.disconnect())
afterAll(() => b.close())

const say = (topic: string, payload = 'x', qos: QoS = 1) => publisher.publishAndWait(topic, payload, { qos })

/** Topics out of `topics` that `filter` brings. */
async function matches(filter: string, topics: string[]): Promise<string[]> {
  await reader.subscribe([filter, 1])
  for (const topic of topics) await say(topic)
  const got = (await arrived(reader)).filter((p) => p.type === T.PUBLISH).map((p) => p.topic)
  await reader.unsubscribe(filter)
  return got
}

const text = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])

test('filters match level by level [MQTT-3.3.2-3] [MQTT-4.7.1-2] [MQTT-4.7.1-3]', async () => {
  const topics = ['a', 'a/', 'a/b', 'a/b/c', '/a', 'b', 'aa', 'a//b']
  expect(await matches('a', topics)).toEqual(['a'])
  expect(await matches('a/#', topics)).toEqual(['a', 'a/', 'a/b', 'a/b/c', 'a//b'])
  expect(await matches('a/+', topics)).toEqual(['a/', 'a/b'])
  expect(await matches('+', topics)).toEqual(['a', 'b', 'aa'])
  expect(await matches('+/b', topics)).toEqual(['a/b'])
  expect(await matches('+/+/b', topics)).toEqual(['a//b'])
  expect(await matches('#', topics)).toEqual(topics)
  expect(await matches('+/+', topics)).toEqual(['a/', 'a/b', '/a'])
})

test('empty levels are levels [MQTT-4.7.3-1] [MQTT-4.7.1-3]', async () => {
  const topics = ['/', '//', '/e', 'e/', 'e//', 'e']
  for (const topic of topics) expect(await matches(topic, topics)).toEqual([topic])
  expect(await matches('+/+', topics)).toEqual(['/', '/e', 'e/'])
  expect(await matches('/+', topics)).toEqual(['/', '/e'])
  expect(await matches('/#', topics)).toEqual(['/', '//', '/e'])
})

test('nothing is normalised: case, spaces, composed and decomposed letters, U+FEFF [MQTT-4.7.3-4] [MQTT-1.5.3-3]', async () => {
  const topics = ['Case', 'case', 'case ', ' case', '\u00e9', 'e\u0301', '\ufeffcase', 'a\ufeffb', 'ab', '\u{1f600}']
  for (const topic of topics) expect(await matches(topic, topics)).toEqual([topic])
})

test('names of prototype members are names like any other', async () => {
  const topics = ['__proto__', 'constructor', 'toString/__proto__', 'hasOwnProperty']
  for (const topic of topics) expect(await matches(topic, topics)).toEqual([topic])
})

test('a leading wildcard does not match $ [MQTT-4.7.2-1]', async () => {
  const topics = ['$mine/a', '$mine', '$', 'a/$mine']
  expect(await matches('#', topics)).toEqual(['a/$mine'])
  expect(await matches('+/a', topics)).toEqual([])
  expect(await matches('+', topics)).toEqual([])
  expect(await matches('+/#', topics)).toEqual(['a/$mine'])
  expect(await matches('$mine/#', topics)).toEqual(['$mine/a', '$mine'])
  expect(await matches('$mine/+', topics)).toEqual(['$mine/a'])
  expect(await matches('$', topics)).toEqual(['$'])
})

test('reserved names: a publish is counted and not acknowledged, at QoS 1 and 2 the connection ends', async () => {
  const { stats } = b.broker.state
  await reader.subscribe(['$SYS/fake/#', 2], ['#', 2])
  const before = stats.droppedReserved
  const topics = ['$SYS/fake/x', '$dead/queue/x', '$share/g/x', '$queue/x', '$delayed/x', '$SYS', '$queue']
  for (const topic of topics) {
    await say(topic, 'x', 0)
    for (const o of [{ qos: 1 }, { qos: 2 }, { qos: 1, retain: true }] as const) {
      const sly = await MqttClient.connect(b.port, { client_id: 'sly' })
      sly.publish(topic, 'x', o)
      expect(await untilClosed(sly)).toEqual([])
    }
  }
  await publisher.ping()
  expect(stats.droppedReserved - before).toBe(topics.length * 4)
  expect(await delivered(reader)).toEqual([])
  expect(await reader.subscribe(['$SYS/fake/#', 1])).toEqual([1])
  expect(await delivered(reader)).toEqual([])
  // Names that only begin alike are ordinary.
  expect(await matches('$SYSTEM', ['$SYSTEM'])).toEqual(['$SYSTEM'])
  expect(await matches('$queues/a', ['$queues/a'])).toEqual(['$queues/a'])
})

test('reserved filters get 0x80, but for $SYS [MQTT-3.9.3-1]', async () => {
  const filters = [
    '$SYS/#',
    '$dead/session/x',
    '$queue/x',
    '$delayed/1/x',
    '$share/g',
    '$dead',
    '$queue',
    '$share',
    '$share/',
    '$share//x',
  ]
  expect(await reader.subscribe(...filters.map((f) => [f, 1] as const))).toEqual([1, ...Array(filters.length - 1).fill(0x80)])
  expect(await reader.unsubscribe(...filters)).toBeUndefined()
})

test('one SUBACK answers all filters, in order: granted and refused side by side [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1] [MQTT-3.9.3-2] [MQTT-2.3.1-7]', async () => {
  reader.send(
    packet.subscribe(513, [
      ['ok/0', 0],
      ['test/nosubscribe', 2],
      ['ok/2', 2],
      ['no/#', 0],
      ['ok/1', 1],
    ]),
  )
  expect(await reader.next()).toMatchObject({ type: T.SUBACK, flags: 0, id: 513, codes: [0, 0x80, 2, 0x80, 1] })
  for (const topic of ['ok/0', 'test/nosubscribe', 'ok/2', 'no/x', 'ok/1']) await say(topic, 'x', 2)
  expect(await delivered(reader)).toEqual(['ok/0 x q0', 'ok/2 x q2', 'ok/1 x q1'])
})

test('overlapping filters deliver once, at the highest QoS [MQTT-3.3.5-1]', async () => {
  for (const clean of [true, false]) {
    const client = await MqttClient.connect(b.port, { client_id: 'overlap', clean })
    await client.subscribe(['over/#', 0], ['over/+', 2], ['over/lap', 1])
    for (const qos of [0, 1, 2] as const) await say('over/lap', `${qos}`, qos)
    await publisher.ping()
    expect(await delivered(client)).toEqual(['over/lap 0 q0', 'over/lap 1 q1', 'over/lap 2 q2'])
    await client.unsubscribe('over/+')
    await say('over/lap', 'x', 2)
    expect(await delivered(client)).toEqual(['over/lap x q1'])
    await client.unsubscribe('over/lap')
    await say('over/lap', 'y', 2)
    expect(await delivered(client)).toEqual(['over/lap y q0'])
    await client.unsubscribe('over/#')
    await say('over/lap', 'z', 2)
    expect(await delivered(client)).toEqual([])
    await client.disconnect()
  }
})

test('the QoS is the lower of the message and the subscription [MQTT-3.8.4-6]', async () => {
  for (const granted of [0, 1, 2] as const) {
    await reader.subscribe(['down', granted])
    for (const qos of [0, 1, 2] as const) await say('down', 'x', qos)
    await publisher.ping()
    expect((await arrived(reader)).filter((p) => p.type === T.PUBLISH).map((p) => p.qos)).toEqual(
      [0, 1, 2].map((qos) => Math.min(qos, granted)),
    )
  }
})

test('the same filter again replaces the subscription: one copy, the new QoS [MQTT-3.8.4-3]', async () => {
  await reader.subscribe(['same', 2])
  await reader.subscribe(['same', 0])
  await say('same', 'x', 2)
  expect(await delivered(reader)).toEqual(['same x q0'])
  // Twice in one packet: as if sent one after the other.
  expect(await reader.subscribe(['same', 2], ['same', 1])).toEqual([2, 1])
  await say('same', 'y', 2)
  expect(await delivered(reader)).toEqual(['same y q1'])
  await reader.unsubscribe('same')
  await say('same', 'z', 2)
  expect(await delivered(reader)).toEqual([])
})

test('UNSUBSCRIBE is answered, known filter or not, and compares character by character [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]', async () => {
  await reader.subscribe(['un/+', 1], ['un/b', 1])
  reader.send(packet.unsubscribe(77, ['un/a', 'un/#', 'never', 'un/b']))
  expect(await reader.next()).toMatchObject({ type: T.UNSUBACK, flags: 0, id: 77 })
  await say('un/a')
  await say('un/b')
  expect(await delivered(reader)).toEqual(['un/a x q1', 'un/b x q1'])
  await reader.unsubscribe('un/+')
  await say('un/a')
  expect(await delivered(reader)).toEqual([])
})

test('UNSUBSCRIBE lets a delivery that was begun come to its end [MQTT-3.10.4-3]', async () => {
  const client = await MqttClient.connect(b.port, { client_id: 'finisher', auto_ack: false, clean: false })
  await client.subscribe(['finish', 2])
  await say('finish', 'x', 2)
  const { id } = await client.expect(T.PUBLISH)
  await client.unsubscribe('finish')
  client.send(packet.pubrec(id))
  expect(await client.next()).toMatchObject({ type: T.PUBREL, id })
  client.send(packet.pubcomp(id))
  expect(await arrived(client)).toEqual([])
  await client.disconnect()
})

test('filters that are none end the connection [MQTT-3.8.3-1] [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1]', async () => {
  for (const filter of ['', 'a#', '#/a', 'a/#/b', 'a+', '+a', 'a/b+/c', '##', '++', '/a#']) {
    expect(await closesOn(b.port, packet.subscribe(1, [[filter, 0]])), filter).toEqual([])
    expect(await closesOn(b.port, packet.unsubscribe(1, [filter])), filter).toEqual([])
  }
})

test('a PUBLISH to a filter, or to nothing, ends the connection [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-4.7.1-1] [MQTT-4.7.3-1]', async () => {
  for (const topic of ['', '#', '+', 'a/#', 'a/+/b', 'a+b', 'a#b'])
    for (const qos of [0, 1, 2] as const)
      expect(await closesOn(b.port, packet.publish(topic, 'x', { qos, id: 1 })), topic).toEqual([])
})

test('SUBSCRIBE and UNSUBSCRIBE: flags 0010, at least one filter, a QoS of 0 to 2, whole fields [MQTT-3.8.1-1] [MQTT-3.8.3-3] [MQTT-3.8.3-4] [MQTT-3.10.1-1] [MQTT-3.10.3-2]', async () => {
  const id = Buffer.from([0, 1])
  const a = text(Buffer.from('a'))
  for (const first of [0x80, 0x81, 0x83, 0x8a])
    expect(await closesOn(b.port, packet.frame(first, id, a, Buffer.from([0])))).toEqual([])
  for (const first of [0xa0, 0xa1, 0xa3, 0xaa]) expect(await closesOn(b.port, packet.frame(first, id, a))).toEqual([])
  expect(await closesOn(b.port, packet.frame(0x82, id))).toEqual([])
  expect(await closesOn(b.port, packet.frame(0xa2, id))).toEqual([])
  for (const qos of [3, 4, 0x80, 0x42]) expect(await closesOn(b.port, packet.frame(0x82, id, a, Buffer.from([qos])))).toEqual([])
  expect(await closesOn(b.port, packet.frame(0x82, id, a))).toEqual([])
  expect(await closesOn(b.port, packet.frame(0x82, Buffer.from([0])))).toEqual([])
  expect(await closesOn(b.port, packet.frame(0x82, id, Buffer.from([0, 5, 0x61])))).toEqual([])
  expect(await closesOn(b.port, packet.frame(0xa2, id, Buffer.from([0, 5, 0x61])))).toEqual([])
})

test('a SUBSCRIBE with one bad filter makes none of its subscriptions [MQTT-4.8.0-1]', async () => {
  const client = await MqttClient.connect(b.port, { client_id: 'half', clean: false })
  client.send(
    packet.subscribe(1, [
      ['half/ok', 1],
      ['half/#/no', 1],
    ]),
  )
  await client.closed
  await say('half/ok')
  const back = await MqttClient.connect(b.port, { client_id: 'half', clean: false })
  expect(await delivered(back)).toEqual([])
  await back.disconnect()
})

/** Every class of bytes that is not UTF-8, and U+0000 [Unicode table 3-7]. */
const ILL_FORMED: [string, number[]][] = [
  ['U+0000', [0x61, 0x00]],
  ['a lone continuation', [0x80]],
  ['the last continuation', [0xbf]],
  ['overlong /, two bytes', [0xc0, 0xaf]],
  ['overlong U+007F', [0xc1, 0xbf]],
  ['overlong U+0000, the Java way', [0xc0, 0x80]],
  ['overlong, three bytes', [0xe0, 0x9f, 0xbf]],
  ['overlong, four bytes', [0xf0, 0x8f, 0xbf, 0xbf]],
  ['the first surrogate U+D800', [0xed, 0xa0, 0x80]],
  ['the last surrogate U+DFFF', [0xed, 0xbf, 0xbf]],
  ['a surrogate pair', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
  ['above U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
  ['five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ['six bytes', [0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]],
  ['0xFE', [0xfe]],
  ['0xFF', [0xff]],
  ['cut after one of two', [0xc3]],
  ['cut after one of three', [0xe2]],
  ['cut after two of three', [0xe2, 0x82]],
  ['cut after three of four', [0xf0, 0x9f, 0x98]],
  ['no continuation, ASCII instead', [0xc3, 0x28]],
  ['no third byte, ASCII instead', [0xe2, 0x82, 0x28]],
]

test.each(ILL_FORMED)(
  'ill-formed UTF-8 ends the connection in topics and filters: %s [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-3.3.2-1] [MQTT-3.8.3-1] [MQTT-3.10.3-1] [MQTT-4.7.3-2]',
  async (_name, bytes) => {
    for (const field of [Buffer.from(bytes), Buffer.concat([Buffer.from('a/'), Buffer.from(bytes), Buffer.from('/b')])]) {
      expect(await closesOn(b.port, packet.publish(field, 'x'))).toEqual([])
      expect(await closesOn(b.port, packet.publish(field, 'x', { qos: 1, id: 1 }))).toEqual([])
      expect(await closesOn(b.port, packet.frame(0x82, Buffer.from([0, 1]), text(field), Buffer.from([0])))).toEqual([])
      expect(await closesOn(b.port, packet.frame(0xa2, Buffer.from([0, 1]), text(field)))).toEqual([])
    }
  },
)

test('the edges of UTF-8 are allowed, non-characters and control characters, too [MQTT-1.5.3-3]', async () => {
  const topics = [
    '\u0001',
    '\u007f',
    '\u0080',
    '\u07ff',
    '\u0800',
    '\ud7ff',
    '\ue000',
    '\uffff',
    '\u{10000}',
    '\u{10ffff}',
    'a\u001fb',
  ]
  for (const topic of topics) expect(await matches(topic, [topic])).toEqual([topic])
})

test('topics of 65,535 bytes work at every QoS; the payload behind them, too [MQTT-4.7.3-3]', async () => {
  const topic = 'l'.repeat(65_535)
  for (const qos of [0, 1, 2] as const) {
    await reader.subscribe([topic, qos])
    await publisher.publishAndWait(topic, `payload ${qos}`, { qos })
    const p = await reader.expect(T.PUBLISH)
    expect([p.topic.length, p.payload.toString(), p.qos]).toEqual([65_535, `payload ${qos}`, qos])
    await reader.unsubscribe(topic)
  }
  await publisher.publishAndWait(topic, 'kept', { qos: 1, retain: true })
  await reader.subscribe([topic, 1])
  expect(await reader.expect(T.PUBLISH)).toMatchObject({ topic, retain: true, payload: Buffer.from('kept') })
  await publisher.publishAndWait(topic, '', { qos: 1, retain: true })
})

test('max_topic_levels: the deepest allowed works; a deeper PUBLISH ends the connection, a deeper filter gets 0x80', async () => {
  const deep = (levels: number): string => Array(levels).fill('d').join('/')
  expect(await matches(deep(200), [deep(200)])).toEqual([deep(200)])
  expect(await matches('/'.repeat(199), ['/'.repeat(199)])).toEqual(['/'.repeat(199)])
  expect(await reader.subscribe([deep(201), 1], [deep(200), 1], ['/'.repeat(65_535), 0])).toEqual([0x80, 1, 0x80])
  await reader.unsubscribe(deep(201), deep(200))
  expect(await closesOn(b.port, packet.publish(deep(201), 'x'))).toEqual([])
  expect(await closesOn(b.port, packet.publish('/'.repeat(65_535), 'x', { qos: 1, id: 1 }))).toEqual([])
})

test('a publisher hears its own messages, and each of its filters counts', async () => {
  const client = await openWith(
    b.port,
    Buffer.concat([
      packet.connect({ client_id: 'echo' }),
      packet.subscribe(1, [['echo', 1]]),
      packet.publish('echo', 'x', { qos: 2, id: 3 }),
    ]),
  )
  expect(await client.expect(T.PUBLISH)).toMatchObject({ qos: 1, dup: false, retain: false })
  await client.disconnect()
})

test('DUP of a publisher is not handed on [MQTT-3.3.1-3]', async () => {
  await reader.subscribe(['dup', 2])
  for (const qos of [1, 2] as const) publisher.send(packet.publish('dup', 'x', { qos, id: 900 + qos, dup: true }))
  await publisher.expect(T.PUBREC)
  await publisher.expect(T.PUBACK)
  publisher.send(packet.pubrel(902))
  await publisher.expect(T.PUBCOMP)
  expect(await delivered(reader)).toEqual(['dup x q1', 'dup x q2'])
})

test('per topic and QoS the order of the publisher is kept, whoever listens [MQTT-4.6.0-5] [MQTT-4.6.0-6]', async () => {
  const stored = await MqttClient.connect(b.port, { client_id: 'order-stored', clean: false })
  const idle = await MqttClient.connect(b.port, { client_id: 'order-idle', clean: false })
  for (const client of [reader, stored, idle]) await client.subscribe(['seq/#', 2])
  await idle.disconnect()
  const sent: Buffer[] = []
  for (let n = 0; n < 900; n++) sent.push(packet.publish(`seq/${n % 2}`, `${n}`, { qos: (n % 3) as QoS, id: n + 1 }))
  publisher.inbox.length = 0
  publisher.send(Buffer.concat(sent))
  let seen = 0
  for (; seen < 600; seen++) {
    const p = await publisher.expect(0, (x) => x.type === T.PUBACK || x.type === T.PUBREC)
    if (p.type === T.PUBREC) publisher.send(packet.pubrel(p.id))
  }
  const all = async (client: MqttClient, count: number): Promise<void> => {
    const last = new Map<string, number>()
    for (let i = 0; i < count; i++) {
      const p = await client.expect(T.PUBLISH)
      const key = `${p.topic} ${p.qos}`
      const n = Number(p.payload.toString())
      expect(n, key).toBeGreaterThan(last.get(key) ?? -1)
      last.set(key, n)
    }
  }
  await all(reader, 900)
  await all(stored, 900)
  const back = await MqttClient.connect(b.port, { client_id: 'order-idle', clean: false })
  await all(back, 600)
  await stored.disconnect()
  await back.disconnect()
})
