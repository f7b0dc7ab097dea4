/**
 * AUTH and enhanced authentication, byte by byte, with a method that does what its data says: sections 3.15 and 4.12 of MQTT 5. SCRAM itself is in
 * `test/auth`.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { AuthClient, AuthMethod, AuthStep, Plugin } from '../../src/index.js'
import {
  arrived,
  type ClockedBroker,
  type ClockedOptions,
  MqttClient,
  openWith,
  packet,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'
import type { Props } from '../support/mqtt-packets.js'

let b: ClockedBroker
/** Whoever began, and what became of exchanges that were not done. */
let began: AuthClient[]
let abandoned: number
/** Answers of `later`, in the order in which they were asked for. */
let later: ((step: AuthStep) => void)[]

const say = (text: string): Buffer => Buffer.from(text)

function does(data: Buffer | undefined): AuthStep | Promise<AuthStep> {
  const [what, arg] = `${data ?? ''}`.split(':')
  switch (what) {
    case '':
      return { kind: 'continue' }
    case 'more':
      return { kind: 'continue', data: say('and?') }
    case 'is':
      return { kind: 'done', identity: arg, data: say('bye') }
    case 'silent':
      return { kind: 'done', identity: arg }
    case 'no':
      return { kind: 'refused', reason: 'because' }
    case 'later':
      return new Promise((resolve) => later.push(resolve))
    case 'reject':
      return Promise.reject(new Error('secret of the house'))
    case 'junk':
      return {} as AuthStep
    case 'verbose':
      return { kind: 'refused', reason: `\0${'x'.repeat(65_536)}` }
    case 'long':
      return { kind: 'continue', data: Buffer.alloc(65_536) }
    default:
      throw new Error('secret of the house')
  }
}

const method = (name: string): AuthMethod => ({
  name,
  begin(client) {
    began.push(client)
    return { step: does, abandoned: () => void abandoned++ }
  },
})

const methods = (required = false): Plugin => ({
  name: 'methods',
  setup(api) {
    api.authenticateWith(method('TEST'), { required })
    api.authenticateWith(method('OTHER'))
  },
})

async function start(o: ClockedOptions = {}): Promise<void> {
  await b?.close()
  b = await startClocked({ plugins: [methods()], ...o })
}
beforeEach(async () => {
  began = []
  abandoned = 0
  later = []
  b = await startClocked({ plugins: [methods()] })
})
afterEach(() => b.close())

const props = (data?: string, name = 'TEST'): Props => ({
  authenticationMethod: name,
  ...(data === undefined ? {} : { authenticationData: say(data) }),
})
/** No reason strings: they are for those who read them. */
const QUIET: Props = { requestProblemInformation: 0 }
const connect = (data?: string, more: Props = {}, client_id = 'c'): Buffer =>
  packet.connect({ protocol: 5, client_id, properties: { ...props(data), ...QUIET, ...more } })
const auth = (reason: number, data?: string, name?: string): Buffer => packet.reason(T.AUTH, reason, props(data, name))
const open = (bytes: Buffer): Promise<MqttClient> => openWith(b.port, bytes, { protocol: 5 })
const joined = (data = 'is:ann'): Promise<MqttClient> =>
  MqttClient.connect(b.port, { protocol: 5, client_id: 'c', properties: { ...props(data), ...QUIET }, auto_ack: false })

/** All that the broker says to `bytes` until it closes, as numbers. */
async function bytesFor(...chunks: Buffer[]): Promise<number[]> {
  const client = await MqttClient.open(b.port, { protocol: 5 })
  const got: Buffer[] = []
  client.socket.on('data', (chunk: Buffer) => got.push(chunk))
  client.send(Buffer.concat(chunks))
  await untilClosed(client)
  return [...Buffer.concat(got)]
}
/** An authentication method, then data. */
const block = (data: string, name = 'TEST'): number[] => [
  ...[21, 0, name.length, ...say(name)],
  ...(data === '' ? [] : [22, 0, data.length, ...say(data)]),
]
const AUTH_MORE = [0xf0, 16, 0x18, 14, ...block('and?')]
const disconnect = packet.disconnect()

test('CONNECT with all that is needed is accepted at once; CONNACK has method and last data [MQTT-4.12.0-5]', async () => {
  const client = await joined()
  expect(client.connack).toMatchObject({ code: 0, present: false })
  expect(client.connack?.properties).toMatchObject(props('bye'))
  expect(began).toMatchObject([{ id: 'c', username: undefined, user: undefined }])
  expect(began[0].remote).toMatch(/^127\.0\.0\.1:\d+$/)
  await client.disconnect()
})

test('AUTH goes to and fro with reason 0x18 and the method until CONNACK [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5]', async () => {
  const client = await open(connect('more'))
  for (let i = 0; i < 3; i++) {
    expect(await client.next()).toMatchObject({ type: T.AUTH, flags: 0, code: 0x18, properties: props('and?') })
    client.send(auth(0x18, i === 2 ? 'silent:ann' : 'more'))
  }
  const connack = await client.next()
  expect(connack).toMatchObject({ type: T.CONNACK, code: 0 })
  expect(connack.properties.authenticationMethod).toBe('TEST')
  expect(connack.properties.authenticationData).toBeUndefined()
  await client.disconnect()
})

test('AUTH looks as the standard draws it, without reason string and user properties [MQTT-3.15.2-2] [MQTT-3.15.2-3]', async () => {
  expect(await bytesFor(connect('more'), disconnect)).toEqual(AUTH_MORE)
  expect(await bytesFor(connect(), disconnect)).toEqual([0xf0, 9, 0x18, 7, ...block('')])
})

test('a method that is not there is answered with 0x8C, then the end [MQTT-4.12.0-1]', async () => {
  expect(await bytesFor(packet.connect({ protocol: 5, properties: { ...props('x', 'NONE'), ...QUIET } }))).toEqual([
    0x20, 3, 0, 0x8c, 0,
  ])
  expect(await bytesFor(packet.connect({ protocol: 5, properties: { ...props('x', ''), ...QUIET } }))).toEqual([
    0x20, 3, 0, 0x8c, 0,
  ])
  expect(b.broker.state.stats.authRefused).toBe(2)
})

test('a refusal at any step is CONNACK with 0x87, then the end [MQTT-4.12.0-4]', async () => {
  const refusal = [0x20, 3, 0, 0x87, 0]
  expect(await bytesFor(connect('no'))).toEqual(refusal)
  expect(await bytesFor(connect('more'), auth(0x18, 'no'))).toEqual([...AUTH_MORE, ...refusal])
  const told = await open(connect('no', { requestProblemInformation: 1 }))
  expect((await untilClosed(told))[0].properties).toEqual({ reasonString: 'because' })
  expect(abandoned).toBe(0)
})

test('a method that throws, or answers what is no answer, lets nobody in and tells nothing', async () => {
  for (const data of ['throw', 'reject', 'junk', 'is:', 'long', 'verbose']) {
    const client = await open(connect(data, { requestProblemInformation: 1 }))
    expect(await untilClosed(client), data).toMatchObject([
      { type: T.CONNACK, code: 0x80, properties: { reasonString: 'authentication failed' } },
    ])
  }
})

test('before CONNACK everything but AUTH and DISCONNECT is a protocol error [MQTT-3.1.2-30]', async () => {
  const wrong = [
    packet.publish('t', 'x', { properties: {} }),
    packet.subscribe(1, [['t', 0]], {}),
    packet.unsubscribe(1, ['t'], {}),
    packet.puback(1),
    packet.pingreq(),
    connect('is:ann'),
  ]
  for (const bytes of wrong) expect(await bytesFor(connect('more'), bytes)).toEqual([...AUTH_MORE, 0x20, 3, 0, 0x82, 0])
  expect(await bytesFor(connect('more'), disconnect)).toEqual(AUTH_MORE)
  expect(abandoned).toBe(wrong.length + 1)
})

test('AUTH of a client begins with 0x19 and goes on with 0x18, and only when it is its turn [MQTT-3.15.2-1]', async () => {
  for (const reason of [0x00, 0x19]) {
    expect(await bytesFor(connect('more'), auth(reason, 'is:ann'))).toEqual([...AUTH_MORE, 0x20, 3, 0, 0x82, 0])
  }
  for (const reason of [0x01, 0x17, 0x80, 0x87]) {
    expect(await bytesFor(connect('more'), auth(reason, 'is:ann'))).toEqual([...AUTH_MORE, 0x20, 3, 0, 0x81, 0])
  }
  // An AUTH without a body is 0x00.
  expect(await bytesFor(connect('more'), Buffer.from([0xf0, 0]))).toEqual([...AUTH_MORE, 0x20, 3, 0, 0x82, 0])
  for (const reason of [0x00, 0x18]) {
    const client = await joined()
    client.send(auth(reason, 'is:ann'))
    expect(await untilClosed(client)).toMatchObject([{ type: T.DISCONNECT, code: 0x82 }])
  }
})

test('the flags of AUTH are 0 [MQTT-3.15.1-1]', async () => {
  for (const flags of [1, 2, 4, 8]) {
    const bytes = auth(0x18, 'is:ann')
    bytes[0] |= flags
    expect(await bytesFor(connect('more'), bytes)).toEqual([...AUTH_MORE, 0x20, 3, 0, 0x81, 0])
  }
})

test('an AUTH that is malformed ends the connection', async () => {
  const body = [...auth(0x18, 'is:ann').subarray(2)]
  const wrong: [number[], number][] = [
    // Cut off, too long, a property that AUTH has not, data twice.
    [body.slice(0, -1), 0x81],
    [[...body, 0], 0x81],
    [[0x18, 2 + 7, ...block(''), 1, 1], 0x81],
    [[0x18, 7 + 8, ...block(''), 22, 0, 1, 1, 22, 0, 1, 1], 0x82],
  ]
  for (const [bytes, reason] of wrong) {
    const answer = await bytesFor(connect('more'), packet.frame(0xf0, Buffer.from(bytes)))
    expect(answer).toEqual([...AUTH_MORE, 0x20, 3, 0, reason, 0])
  }
})

test('AUTH names the method of CONNECT, no other and not none [MQTT-4.12.0-5] [MQTT-4.12.1-1]', async () => {
  expect(await bytesFor(connect('more'), auth(0x18, 'is:ann', 'OTHER'))).toEqual([...AUTH_MORE, 0x20, 3, 0, 0x82, 0])
  expect(await bytesFor(connect('more'), packet.reason(T.AUTH, 0x18, {}))).toEqual([...AUTH_MORE, 0x20, 3, 0, 0x82, 0])
  for (const bytes of [auth(0x19, 'is:ann', 'OTHER'), packet.reason(T.AUTH, 0x19, {})]) {
    const client = await joined()
    client.send(bytes)
    expect(await untilClosed(client)).toMatchObject([{ type: T.DISCONNECT, code: 0x82 }])
  }
})

test('without a method in CONNECT there is no AUTH, and none in CONNACK [MQTT-4.12.0-6] [MQTT-4.12.0-7]', async () => {
  const client = await MqttClient.connect(b.port, { protocol: 5, client_id: 'c' })
  expect(client.connack?.properties.authenticationMethod).toBeUndefined()
  client.send(auth(0x19, 'is:ann'))
  expect(await untilClosed(client)).toMatchObject([{ type: T.DISCONNECT, code: 0x82 }])
  // Data without a method belongs to nothing.
  const data = packet.connect({ protocol: 5, properties: { authenticationData: say('x') } })
  expect(await bytesFor(data)).toEqual([0x20, 3, 0, 0x82, 0])
})

test('a client may authenticate again, with messages going on meanwhile [MQTT-4.12.1-1]', async () => {
  const client = await joined()
  await client.subscribe(['t', 0])
  client.send(auth(0x19, 'more'))
  client.send(packet.publish('t', 'one', { properties: {} }))
  expect(await client.next()).toMatchObject({ type: T.AUTH, code: 0x18, properties: props('and?') })
  expect(await client.next()).toMatchObject({ type: T.PUBLISH, topic: 't' })
  client.send(auth(0x18, 'is:ann'))
  expect(await client.next()).toMatchObject({ type: T.AUTH, code: 0, properties: props('bye') })
  expect(began.map((who) => who.user)).toEqual([undefined, 'ann'])
  // And once more.
  client.send(auth(0x19, 'silent:ann'))
  const done = await client.next()
  expect(done).toMatchObject({ type: T.AUTH, code: 0 })
  expect(done.properties.authenticationData).toBeUndefined()
  await client.disconnect()
  expect(abandoned).toBe(0)
})

test('a re-authentication that fails ends the connection with 0x87 [MQTT-4.12.1-2]', async () => {
  for (const data of ['no', 'is:bob']) {
    const client = await joined()
    client.send(auth(0x19, data))
    expect(await untilClosed(client), data).toMatchObject([{ type: T.DISCONNECT, code: 0x87 }])
  }
})

test('a second re-authentication waits for the end of the first', async () => {
  const client = await joined()
  client.send(Buffer.concat([auth(0x19, 'more'), auth(0x19, 'is:ann')]))
  expect(await untilClosed(client)).toMatchObject([{ type: T.AUTH }, { type: T.DISCONNECT, code: 0x82 }])
  expect(abandoned).toBe(1)
})

test('a method may take its time: before CONNACK what comes meanwhile waits', async () => {
  const client = await open(Buffer.concat([connect('later'), auth(0x18, 'later')]))
  await vi.waitFor(() => expect(later).toHaveLength(1))
  later[0]({ kind: 'continue' })
  await vi.waitFor(() => expect(later).toHaveLength(2))
  expect(await client.next()).toMatchObject({ type: T.AUTH, code: 0x18 })
  // Sent on trust, in one go with the last AUTH: nothing of it is lost.
  client.send(packet.subscribe(7, [['t', 0]], {}))
  later[1]({ kind: 'done', identity: 'ann' })
  expect(await client.next()).toMatchObject({ type: T.CONNACK, code: 0 })
  expect(await client.next()).toMatchObject({ type: T.SUBACK, id: 7 })
  await client.disconnect()
})

test('a method that takes its time holds up no other packet once the client is in, and hears one step at a time', async () => {
  const client = await joined()
  client.send(auth(0x19, 'later'))
  expect(await arrived(client)).toEqual([])
  later[0]({ kind: 'continue' })
  expect(await client.next()).toMatchObject({ type: T.AUTH, code: 0x18 })
  client.send(Buffer.concat([auth(0x18, 'later'), auth(0x18, 'later')]))
  expect(await untilClosed(client)).toMatchObject([{ type: T.DISCONNECT, code: 0x82 }])
  // Its answer comes too late for anything.
  later[1]({ kind: 'done', identity: 'ann' })
  expect(abandoned).toBe(1)
})

test('an answer for a client that has gone is forgotten', async () => {
  const client = await open(connect('later'))
  await vi.waitFor(() => expect(later).toHaveLength(1))
  b.clock.advance(10_500)
  expect(await untilClosed(client)).toMatchObject([{ type: T.CONNACK, code: 0x87 }])
  expect(abandoned).toBe(1)
  later[0]({ kind: 'done', identity: 'ann' })
  await new Promise(setImmediate)
  expect(Object.keys(b.broker.aedes.clients)).toEqual([])
  expect(b.broker.state.connections.size).toBe(0)
})

test.each(['more', 'later'])('who does not come to an end within the connect timeout is refused: %s', async (data) => {
  const client = await open(connect(data))
  await vi.waitFor(() => expect(began).toHaveLength(1))
  b.clock.advance(6_000)
  if (data === 'more') {
    // A client that keeps talking gains no time by it.
    await client.expect(T.AUTH)
    client.send(auth(0x18, 'more'))
    await client.expect(T.AUTH)
  }
  b.clock.advance(4_250)
  expect(b.broker.state.stats.connectTimeouts).toBe(0)
  b.clock.advance(500)
  const said = await untilClosed(client)
  expect(said.at(-1)).toMatchObject({ type: T.CONNACK, code: 0x87 })
  expect(abandoned).toBe(1)
  expect(b.broker.state.stats.connectTimeouts).toBe(1)
})

test('a re-authentication has the same time, and a client that is done none to fear', async () => {
  const client = await joined()
  b.clock.advance(60_000)
  client.send(auth(0x19, 'more'))
  await client.expect(T.AUTH)
  b.clock.advance(10_250)
  expect(b.broker.state.stats.connectTimeouts).toBe(0)
  b.clock.advance(500)
  expect(await untilClosed(client)).toMatchObject([{ type: T.DISCONNECT, code: 0x87 }])
})

test('who is not proven takes over nobody, has no session and leaves no will', async () => {
  const first = await joined()
  await first.subscribe(['will', 0])
  const will = { topic: 'will', payload: 'gone' }
  const thief = await open(packet.connect({ protocol: 5, client_id: 'c', will, properties: props('more') }))
  await thief.expect(T.AUTH)
  thief.destroy()
  const refused = await open(packet.connect({ protocol: 5, client_id: 'c', will, properties: props('no') }))
  await untilClosed(refused)
  expect(await arrived(first)).toEqual([])
  const second = await joined()
  expect(await untilClosed(first)).toMatchObject([{ type: T.DISCONNECT, code: 0x8e }])
  await second.disconnect()
})

test('AUTH and CONNACK larger than the client takes are not sent', async () => {
  // AUTH with `and?` has 18 bytes.
  const fits = await open(connect('more', { maximumPacketSize: 18 }))
  expect(await fits.next()).toMatchObject({ type: T.AUTH })
  fits.destroy()
  expect(await bytesFor(connect('more', { maximumPacketSize: 17 }))).toEqual([0x20, 3, 0, 0x95, 0])
  // CONNACK drops nothing of what the client must know.
  expect(await bytesFor(connect('is:ann', { maximumPacketSize: 20 }))).toEqual([0x20, 3, 0, 0x95, 0])
})

test('hooks see the name that was proven, on the packet and on the client, whatever CONNECT says', async () => {
  const seen: unknown[] = []
  type Who = { user?: string }
  await start({
    aedes: {
      preConnect: (client, connect, done) => {
        seen.push(['preConnect', (client as unknown as Who).user, connect.username])
        done(null, true)
      },
      authenticate: (client, username, password, done) => {
        seen.push(['authenticate', (client as unknown as Who).user, username, password?.toString()])
        done(null, username === 'ann')
      },
      authorizePublish: (client, _, done) => {
        seen.push(['authorizePublish', (client as unknown as Who).user])
        done(null)
      },
    },
  })
  const as = (data: string) =>
    MqttClient.connect(b.port, { protocol: 5, username: 'root', password: 'guess', properties: props(data) })
  const ann = await as('is:ann')
  ann.publish('t', 'x')
  await ann.ping()
  await ann.disconnect()
  expect(seen.splice(0)).toEqual([
    ['preConnect', 'ann', 'ann'],
    ['authenticate', 'ann', 'ann', 'guess'],
    ['authorizePublish', 'ann'],
  ])
  const bob = await as('is:bob')
  expect(bob.connack).toMatchObject({ code: 0x87 })
  expect(began.map((who) => who.username)).toEqual(['root', 'root'])
})

test('a required method: everybody else is refused, in the words of their version', async () => {
  await start({ plugins: [methods(true)] })
  expect(await bytesFor(packet.connect({ client_id: 'c' }))).toEqual([0x20, 2, 0, 5])
  expect(await bytesFor(packet.connect({ client_id: 'c', protocol: 3 }))).toEqual([0x20, 2, 0, 5])
  expect(await bytesFor(packet.connect({ client_id: 'c', username: 'ann', password: 'x' }))).toEqual([0x20, 2, 0, 5])
  expect(await bytesFor(packet.connect({ client_id: 'c', protocol: 5, properties: QUIET }))).toEqual([0x20, 3, 0, 0x87, 0])
  expect(await bytesFor(packet.connect({ protocol: 5, properties: { ...props('is:ann', 'OTHER'), ...QUIET } }))).toEqual([
    0x20, 3, 0, 0x8c, 0,
  ])
  expect(b.broker.state.stats.authRefused).toBe(5)
  const client = await joined()
  expect(client.connack).toMatchObject({ code: 0 })
  await client.disconnect()
})

test('two methods of one name do not start', async () => {
  await expect(startClocked({ plugins: [methods(), { ...methods(), name: 'again' }] })).rejects.toMatchObject({
    code: 'internal',
  })
})
