/** QoS 1 and 2 of MQTT 5, both ways: identifiers, handshakes, what is sent again and when, refusals, and flow control. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  arrived,
  type ClientOptions,
  type ClockedBroker,
  delivered,
  drop,
  type MqttClient,
  openWith,
  type Packet,
  packet,
  startClocked,
  T,
  take,
  untilClosed,
} from '../support/broker.js'
import { join, said } from './five.js'

let b: ClockedBroker
let publisher: MqttClient
beforeAll(async () => {
  // Resending on a live connection is on: MQTT 5 must not see it.
  b = await startClocked({ settings: { window: 32, max_inbound_qos2: 10 }, retry: { interval_ms: 1000 } })
  publisher = await join(b.port, 'publisher')
})
afterAll(() => b.close())

/** A client that answers nothing by itself, of a session that stays. */
const on = (client_id: string, o: ClientOptions = {}) =>
  join(b.port, client_id, { clean: false, auto_ack: false, ...o, properties: { sessionExpiryInterval: 3600, ...o.properties } })

async function away(client_id: string, filter: string, qos: 1 | 2): Promise<void> {
  const client = await on(client_id)
  await client.subscribe([filter, qos])
  await client.disconnect()
}

async function send(topic: string, count: number, qos: 1 | 2): Promise<void> {
  for (let n = 0; n < count; n++) await publisher.publishAndWait(topic, `${n}`, { qos })
}

const lose = (client: MqttClient): Promise<void> => drop(b, client, publisher)

const payloads = (packets: readonly Packet[]): string[] => packets.map((p) => p.payload.toString())

describe('from a publisher', () => {
  test('behind PUBACK the identifier is a new message, with DUP or without [MQTT-4.3.2-5]', async () => {
    const reader = await on('new-1', { auto_ack: true })
    await reader.subscribe(['new/1', 1])
    const client = await on('publisher-1')
    for (const dup of [false, true, false]) {
      client.send(packet.publish('new/1', 'x', { qos: 1, id: 5, dup, properties: {} }))
      expect(await client.next()).toMatchObject({ type: T.PUBACK, id: 5, code: 0 })
    }
    expect(await delivered(reader)).toEqual(Array(3).fill('new/1 x q1'))
    await reader.disconnect()
    await client.disconnect()
  })

  test('until PUBREL a repetition is answered and not handed on; behind PUBCOMP the identifier is new [MQTT-4.3.3-10] [MQTT-4.3.3-12]', async () => {
    const reader = await on('once', { auto_ack: true })
    await reader.subscribe(['once', 2])
    const client = await on('twice')
    client.send(packet.publish('once', 'a', { qos: 2, id: 7, properties: {} }))
    client.send(packet.publish('once', 'a', { qos: 2, id: 7, dup: true, properties: {} }))
    expect((await take(client, 2)).map((p) => [p.type, p.id, p.code])).toEqual(Array(2).fill([T.PUBREC, 7, 0]))
    await lose(client)
    const back = await on('twice')
    expect(back.connack?.present).toBe(true)
    // Clients in use do not set DUP there.
    for (const dup of [true, false]) {
      back.send(packet.publish('once', 'a', { qos: 2, id: 7, dup, properties: {} }))
      expect(await back.next()).toMatchObject({ type: T.PUBREC, id: 7, code: 0 })
    }
    for (let n = 0; n < 2; n++) {
      back.send(packet.ack(T.PUBREL, 7, 0, {}))
      expect(await back.next()).toMatchObject({ type: T.PUBCOMP, id: 7, code: 0 })
    }
    back.send(packet.publish('once', 'b', { qos: 2, id: 7, properties: {} }))
    expect(await back.next()).toMatchObject({ type: T.PUBREC, id: 7, code: 0 })
    back.send(packet.pubrel(7))
    await back.expect(T.PUBCOMP)
    expect(await delivered(reader)).toEqual(['once a q2', 'once b q2'])
    await reader.disconnect()
    await back.disconnect()
  })

  test('behind a PUBREC that refuses, the identifier is a new message [MQTT-4.3.3-9]', async () => {
    const reader = await on('refusals', { auto_ack: true })
    await reader.subscribe(['allowed', 2])
    const client = await on('refused')
    // Nobody may publish there.
    client.send(packet.publish('$SYS/x', 'x', { qos: 2, id: 8, properties: {} }))
    const refusal = await client.next()
    expect([refusal.type, refusal.id, refusal.code]).toEqual([T.PUBREC, 8, 0x87])
    client.send(packet.publish('allowed', 'y', { qos: 2, id: 8, properties: {} }))
    expect(await client.next()).toMatchObject({ type: T.PUBREC, id: 8, code: 0 })
    client.send(packet.pubrel(8))
    expect(await client.next()).toMatchObject({ type: T.PUBCOMP, id: 8, code: 0 })
    expect(await delivered(reader)).toEqual(['allowed y q2'])
    await reader.disconnect()
    await client.disconnect()
  })

  test('what nobody subscribed to is acknowledged: with 0x10 or as ever', async () => {
    const client = await on('lonely')
    client.send(packet.publish('nobody/is/here', 'x', { qos: 1, id: 1, properties: {} }))
    const puback = await client.next()
    expect([0, 0x10]).toContain(puback.code)
    client.send(packet.publish('nobody/is/here', 'x', { qos: 2, id: 2, properties: {} }))
    const pubrec = await client.next()
    expect([0, 0x10]).toContain(pubrec.code)
    client.send(packet.pubrel(2))
    expect(await client.next()).toMatchObject({ type: T.PUBCOMP, id: 2, code: 0 })
    await client.disconnect()
  })

  test('as many as Receive Maximum may be unanswered; one more ends the connection with 0x93', async () => {
    const client = await on('eager')
    expect(client.connack?.properties.receiveMaximum).toBe(10)
    const ids = Array.from({ length: 10 }, (_, n) => n + 1)
    client.send(Buffer.concat(ids.map((id) => packet.publish('eager', 'x', { qos: 2, id, properties: {} }))))
    expect((await take(client, 10)).map((p) => [p.type, p.id])).toEqual(ids.map((id) => [T.PUBREC, id]))
    client.send(packet.pubrel(4))
    expect((await client.next()).type).toBe(T.PUBCOMP)
    client.send(packet.publish('eager', 'x', { qos: 2, id: 11, properties: {} }))
    expect(await client.next()).toMatchObject({ type: T.PUBREC, id: 11 })
    client.send(packet.publish('eager', 'x', { qos: 2, id: 12, properties: {} }))
    expect(said(await untilClosed(client))).toEqual(['DISCONNECT 93'])
  })
})

describe('to a subscriber', () => {
  test('identifiers are not 0 and not in use; QoS 0 has none; nothing has DUP the first time [MQTT-2.2.1-2] [MQTT-2.2.1-4] [MQTT-4.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1] [MQTT-4.3.3-2]', async () => {
    const client = await on('ids')
    await client.subscribe(['ids', 2])
    for (let n = 0; n < 9; n++) await publisher.publishAndWait('ids', `${n}`, { qos: (n % 3) as 0 | 1 | 2 })
    const got = await take(client, 9)
    expect(got.map((p) => [p.payload.toString(), p.qos, p.dup])).toEqual(got.map((_, n) => [`${n}`, n % 3, false]))
    const ids = got.filter((p) => p.qos > 0).map((p) => p.id)
    expect(ids.every((id) => id > 0)).toBe(true)
    expect(new Set(ids).size).toBe(6)
    await client.disconnect()
  })

  test('a whole QoS 2 delivery: PUBLISH, PUBREC, PUBREL, PUBCOMP [MQTT-4.3.3-4]', async () => {
    const client = await on('whole')
    await client.subscribe(['whole', 2])
    await send('whole', 1, 2)
    const { id } = await client.next()
    for (const pubrec of [
      packet.pubrec(id),
      packet.ack(T.PUBREC, id, 0, {}),
      packet.ack(T.PUBREC, id, 0x10, { reasonString: 'x' }),
    ]) {
      client.send(pubrec)
      expect(await client.next()).toMatchObject({ type: T.PUBREL, flags: 2, id, code: 0 })
    }
    client.send(packet.ack(T.PUBCOMP, id, 0, {}))
    expect(await arrived(client)).toEqual([])
    await client.disconnect()
  })

  test('nothing is sent again on a live connection, however long it takes [MQTT-4.4.0-1]', async () => {
    const client = await on('patient')
    await client.subscribe(['patient', 2])
    await send('patient', 1, 1)
    await send('patient', 2, 2)
    const got = await take(client, 3)
    client.send(packet.pubrec(got[2].id))
    await client.expect(T.PUBREL)
    for (let n = 0; n < 20; n++) b.clock.advance(60_000)
    expect(await arrived(client)).toEqual([])
    await lose(client)
    // A reconnect is when it is: the same identifiers, DUP, the old order; PUBREL for what was received.
    const back = await on('patient')
    const again = await take(back, 3)
    expect(again.filter((p) => p.type === T.PUBLISH).map((p) => [p.id, p.qos, p.dup])).toEqual([
      [got[0].id, 1, true],
      [got[1].id, 2, true],
    ])
    expect(again.filter((p) => p.type === T.PUBREL).map((p) => p.id)).toEqual([got[2].id])
    expect(await arrived(back)).toEqual([])
    await back.disconnect()
  })

  test('what has no answer comes again after a reconnect: same identifier, DUP, old order [MQTT-3.3.1-1] [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.6.0-1]', async () => {
    for (const qos of [1, 2] as const) {
      await away(`again-${qos}`, `again/${qos}`, qos)
      await send(`again/${qos}`, 5, qos)
      const first = await on(`again-${qos}`)
      const before = await take(first, 5)
      expect(before.every((p) => !p.dup)).toBe(true)
      if (qos === 1) first.send(packet.puback(before[2].id))
      else {
        first.send(packet.pubrec(before[2].id))
        await first.expect(T.PUBREL)
        first.send(packet.pubcomp(before[2].id))
      }
      await first.ping()
      await lose(first)
      await publisher.publishAndWait(`again/${qos}`, 'new', { qos })
      const second = await on(`again-${qos}`)
      const after = await take(second, 5)
      expect(after.map((p) => [p.payload.toString(), p.dup])).toEqual([
        ['0', true],
        ['1', true],
        ['3', true],
        ['4', true],
        ['new', false],
      ])
      expect(after.slice(0, 4).map((p) => p.id)).toEqual([0, 1, 3, 4].map((n) => before[n].id))
      await second.disconnect()
    }
  })

  test('behind PUBREC it is PUBREL that comes again, until PUBCOMP, and the PUBLISH no more [MQTT-4.3.3-5] [MQTT-4.3.3-6]', async () => {
    await away('released', 'released', 2)
    await send('released', 1, 2)
    const first = await on('released')
    const { id } = await first.next()
    first.send(packet.pubrec(id))
    await first.expect(T.PUBREL)
    for (let n = 0; n < 3; n++) {
      const next = await on('released')
      expect(await next.next()).toMatchObject({ type: T.PUBREL, id, code: 0 })
      expect(await arrived(next)).toEqual([])
      if (n === 2) {
        next.send(packet.pubcomp(id))
        await next.ping()
      }
      await lose(next)
    }
    const last = await on('released')
    expect(await arrived(last)).toEqual([])
    await last.disconnect()
  })

  test('PUBACK or PUBREC of 0x80 or more ends the delivery: nothing comes again, and there is no PUBREL [MQTT-4.4.0-2]', async () => {
    await away('no-thanks', 'no/#', 2)
    await send('no/1', 1, 1)
    await send('no/2', 1, 2)
    const first = await on('no-thanks')
    const [one, two] = await take(first, 2)
    first.send(packet.ack(T.PUBACK, one.id, 0x83, { reasonString: 'no' }))
    first.send(packet.ack(T.PUBREC, two.id, 0x97, {}))
    expect(await arrived(first)).toEqual([])
    await lose(first)
    const second = await on('no-thanks')
    expect(await arrived(second)).toEqual([])
    await second.disconnect()
  })

  test('a PUBREC of nothing is answered with PUBREL 0x92, a PUBREL of nothing with PUBCOMP 0x92', async () => {
    const client = await on('stray')
    client.send(packet.pubrec(9))
    expect(await client.next()).toMatchObject({ type: T.PUBREL, id: 9, code: 0x92 })
    client.send(packet.pubrel(10))
    expect(await client.next()).toMatchObject({ type: T.PUBCOMP, id: 10, code: 0x92 })
    client.send(Buffer.concat([packet.puback(7), packet.pubcomp(8)]))
    expect(await arrived(client)).toEqual([])
    await client.disconnect()
  })
})

describe('Receive Maximum of the client', () => {
  test('is the most that is unacknowledged; each acknowledgement lets one more in [MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2]', async () => {
    for (const qos of [1, 2] as const)
      for (const receiveMaximum of [1, 3]) {
        const topic = `quota/${qos}/${receiveMaximum}`
        await away(topic, topic, qos)
        await send(topic, 8, qos)
        const client = await on(topic, { properties: { receiveMaximum } })
        const got = await take(client, receiveMaximum)
        expect(await arrived(client)).toEqual([])
        if (qos === 1) client.send(packet.puback(got[0].id))
        else {
          // Not PUBREC gives the place back, but PUBCOMP does; so does a PUBREC that refuses.
          client.send(packet.pubrec(got[0].id))
          expect((await arrived(client)).map((p) => p.type)).toEqual([T.PUBREL])
          client.send(packet.pubcomp(got[0].id))
        }
        const [next] = await take(client, 1)
        expect(payloads([next])).toEqual([`${receiveMaximum}`])
        client.send(packet.ack(qos === 1 ? T.PUBACK : T.PUBREC, next.id, 0x80, {}))
        expect(payloads(await take(client, 1))).toEqual([`${receiveMaximum + 1}`])
        expect(await arrived(client)).toEqual([])
        await client.disconnect()
      }
  })

  test('also holds for what comes again after a reconnect [MQTT-3.3.4-9] [MQTT-4.9.0-2]', async () => {
    for (const qos of [1, 2] as const) {
      await away(`smaller-${qos}`, `smaller/${qos}`, qos)
      await send(`smaller/${qos}`, 8, qos)
      const first = await on(`smaller-${qos}`)
      const sent = await take(first, 8)
      await lose(first)
      const second = await on(`smaller-${qos}`, { properties: { receiveMaximum: 3 } })
      for (let n = 0; n < 8; n++) {
        const p = await second.next()
        expect([`${p.payload}`, p.id, p.dup]).toEqual([`${n}`, sent[n].id, true])
        // Three are here; the next one comes for the first of them.
        if (n < 2) continue
        if (n === 2) expect(await arrived(second)).toEqual([])
        if (qos === 1) second.send(packet.puback(sent[n - 2].id))
        else {
          second.send(packet.pubrec(sent[n - 2].id))
          expect(await second.next()).toMatchObject({ type: T.PUBREL, id: sent[n - 2].id })
          second.send(packet.pubcomp(sent[n - 2].id))
        }
      }
      expect(await arrived(second)).toEqual([])
      await second.disconnect()
    }
  })

  test('holds back nothing else: QoS 0, SUBACK, PINGRESP and what the client publishes go on [MQTT-3.3.4-10] [MQTT-4.9.0-3]', async () => {
    const client = await on('held', { properties: { receiveMaximum: 1 } })
    await client.subscribe(['held', 1], ['free', 0])
    await send('held', 3, 1)
    const [first] = await take(client, 1)
    await publisher.publishAndWait('free', 'x', { qos: 1 })
    expect(await client.next()).toMatchObject({ type: T.PUBLISH, topic: 'free', qos: 0 })
    expect(await client.subscribe(['other', 1])).toEqual([1])
    client.send(packet.publish('elsewhere', 'x', { qos: 2, id: 3, properties: {} }))
    expect((await client.next()).type).toBe(T.PUBREC)
    client.send(packet.pubrel(3))
    expect((await client.next()).type).toBe(T.PUBCOMP)
    expect(await arrived(client)).toEqual([])
    client.send(packet.puback(first.id))
    expect(payloads(await take(client, 1))).toEqual(['1'])
    await client.disconnect()
  })
})

describe('Maximum Packet Size of the client', () => {
  test('no packet is larger; what would be counts as delivered, and the next one comes [MQTT-3.1.2-24] [MQTT-3.1.2-25]', async () => {
    for (const qos of [0, 1, 2] as const) {
      const limited = await on(`size-${qos}`, { auto_ack: true, properties: { maximumPacketSize: 100, receiveMaximum: 1 } })
      await limited.subscribe(['size', qos])
      // 2 bytes of header, 6 of topic, 2 of identifier, 1 of properties.
      const fits = 100 - 9 - (qos > 0 ? 2 : 0)
      for (const bytes of [fits + 1, fits, 5000, fits + 1, 1]) {
        await publisher.publishAndWait('size', Buffer.alloc(bytes), { qos: 2 })
        await publisher.publishAndWait('size', 'p'.repeat(fits - 20), { qos: 2, properties: { contentType: 'c'.repeat(20) } })
      }
      const got = (await arrived(limited)).filter((p) => p.type === T.PUBLISH)
      expect(got.map((p) => p.payload.length)).toEqual([fits, 1])
      // And it is not kept for later.
      await limited.disconnect()
      const back = await on(`size-${qos}`)
      expect(await arrived(back)).toEqual([])
      await back.disconnect()
    }
  })

  test('answers keep to it, without reason string and user properties where those are too much [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.14.2-3] [MQTT-3.14.2-4]', async () => {
    const asked = { sessionExpiryInterval: 0, requestProblemInformation: 1 }
    const talk = [
      packet.publish('$SYS/x', 'x', { qos: 1, id: 1, properties: {} }),
      packet.publish('$SYS/x', 'x', { qos: 2, id: 2, properties: {} }),
      packet.pubrec(3),
      packet.pubrel(4),
      packet.subscribe(5, [['$dead', 0]], {}),
      packet.unsubscribe(6, ['never'], {}),
      Buffer.from([0, 0]),
    ]
    const types = [T.CONNACK, T.PUBACK, T.PUBREC, T.PUBREL, T.PUBCOMP, T.SUBACK, T.UNSUBACK, T.DISCONNECT]
    // What CONNACK must say is the largest of them.
    const first = await on('measure', { properties: asked })
    const connackBytes = await new Promise<number>((resolve) => {
      void openWith(b.port, packet.connect({ protocol: 5, client_id: 'measure', properties: asked }), { protocol: 5 }).then(
        (client) => {
          client.socket.once('data', (chunk: Buffer) => resolve(chunk.length))
        },
      )
    })
    await untilClosed(first)
    for (const maximumPacketSize of [connackBytes, connackBytes + 5, connackBytes + 10, connackBytes + 30, 200]) {
      const hello = packet.connect({ protocol: 5, client_id: 'small', properties: { ...asked, maximumPacketSize } })
      const client = await openWith(b.port, Buffer.concat([hello, ...talk]), { protocol: 5 })
      const got: Buffer[] = []
      client.socket.on('data', (chunk) => got.push(chunk))
      const packets = await untilClosed(client)
      expect(packets.map((p) => p.type)).toEqual(types)
      for (let bytes = Buffer.concat(got); bytes.length > 0; ) {
        // None of these has 128 bytes or more unless it is allowed to.
        const length = bytes[1] < 128 ? 2 + bytes[1] : 3 + ((bytes[1] & 127) | (bytes[2] << 7))
        expect(length).toBeLessThanOrEqual(maximumPacketSize)
        bytes = bytes.subarray(length)
      }
    }
  })
})

describe('problem information', () => {
  test('unless it was asked for, only PUBLISH, CONNACK and DISCONNECT have reason strings and user properties [MQTT-3.1.2-29]', async () => {
    const client = await on('quiet', { properties: { requestProblemInformation: 0 } })
    await client.subscribe(['quiet', 1])
    client.send(packet.publish('$SYS/x', 'x', { qos: 1, id: 1, properties: {} }))
    client.send(packet.publish('$SYS/x', 'x', { qos: 2, id: 2, properties: {} }))
    client.send(
      Buffer.concat([
        packet.pubrec(3),
        packet.pubrel(4),
        packet.subscribe(5, [['$dead', 0]], {}),
        packet.unsubscribe(6, ['never'], {}),
      ]),
    )
    const answers = await take(client, 6)
    expect(answers.every((p) => p.code >= 0x80 || p.codes.length === 1)).toBe(true)
    for (const p of answers) expect([p.properties.reasonString, p.properties.userProperties]).toEqual([undefined, undefined])
    await publisher.publishAndWait('quiet', 'x', { qos: 1, properties: { userProperties: [['a', 'b']] } })
    expect((await client.next()).properties.userProperties).toEqual([['a', 'b']])
    await client.disconnect()
  })
})

describe('topic aliases of the server', () => {
  const aliases = async (topicAliasMaximum: number | undefined): Promise<(number | undefined)[]> => {
    const client = await join(b.port, 'alias-reader', {
      properties: topicAliasMaximum === undefined ? {} : { topicAliasMaximum },
    })
    await client.subscribe(['alias/#', 1])
    const given: (number | undefined)[] = []
    const known = new Map<number, string>()
    for (let round = 0; round < 2; round++)
      for (let n = 0; n < 5; n++)
        for (const qos of [0, 1] as const) {
          await publisher.publishAndWait(`alias/${n}`, `${n}`, { qos })
          const p = await client.expect(T.PUBLISH)
          const { topicAlias } = p.properties
          given.push(topicAlias)
          if (topicAlias !== undefined && p.topic !== '') known.set(topicAlias, p.topic)
          expect(p.topic !== '' ? p.topic : known.get(topicAlias ?? 0)).toBe(`alias/${p.payload}`)
        }
    await client.disconnect()
    return given
  }

  test('are none where the client takes none [MQTT-3.1.2-27]', async () => {
    for (const max of [undefined, 0]) expect((await aliases(max)).every((alias) => alias === undefined)).toBe(true)
  })

  test('stay within what the client takes, and mean what they were given for [MQTT-3.1.2-26] [MQTT-3.3.2-11]', async () => {
    for (const max of [1, 3, 65_535])
      for (const alias of await aliases(max)) {
        expect(alias ?? 1).toBeGreaterThan(0)
        expect(alias ?? 1).toBeLessThanOrEqual(max)
      }
  })

  test('are given anew on each connection, also to what is sent again [MQTT-3.3.2-7]', async () => {
    const o = { properties: { topicAliasMaximum: 10 } }
    const first = await on('alias-again', o)
    await first.subscribe(['alias/again', 1])
    for (let n = 0; n < 3; n++) await publisher.publishAndWait('alias/again', `${n}`, { qos: 1 })
    expect((await take(first, 3))[0].topic).toBe('alias/again')
    await lose(first)
    const second = await on('alias-again', o)
    await publisher.publishAndWait('alias/again', '3', { qos: 1 })
    const known = new Map<number | undefined, string>()
    for (const [n, p] of (await take(second, 4)).entries()) {
      if (p.topic !== '') known.set(p.properties.topicAlias, p.topic)
      expect([`${p.payload}`, p.topic || known.get(p.properties.topicAlias)]).toEqual([`${n}`, 'alias/again'])
    }
    await second.disconnect()
    // A client that takes none on its next connection gets names.
    const third = await on('alias-again')
    for (const p of await take(third, 4)) expect([p.topic, p.properties.topicAlias]).toEqual(['alias/again', undefined])
    await third.disconnect()
  })
})
