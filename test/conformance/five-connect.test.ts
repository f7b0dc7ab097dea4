/** CONNECT and CONNACK of MQTT 5: what is taken, what is refused and with which reason, what the broker says of itself. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  arrived,
  type ClockedBroker,
  delivered,
  MqttClient,
  openWith,
  type Packet,
  packet,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'
import { answerTo, connectBy, field, ILL_FORMED, join, type Props, properties, said } from './five.js'

let b: ClockedBroker
beforeAll(async () => {
  b = await startClocked()
})
afterAll(() => b.close())

const isHere = (client_id: string): boolean => [...b.broker.state.connections].some((c) => c.id === client_id)

/** Nothing but a refusal with one of these codes, or no answer at all, then the end. */
async function refuses(bytes: Buffer, what: string, ...codes: number[]): Promise<void> {
  const got = await answerTo(b.port, bytes)
  expect(['', ...codes.map((code) => `CONNACK ${code.toString(16)}`)], what).toContain(got.join())
}

/** A CONNACK with this very code, then the end. */
async function refusesWith(bytes: Buffer, what: string, code: number): Promise<void> {
  expect(await answerTo(b.port, bytes), what).toEqual([`CONNACK ${code.toString(16)}`])
}

async function accepts(bytes: Buffer, what: string): Promise<Packet> {
  const client = await openWith(b.port, bytes, { protocol: 5 })
  const connack = await client.expect(T.CONNACK)
  expect([connack.flags, connack.code, connack.present], what).toEqual([0, 0, false])
  await client.disconnect()
  return connack
}

describe('what a CONNECT is', () => {
  test('the first packet, or the connection ends without a word [MQTT-3.1.0-1] [MQTT-3.14.0-1]', async () => {
    const firsts = [
      packet.pingreq(),
      packet.publish('t', 'x', { properties: {} }),
      packet.subscribe(1, [['t', 0]], {}),
      packet.reason(T.DISCONNECT, 0, {}),
      packet.reason(T.AUTH, 0x18, { authenticationMethod: 'x' }),
      Buffer.from([0x20, 3, 0, 0, 0]),
    ]
    for (const bytes of firsts) expect(await answerTo(b.port, bytes)).toEqual([])
  })

  test('of the protocol MQTT and of a version that is spoken [MQTT-3.1.2-1] [MQTT-3.1.2-2]', async () => {
    for (const name of ['', 'mqtt', 'MQTX', 'MQTTT', 'HTTP']) await refuses(connectBy({ name }), name, 0x84)
    for (const level of [0, 2, 6, 255]) {
      const answer = await untilClosed(await openWith(b.port, connectBy({ level })))
      // In the form of MQTT 3.1.1, which every version can read.
      expect(
        answer.map((p) => [p.type, p.code, p.present]),
        `${level}`,
      ).toEqual([[T.CONNACK, 1, false]])
    }
  })

  test('without the reserved flag: 0x81 [MQTT-3.1.2-3] [MQTT-3.1.4-1]', async () => {
    await refusesWith(connectBy({ flags: 3 }), 'bit 0', 0x81)
    for (let flags = 1; flags < 16; flags++) {
      const bytes = Buffer.concat([Buffer.from([0x10 | flags]), connectBy({}).subarray(1)])
      await refuses(bytes, `flags ${flags}`, 0x81)
    }
  })

  test('with will fields exactly when the flag says so [MQTT-3.1.2-9] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13]', async () => {
    const will = [field('c'), properties({ willDelayInterval: 0 }), field('will/flags'), field('gone')]
    for (const qos of [0, 1, 2]) await accepts(connectBy({ flags: 0b0010_0110 | (qos << 3), fields: will }), `QoS ${qos}`)
    await refusesWith(connectBy({ flags: 0b0001_1110, fields: will }), 'QoS 3', 0x81)
    await refusesWith(connectBy({ flags: 0b0000_1010 }), 'QoS 1 without a will', 0x81)
    await refusesWith(connectBy({ flags: 0b0010_0010 }), 'retain without a will', 0x81)
    for (let count = 1; count < 4; count++)
      await refusesWith(connectBy({ flags: 6, fields: will.slice(0, count) }), `${count} fields`, 0x81)
    await refusesWith(connectBy({ fields: will }), 'fields without the flag', 0x81)
  })

  test('with user name and password exactly when their flags say so, each without the other [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19]', async () => {
    const [c, user, password] = [field('c'), field('me'), field(Buffer.from([0, 255]))]
    await accepts(connectBy({ flags: 0x82, fields: [c, user] }), 'user name')
    await accepts(connectBy({ flags: 0x42, fields: [c, password] }), 'password')
    await accepts(connectBy({ flags: 0xc2, fields: [c, user, password] }), 'both')
    await refusesWith(connectBy({ flags: 0x82, fields: [c] }), 'no user name', 0x81)
    await refusesWith(connectBy({ flags: 0x42, fields: [c] }), 'no password', 0x81)
    await refusesWith(connectBy({ flags: 0xc2, fields: [c, user] }), 'one of two', 0x81)
    await refusesWith(connectBy({ flags: 0x02, fields: [c, user] }), 'one without a flag', 0x81)
    await refusesWith(connectBy({ flags: 0x82, fields: [c, user, password] }), 'two for one flag', 0x81)
  })

  test('with its fields in order, the client identifier first [MQTT-3.1.3-1] [MQTT-3.1.3-3]', async () => {
    await refusesWith(connectBy({ fields: [] }), 'no identifier', 0x81)
    await refusesWith(connectBy({ fields: [Buffer.from([0, 5, 0x61])] }), 'half an identifier', 0x81)
    const reader = await join(b.port, 'order-reader')
    await reader.subscribe(['order/will', 0])
    const fields = [
      field('order-id'),
      properties({ contentType: 'type' }),
      field('order/will'),
      field('order/user'),
      field('u'),
      field('p'),
    ]
    const client = await openWith(b.port, connectBy({ flags: 0xc6, fields }), { protocol: 5 })
    await client.expect(T.CONNACK)
    expect(isHere('order-id')).toBe(true)
    client.destroy()
    expect(await reader.expect(T.PUBLISH)).toMatchObject({
      topic: 'order/will',
      payload: Buffer.from('order/user'),
      properties: { contentType: 'type' },
    })
    await reader.disconnect()
  })

  test('with text that is UTF-8: 0x81 [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12]', async () => {
    const empty = properties()
    for (const bad of ILL_FORMED) {
      const what = bad.toString('hex')
      await refusesWith(connectBy({ fields: [field(bad)] }), `client id ${what}`, 0x81)
      await refusesWith(connectBy({ flags: 0x82, fields: [field('c'), field(bad)] }), `user name ${what}`, 0x81)
      await refusesWith(connectBy({ flags: 6, fields: [field('c'), empty, field(bad), field('x')] }), `will topic ${what}`, 0x81)
    }
    for (const topic of ['', 'a/#', '+'])
      await refuses(connectBy({ flags: 6, fields: [field('c'), empty, field(topic), field('x')] }), topic, 0x81, 0x82, 0x90)
  })

  test('with properties that it may have, once each, and values that are some', async () => {
    const wrong: readonly [Props | Buffer, number][] = [
      [Buffer.from('0311000000', 'hex'), 0x81],
      [Buffer.from('8500', 'hex'), 0x81],
      [{ reasonString: 'x' }, 0x81],
      [{ topicAlias: 1 }, 0x81],
      [{ receiveMaximum: 0 }, 0x82],
      [{ maximumPacketSize: 0 }, 0x82],
      [{ requestProblemInformation: 2 }, 0x82],
      [{ requestResponseInformation: 2 }, 0x82],
      [{ authenticationData: Buffer.from('x') }, 0x82],
      [Buffer.concat([Buffer.from([6]), ...[1, 1].map(() => Buffer.from([0x21, 0, 1]))]), 0x82],
    ]
    for (const [given, code] of wrong) {
      const props = Buffer.isBuffer(given) ? given : properties(given)
      await refusesWith(connectBy({ props }), props.toString('hex'), code)
    }
    const will = (given: Props): Buffer[] => [field('c'), properties(given), field('w'), field('x')]
    for (const given of [{ topicAlias: 1 }, { subscriptionIdentifiers: [1] }])
      await refusesWith(connectBy({ flags: 6, fields: will(given) }), JSON.stringify(given), 0x81)
  })
})

test('every packet takes the properties that it may have, user properties over and over', async () => {
  const userProperties: [string, string][] = [
    ['a', '1'],
    ['a', '1'],
    ['', ''],
  ]
  const hello: Props = {
    sessionExpiryInterval: 10,
    receiveMaximum: 65_535,
    maximumPacketSize: 0xffff_ffff,
    topicAliasMaximum: 0,
    requestResponseInformation: 1,
    requestProblemInformation: 0,
    userProperties,
  }
  const will: Props = {
    willDelayInterval: 1,
    payloadFormatIndicator: 0,
    messageExpiryInterval: 0,
    correlationData: Buffer.alloc(0),
    userProperties,
  }
  const client = await join(b.port, 'all-properties', {
    properties: hello,
    will: { topic: 'w', payload: 'w', properties: will },
    auto_ack: false,
  })
  expect(client.connack?.code).toBe(0)
  client.send(packet.subscribe(1, [['all', 2]], { subscriptionIdentifiers: [1], userProperties }))
  expect((await client.next()).codes).toEqual([2])
  const all: Props = {
    payloadFormatIndicator: 0,
    messageExpiryInterval: 60,
    contentType: '',
    responseTopic: 'r',
    topicAlias: 1,
    userProperties,
  }
  client.send(packet.publish('all', '', { qos: 2, id: 1, properties: all }))
  await client.expect(T.PUBREC)
  client.send(packet.ack(T.PUBREL, 1, 0, { reasonString: '', userProperties }))
  await client.expect(T.PUBCOMP)
  const { id } = await client.expect(T.PUBLISH)
  client.send(packet.ack(T.PUBREC, id, 0, { reasonString: 'r', userProperties }))
  await client.expect(T.PUBREL)
  client.send(packet.ack(T.PUBCOMP, id, 0, { reasonString: 'r', userProperties }))
  client.send(packet.ack(T.PUBACK, 99, 0x10, { reasonString: 'r', userProperties }))
  client.send(packet.unsubscribe(2, ['all'], { userProperties }))
  expect((await client.next()).codes).toEqual([0])
  client.send(packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: 20, reasonString: 'r', userProperties }))
  expect(await untilClosed(client)).toEqual([])
})

describe('client identifiers', () => {
  test('of 1 to 23 letters and digits are taken, and many more [MQTT-3.1.3-5]', async () => {
    for (const id of ['a', '0123456789abcdefghijklm', 'NOPQRSTUVWXYZABCDEFGHIJ', 'ein/gerät #+$', 'x'.repeat(50_000)])
      await accepts(connectBy({ fields: [field(id)] }), id.slice(0, 30))
  })

  test('that are empty are replaced by one that is told, unique, and good for a later connection [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]', async () => {
    const names: string[] = []
    for (const clean of [true, false, true]) {
      const client = await join(b.port, '', { clean, properties: { sessionExpiryInterval: 60 } })
      expect(client.connack).toMatchObject({ code: 0, present: false })
      const name = String(client.connack?.properties.assignedClientIdentifier)
      expect(isHere(name)).toBe(true)
      names.push(name)
      await client.disconnect()
    }
    expect(new Set(names).size).toBe(3)
    const back = await join(b.port, names[0], { clean: false })
    expect(back.connack?.present).toBe(true)
    expect(back.connack?.properties.assignedClientIdentifier).toBeUndefined()
    await back.disconnect()
  })
})

describe('refusals', () => {
  test('by a program close with the reason that fits, session present 0 [MQTT-3.1.3-8] [MQTT-3.1.4-2] [MQTT-3.2.2-6] [MQTT-3.2.2-7]', async () => {
    const codes = new Map([
      [2, 0x85],
      [3, 0x88],
      [4, 0x86],
      [5, 0x87],
    ])
    const gate = await startClocked({
      aedes: {
        authenticate: (client, _user, _password, done) => {
          const code = Number(client.id.slice('code-'.length))
          done(Object.assign(new Error('no'), { returnCode: code }) as never, null)
        },
      },
    })
    for (const [returnCode, reason] of codes) {
      const o = { protocol: 5, client_id: `code-${returnCode}`, clean: false } as const
      const answer = await untilClosed(await openWith(gate.port, packet.connect(o), o))
      expect(said(answer)).toEqual([`CONNACK ${reason.toString(16)}`])
      expect(answer[0].present).toBe(false)
    }
    await gate.close()
  })

  test('leave what follows unread [MQTT-3.1.4-6]', async () => {
    const witness = await join(b.port, 'refused-witness')
    await witness.subscribe(['refused/#', 0])
    const behind = [packet.publish('refused/1', 'x', { properties: {} }), packet.pingreq()]
    expect(await answerTo(b.port, Buffer.concat([connectBy({ flags: 3 }), ...behind]))).toEqual(['CONNACK 81'])
    const method = connectBy({ props: properties({ authenticationMethod: 'no-such' }) })
    expect(await answerTo(b.port, Buffer.concat([method, ...behind]))).toEqual(['CONNACK 8c'])
    expect(await delivered(witness)).toEqual([])
    await witness.disconnect()
  })

  test('of a method of authentication that is not known: 0x8C, and never an AUTH [MQTT-4.12.0-1]', async () => {
    for (const props of [
      { authenticationMethod: 'no-such' },
      { authenticationMethod: 'no-such', authenticationData: Buffer.from('x') },
    ])
      await refusesWith(connectBy({ props: properties(props) }), 'method', 0x8c)
  })

  test('have no reason string where the client takes no packet of that size [MQTT-3.2.2-19] [MQTT-3.2.2-20]', async () => {
    const refused = (asked: Props) =>
      openWith(b.port, connectBy({ props: properties({ ...asked, authenticationMethod: 'no' }) }), { protocol: 5 })
    const [whole] = await untilClosed(await refused({ requestProblemInformation: 1 }))
    expect(whole.properties.reasonString).toMatch(/.+/)
    for (let size = 1; size < 40; size++) {
      const client = await refused({ requestProblemInformation: 1, maximumPacketSize: size })
      let bytes = 0
      client.socket.on('data', (chunk) => {
        bytes += chunk.length
      })
      const answer = await untilClosed(client)
      expect(bytes, `at most ${size}`).toBeLessThanOrEqual(size)
      if (size >= 5) expect(said(answer)).toEqual(['CONNACK 8c'])
    }
  })
})

describe('CONNACK', () => {
  test('is the answer to a good CONNECT, whole in every byte [MQTT-3.1.4-5] [MQTT-3.2.2-1] [MQTT-3.2.2-8]', async () => {
    const client = await openWith(b.port, connectBy({ fields: [field('bytes')] }), { protocol: 5 })
    const got: Buffer[] = []
    client.socket.on('data', (chunk) => got.push(chunk))
    await client.expect(T.CONNACK)
    await client.disconnect()
    const bytes = Buffer.concat(got)
    expect([bytes[0], bytes[1], bytes[2], bytes[3]]).toEqual([0x20, bytes.length - 2, 0, 0])
    expect(bytes[4]).toBe(bytes.length - 5)
  })

  test('comes before everything else, once, whatever rides behind the CONNECT [MQTT-3.2.0-1] [MQTT-3.2.0-2]', async () => {
    for (const clean of [true, false]) {
      const o = { protocol: 5, client_id: `eager-${clean}`, clean, properties: { sessionExpiryInterval: 60 } } as const
      const all = [
        packet.connect(o),
        packet.subscribe(1, [['eager', 1]], {}),
        packet.publish('eager', 'me', { qos: 1, id: 9, properties: {} }),
        packet.pingreq(),
      ]
      const client = await openWith(b.port, Buffer.concat(all), o)
      const types: number[] = []
      while (types.length < 5) types.push((await client.next()).type)
      expect(types[0]).toBe(T.CONNACK)
      expect(types.sort((x, y) => x - y)).toEqual([T.CONNACK, T.PUBLISH, T.PUBACK, T.SUBACK, T.PINGRESP])
      client.send(packet.puback(1))
      expect(await arrived(client)).toEqual([])
      await client.disconnect()
    }
  })

  test('says nothing of limits that are not there, and they are not: every QoS, retained messages, also in a will [MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.2.2-12] [MQTT-3.2.2-13]', async () => {
    const witness = await join(b.port, 'all-witness')
    const told = witness.connack?.properties ?? {}
    expect([
      told.maximumQoS,
      told.retainAvailable,
      told.wildcardSubscriptionAvailable,
      told.subscriptionIdentifiersAvailable,
    ]).toEqual([undefined, undefined, undefined, undefined])
    expect(await witness.subscribe(['all/0', 0], ['all/1', 1], ['all/2', 2])).toEqual([0, 1, 2])
    for (const qos of [0, 1, 2] as const) {
      const client = await join(b.port, 'all-will', { will: { topic: `all/${qos}`, payload: 'gone', qos, retain: true } })
      client.destroy()
      expect(await witness.expect(T.PUBLISH)).toMatchObject({ topic: `all/${qos}`, qos })
    }
    await witness.disconnect()
  })

  test('has response information only for those who asked, and no method where none was named [MQTT-3.1.2-28] [MQTT-4.12.0-6]', async () => {
    for (const props of [{}, { requestResponseInformation: 0 }]) {
      const client = await join(b.port, 'asker', { properties: props })
      const told = client.connack?.properties ?? {}
      expect([told.responseInformation, told.authenticationMethod, told.authenticationData]).toEqual([
        undefined,
        undefined,
        undefined,
      ])
      expect(await arrived(client)).toEqual([])
      await client.disconnect()
    }
  })
})

describe('packets without properties', () => {
  test('say so with a length of zero [MQTT-2.2.2-1]', async () => {
    const client = await join(b.port, 'zeros', { auto_ack: false })
    const got: Buffer[] = []
    client.socket.on('data', (chunk) => got.push(chunk))
    client.send(packet.subscribe(0x0102, [['zz', 1]], {}))
    await client.next()
    client.publish('zz', 'x', { id: 0x0304 })
    await client.next()
    client.send(packet.unsubscribe(0x0506, ['zz'], {}))
    await client.next()
    expect(Buffer.concat(got).toString('hex')).toBe(['900401020001', '3006', '00027a7a', '00', '78', 'b0040506', '0000'].join(''))
    await client.disconnect()
  })
})

describe('keep alive', () => {
  test('is one and a half times what the client said, where the server says nothing [MQTT-3.1.2-22] [MQTT-3.2.2-22]', async () => {
    for (const keepalive_s of [1, 10]) {
      const client = await join(b.port, 'silent', { keepalive_s })
      expect(client.connack?.properties.serverKeepAlive).toBeUndefined()
      b.clock.advance(keepalive_s * 1500)
      await client.ping()
      b.clock.advance(keepalive_s * 1500 - 1)
      expect(isHere('silent')).toBe(true)
      b.clock.advance(1001)
      expect(isHere('silent')).toBe(false)
      // With DISCONNECT 0x8D or without.
      expect(['', 'DISCONNECT 8d']).toContain(said(await untilClosed(client)).join())
    }
    const timeless = await join(b.port, 'timeless', { keepalive_s: 0 })
    b.clock.advance(3_000_000)
    await timeless.ping()
    await timeless.disconnect()
  })

  test('that the server shortens is told, and kept to', async () => {
    const held = await startClocked({ settings: { max_keepalive_s: 60 } })
    for (const [asked, told] of [
      [0, 60],
      [61, 60],
      [60, undefined],
      [5, undefined],
    ]) {
      const client = await join(held.port, 'held', { keepalive_s: asked ?? 0 })
      expect(client.connack?.properties.serverKeepAlive).toBe(told)
      await client.disconnect()
    }
    const client = await join(held.port, 'held', { keepalive_s: 6000 })
    held.clock.advance(89_000)
    await client.ping()
    held.clock.advance(92_000)
    expect(['', 'DISCONNECT 8d']).toContain(said(await untilClosed(client)).join())
    await held.close()
  })
})

describe('takeover', () => {
  test('of a connection that has no CONNACK yet is answered from CONNACK’s table, or not at all [MQTT-3.2.2-8]', async () => {
    // With a session to store CONNACK waits for a commit, which is held here.
    const o = { protocol: 5, client_id: 'at-once', clean: true, properties: { sessionExpiryInterval: 60 } } as const
    const other = await join(b.port, 'other')
    b.disk.holding = true
    const clients: MqttClient[] = []
    for (let i = 0; i < 4; i++) {
      clients.push(await openWith(b.port, packet.connect(o), { protocol: 5 }))
      await other.ping()
    }
    const heir = clients.pop() as MqttClient
    for (const client of clients) {
      const lines = said(await untilClosed(client))
      if (lines.length > 0) expect(lines).toEqual(['CONNACK 80'])
    }
    b.disk.holding = false
    while (b.disk.step());
    expect((await heir.expect(T.CONNACK)).code).toBe(0)
    await Promise.all([heir.disconnect(), other.disconnect()])
  })

  test('tells the former connection 0x8E and closes it [MQTT-3.1.4-3] [MQTT-3.1.3-2]', async () => {
    for (const clean of [true, false]) {
      const former = await join(b.port, 'taken', { clean })
      const heir = await join(b.port, 'taken', { clean })
      expect(said(await untilClosed(former))).toEqual(['DISCONNECT 8e'])
      await heir.ping()
      expect([...b.broker.state.connections].filter((c) => c.id === 'taken')).toHaveLength(1)
      // One of MQTT 3.1.1 does the same to it.
      const old = await MqttClient.connect(b.port, { client_id: 'taken', clean })
      expect(said(await untilClosed(heir))).toEqual(['DISCONNECT 8e'])
      await old.disconnect()
    }
  })
})
