/** What MQTT 5 adds to sessions and messages is there again after a restart of the broker, in order or cut off in the middle. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { arrived, type ClientOptions, type ClockedBroker, delivered, packet, startClocked, T } from '../support/broker.js'
import { join, options, type Props } from './five.js'

const LONG = { sessionExpiryInterval: 3600 }
const MESSAGE: Props = {
  payloadFormatIndicator: 1,
  contentType: 'c',
  responseTopic: 'r',
  correlationData: Buffer.from([0, 255]),
  userProperties: [
    ['b', '1'],
    ['a', '2'],
    ['b', '1'],
  ],
}

let b: ClockedBroker
beforeEach(async () => {
  b = await startClocked()
})
afterEach(() => b.close())

const on = (client_id: string, o: ClientOptions = {}) =>
  join(b.port, client_id, { clean: false, auto_ack: false, properties: LONG, ...o })

/** Stops the broker, or takes its disk away as a kill would, and starts one on what is there. `gone_ms` pass meanwhile. */
async function restart(how: 'stopped' | 'killed', gone_ms = 0): Promise<void> {
  const { disk, clock } = b
  if (how === 'stopped') await b.close()
  else {
    disk.cut(false)
    // What is left of it, which nobody waits for.
    void b.close()
  }
  b = await startClocked({ after: disk, clock: clock.later(gone_ms) })
}

describe.each(['stopped', 'killed'] as const)('a broker that was %s', (how) => {
  test('knows the options and identifiers of each subscription', async () => {
    const first = await on('options')
    await first.subscribeWith({ subscriptionIdentifiers: [7] }, ['own/+', options({ qos: 2, noLocal: true })])
    await first.subscribeWith({ subscriptionIdentifiers: [268_435_455] }, ['flag/+', options({ qos: 1, asPublished: true })])
    await first.subscribe(['flag/#', 0])
    await first.disconnect()
    await restart(how)
    const back = await on('options', { auto_ack: true })
    expect(back.connack?.present).toBe(true)
    await back.publishAndWait('own/a', 'mine', { qos: 1 })
    const other = await join(b.port, 'other')
    await other.publishAndWait('own/a', 'theirs', { qos: 2 })
    await other.publishAndWait('flag/a', 'kept', { qos: 2, retain: true })
    const [own, flag] = [await back.expect(T.PUBLISH), await back.expect(T.PUBLISH)]
    expect([`${own.payload}`, own.qos, own.properties]).toEqual(['theirs', 2, { subscriptionIdentifiers: [7] }])
    expect([flag.qos, flag.retain, flag.properties]).toEqual([1, true, { subscriptionIdentifiers: [268_435_455] }])
    // Retain Handling 1 asks whether the subscription is there.
    await back.subscribe(['flag/#', options({ handling: 1 })])
    expect(await delivered(back)).toEqual([])
  })

  test('has what waits and what is retained, with properties, identifiers and the time that is left', async () => {
    const first = await on('waits')
    await first.subscribeWith({ subscriptionIdentifiers: [9] }, ['waits/+', 2])
    await first.disconnect()
    const publisher = await join(b.port, 'publisher')
    const say = (topic: string, seconds: number, qos: 1 | 2, retain = false) =>
      publisher.publishAndWait(topic, topic, { qos, retain, properties: { ...MESSAGE, messageExpiryInterval: seconds } })
    await say('waits/short', 30, 1)
    await say('waits/long', 100, 1)
    await say('waits/longer', 200, 2)
    await say('kept/short', 30, 1, true)
    await say('kept/long', 100, 1, true)
    b.clock.advance(20_000)
    await restart(how, 20_000)
    const back = await on('waits')
    for (const [topic, qos, left] of [
      ['waits/long', 1, 60],
      ['waits/longer', 2, 160],
    ] as const) {
      const p = await back.next()
      expect([p.topic, p.qos]).toEqual([topic, qos])
      expect(p.properties).toEqual({ ...MESSAGE, messageExpiryInterval: left, subscriptionIdentifiers: [9] })
    }
    expect(await arrived(back)).toEqual([])
    await back.subscribe(['kept/+', 1])
    const kept = await back.next()
    expect([kept.topic, kept.retain, kept.properties]).toEqual(['kept/long', true, { ...MESSAGE, messageExpiryInterval: 60 }])
    expect(await arrived(back)).toEqual([])
  })

  test('goes on with every handshake where it was', async () => {
    const first = await on('hands')
    await first.subscribe(['hands', 2])
    const publisher = await join(b.port, 'publisher')
    for (const qos of [1, 2, 2] as const) await publisher.publishAndWait('hands', `${qos}`, { qos, properties: MESSAGE })
    const [one, two, three] = [await first.next(), await first.next(), await first.next()]
    first.send(packet.pubrec(three.id))
    expect(await first.next()).toMatchObject({ type: T.PUBREL, id: three.id })
    first.send(packet.publish('hands', 'received', { qos: 2, id: 500, properties: {} }))
    await first.expect(T.PUBREC)
    await restart(how)
    const back = await on('hands')
    const again = [await back.next(), await back.next(), await back.next(), await back.next()]
    expect(again.filter((p) => p.type === T.PUBREL).map((p) => p.id)).toEqual([three.id])
    expect(again.filter((p) => p.type === T.PUBLISH).map((p) => [p.id, `${p.payload}`, p.properties])).toEqual([
      [one.id, '1', MESSAGE],
      [two.id, '2', MESSAGE],
      [expect.any(Number), 'received', {}],
    ])
    back.send(packet.publish('hands', 'received', { qos: 2, id: 500, dup: true, properties: {} }))
    expect(await back.next()).toMatchObject({ type: T.PUBREC, id: 500, code: 0 })
    back.send(packet.pubrel(500))
    expect(await back.next()).toMatchObject({ type: T.PUBCOMP, id: 500, code: 0 })
    expect(await arrived(back)).toEqual([])
  })

  test('has each durable group, with what waits in it', async () => {
    const first = await on('member')
    await first.subscribeWith({ subscriptionIdentifiers: [3] }, ['$share/g/group/+', 2])
    await first.disconnect()
    const publisher = await join(b.port, 'publisher')
    await publisher.publishAndWait('group/a', 'before', { qos: 1, properties: MESSAGE })
    await restart(how)
    const again = await join(b.port, 'publisher')
    await again.publishAndWait('group/a', 'after', { qos: 2, properties: MESSAGE })
    const back = await on('member')
    const got = [await back.next(), await back.next()]
    expect(got.map((p) => [`${p.payload}`, p.qos, p.properties])).toEqual([
      ['before', 1, { ...MESSAGE, subscriptionIdentifiers: [3] }],
      ['after', 2, { ...MESSAGE, subscriptionIdentifiers: [3] }],
    ])
    expect(await arrived(back)).toEqual([])
  })
})
