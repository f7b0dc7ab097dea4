/** Shared subscriptions of MQTT 5 [MQTT 5.0 4.8.2], as each of their members sees them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  arrived,
  type ClientOptions,
  type ClockedBroker,
  delivered,
  drop,
  MqttClient,
  type Packet,
  packet,
  startClocked,
  T,
} from '../support/broker.js'
import { join, options, type Props } from './five.js'

let b: ClockedBroker
let publisher: MqttClient
beforeAll(async () => {
  b = await startClocked({ retry: { interval_ms: 0 } })
  publisher = await join(b.port, 'publisher')
})
afterAll(() => b.close())

/** A client that answers nothing by itself, of a session that stays. */
const on = (client_id: string, o: ClientOptions = {}) =>
  join(b.port, client_id, { clean: false, auto_ack: false, ...o, properties: { sessionExpiryInterval: 3600, ...o.properties } })

async function member(client_id: string, filter: string, option: number, o: ClientOptions = {}): Promise<MqttClient> {
  const client = await on(client_id, o)
  expect(await client.subscribe([filter, option])).toEqual([option & 3])
  return client
}

const say = (topic: string, payload: string, qos: 0 | 1 | 2 = 1, properties: Props = {}) =>
  publisher.publishAndWait(topic, payload, { qos, properties })

const publishes = async (client: MqttClient): Promise<Packet[]> => (await arrived(client)).filter((p) => p.type === T.PUBLISH)
const payloads = (packets: readonly Packet[]): string[] => packets.map((p) => `${p.payload}`)

/** Drops the connection; resolves when the broker has seen it, too. */
async function lose(client: MqttClient): Promise<void> {
  await drop(b, client, publisher)
  await publisher.ping()
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}`)
const byNumber = (x: string, y: string): number => Number(x) - Number(y)

describe('a group', () => {
  test('shares each message out to one member, whatever its QoS; others are as ever [MQTT-4.8.2-1] [MQTT-4.8.2-2]', async () => {
    expect(publisher.connack?.properties.sharedSubscriptionAvailable ?? 1).toBe(1)
    for (const qos of [0, 1, 2] as const) {
      const members = await Promise.all(
        [1, 2, 3].map((n) => member(`share-${qos}-${n}`, `$share/group/share/${qos}/+`, 2, { auto_ack: true })),
      )
      const alone = await member(`alone-${qos}`, `share/${qos}/#`, 2, { auto_ack: true })
      for (const text of numbers(30)) await say(`share/${qos}/a`, text, qos)
      await publisher.ping()
      const got = await Promise.all(members.map(publishes))
      expect(got.flatMap(payloads).sort(byNumber)).toEqual(numbers(30))
      expect(payloads(await publishes(alone))).toEqual(numbers(30))
      for (const client of [...members, alone]) await client.disconnect()
      // And nothing is left for later.
      const back = await on(`share-${qos}-1`)
      expect(await publishes(back)).toEqual([])
      await back.disconnect()
    }
  })

  test('is its name and its filter: another name, or another filter, is another group', async () => {
    const a = await member('group-a', '$share/a/groups/+', 0)
    const z = await member('group-z', '$share/z/groups/+', 0)
    const other = await member('group-other', '$share/a/groups/#', 0)
    await say('groups/1', 'x')
    for (const client of [a, z, other]) {
      expect(payloads(await publishes(client))).toEqual(['x'])
      await client.disconnect()
    }
  })

  test("and a subscription of one's own are two: both are delivered", async () => {
    const client = await member('twice', '$share/g/both', 1, { auto_ack: true })
    await client.subscribe(['both', 1])
    await say('both', 'x')
    expect(await delivered(client)).toEqual(['both x q1', 'both x q1'])
    await client.unsubscribe('$share/g/both')
    await say('both', 'y')
    expect(await delivered(client)).toEqual(['both y q1'])
    await client.disconnect()
  })

  test('gets no retained messages when it is joined', async () => {
    await publisher.publishAndWait('share/kept', 'x', { qos: 1, retain: true })
    for (const handling of [0, 1]) {
      const client = await member('late', '$share/late/share/kept', options({ qos: 1, handling }))
      expect(await publishes(client)).toEqual([])
      await client.unsubscribe('$share/late/share/kept')
      await client.disconnect()
    }
  })

  test('is left by UNSUBSCRIBE of the same filter', async () => {
    const client = await member('leaver', '$share/leave/leave', 1)
    client.send(packet.unsubscribe(7, ['leave', '$share/other/leave', '$share/leave/leave', '$share/leave/leave'], {}))
    expect(await client.next()).toMatchObject({ type: T.UNSUBACK, id: 7, codes: [0x11, 0x11, 0, 0x11] })
    await say('leave', 'x')
    expect(await publishes(client)).toEqual([])
    await client.disconnect()
  })

  test('hands on properties and subscription identifiers', async () => {
    const client = await on('dressed', { auto_ack: true })
    await client.subscribeWith({ subscriptionIdentifiers: [77] }, ['$share/dressed/dressed', 2])
    const given: Props = { contentType: 'c', userProperties: [['a', '1']] }
    for (const qos of [0, 1, 2] as const) {
      await say('dressed', 'x', qos, given)
      const p = await client.expect(T.PUBLISH)
      expect([p.qos, p.properties]).toEqual([qos, { ...given, subscriptionIdentifiers: [77] }])
    }
    await client.disconnect()
  })

  test('does not hand out what has expired, and says what is left', async () => {
    const client = await member('expires', '$share/expires/expires', 1)
    await client.disconnect()
    await say('expires', 'short', 1, { messageExpiryInterval: 10 })
    await say('expires', 'long', 1, { messageExpiryInterval: 100 })
    b.clock.advance(30_000)
    const back = await on('expires')
    const got = await publishes(back)
    expect(got.map((p) => [`${p.payload}`, p.properties.messageExpiryInterval])).toEqual([['long', 70]])
    back.send(packet.puback(got[0].id))
    await back.disconnect()
  })
})

describe('the limits of a member', () => {
  test('Receive Maximum counts shared deliveries and its own together', async () => {
    for (const qos of [1, 2] as const) {
      const client = await on(`limited-${qos}`, { properties: { receiveMaximum: 2 } })
      expect(await client.subscribe([`$share/limit/shared/${qos}`, qos], [`own/${qos}`, qos])).toEqual([qos, qos])
      for (const text of numbers(3)) {
        await say(`shared/${qos}`, `s${text}`, qos)
        await say(`own/${qos}`, `o${text}`, qos)
      }
      const got: string[] = []
      while (got.length < 6) {
        const now = await publishes(client)
        expect(now.length).toBeGreaterThan(0)
        expect(now.length).toBeLessThanOrEqual(2)
        got.push(...payloads(now))
        for (const { id } of now)
          if (qos === 1) client.send(packet.puback(id))
          else {
            client.send(packet.pubrec(id))
            await client.expect(T.PUBREL)
            client.send(packet.pubcomp(id))
          }
      }
      expect(got.filter((text) => text.startsWith('s'))).toEqual(['s0', 's1', 's2'])
      expect(got.filter((text) => text.startsWith('o'))).toEqual(['o0', 'o1', 'o2'])
      expect(await publishes(client)).toEqual([])
      await client.disconnect()
    }
  })

  test('a message that is too large for it does not stop the group', async () => {
    for (const qos of [0, 1, 2] as const) {
      const client = await member(`small-${qos}`, `$share/small/small/${qos}`, qos, {
        auto_ack: true,
        properties: { maximumPacketSize: 60 },
      })
      await say(`small/${qos}`, 'x'.repeat(100), qos)
      await say(`small/${qos}`, 'fits', qos)
      expect(payloads([await client.expect(T.PUBLISH)])).toEqual(['fits'])
      expect(await publishes(client)).toEqual([])
      await client.disconnect()
    }
  })

  test('Retain As Published is that of the member who gets it', async () => {
    for (const asPublished of [false, true]) {
      const client = await member('flagged', '$share/flag/flagged', options({ qos: 2, asPublished }), { auto_ack: true })
      for (const qos of [0, 1, 2] as const) {
        await publisher.publishAndWait('flagged', 'x', { qos, retain: true })
        expect(await client.expect(T.PUBLISH)).toMatchObject({ qos, retain: asPublished, dup: false })
      }
      await client.unsubscribe('$share/flag/flagged')
      await client.disconnect()
    }
  })
})

describe('the QoS of a shared delivery', () => {
  test('is the lower of the message and what its member was granted [MQTT-4.8.2-3]', async () => {
    const members = await Promise.all(
      ([0, 1, 2] as const).map(async (granted) => ({
        granted,
        client: await member(`granted-${granted}`, '$share/granted/granted', granted, { auto_ack: true }),
      })),
    )
    const seen = new Map<number, number>()
    for (let n = 0; n < 90; n++) await say('granted', `${n % 3}`, (n % 3) as 0 | 1 | 2)
    await publisher.ping()
    let count = 0
    for (const { granted, client } of members) {
      for (const p of await publishes(client)) {
        expect(p.qos).toBe(Math.min(granted, Number(`${p.payload}`)))
        seen.set(granted, (seen.get(granted) ?? 0) + 1)
        count++
      }
      await client.disconnect()
    }
    expect(count).toBe(90)
    expect([...seen.values()].every((n) => n > 0)).toBe(true)
  })
})

describe('a QoS 2 delivery that was begun', () => {
  test('is completed with its client when that comes back, and goes to nobody else [MQTT-4.8.2-4]', async () => {
    for (const step of ['PUBLISH', 'PUBREC'] as const) {
      const [topic, filter] = [`begun/${step}`, `$share/begun/begun/${step}`]
      const first = await member(`begun-${step}`, filter, 2)
      await say(topic, 'x', 2)
      const { id } = await first.expect(T.PUBLISH)
      const other = await member(`other-${step}`, filter, 2)
      if (step === 'PUBREC') {
        first.send(packet.pubrec(id))
        await first.expect(T.PUBREL)
      }
      await lose(first)
      expect(await arrived(other)).toEqual([])
      const back = await on(`begun-${step}`)
      const again = await back.next()
      if (step === 'PUBLISH') {
        expect([again.type, again.id, again.dup, `${again.payload}`]).toEqual([T.PUBLISH, id, true, 'x'])
        back.send(packet.pubrec(id))
        expect(await back.next()).toMatchObject({ type: T.PUBREL, id })
      } else expect(again).toMatchObject({ type: T.PUBREL, id })
      back.send(packet.pubcomp(id))
      expect(await arrived(back)).toEqual([])
      expect(await arrived(other)).toEqual([])
      await back.disconnect()
      await other.disconnect()
    }
  })

  test('goes to nobody else when the session of its client ends [MQTT-4.8.2-5]', async () => {
    for (const how of ['expires', 'starts clean'] as const) {
      const filter = `$share/ended/ended/${how}`
      const first = await member(`ended-${how}`, filter, 2, { properties: { sessionExpiryInterval: 10 } })
      await say(`ended/${how}`, 'x', 2)
      await first.expect(T.PUBLISH)
      const other = await member(`heir-${how}`, filter, 2)
      await lose(first)
      if (how === 'expires') for (let n = 0; n < 30; n++) b.clock.advance(1000)
      else await (await on(`ended-${how}`, { clean: true })).disconnect()
      expect(await arrived(other)).toEqual([])
      // What comes after it does.
      await say(`ended/${how}`, 'y', 2)
      expect(payloads(await publishes(other))).toEqual(['y'])
      await other.disconnect()
    }
  })
})

describe('a QoS 1 delivery', () => {
  test('whose member is gone goes to another', async () => {
    const first = await member('gone-1', '$share/gone/gone', 1)
    await say('gone', 'x')
    expect(payloads(await publishes(first))).toEqual(['x'])
    const other = await member('gone-2', '$share/gone/gone', 1)
    await lose(first)
    const [p] = await publishes(other)
    expect(`${p.payload}`).toBe('x')
    other.send(packet.puback(p.id))
    await other.ping()
    await other.disconnect()
    const back = await on('gone-1')
    expect(await publishes(back)).toEqual([])
    await back.disconnect()
  })
})

describe('a delivery that is refused', () => {
  test('with 0x80 or more is discarded: nobody gets it again [MQTT-4.8.2-6]', async () => {
    for (const qos of [1, 2] as const) {
      const filter = `$share/refused/refused/${qos}`
      const first = await member(`refuser-${qos}`, filter, qos)
      await say(`refused/${qos}`, 'x', qos)
      const { id } = await first.expect(T.PUBLISH)
      const other = await member(`next-${qos}`, filter, qos)
      first.send(packet.ack(qos === 1 ? T.PUBACK : T.PUBREC, id, 0x83, {}))
      expect(await arrived(first)).toEqual([])
      expect(await arrived(other)).toEqual([])
      await lose(first)
      expect(await arrived(other)).toEqual([])
      const back = await on(`refuser-${qos}`)
      expect(await arrived(back)).toEqual([])
      await back.disconnect()
      await other.disconnect()
    }
  })
})

test('a client of MQTT 3.1.1 in the same group gets its share', async () => {
  const old = await MqttClient.connect(b.port, { client_id: 'old-member' })
  expect(await old.subscribe(['$share/mixed/mixed', 1])).toEqual([1])
  const five = await member('five-member', '$share/mixed/mixed', 1, { auto_ack: true })
  for (const text of numbers(20)) await say('mixed', text, 1, { contentType: 'c' })
  const [a, z] = [payloads(await publishes(old)), payloads(await publishes(five))]
  expect([...a, ...z].sort(byNumber)).toEqual(numbers(20))
  expect(Math.min(a.length, z.length)).toBeGreaterThan(0)
  await old.disconnect()
  await five.disconnect()
})
