/** What breaks the rules of MQTT 5, byte by byte, and the reason code that the broker closes with. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClockedBroker, closesOn, delivered, MqttClient, packet, startClocked, T } from '../support/broker.js'
import { answerTo, endOf, field, ILL_FORMED, join, options, type Props, properties, said, varint } from './five.js'

let b: ClockedBroker
beforeAll(async () => {
  b = await startClocked({ settings: { max_packet_bytes: 10_000 } })
})
afterAll(() => b.close())

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const id = Buffer.from([0, 1])
const none = properties()

/** Exactly one DISCONNECT with one of these codes, then the end. */
async function ends(wrong: Buffer, what: string, ...codes: number[]): Promise<void> {
  const allowed = codes.map((code) => `DISCONNECT ${code.toString(16)}`)
  const got = await endOf(b.port, wrong)
  expect(got, what).toHaveLength(1)
  expect(allowed, what).toContain(got[0])
}

describe('the fixed header', () => {
  test('flags that a packet may not have: 0x81 [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1]', async () => {
    const bodies: readonly [number, number, Buffer][] = [
      [T.PUBACK, 0, id],
      [T.PUBREC, 0, id],
      [T.PUBREL, 2, id],
      [T.PUBCOMP, 0, id],
      [T.SUBSCRIBE, 2, Buffer.concat([id, none, field('a'), Buffer.from([0])])],
      [T.UNSUBSCRIBE, 2, Buffer.concat([id, none, field('a')])],
      [T.PINGREQ, 0, Buffer.alloc(0)],
      [T.DISCONNECT, 0, Buffer.alloc(0)],
      [T.AUTH, 0, Buffer.alloc(0)],
    ]
    for (const [type, right, body] of bodies)
      for (let flags = 0; flags < 16; flags++)
        if (flags !== right) await ends(packet.frame((type << 4) | flags, body), `type ${type} flags ${flags}`, 0x81)
  })

  test('QoS 3: 0x81; DUP at QoS 0 [MQTT-3.3.1-4] [MQTT-3.3.1-2]', async () => {
    const body = Buffer.concat([field('a'), id, none])
    for (const first of [0x36, 0x37, 0x3e]) await ends(packet.frame(first, body), `${first}`, 0x81)
    await ends(packet.frame(0x38, field('a'), none), 'DUP', 0x81, 0x82)
  })

  test('a length of five bytes, or of more than it needs: 0x81 [MQTT-1.5.5-1]', async () => {
    for (const bytes of ['c0 80 00', '30 85 00 0001 61 00 78', 'c0 80 80 80 00', '30 ff ff ff ff 01', 'c0 80 80 80 80 00'])
      await ends(hex(bytes), bytes, 0x81)
  })

  test('types that only a server sends, or nobody', async () => {
    await ends(hex('00 00'), 'type 0', 0x81)
    for (const bytes of ['20 03 00 00 00', '90 04 0001 00 00', 'b0 04 0001 00 00', 'd0 00'])
      await ends(hex(bytes), bytes, 0x81, 0x82)
  })

  test('a packet above the Maximum Packet Size of the server: 0x95, by its length alone', async () => {
    await ends(hex('30 91 4e'), 'PUBLISH of 10,004 bytes', 0x95)
  })
})

describe('the property block', () => {
  test('a length that is too long, or written longer than it needs: 0x81 [MQTT-1.5.5-1]', async () => {
    const publish = (block: string): Buffer => packet.frame(0x30, field('a'), hex(block))
    for (const block of ['80 00', '05 01 00', '7f', '80 80 80 80 01', '02 01', '03 02 00 00', '01 01'])
      await ends(publish(block), block, 0x81)
  })

  test('an identifier that nobody knows, or that does not belong here: 0x81', async () => {
    for (const block of ['02 00 00', '02 7f 00', '05 11 00000001', '03 21 0001', '03 80 01 00'])
      await ends(packet.frame(0x30, field('a'), hex(block)), block, 0x81)
    const misplaced: readonly [string, Buffer][] = [
      ['SUBSCRIBE', packet.subscribe(1, [['a', 0]], { reasonString: 'x' })],
      ['UNSUBSCRIBE', packet.unsubscribe(1, ['a'], { subscriptionIdentifiers: [1] })],
      ['PUBACK', packet.ack(T.PUBACK, 1, 0, { topicAlias: 1 })],
      ['PUBREC', packet.ack(T.PUBREC, 1, 0, { contentType: 'x' })],
      ['PUBREL', packet.ack(T.PUBREL, 1, 0, { messageExpiryInterval: 1 })],
      ['PUBCOMP', packet.ack(T.PUBCOMP, 1, 0, { responseTopic: 'x' })],
      ['DISCONNECT', packet.reason(T.DISCONNECT, 0, { receiveMaximum: 1 })],
    ]
    for (const [what, bytes] of misplaced) await ends(bytes, what, 0x81)
  })

  test('a property twice: 0x82', async () => {
    const twice = (...given: Props[]): Buffer => {
      const parts = given.map((props) => properties(props).subarray(1))
      return Buffer.concat([varint(Buffer.concat(parts).length), ...parts])
    }
    const alike: readonly Props[] = [
      { payloadFormatIndicator: 1 },
      { messageExpiryInterval: 9 },
      { contentType: 'x' },
      { responseTopic: 'x' },
      { correlationData: Buffer.from('x') },
      { topicAlias: 1 },
    ]
    for (const props of alike) await ends(packet.frame(0x30, field('a'), twice(props, props)), JSON.stringify(props), 0x82)
    const identifier = { subscriptionIdentifiers: [1] }
    const one = Buffer.concat([field('a'), Buffer.from([0])])
    await ends(packet.frame(0x82, id, twice(identifier, identifier), one), 'SUBSCRIBE', 0x82)
    for (const type of [T.PUBACK, T.PUBREC, T.PUBREL, T.PUBCOMP]) {
      const first = (type << 4) | (type === T.PUBREL ? 2 : 0)
      await ends(packet.frame(first, id, Buffer.from([0]), twice({ reasonString: 'a' }, { reasonString: 'b' })), `${type}`, 0x82)
    }
    const expiry = { sessionExpiryInterval: 0 }
    await ends(packet.frame(0xe0, Buffer.from([0]), twice(expiry, expiry)), 'DISCONNECT', 0x82)
  })

  test('values that are none: 0x82, and 0x94 for a topic alias [MQTT-3.3.2-8]', async () => {
    const publish = (props: Props): Buffer => packet.publish('a', 'x', { properties: props })
    await ends(publish({ topicAlias: 0 }), 'alias 0', 0x94)
    await ends(publish({ topicAlias: 65_535 }), 'alias above the maximum', 0x94)
    await ends(packet.publish('', 'x', { properties: { topicAlias: 1 } }), 'an alias that says nothing', 0x82)
    await ends(publish({ payloadFormatIndicator: 2 }), 'format 2', 0x81, 0x82)
    await ends(packet.subscribe(1, [['a', 0]], { subscriptionIdentifiers: [0] }), 'identifier 0', 0x82)
    await ends(
      packet.frame(0x82, id, hex('06 0b 80 80 80 80 01'), field('a'), Buffer.from([0])),
      'identifier of five bytes',
      0x81,
    )
  })

  test('a subscription identifier from a publisher [MQTT-3.3.4-6]', async () => {
    await ends(packet.publish('a', 'x', { properties: { subscriptionIdentifiers: [1] } }), 'PUBLISH', 0x81, 0x82)
  })
})

describe('text', () => {
  test('ill-formed UTF-8 and U+0000, wherever text stands: 0x81 [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.7-1] [MQTT-3.3.2-1] [MQTT-3.3.2-13] [MQTT-3.3.2-19] [MQTT-3.8.3-1] [MQTT-3.10.3-1] [MQTT-4.7.3-2]', async () => {
    const pair = (key: Buffer, value: Buffer): Buffer => {
      const body = Buffer.concat([Buffer.from([38]), field(key), field(value)])
      return Buffer.concat([varint(body.length), body])
    }
    const good = Buffer.from('good')
    for (const bad of ILL_FORMED) {
      const places: readonly [string, Buffer][] = [
        ['topic', packet.publish(bad, 'x', { properties: {} })],
        ['content type', packet.publish('a', 'x', { properties: { contentType: bad } })],
        ['response topic', packet.publish('a', 'x', { properties: { responseTopic: bad } })],
        ['user property, name', packet.frame(0x30, field('a'), pair(bad, good))],
        ['user property, value', packet.frame(0x30, field('a'), pair(good, bad))],
        ['filter', packet.subscribe(1, [[bad, 0]], {})],
        ['filter to leave', packet.unsubscribe(1, [bad], {})],
        ['reason string', packet.ack(T.PUBREC, 1, 0x80, { reasonString: bad })],
        ['last words', packet.reason(T.DISCONNECT, 0, { reasonString: bad })],
      ]
      for (const [where, bytes] of places) await ends(bytes, `${where} ${bad.toString('hex')}`, 0x81)
    }
  })

  test('U+FEFF and the edges of UTF-8 arrive as they are [MQTT-1.5.4-3]', async () => {
    const reader = await join(b.port, 'edges')
    await reader.subscribe(['edges/#', 0])
    const texts = ['\ufeffa', 'a\ufeff', '\u0001', '\u007f', '\u0080', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}']
    for (const text of texts) {
      const given: Props = { contentType: text, responseTopic: text, userProperties: [[text, text]] }
      reader.publish(`edges/${text}`, 'x', { properties: given })
      expect(await reader.expect(T.PUBLISH)).toMatchObject({ topic: `edges/${text}`, properties: given })
    }
    await reader.disconnect()
  })
})

describe('PUBLISH', () => {
  test('without a topic: 0x82; with wildcards; with fields that end early: 0x81 [MQTT-3.3.2-2] [MQTT-4.7.0-1] [MQTT-4.7.3-1]', async () => {
    await ends(packet.publish('', 'x', { properties: {} }), 'no topic', 0x81, 0x82)
    for (const topic of ['#', '+', 'a/#', 'a/+/b', 'a#', 'a+b'])
      for (const qos of [0, 1, 2] as const)
        await ends(packet.publish(topic, 'x', { qos, id: 1, properties: {} }), topic, 0x81, 0x82, 0x90)
    for (const bytes of ['30 00', '30 01 00', '30 03 0005 61', '32 04 0001 61 00', '32 05 0001 61 0001', '30 03 0001 61'])
      await ends(hex(bytes), bytes, 0x81)
    for (const responseTopic of ['a/#', '+'])
      await ends(packet.publish('a', 'x', { properties: { responseTopic } }), responseTopic, 0x81, 0x82, 0x90)
  })

  test('a response topic with wildcards [MQTT-3.3.2-14]', async () => {
    for (const responseTopic of ['#', '+', 'a/#', 'a/+/b'])
      await ends(packet.publish('a', 'x', { qos: 1, id: 1, properties: { responseTopic } }), responseTopic, 0x81, 0x82, 0x90)
  })

  test('an empty response topic, in PUBLISH and in a will [MQTT-4.7.3-1]', async () => {
    const empty = { responseTopic: '' }
    for (const qos of [0, 1, 2] as const)
      await ends(packet.publish('a', 'x', { qos, id: 1, properties: empty }), `QoS ${qos}`, 0x82)
    const will = { topic: 'will', payload: 'x', properties: empty }
    const connect = packet.connect({ protocol: 5, client_id: 'empty', will })
    expect(await answerTo(b.port, connect)).toEqual(['CONNACK 82'])
  })

  test('identifier 0, here and elsewhere', async () => {
    const zeros = [
      packet.publish('a', 'x', { qos: 1, id: 0, properties: {} }),
      packet.publish('a', 'x', { qos: 2, id: 0, properties: {} }),
      packet.subscribe(0, [['a', 0]], {}),
      packet.unsubscribe(0, ['a'], {}),
      packet.ack(T.PUBACK, 0, 0, {}),
      packet.ack(T.PUBREL, 0, 0, {}),
    ]
    for (const bytes of zeros) await ends(bytes, bytes.toString('hex'), 0x81, 0x82)
  })
})

describe('acknowledgements', () => {
  test('too short, or with a reason code that is none of theirs [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]', async () => {
    for (const first of [0x40, 0x50, 0x62, 0x70]) {
      await ends(packet.frame(first, Buffer.from([0])), 'one byte', 0x81)
      await ends(packet.frame(first), 'nothing', 0x81)
      await ends(packet.frame(first, id, hex('00 05 1f')), 'a block that ends early', 0x81)
      for (const code of [0x01, 0x04, 0x18, 0x8e, 0xff])
        await ends(packet.frame(first, id, Buffer.from([code])), `${first} ${code}`, 0x81, 0x82)
    }
    // What PUBACK and PUBREC may say, PUBREL and PUBCOMP may not.
    for (const type of [T.PUBREL, T.PUBCOMP]) await ends(packet.ack(type, 1, 0x10, {}), `${type}`, 0x81, 0x82)
  })
})

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  test('without a filter: 0x82 [MQTT-3.8.3-2] [MQTT-3.10.3-2]', async () => {
    await ends(packet.subscribe(1, [], {}), 'SUBSCRIBE', 0x81, 0x82)
    await ends(packet.unsubscribe(1, [], {}), 'UNSUBSCRIBE', 0x81, 0x82)
  })

  test('options: reserved bits are 0x81, QoS 3 and Retain Handling 3 are 0x82 [MQTT-3.8.3-5]', async () => {
    for (const bits of [0x40, 0x80, 0xc0]) await ends(packet.subscribe(1, [['a', bits]], {}), `${bits}`, 0x81)
    await ends(packet.subscribe(1, [['a', 3]], {}), 'QoS 3', 0x81, 0x82)
    await ends(packet.subscribe(1, [['a', options({ handling: 3 })]], {}), 'handling 3', 0x82)
  })

  test('No Local on a shared subscription: 0x82 [MQTT-3.8.3-4]', async () => {
    await ends(packet.subscribe(1, [['$share/g/a', options({ noLocal: true })]], {}), 'no local', 0x82)
  })

  test('filters that are none [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1]', async () => {
    for (const filter of ['', 'a#', '#/a', 'a/#/b', 'a+', '+a', 'a/b+/c', '##', '++', '/a#']) {
      await ends(packet.subscribe(1, [[filter, 0]], {}), filter, 0x81, 0x82, 0x8f)
      await ends(packet.unsubscribe(1, [filter], {}), filter, 0x81, 0x82, 0x8f)
    }
  })

  test('shared filters that are none [MQTT-4.8.2-1] [MQTT-4.8.2-2]', async () => {
    for (const filter of [
      '$share',
      '$share/',
      '$share/g',
      '$share/g/',
      '$share//a',
      '$share/+/a',
      '$share/#/a',
      '$share/a+b/c',
      '$share/#',
    ]) {
      // Closed, or refused in SUBACK.
      const client = await join(b.port, 'unshared', { auto_ack: false })
      client.send(packet.subscribe(1, [[filter, 1]], {}))
      const p = await client.next()
      if (p.type === T.SUBACK)
        expect(
          p.codes.every((code) => code >= 0x80),
          filter,
        ).toBe(true)
      else expect(['DISCONNECT 81', 'DISCONNECT 82', 'DISCONNECT 8f'], filter).toContain(said([p])[0])
      client.destroy()
    }
  })

  test('fields that end early: 0x81', async () => {
    for (const bytes of [
      '82 01 00',
      '82 02 0001',
      '82 04 0001 00 00',
      '82 06 0001 00 0001 61',
      '82 08 0001 00 0005 61 00 00',
      'a2 05 0001 00 0005',
    ])
      await ends(hex(bytes), bytes, 0x81)
  })
})

describe('the rest', () => {
  test('a second CONNECT: 0x82 [MQTT-3.1.0-2]', async () => {
    await ends(packet.connect({ protocol: 5, client_id: 'wrong' }), 'CONNECT', 0x82)
  })

  test('PINGREQ with a body: 0x81', async () => {
    await ends(hex('c0 01 00'), 'PINGREQ', 0x81)
  })

  test('DISCONNECT with a reason code that is none of a client [MQTT-3.14.2-1]', async () => {
    for (const code of [0x01, 0x05, 0x10, 0xff]) await ends(packet.reason(T.DISCONNECT, code, {}), `${code}`, 0x81, 0x82)
  })

  test('AUTH where none was agreed: 0x82; with a code of its own making [MQTT-3.15.2-1]', async () => {
    await ends(packet.reason(T.AUTH, 0x18, { authenticationMethod: 'x' }), 'continue', 0x82)
    await ends(packet.reason(T.AUTH, 0x19, { authenticationMethod: 'x' }), 'again', 0x82)
    await ends(packet.reason(T.AUTH, 0x07, { authenticationMethod: 'x' }), 'code 7', 0x81, 0x82)
  })

  test('what is wrong closes one connection and no other, and what came before it counts [MQTT-4.13.1-1] [MQTT-4.13.2-1]', async () => {
    const witness = await join(b.port, 'witness')
    await witness.subscribe(['before', 0])
    const behind = packet.publish('before', 'behind', { properties: {} })
    const before = packet.publish('before', 'before', { qos: 1, id: 1, properties: {} })
    expect(await endOf(b.port, Buffer.concat([before, hex('00 00'), behind]))).toEqual(['PUBACK 0', 'DISCONNECT 81'])
    expect(await delivered(witness)).toEqual(['before before q0'])
    await witness.disconnect()
  })

  test('the same bytes from a client of MQTT 3.1.1 close without a word', async () => {
    for (const bytes of ['00 00', '36 05 0001 61 0001', 'f0 00']) expect(await closesOn(b.port, hex(bytes))).toEqual([])
    const old = await MqttClient.connect(b.port, { client_id: 'old' })
    await old.ping()
    await old.disconnect()
  })
})
