/** CONNECT, CONNACK, DISCONNECT and AUTH of MQTT 5, byte by byte: what is promised, what is refused, and with which reason. */
import { expect, test } from 'vitest'
import { type ClientOptions, MqttClient, openWith, type Packet, packet, T, untilClosed } from '../support/broker.js'
import { broker, connect, disconnectReason, start, stop } from '../support/five.js'

/** Everything that the broker says to `bytes` before it closes. */
async function answersTo(port: number, bytes: Buffer, o: ClientOptions = {}): Promise<Packet[]> {
  const client = await openWith(port, bytes, { protocol: 5, ...o })
  return untilClosed(client)
}

const refusal = async (port: number, o: ClientOptions): Promise<Packet> => {
  const [connack, ...rest] = await answersTo(port, packet.connect({ protocol: 5, ...o }))
  expect(rest).toEqual([])
  expect([connack?.type, connack?.present]).toEqual([T.CONNACK, false])
  return connack as Packet
}

test('CONNACK says what this server limits, and nothing that is the default', async () => {
  const port = await start()
  const client = await connect(port, { client_id: 'c' })
  expect(client.connack?.code).toBe(0)
  expect(client.connack?.properties).toEqual({
    maximumPacketSize: 2_000_000,
    topicAliasMaximum: 32,
  })
})

test('CONNACK follows the settings', async () => {
  const port = await start({ max_inbound_qos2: 65_535, max_packet_bytes: 268_435_455, max_topic_aliases: 0 })
  expect((await connect(port, { client_id: 'c' })).connack?.properties).toEqual({})
})

test('a client without identifier is told the one it got [MQTT-3.2.2-16]', async () => {
  const port = await start()
  const client = await connect(port)
  const given = client.connack?.properties.assignedClientIdentifier
  expect(given).toMatch(/^aqueduct-[0-9a-f]{20}$/)
  const again = await connect(port, { client_id: given as string })
  expect(again.connack?.properties.assignedClientIdentifier).toBeUndefined()
  expect(await disconnectReason(client)).toBe(0x8e)
})

test('Server Keep Alive where the server has another one, and the client is held to it [MQTT-3.2.2-21]', async () => {
  const port = await start({ max_keepalive_s: 60 })
  const of = async (keepalive_s: number) => (await connect(port, { keepalive_s })).connack?.properties.serverKeepAlive
  expect([await of(120), await of(0), await of(60), await of(30)]).toEqual([60, 60, undefined, undefined])
  const silent = await connect(port, { keepalive_s: 0 })
  broker().clock.advance(89_000)
  await silent.ping()
  broker().clock.advance(91_000)
  expect(await disconnectReason(silent)).toBe(0x8d)
})

test('the session lives as long as asked for, or as long as this server keeps one', async () => {
  const port = await start({ session_expiry_s: 100 })
  const of = async (sessionExpiryInterval: number) =>
    (await connect(port, { client_id: 's', clean: false, properties: { sessionExpiryInterval } })).connack?.properties
      .sessionExpiryInterval
  expect([await of(99), await of(100), await of(101), await of(0xffff_ffff)]).toEqual([undefined, undefined, 100, 100])
})

test('Clean Start and expiry are two things: a session without expiry ends with its connection', async () => {
  const port = await start()
  const first = await connect(port, { client_id: 's', clean: true, properties: { sessionExpiryInterval: 10 } })
  await first.disconnect()
  const second = await connect(port, { client_id: 's', clean: false })
  expect(second.connack?.present).toBe(true)
  await second.disconnect()
  const third = await connect(port, { client_id: 's', clean: false })
  expect(third.connack?.present).toBe(false)
  await third.disconnect()
  expect((await connect(port, { client_id: 's', clean: false })).connack?.present).toBe(false)
})

test('DISCONNECT may change the expiry, but not from 0 [MQTT-3.14.2-2]', async () => {
  const port = await start()
  const present = async (): Promise<boolean | undefined> => {
    const client = await connect(port, { client_id: 's', clean: false, properties: { sessionExpiryInterval: 50 } })
    const was = client.connack?.present
    await client.disconnect()
    return was
  }
  const keep = await connect(port, { client_id: 's', properties: { sessionExpiryInterval: 50 } })
  keep.send(packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: 0 }))
  await keep.closed
  expect(await present()).toBe(false)
  const longer = await connect(port, { client_id: 's', properties: { sessionExpiryInterval: 50 } })
  longer.send(packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: 500 }))
  await longer.closed
  broker().clock.advance(400_000)
  expect(await present()).toBe(true)
  const none = await connect(port, { client_id: 'n' })
  none.send(packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: 5 }))
  expect(await disconnectReason(none)).toBe(0x82)
})

test('a DISCONNECT with any reason but 0 sends the will [MQTT-3.14.4-3]', async () => {
  const port = await start()
  const watcher = await connect(port)
  await watcher.subscribe(['will/#', 1])
  for (const [reason, comes] of [
    [0x04, true],
    [0x00, false],
    [0x80, true],
  ] as const) {
    const client = await connect(port, {
      will: { topic: `will/${reason}`, payload: 'gone', properties: { contentType: 'text' } },
    })
    client.send(packet.reason(T.DISCONNECT, reason))
    await client.closed
    if (comes) expect((await watcher.expect(T.PUBLISH)).properties).toEqual({ contentType: 'text' })
    else await watcher.ping()
    expect(watcher.inbox).toEqual([])
  }
})

test('a DISCONNECT that only servers may send, or of a reason that it does not have, is answered as an error', async () => {
  const port = await start()
  for (const [bytes, reason] of [
    [packet.reason(T.DISCONNECT, 0, { serverReference: 'x' }), 0x82],
    [packet.reason(T.DISCONNECT, 0x10), 0x81],
    [packet.reason(T.AUTH, 0x18, { authenticationMethod: 'x' }), 0x82],
    [packet.frame(0xf1, Buffer.alloc(0)), 0x81],
    [packet.connect({ protocol: 5 }), 0x82],
    [packet.frame(0xd0, Buffer.alloc(0)), 0x82],
    [packet.frame(0xc0, Buffer.from([0])), 0x81],
    [Buffer.from([0xc0, 0x80, 0x00]), 0x81],
    [Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]), 0x95],
  ] as const) {
    const client = await connect(port)
    client.send(bytes)
    expect(await disconnectReason(client), bytes.toString('hex')).toBe(reason)
  }
})

test('a CONNECT that cannot be accepted gets a CONNACK with the reason', async () => {
  const port = await start()
  const code = async (o: ClientOptions): Promise<number> => (await refusal(port, o)).code
  expect(await code({ properties: { authenticationMethod: 'GS2' } })).toBe(0x8c)
  expect(await code({ will: { topic: 'a/#', payload: '' } })).toBe(0x90)
  expect(await code({ will: { topic: 'a', payload: Buffer.from([0xff]), properties: { payloadFormatIndicator: 1 } } })).toBe(0x99)
  expect(await code({ properties: { receiveMaximum: 0 } })).toBe(0x82)
  expect(await code({ properties: { maximumPacketSize: 0 } })).toBe(0x82)
  expect(await code({ properties: { requestProblemInformation: 2 } })).toBe(0x82)
  expect(await code({ properties: { topicAlias: 1 } })).toBe(0x81)
  expect(await code({ properties: { authenticationData: Buffer.from('x') } })).toBe(0x82)
})

test('a hook that refuses is heard as a reason', async () => {
  const refuse = (returnCode: number) => Object.assign(new Error('no'), { returnCode })
  const port = await start(
    {},
    {
      aedes: {
        preConnect: (_client, p, done) => done(null, p.clientId !== 'never'),
        authenticate: (client, _user, _password, done) =>
          done(client.id === 'fine' ? null : (refuse(Number(client.id)) as never), client.id === 'fine'),
      },
    },
  )
  const code = async (client_id: string): Promise<number> => (await refusal(port, { client_id })).code
  expect([await code('2'), await code('3'), await code('4'), await code('5')]).toEqual([0x85, 0x88, 0x86, 0x87])
  expect(await code('never')).toBe(0x87)
  expect((await connect(port, { client_id: 'fine' })).connack?.code).toBe(0)
})

test('a reason string is for all who did not ask to be spared it, and only where it fits [MQTT-3.1.2-29]', async () => {
  const port = await start()
  const text = async (properties: ClientOptions['properties']): Promise<unknown> => {
    const client = await connect(port, { ...(properties === undefined ? {} : { properties }) })
    client.send(packet.frame(0xd0, Buffer.alloc(0)))
    return (await untilClosed(client)).at(-1)?.properties.reasonString
  }
  expect(await text({ requestProblemInformation: 1 })).toBe('packet type 13 is not allowed here')
  expect(await text({ requestProblemInformation: 0 })).toBeUndefined()
  // Not to say is to ask for it [MQTT 5.0 3.1.2.11.7].
  expect(await text(undefined)).toBe('packet type 13 is not allowed here')
  expect(await text({ requestProblemInformation: 1, maximumPacketSize: 30 })).toBeUndefined()
})

test('response information is a prefix for those who asked, when there is one', async () => {
  const port = await start({ response_topics: 'answers/{client}' })
  const told = async (client_id: string, asked: number) =>
    (await connect(port, { client_id, properties: { requestResponseInformation: asked } })).connack?.properties
      .responseInformation
  expect(await told('c$&1', 1)).toBe('answers/c$&1')
  expect(await told('c', 0)).toBeUndefined()
  expect(await told('a/+', 1)).toBeUndefined()
})

test('a client that takes no CONNACK of ours is let go', async () => {
  const port = await start()
  const [only, ...rest] = await answersTo(port, packet.connect({ protocol: 5, properties: { maximumPacketSize: 12 } }))
  expect([only?.type, only?.code, rest.length]).toEqual([T.CONNACK, 0x95, 0])
})

test('at a shutdown clients are told, with another server where there is one', async () => {
  for (const [settings, code, serverReference] of [
    [{}, 0x8b, undefined],
    [{ server_reference: 'other:1883' }, 0x9d, 'other:1883'],
  ] as const) {
    const client = await connect(await start(settings))
    const old = await MqttClient.connect(broker().port)
    await stop()
    const last = (await untilClosed(client)).at(-1)
    expect([last?.type, last?.code, last?.properties.serverReference]).toEqual([T.DISCONNECT, code, serverReference])
    expect(await untilClosed(old)).toEqual([])
  }
})
