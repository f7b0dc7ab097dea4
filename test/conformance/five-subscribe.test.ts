/** SUBSCRIBE, UNSUBSCRIBE, PINGREQ and DISCONNECT of MQTT 5, where they are as they should be. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  arrived,
  type ClockedBroker,
  delivered,
  type MqttClient,
  packet,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'
import { endOf, join, options, said } from './five.js'

let b: ClockedBroker
let publisher: MqttClient
let reader: MqttClient
beforeAll(async () => {
  b = await startClocked({ settings: { deny_subscribe: ['no/#'] } })
  publisher = await join(b.port, 'publisher')
})
beforeEach(async () => {
  reader = await join(b.port, 'reader')
})
afterEach(() => reader.disconnect())
afterAll(() => b.close())

const say = (topic: string, payload = 'x', qos: 0 | 1 | 2 = 1) => publisher.publishAndWait(topic, payload, { qos })

describe('SUBSCRIBE', () => {
  test('is answered with one SUBACK: its identifier, one code for each filter, in their order [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2]', async () => {
    const filters = [
      ['ok/0', 0],
      ['no/#', 2],
      ['ok/2', 2],
      ['$dead', 0],
      ['ok/1', 1],
      ['ok/0', 2],
    ] as const
    reader.send(packet.subscribe(0x0203, filters, {}))
    const suback = await reader.next()
    expect([suback.type, suback.flags, suback.id]).toEqual([T.SUBACK, 0, 0x0203])
    const [first, denied, second, reserved, ...rest] = suback.codes
    expect([first, second, ...rest]).toEqual([0, 2, 1, 2])
    expect([0x80, 0x87]).toContain(denied)
    expect([0x80, 0x87, 0x8f]).toContain(reserved)
    for (const topic of ['ok/0', 'no/x', 'ok/2', 'ok/1']) await say(topic, 'x', 2)
    expect(await delivered(reader)).toEqual(['ok/0 x q2', 'ok/2 x q2', 'ok/1 x q1'])
  })

  test('of the same filter replaces the subscription, its QoS and its options [MQTT-3.8.4-3]', async () => {
    await reader.subscribe(['same', options({ qos: 2, asPublished: true })])
    await reader.subscribe(['same', 0])
    await publisher.publishAndWait('same', 'x', { qos: 2, retain: true })
    expect(await delivered(reader)).toEqual(['same x q0'])
    await publisher.publishAndWait('same', '', { qos: 2, retain: true })
    expect(await delivered(reader)).toEqual(['same  q0'])
    await reader.unsubscribe('same')
    await say('same')
    expect(await delivered(reader)).toEqual([])
  })

  test('of the same filter brings retained messages again, and costs no message [MQTT-3.8.4-4]', async () => {
    await publisher.publishAndWait('again', 'kept', { qos: 1, retain: true })
    const client = await join(b.port, 'again', { auto_ack: false })
    await client.subscribe(['again', 1])
    expect(await client.next()).toMatchObject({ retain: true })
    // Messages on their way while it is replaced, over and over.
    for (let n = 0; n < 20; n++) {
      publisher.send(packet.publish('again', `${n}`, { qos: 1, id: n + 100, properties: {} }))
      client.send(packet.subscribe(n + 100, [['again', 1]], {}))
    }
    const live: string[] = []
    // Those of SUBSCRIBEs that come while a replay is under way are sent once, for the last of them.
    let retained = 0
    let answers = 0
    while (live.length < 20 || retained < 1 || answers < 20) {
      const p = await client.next()
      if (p.type === T.SUBACK) {
        answers++
        retained = 0
      } else {
        if (p.retain) retained++
        else live.push(`${p.payload}`)
        client.send(packet.puback(p.id))
      }
    }
    expect(live).toEqual(Array.from({ length: 20 }, (_, n) => `${n}`))
    await publisher.ping()
    publisher.inbox.length = 0
    await client.disconnect()
  })

  test('with No Local: not what this client publishes, on this connection or a later one; others hear it [MQTT-3.8.3-3]', async () => {
    const o = { clean: false, properties: { sessionExpiryInterval: 3600 } }
    const quiet = options({ qos: 2, noLocal: true })
    const client = await join(b.port, 'local', o)
    await client.subscribe(['local/+', quiet], ['echo', 1])
    await reader.subscribe(['local/+', 2], ['echo', 1])
    for (const qos of [0, 1, 2] as const) await client.publishAndWait('local/a', `${qos}`, { qos })
    await client.publishAndWait('echo', 'x', { qos: 1 })
    await say('local/a', 'from another')
    expect(await delivered(client)).toEqual(['echo x q1', 'local/a from another q1'])
    await reader.ping()
    expect((await delivered(reader)).length).toBe(5)
    await client.disconnect()
    const back = await join(b.port, 'local', o)
    await back.publishAndWait('local/a', 'again', { qos: 1 })
    expect(await delivered(back)).toEqual([])
    // Another filter without it hears the same message.
    await back.subscribe(['local/a', 1])
    await back.publishAndWait('local/a', 'both', { qos: 1 })
    expect(await delivered(back)).toEqual(['local/a both q1'])
    await back.disconnect()
  })

  test('makes a message that is accepted part of each session that asks for it [MQTT-4.5.0-1]', async () => {
    const o = { clean: false, properties: { sessionExpiryInterval: 3600 } }
    const names = ['here', 'away', 'also-away']
    for (const name of names) {
      const client = await join(b.port, name, o)
      await client.subscribe(['each/+', 1])
      if (name !== 'here') await client.disconnect()
    }
    await say('each/a')
    for (const name of names) {
      // `here` is taken over: it did not acknowledge anything that is not there any more.
      const client = await join(b.port, name, o)
      if (name !== 'here') expect(await delivered(client)).toEqual(['each/a x q1'])
      await client.disconnect()
    }
  })
})

describe('UNSUBSCRIBE', () => {
  test('is answered with one UNSUBACK: its identifier, one code for each filter, in their order, compared by characters [MQTT-3.10.4-1] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2]', async () => {
    await reader.subscribe(['un/+', 1], ['un/b', 1], ['un/c', 1])
    reader.send(packet.unsubscribe(0x0405, ['un/a', 'un/b', 'un/#', 'un/c', 'un/b'], {}))
    expect(await reader.next()).toMatchObject({ type: T.UNSUBACK, flags: 0, id: 0x0405, codes: [0x11, 0, 0x11, 0, 0x11] })
    await say('un/b')
    expect(await delivered(reader)).toEqual(['un/b x q1'])
    reader.send(packet.unsubscribe(1, ['never'], {}))
    expect(await reader.next()).toMatchObject({ type: T.UNSUBACK, id: 1, codes: [0x11] })
  })

  test('ends new messages, and lets what was begun come to its end [MQTT-3.10.4-2] [MQTT-3.10.4-3]', async () => {
    const client = await join(b.port, 'leaver', { auto_ack: false, clean: false, properties: { sessionExpiryInterval: 3600 } })
    await client.subscribe(['leave', 2])
    await say('leave', 'one', 1)
    await say('leave', 'two', 2)
    const [one, two] = [await client.next(), await client.next()]
    await client.unsubscribe('leave')
    await say('leave', 'three', 2)
    client.send(packet.puback(one.id))
    client.send(packet.pubrec(two.id))
    expect(await client.next()).toMatchObject({ type: T.PUBREL, id: two.id, code: 0 })
    client.destroy()
    await client.closed
    const back = await join(b.port, 'leaver', { auto_ack: false, clean: false })
    expect(await back.next()).toMatchObject({ type: T.PUBREL, id: two.id })
    back.send(packet.pubcomp(two.id))
    expect(await arrived(back)).toEqual([])
    await back.disconnect()
  })
})

test('PINGREQ is answered with PINGRESP, each once [MQTT-3.12.4-1]', async () => {
  reader.send(Buffer.concat([packet.pingreq(), packet.pingreq(), packet.pingreq()]))
  for (let n = 0; n < 3; n++) expect(await reader.next()).toMatchObject({ type: T.PINGRESP, flags: 0 })
  expect(await arrived(reader)).toEqual([])
})

describe('DISCONNECT', () => {
  test('of a client ends its connection, and nothing behind it is looked at', async () => {
    await reader.subscribe(['quit', 0])
    for (const bytes of [
      packet.disconnect(),
      packet.frame(0xe0, Buffer.from([0])),
      packet.reason(T.DISCONNECT, 0, {}),
      packet.reason(T.DISCONNECT, 0x04, { reasonString: 'r', userProperties: [['a', 'b']] }),
    ]) {
      const client = await join(b.port, 'quitter')
      client.send(Buffer.concat([bytes, packet.publish('quit', 'late', { properties: {} }), packet.pingreq()]))
      expect(await untilClosed(client)).toEqual([])
    }
    expect(await delivered(reader)).toEqual([])
  })

  test('of the server is its last word, has a reason of its table and no session expiry [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2]', async () => {
    const wrong = [Buffer.from([0, 0]), packet.connect({ protocol: 5 }), packet.publish('a/#', 'x', { properties: {} })]
    for (const bytes of wrong) {
      const client = await join(b.port, 'last-word', { properties: { sessionExpiryInterval: 60 } })
      client.send(Buffer.concat([packet.pingreq(), bytes, packet.pingreq(), packet.pingreq()]))
      const got = await untilClosed(client)
      expect(got.map((p) => p.type)).toEqual([T.PINGRESP, T.DISCONNECT])
      expect(got[1].code).toBeGreaterThanOrEqual(0x80)
      expect(got[1].properties.sessionExpiryInterval).toBeUndefined()
    }
  })

  test('is 0x8B when the server stops, behind all that was to be said', async () => {
    const own = await startClocked()
    const client = await join(own.port, 'stopped')
    await client.subscribe(['stop', 0])
    client.send(Buffer.concat([packet.publish('stop', 'x', { properties: {} }), packet.pingreq()]))
    await client.expect(T.PINGRESP)
    await own.close()
    expect(said((await untilClosed(client)).filter((p) => p.type !== T.PUBLISH))).toEqual(['DISCONNECT 8b'])
  })

  test('may not ask for a session that CONNECT did not ask for: 0x82', async () => {
    const asks = packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: 10 })
    expect(await endOf(b.port, asks)).toEqual(['DISCONNECT 82'])
    expect(said(await untilClosed(await quitWith(asks, 10)))).toEqual([])
  })
})

async function quitWith(bytes: Buffer, sessionExpiryInterval: number): Promise<MqttClient> {
  const client = await join(b.port, 'asker', { properties: { sessionExpiryInterval } })
  client.send(bytes)
  return client
}
