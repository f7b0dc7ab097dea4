/** Sessions and wills of MQTT 5: how long they last, what ends them, and that a restart of the broker changes none of it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  arrived,
  type ClientOptions,
  type ClockedBroker,
  delivered,
  describe as line,
  type MqttClient,
  type Packet,
  packet,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'
import { join, type Props, said } from './five.js'

let b: ClockedBroker
let publisher: MqttClient
beforeAll(async () => {
  b = await startClocked({ settings: { session_expiry_s: 0 } })
  publisher = await join(b.port, 'publisher')
})
afterAll(() => b.close())

const NEVER = 0xffff_ffff
const on = (client_id: string, sessionExpiryInterval?: number, o: ClientOptions = {}, at = b) =>
  join(at.port, client_id, {
    clean: false,
    ...o,
    properties: { ...(sessionExpiryInterval === undefined ? {} : { sessionExpiryInterval }), ...o.properties },
  })

/** The broker has noticed that nobody of that name is here. */
async function gone(client_id: string): Promise<void> {
  while ([...b.broker.state.connections].some((c) => c.id === client_id)) await publisher.ping()
  await publisher.ping()
}

async function lose(client: MqttClient, client_id: string): Promise<void> {
  client.destroy()
  await gone(client_id)
}

/** Time passes, in steps, so that whatever looks now and then has looked. */
function pass(seconds: number): void {
  for (let n = 0; n < 10; n++) b.clock.advance(seconds * 100)
}

const present = async (client_id: string): Promise<boolean | undefined> => {
  const client = await on(client_id, 0)
  await client.disconnect()
  await gone(client_id)
  return client.connack?.present
}

describe('Clean Start', () => {
  test('discards what was there; without it the session goes on, or begins [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.4-4] [MQTT-3.2.2-2] [MQTT-3.2.2-3]', async () => {
    const first = await on('start', 60)
    expect(first.connack).toMatchObject({ code: 0, present: false })
    await first.subscribe(['start', 1])
    await first.disconnect()
    await publisher.publishAndWait('start', 'waits', { qos: 1 })
    const second = await on('start', 60)
    expect(second.connack).toMatchObject({ code: 0, present: true })
    expect(await delivered(second)).toEqual(['start waits q1'])
    await second.disconnect()
    await publisher.publishAndWait('start', 'is lost', { qos: 1 })
    const clean = await on('start', 60, { clean: true })
    expect(clean.connack).toMatchObject({ code: 0, present: false })
    await publisher.publishAndWait('start', 'not subscribed', { qos: 1 })
    expect(await delivered(clean)).toEqual([])
    await clean.subscribe(['start', 1])
    await clean.disconnect()
    // A session that began with Clean Start is kept like any other.
    await publisher.publishAndWait('start', 'again', { qos: 1 })
    const last = await on('start', 0)
    expect(last.connack?.present).toBe(true)
    expect(await delivered(last)).toEqual(['start again q1'])
    await last.disconnect()
  })
})

describe('the session expiry interval', () => {
  test('of 0, or none, ends the session with its connection', async () => {
    for (const interval of [undefined, 0]) {
      const client = await on('brief', interval)
      await client.subscribe(['brief', 1])
      await client.disconnect()
      expect(await present('brief')).toBe(false)
    }
  })

  test('is how long it outlives its connection, with all that waits in it [MQTT-3.1.2-23] [MQTT-4.1.0-2]', async () => {
    for (const how of ['quits', 'is lost']) {
      const client = await on('lasting', 60)
      await client.subscribe(['lasting', 1])
      if (how === 'quits') await client.disconnect()
      else await lose(client, 'lasting')
      await gone('lasting')
      await publisher.publishAndWait('lasting', how, { qos: 1 })
      pass(50)
      const back = await on('lasting', 60)
      expect(back.connack?.present, how).toBe(true)
      expect(await delivered(back)).toEqual([`lasting ${how} q1`])
      await back.disconnect()
      await gone('lasting')
      await publisher.publishAndWait('lasting', 'too late', { qos: 1 })
      pass(70)
      const late = await on('lasting', 0)
      expect(late.connack?.present, how).toBe(false)
      expect(await delivered(late)).toEqual([])
      await late.disconnect()
    }
  })

  test('does not run while there is a connection, and begins anew with each [MQTT-4.1.0-1]', async () => {
    const client = await on('connected', 10)
    await client.subscribe(['connected', 1])
    pass(1000)
    await publisher.publishAndWait('connected', 'x', { qos: 1 })
    expect(await delivered(client)).toEqual(['connected x q1'])
    for (let n = 0; n < 3; n++) {
      await lose(n === 0 ? client : await on('connected', 10), 'connected')
      pass(8)
    }
    expect(await present('connected')).toBe(true)
  })

  test('can be changed by DISCONNECT, also to nothing', async () => {
    const change = async (from: number, to: number): Promise<void> => {
      const client = await on('changed', from)
      client.send(packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: to }))
      await untilClosed(client)
      await gone('changed')
    }
    await change(10, 1000)
    pass(500)
    expect(await present('changed')).toBe(true)
    await change(1000, 0)
    expect(await present('changed')).toBe(false)
    await change(1000, 10)
    pass(20)
    expect(await present('changed')).toBe(false)
  })

  test('of 0xFFFFFFFF never ends', async () => {
    const own = await startClocked({ settings: { session_expiry_s: 0 } })
    for (const interval of [NEVER, NEVER - 1]) {
      const client = await on(`until-${interval}`, interval, {}, own)
      await client.disconnect()
    }
    // 200 years, of which the broker's own timers see little.
    own.clock.skip(200 * 365 * 24 * 3600 * 1000)
    for (let n = 0; n < 10; n++) own.clock.advance(10_000)
    const [never, almost] = [await on(`until-${NEVER}`, 0, {}, own), await on(`until-${NEVER - 1}`, 0, {}, own)]
    expect([never.connack?.present, almost.connack?.present]).toEqual([true, false])
    await own.close()
  })

  test('is told in CONNACK where the server grants less', async () => {
    const short = await startClocked({ settings: { session_expiry_s: 100 } })
    for (const [asked, told] of [
      [50, undefined],
      [100, undefined],
      [101, 100],
      [NEVER, 100],
    ] as const) {
      const client = await on('granted', asked, {}, short)
      expect(client.connack?.properties.sessionExpiryInterval).toBe(told)
      await client.disconnect()
    }
    await short.close()
  })

  test('is a moment: a restart neither begins it anew nor ends it', async () => {
    const first = await startClocked({ settings: { session_expiry_s: 0 } })
    for (const [name, interval] of [
      ['short', 100],
      ['long', 1000],
    ] as const) {
      const client = await on(name, interval, {}, first)
      await client.subscribe(['x', 1])
      await client.disconnect()
    }
    const pub = await join(first.port, 'pub')
    await pub.publishAndWait('x', 'waits', { qos: 1 })
    await pub.disconnect()
    first.clock.advance(60_000)
    await first.close()
    first.clock.advance(60_000)
    const second = await startClocked({ after: first.disk, clock: first.clock, settings: { session_expiry_s: 0 } })
    for (let n = 0; n < 10; n++) second.clock.advance(1000)
    const [short, long] = [await on('short', 0, {}, second), await on('long', 0, {}, second)]
    expect([short.connack?.present, long.connack?.present]).toEqual([false, true])
    expect(await delivered(short)).toEqual([])
    expect((await delivered(long)).map((text) => text.replace(' dup', ''))).toEqual(['x waits q1'])
    await second.close()
  })
})

describe('wills', () => {
  let witness: MqttClient
  beforeAll(async () => {
    witness = await join(b.port, 'witness')
    await witness.subscribe(['will/#', 0b1010])
  })
  const will = (topic: string, properties: Props = {}, more = {}): ClientOptions => ({
    will: { topic: `will/${topic}`, payload: 'gone', qos: 1, properties, ...more },
  })
  const heard = async (): Promise<Packet[]> => (await arrived(witness)).filter((p) => p.type === T.PUBLISH)
  const lines = async (): Promise<string[]> => (await heard()).map(line)
  const willRows = async (): Promise<number> => {
    await publisher.ping()
    let count = 0
    for await (const { key } of b.disk.scan({ gte: Buffer.from('W'), lt: Buffer.from('X') })) if (key.length > 0) count++
    return count
  }

  test('are sent when the connection is lost, at their QoS, retained or not, once [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.1.2-14] [MQTT-3.1.2-15]', async () => {
    for (const qos of [0, 1, 2] as const)
      for (const retain of [false, true]) {
        const client = await on('lost', 0, will('lost', {}, { qos, retain }))
        expect(await willRows()).toBe(1)
        await lose(client, 'lost')
        expect(await lines()).toEqual([`will/lost gone q${qos}${retain ? ' retain' : ''}`])
        expect(await willRows()).toBe(0)
        const reader = await join(b.port, 'will-reader')
        await reader.subscribe(['will/lost', 2])
        expect(await delivered(reader)).toEqual(retain ? [`will/lost gone q${qos} retain`] : [])
        await reader.publishAndWait('will/lost', '', { qos: 1, retain: true })
        await reader.disconnect()
        await heard()
      }
  })

  test('are taken back by DISCONNECT 0x00, and by no other [MQTT-3.14.4-3]', async () => {
    for (const [bytes, sent] of [
      [packet.disconnect(), false],
      [packet.frame(0xe0, Buffer.from([0])), false],
      [packet.reason(T.DISCONNECT, 0, {}), false],
      [packet.reason(T.DISCONNECT, 0x04, {}), true],
      [packet.reason(T.DISCONNECT, 0x80, { reasonString: 'broken' }), true],
      [packet.reason(T.DISCONNECT, 0x97, {}), true],
    ] as const) {
      const client = await on('quitter', 0, will('quit'))
      client.send(bytes)
      await untilClosed(client)
      await gone('quitter')
      expect(await lines(), bytes.toString('hex')).toEqual(sent ? ['will/quit gone q1'] : [])
    }
    expect(await willRows()).toBe(0)
  })

  test('are sent after a protocol error, a keep alive that ran out and a takeover', async () => {
    const wrong = await on('wrong', 0, will('wrong'))
    wrong.send(Buffer.from([0, 0]))
    expect(said(await untilClosed(wrong))).toEqual(['DISCONNECT 81'])
    await gone('wrong')
    expect(await lines()).toEqual(['will/wrong gone q1'])
    const tired = await on('tired', 0, { ...will('tired'), keepalive_s: 5 })
    pass(9)
    await untilClosed(tired)
    await gone('tired')
    expect(await lines()).toEqual(['will/tired gone q1'])
    // Without a delay the former connection's will does not wait for anybody.
    const former = await on('taken', 60, will('former'))
    const heir = await on('taken', 60)
    await former.closed
    expect(await lines()).toEqual(['will/former gone q1'])
    await heir.disconnect()
  })

  test('have their properties, in their order, and not their delay [MQTT-3.1.3-10]', async () => {
    const properties: Props = {
      payloadFormatIndicator: 1,
      messageExpiryInterval: 50,
      contentType: 'type',
      responseTopic: 'answers',
      correlationData: Buffer.from([0, 255]),
      userProperties: [
        ['b', '1'],
        ['a', '2'],
        ['b', '0'],
      ],
    }
    const reader = await on('will-stored', 3600)
    await reader.subscribe(['will/dressed', 1])
    await reader.disconnect()
    const client = await on('dressed', 100, will('dressed', { ...properties, willDelayInterval: 2 }))
    await lose(client, 'dressed')
    pass(5)
    const [p] = await heard()
    expect(p.properties).toEqual(properties)
    pass(20)
    const back = await on('will-stored', 0)
    const stored = await back.expect(T.PUBLISH)
    expect(stored.properties).toMatchObject({ ...properties, messageExpiryInterval: expect.any(Number) })
    // Counted from when it was published.
    expect(stored.properties.messageExpiryInterval).toBeGreaterThanOrEqual(26)
    expect(stored.properties.messageExpiryInterval).toBeLessThanOrEqual(31)
    await back.disconnect()
  })

  test('wait for their delay, or for the end of the session if that is sooner', async () => {
    for (const [delay, expiry, sentBy] of [
      [20, 100, 20],
      [20, 5, 5],
      [20, 0, 0],
      [0, 100, 0],
      [20, NEVER, 20],
    ] as const) {
      const what = `delay ${delay}, session ${expiry}`
      const client = await on('delayed', expiry, will('delayed', { willDelayInterval: delay }))
      await lose(client, 'delayed')
      if (sentBy > 0) {
        pass(sentBy - 1)
        expect(await lines(), what).toEqual([])
        pass(3)
      }
      expect(await lines(), what).toEqual(['will/delayed gone q1'])
      pass(200)
      expect(await lines(), what).toEqual([])
      const clean = await on('delayed', 0, { clean: true })
      await clean.disconnect()
      await gone('delayed')
    }
  })

  test('are not sent when the client comes back within the delay [MQTT-3.1.3-9]', async () => {
    for (const o of [{}, will('second', { willDelayInterval: 1000 })]) {
      const client = await on('returns', 100, will('returns', { willDelayInterval: 20 }))
      await lose(client, 'returns')
      pass(10)
      const back = await on('returns', 100, o)
      expect(back.connack?.present).toBe(true)
      pass(60)
      expect(await lines()).toEqual([])
      await back.disconnect()
      await gone('returns')
      pass(60)
      expect(await lines()).toEqual([])
    }
    // The same where it does not lose the connection, but takes it over.
    const former = await on('returns', 100, will('returns', { willDelayInterval: 20 }))
    const heir = await on('returns', 100)
    await former.closed
    pass(60)
    expect(await lines()).toEqual([])
    await heir.disconnect()
  })

  test('are sent at once when Clean Start ends the session they wait for', async () => {
    const client = await on('restarts', 100, will('restarts', { willDelayInterval: 50 }))
    await lose(client, 'restarts')
    pass(1)
    expect(await lines()).toEqual([])
    const clean = await on('restarts', 0, { clean: true })
    expect(await lines()).toEqual(['will/restarts gone q1'])
    await clean.disconnect()
    // The same where Clean Start takes over a connection that is still there.
    const former = await on('restarts', 100, will('taken-over', { willDelayInterval: 50 }))
    const heir = await on('restarts', 0, { clean: true })
    await former.closed
    expect(await lines()).toEqual(['will/taken-over gone q1'])
    await heir.disconnect()
  })

  test('wait for their delay also when DISCONNECT 0x04 asks for them', async () => {
    const client = await on('asks', 100, will('asks', { willDelayInterval: 20 }))
    client.send(packet.reason(T.DISCONNECT, 0x04, {}))
    await untilClosed(client)
    pass(18)
    expect(await lines()).toEqual([])
    pass(4)
    expect(await lines()).toEqual(['will/asks gone q1'])
  })

  test('whose delay is running wait through a restart of the broker, and are sent once', async () => {
    const first = await startClocked({ settings: { session_expiry_s: 0 } })
    const reader = await on('reader', NEVER, {}, first)
    await reader.subscribe(['will/#', 1])
    await reader.disconnect()
    const client = await on('restarted', 1000, will('restarted', { willDelayInterval: 100, contentType: 'c' }), first)
    client.destroy()
    while (first.broker.state.connections.size > 0) await new Promise((resolve) => setImmediate(resolve))
    first.clock.advance(50_000)
    await first.close()
    const second = await startClocked({ after: first.disk, clock: first.clock, settings: { session_expiry_s: 0 } })
    const back = await on('reader', NEVER, {}, second)
    for (let n = 0; n < 10; n++) second.clock.advance(4000)
    expect(await delivered(back)).toEqual([])
    for (let n = 0; n < 10; n++) second.clock.advance(2000)
    expect(await back.expect(T.PUBLISH)).toMatchObject({ topic: 'will/restarted', properties: { contentType: 'c' } })
    for (let n = 0; n < 10; n++) second.clock.advance(100_000)
    expect(await delivered(back)).toEqual([])
    await second.close()
    const third = await startClocked({ after: second.disk, clock: first.clock, settings: { session_expiry_s: 0 } })
    const last = await on('reader', NEVER, {}, third)
    for (let n = 0; n < 10; n++) third.clock.advance(100_000)
    expect((await arrived(last)).filter((p) => p.type === T.PUBLISH && !p.dup)).toEqual([])
    await third.close()
  })
})
