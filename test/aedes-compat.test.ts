/**
 * Programs and plug-ins written for Aedes work unchanged: hooks, events, client methods, `publish` and `subscribe`, streams, `aedes-stats`.
 * Asked with the Node `mqtt` client, and with raw packets where every byte matters.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import stats from 'aedes-stats'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Aqueduct, type AqueductOptions, createAqueduct } from '../src/app.js'
import { PacketReader, packet as packets, MqttClient as RawClient, T } from './support/mqtt-client.js'

/** What of Aedes these tests use; loosely typed, as programs in JavaScript see it. */
interface Client {
  id: string
  clean: boolean
  version: number
  connected: boolean
  closed: boolean
  subscriptions: Record<string, { qos: number }>
  publish(packet: object, done?: (error?: Error) => void): void
  subscribe(subscriptions: object, done?: (error?: Error) => void): void
  unsubscribe(subscriptions: unknown, done?: (error?: Error) => void): void
  close(done?: () => void): void
  emit(event: string, ...values: unknown[]): boolean
}
type Done = (error?: (Error & { returnCode?: number }) | null, value?: unknown) => void
interface Packet {
  cmd: string
  topic: string
  payload: Buffer
  qos: number
  retain: boolean
  messageId?: number
  [field: string]: unknown
}
interface Shell {
  id: string
  closed: boolean
  connectedClients: number
  clients: Record<string, Client>
  stats?: Record<string, number>
  handle(stream: Duplex, request?: unknown): Client
  publish(packet: object, done?: Done): void
  publish(packet: object, client: Client | null, done?: Done): void
  subscribe(topic: string, deliver: (packet: Packet, done: () => void) => void, done?: () => void): void
  unsubscribe(topic: string, deliver: (packet: Packet, done: () => void) => void, done?: () => void): void
  preConnect(client: Client, packet: Record<string, unknown>, done: Done): void
  authenticate(client: Client, username: string | undefined, password: Buffer | undefined, done: Done): void
  authorizePublish(client: Client | null, packet: Packet, done: Done): void
  authorizeSubscribe(client: Client, subscription: { topic: string; qos: number }, done: Done): void
  authorizeForward(client: Client, packet: Packet): Packet | null | undefined
  published(packet: Packet, client: Client | null, done: Done): void
  on(event: string, listener: (...values: never[]) => void): void
  once(event: string, listener: (...values: never[]) => void): void
}

let aqueduct: Aqueduct
let aedes: Shell
let server: net.Server
let port: number
let open: MqttClient[] = []

async function start(options: AqueductOptions = {}): Promise<void> {
  aqueduct = await createAqueduct({ store: { durability: 'memory' }, ...options })
  aedes = aqueduct.aedes as unknown as Shell
  server = net.createServer(aedes.handle as unknown as (socket: net.Socket) => void)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as net.AddressInfo).port
}

async function stop(): Promise<void> {
  for (const client of open) client.end(true)
  open = []
  await aqueduct.close()
  server.close()
}

beforeEach(() => start())
afterEach(() => stop())

function dial(options: IClientOptions = {}): MqttClient {
  const client = mqtt.connect({ host: '127.0.0.1', port, reconnectPeriod: 0, keepalive: 0, ...options })
  client.on('error', () => {})
  open.push(client)
  return client
}

async function connect(clientId: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = dial({ clientId, ...options })
  await new Promise<void>((resolve) => client.once('connect', () => resolve()))
  return client
}

/** The next `count` messages of a client. */
function messages(client: MqttClient, count: number): Promise<[string, string][]> {
  return new Promise((resolve) => {
    const got: [string, string][] = []
    const take = (topic: string, payload: Buffer): void => {
      got.push([topic, payload.toString()])
      if (got.length < count) return
      client.off('message', take)
      resolve(got)
    }
    client.on('message', take)
  })
}

function event(name: string): Promise<unknown[]> {
  return new Promise((resolve) => aedes.once(name, (...values: unknown[]) => resolve(values)))
}

/** Calls `fn` with a Node callback and waits for it. */
function called(fn: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => fn((error) => (error ? reject(error) : resolve())))
}

describe('preConnect', () => {
  it('sees the client without id and the packet as mqtt-packet reads it, and may let it in later', async () => {
    const seen: unknown[] = []
    aedes.preConnect = (client, packet, done) => {
      seen.push(client.id, packet)
      setImmediate(done, null, true)
    }
    await connect('c1', { username: 'u', password: 'p', will: { topic: 'w', payload: Buffer.from('x'), qos: 1, retain: true } })
    expect(seen[0]).toBeFalsy()
    expect(seen[1]).toMatchObject({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: 'c1',
      keepalive: 0,
      username: 'u',
      password: Buffer.from('p'),
      will: { topic: 'w', payload: Buffer.from('x'), qos: 1, retain: true },
    })
  })

  it('refuses without an answer and tells it as connectionError', async () => {
    const wrong = new Error('not from there')
    aedes.preConnect = (_client, _packet, done) => done(wrong, false)
    const told = event('connectionError')
    const raw = await RawClient.open(port)
    raw.send(packets.connect({ client_id: 'c1' }))
    await raw.closed
    expect(raw.inbox).toEqual([])
    expect((await told)[1]).toBe(wrong)
    expect(aedes.connectedClients).toBe(0)
  })

  it('may give the client another id', async () => {
    aedes.preConnect = (_client, packet, done) => {
      packet.clientId = `tenant/${packet.clientId}`
      done(null, true)
    }
    await connect('c1')
    expect(Object.keys(aedes.clients)).toEqual(['tenant/c1'])
  })
})

describe('authenticate', () => {
  it.each([
    ['a return code', Object.assign(new Error('no'), { returnCode: 4 }), null, 4],
    ['a return code that MQTT does not have', Object.assign(new Error('no'), { returnCode: 99 }), null, 5],
    ['no error and no success', null, false, 5],
  ])('refuses with %s', async (_name, error, success, code) => {
    aedes.authenticate = (_client, _username, _password, done) => setImmediate(done, error, success)
    const told = event('clientError')
    const sent = event('connackSent')
    const raw = await RawClient.connect(port, { client_id: 'c1', username: 'u', password: 'p' })
    expect(raw.connack?.code).toBe(code)
    await raw.closed
    const [client, why] = (await told) as [Client, Error & { errorCode: number }]
    expect([client.id, why.errorCode]).toEqual(['c1', code])
    expect((await sent)[0]).toMatchObject({ cmd: 'connack', returnCode: code, sessionPresent: false })
  })

  it('gets user name and password, and is heard once', async () => {
    const seen: unknown[] = []
    aedes.authenticate = (client, username, password, done) => {
      seen.push([client.id, username, password])
      done(null, true)
      done(null, false)
    }
    const client = await connect('c1', { username: 'u', password: 'p' })
    expect(seen).toEqual([['c1', 'u', Buffer.from('p')]])
    expect(client.connected).toBe(true)
  })

  it('holds back what a client sends behind its CONNECT', async () => {
    aedes.authenticate = (_client, _username, _password, done) => setTimeout(done, 5, null, true)
    const raw = await RawClient.open(port)
    raw.send(
      Buffer.concat([packets.connect({ client_id: 'c1', clean: false }), packets.subscribe(1, [['a', 1]]), packets.pingreq()]),
    )
    expect((await raw.next()).type).toBe(T.CONNACK)
    expect((await raw.next()).type).toBe(T.SUBACK)
    expect((await raw.next()).type).toBe(T.PINGRESP)
    raw.destroy()
  })
})

describe('authorizePublish', () => {
  it.each([
    ['at once', (done: Done) => done(null)],
    ['later', (done: Done) => void setTimeout(done, 2, null)],
  ])('may change topic and payload, %s, and order stays', async (_name, answer) => {
    aedes.authorizePublish = (client, packet, done) => {
      packet.topic = `of/${client?.id}/${packet.topic}`
      packet.payload = Buffer.from(`<${packet.payload}>`)
      answer(done)
    }
    const sub = await connect('sub')
    await sub.subscribeAsync('#', { qos: 2 })
    const got = messages(sub, 6)
    const pub = await connect('pub')
    for (let i = 0; i < 6; i++) pub.publish('t', String(i), { qos: (i % 3) as 0 | 1 | 2 })
    expect((await got).map(([topic]) => topic)).toEqual(Array(6).fill('of/pub/t'))
  })

  it('sees a packet like that of mqtt-packet', async () => {
    const seen = new Promise<Packet>((resolve) => {
      aedes.authorizePublish = (_client, packet, done) => {
        resolve(packet)
        done()
      }
    })
    const raw = await RawClient.connect(port, { client_id: 'pub' })
    raw.publish('t', 'x', { qos: 1, id: 7, retain: true, dup: true })
    expect(await seen).toMatchObject({
      cmd: 'publish',
      topic: 't',
      payload: Buffer.from('x'),
      qos: 1,
      retain: true,
      dup: true,
      messageId: 7,
    })
    raw.destroy()
  })

  it('closes the client that it refuses, without acknowledgement, and tells its own error', async () => {
    const wrong = new Error('not yours')
    aedes.authorizePublish = (_client, packet, done) => done(packet.topic === 'secret' ? wrong : null)
    const told = event('clientError')
    const raw = await RawClient.connect(port, { client_id: 'pub' })
    raw.publish('secret', 'x', { qos: 1 })
    await raw.closed
    expect(raw.inbox).toEqual([])
    expect((await told)[1]).toBe(wrong)
  })

  it('is heard once, however often it answers', async () => {
    aedes.authorizePublish = (_client, _packet, done) => {
      done()
      done()
      setImmediate(done)
    }
    const raw = await RawClient.connect(port, { client_id: 'c1' })
    await raw.subscribe(['t', 0])
    raw.publish('t', 'x', { qos: 1 })
    await raw.ping()
    await raw.ping()
    expect(raw.inbox.map((p) => p.type).sort()).toEqual([T.PUBLISH, T.PUBACK])
    raw.destroy()
  })

  it('is asked about a will with the client that left it, and may change it', async () => {
    const seen: unknown[] = []
    aedes.authorizePublish = (client, packet, done) => {
      seen.push([client?.id, packet.topic])
      packet.payload = Buffer.from('changed')
      done()
    }
    const sub = await connect('sub')
    await sub.subscribeAsync('w')
    const got = messages(sub, 1)
    const dying = await RawClient.connect(port, { client_id: 'dying', will: { topic: 'w', payload: 'bye' } })
    dying.destroy()
    expect(await got).toEqual([['w', 'changed']])
    expect(seen).toEqual([['dying', 'w']])
  })
})

describe('authorizeSubscribe', () => {
  it('may lower the QoS, change the filter or refuse; listeners hear what was granted', async () => {
    aedes.authorizeSubscribe = (_client, subscription, done) => {
      if (subscription.topic === 'no') return done(null, null)
      if (subscription.topic === 'less') subscription.qos = 0
      if (subscription.topic === 'other') subscription.topic = 'changed'
      setImmediate(done, null, subscription)
    }
    const told = event('subscribe')
    const raw = await RawClient.connect(port, { client_id: 'sub' })
    expect(await raw.subscribe(['no', 1], ['less', 1], ['other', 1])).toEqual([128, 0, 1])
    const [subscriptions, client] = (await told) as [object[], Client]
    expect(subscriptions).toEqual([
      { topic: 'no', qos: 128 },
      { topic: 'less', qos: 0 },
      { topic: 'changed', qos: 1 },
    ])
    expect(Object.keys(client.subscriptions).sort()).toEqual(['changed', 'less'])
    raw.destroy()
  })

  it('closes the client on an error', async () => {
    const wrong = new Error('wrong topic')
    aedes.authorizeSubscribe = (_client, _subscription, done) => done(wrong)
    const told = event('clientError')
    const raw = await RawClient.connect(port, { client_id: 'sub' })
    raw.send(packets.subscribe(1, [['a', 1]]))
    await raw.closed
    expect(raw.inbox).toEqual([])
    expect((await told)[1]).toBe(wrong)
  })

  it('is asked about thousands of filters in one packet without growing the stack', async () => {
    aedes.authorizeSubscribe = (_client, subscription, done) => done(null, subscription)
    const raw = await RawClient.connect(port, { client_id: 'sub' })
    const filters = Array.from({ length: 20_000 }, (_, i) => [`f/${i}`, 0] as const)
    expect((await raw.subscribe(...filters)).length).toBe(20_000)
    raw.destroy()
  })

  it('is asked again when a stored session comes back: what it refuses then is gone', async () => {
    const raw = await RawClient.connect(port, { client_id: 'sub', clean: false })
    await raw.subscribe(['a', 1], ['b', 1])
    await raw.disconnect()
    aedes.authorizeSubscribe = (_client, subscription, done) =>
      setImmediate(done, null, subscription.topic === 'a' ? null : subscription)
    const again = await RawClient.connect(port, { client_id: 'sub', clean: false })
    expect(again.connack?.present).toBe(true)
    expect(Object.keys(aedes.clients.sub.subscriptions)).toEqual(['b'])
    again.destroy()
  })
})

describe('authorizeForward', () => {
  it.each([0, 1, 2] as const)(
    'keeps a copy of QoS %i from one client, changes it for another, and others get it as it is',
    async (qos) => {
      aedes.authorizeForward = (client, packet) => {
        if (client.id === 'never' && packet.topic === 't') return null
        if (client.id === 'changed') packet.payload = Buffer.from(`for ${client.id}: ${packet.payload}`)
        return packet
      }
      const clients = await Promise.all(['never', 'changed', 'plain'].map((id) => connect(id)))
      await Promise.all(clients.map((client) => client.subscribeAsync(['t', 'end'], { qos: 2 })))
      const got = clients.map((client, i) => messages(client, i === 0 ? 1 : 2))
      const pub = await connect('pub')
      await pub.publishAsync('t', 'x', { qos })
      await pub.publishAsync('end', '', { qos: 2 })
      const [never, changed, plain] = await Promise.all(got)
      expect(never).toEqual([['end', '']])
      expect(changed).toContainEqual(['t', 'for changed: x'])
      expect(plain).toContainEqual(['t', 'x'])
    },
  )

  it.each([0, 1, 2] as const)(
    'may publish while a message of QoS %i is being given out: nobody gets one in place of the other',
    async (qos) => {
      let said = false
      aedes.authorizeForward = (client, packet) => {
        if (client.id === 's1' && packet.topic === 't' && !said) {
          said = true
          aedes.publish({ topic: 'said', payload: 'from the hook', qos: 2 })
        }
        return packet
      }
      const clients = await Promise.all(['s1', 's2', 's3'].map((id) => connect(id)))
      await Promise.all(clients.map((client) => client.subscribeAsync(['t', 'said'], { qos: 1 })))
      const got = clients.map((client) => messages(client, 2))
      const pub = await connect('pub')
      await pub.publishAsync('t', 'x', { qos })
      for (const one of await Promise.all(got))
        expect(one).toEqual([
          ['t', 'x'],
          ['said', 'from the hook'],
        ])
    },
  )

  it('also decides about retained messages', async () => {
    aedes.authorizeForward = (_client, packet) => (packet.topic === 'r/1' ? null : packet)
    const pub = await connect('pub')
    await pub.publishAsync('r/1', 'one', { qos: 1, retain: true })
    await pub.publishAsync('r/2', 'two', { qos: 1, retain: true })
    const sub = await connect('sub')
    const got = messages(sub, 1)
    await sub.subscribeAsync('r/#')
    expect(await got).toEqual([['r/2', 'two']])
  })
})

describe('published and the publish event', () => {
  it('tell each message once with its publisher; messages of the program have none', async () => {
    const hook: unknown[] = []
    const heard: unknown[] = []
    aedes.published = (packet, client, done) => {
      if (!packet.topic.startsWith('$SYS')) hook.push([packet.topic, client?.id ?? null])
      done()
    }
    aedes.on('publish', (packet: Packet, client: Client | null) => {
      if (!packet.topic.startsWith('$SYS'))
        heard.push([packet.cmd, packet.topic, String(packet.payload), packet.qos, client?.id ?? null])
    })
    const pub = await connect('pub')
    for (const qos of [0, 1, 2] as const) await pub.publishAsync(`q/${qos}`, 'x', { qos })
    await called((done) => aedes.publish({ cmd: 'publish', topic: 'mine', payload: 'y', qos: 1 }, done))
    expect(hook).toEqual([
      ['q/0', 'pub'],
      ['q/1', 'pub'],
      ['q/2', 'pub'],
      ['mine', null],
    ])
    expect(heard).toEqual([
      ['publish', 'q/0', 'x', 0, 'pub'],
      ['publish', 'q/1', 'x', 1, 'pub'],
      ['publish', 'q/2', 'x', 2, 'pub'],
      ['publish', 'mine', 'y', 1, null],
    ])
  })

  it('have the fields of an Aedes packet', async () => {
    const told = event('publish')
    aedes.publish({ topic: 'a', payload: 'x' })
    expect((await told)[0]).toMatchObject({
      cmd: 'publish',
      brokerId: aedes.id,
      brokerCounter: expect.any(Number),
      dup: false,
      retain: false,
    })
  })

  it('are told of clients that come and go on $SYS topics', async () => {
    const topics: string[] = []
    aedes.on('publish', (packet: Packet) => topics.push(`${packet.topic} ${packet.payload}`))
    const client = await connect('c1')
    await client.subscribeAsync('a')
    const gone = event('clientDisconnect')
    await client.endAsync()
    await gone
    const sys = `$SYS/${aedes.id}`
    expect(topics).toEqual([
      `${sys}/new/clients c1`,
      `${sys}/new/subscribes {"clientId":"c1","subs":[{"topic":"a","qos":0}]}`,
      `${sys}/new/unsubscribes {"clientId":"c1","subs":["a"]}`,
      `${sys}/disconnect/clients c1`,
    ])
  })
})

describe('events', () => {
  it('come in the order of Aedes', async () => {
    const log: string[] = []
    for (const name of [
      'client',
      'clientReady',
      'clientDisconnect',
      'keepaliveTimeout',
      'connackSent',
      'ping',
      'subscribe',
      'unsubscribe',
      'ack',
      'closed',
    ])
      aedes.on(name, () => log.push(name))
    const raw = await RawClient.connect(port, { client_id: 'c1' })
    await raw.subscribe(['a', 1])
    await raw.ping()
    await raw.publishAndWait('a', 'x', { qos: 1 })
    await raw.expect(T.PUBLISH)
    await raw.ping()
    await raw.unsubscribe('a')
    const gone = event('clientDisconnect')
    await raw.disconnect()
    await gone
    expect(log).toEqual([
      'client',
      'connackSent',
      'clientReady',
      'subscribe',
      'ping',
      'ack',
      'ping',
      'unsubscribe',
      'clientDisconnect',
    ])
    await aqueduct.close()
    expect(log.at(-1)).toBe('closed')
    expect(aedes.closed).toBe(true)
  })

  it('ack tells the message for PUBACK and PUBREL for PUBCOMP', async () => {
    const acks: Packet[] = []
    aedes.on('ack', (packet: Packet) => acks.push(packet))
    const sub = await RawClient.connect(port, { client_id: 'sub' })
    await sub.subscribe(['a', 2])
    await sub.publishAndWait('a', 'one', { qos: 1 })
    await sub.publishAndWait('a', 'two', { qos: 2 })
    await sub.expect(T.PUBREL)
    await sub.ping()
    expect(acks[0]).toMatchObject({
      cmd: 'publish',
      topic: 'a',
      payload: Buffer.from('one'),
      qos: 1,
      messageId: expect.any(Number),
    })
    expect(acks[1]).toEqual({ cmd: 'pubrel', messageId: expect.any(Number) })
    expect(acks.length).toBe(2)
    sub.destroy()
  })

  it('keepaliveTimeout, then clientError, for a client that is silent', async () => {
    const told = event('keepaliveTimeout')
    const failed = event('clientError')
    const raw = await RawClient.connect(port, { client_id: 'c1', keepalive_s: 1 })
    expect(((await told) as [Client])[0].id).toBe('c1')
    expect(((await failed) as [Client, Error])[1].message).toBe('keep alive timeout')
    await raw.closed
  })

  it('clients and connectedClients are as Aedes keeps them, over a takeover too', async () => {
    const first = await RawClient.connect(port, { client_id: 'c1' })
    const one = aedes.clients.c1
    expect([aedes.connectedClients, one.connected, one.clean, one.version]).toEqual([1, true, true, 4])
    const second = await RawClient.connect(port, { client_id: 'c1' })
    await first.closed
    expect([aedes.connectedClients, one.closed, one.connected, aedes.clients.c1 === one]).toEqual([1, true, false, false])
    const gone = event('clientDisconnect')
    await second.disconnect()
    await gone
    expect([aedes.connectedClients, Object.keys(aedes.clients)]).toEqual([0, []])
  })
})

describe('the broker object', () => {
  it('subscribe and unsubscribe a function', async () => {
    const got: string[] = []
    const take = (packet: Packet, done: () => void): void => {
      got.push(`${packet.topic} ${packet.payload}`)
      done()
    }
    await called((done) => aedes.subscribe('a/+', take, () => done()))
    const pub = await connect('pub')
    await pub.publishAsync('a/1', 'x', { qos: 1 })
    await called((done) => aedes.publish({ topic: 'a/2', payload: Buffer.from('y') }, done))
    await called((done) => aedes.unsubscribe('a/+', take, () => done()))
    await pub.publishAsync('a/3', 'z', { qos: 1 })
    expect(got).toEqual(['a/1 x', 'a/2 y'])
  })

  it('publish refuses what is no topic, and what comes after close', async () => {
    await expect(called((done) => aedes.publish({ topic: 'a/#', payload: 'x' }, done))).rejects.toThrow()
    await expect(called((done) => aedes.publish({ topic: '', payload: 'x' }, done))).rejects.toThrow()
    await aqueduct.close()
    await expect(called((done) => aedes.publish({ topic: 'a', payload: 'x', qos: 1 }, done))).rejects.toThrow()
  })

  it('publish from inside every hook and listener arrives, once', async () => {
    const say = (text: string): void => aedes.publish({ topic: 'said', payload: text, qos: 1 })
    aedes.preConnect = (_client, packet, done) => {
      if (packet.clientId === 'pub') say('preConnect')
      done(null, true)
    }
    aedes.authenticate = (client, _username, _password, done) => {
      if (client.id === 'pub') say('authenticate')
      done(null, true)
    }
    aedes.authorizePublish = (client, _packet, done) => {
      if (client?.id === 'pub') say('authorizePublish')
      done()
    }
    aedes.authorizeSubscribe = (client, subscription, done) => {
      if (client.id === 'pub') say('authorizeSubscribe')
      done(null, subscription)
    }
    aedes.authorizeForward = (client, packet) => {
      if (client.id === 'pub') say('authorizeForward')
      return packet
    }
    aedes.published = (packet, client, done) => {
      if (client?.id === 'pub' && packet.topic === 't') say('published')
      done()
    }
    aedes.on('publish', (_packet: Packet, client: Client | null) => {
      if (client?.id === 'pub') say('publish')
    })
    aedes.subscribe('t', (_packet, done) => {
      say('listener')
      done()
    })
    const sub = await connect('sub')
    await sub.subscribeAsync('said', { qos: 2 })
    const got = messages(sub, 8)
    const pub = await connect('pub')
    await pub.subscribeAsync('t', { qos: 1 })
    await pub.publishAsync('t', 'x', { qos: 1 })
    const all = [
      'authenticate',
      'authorizeForward',
      'authorizePublish',
      'authorizeSubscribe',
      'listener',
      'preConnect',
      'publish',
      'published',
    ]
    expect((await got).map(([, text]) => text).sort()).toEqual(all)
  })

  it('handles any stream', async () => {
    const [near, far] = pair()
    const client = aedes.handle(far)
    const reader = new PacketReader()
    const types: number[] = []
    near.on('data', (chunk: Buffer) => reader.push(chunk, (p) => types.push(p.type)))
    near.write(packets.connect({ client_id: 'piped' }))
    near.write(packets.publish('a', 'x', { qos: 1, id: 1 }))
    await vi.waitFor(() => expect(types).toEqual([T.CONNACK, T.PUBACK]))
    expect([client.id, client.connected]).toEqual(['piped', true])
    near.destroy()
    await vi.waitFor(() => expect(client.closed).toBe(true))
  })
})

describe('a client object', () => {
  it('publishes to that client alone, at every QoS, whether or not it is subscribed', async () => {
    const client = await connect('c1', { clean: false })
    const got = messages(client, 3)
    for (const qos of [0, 1, 2]) await called((done) => aedes.clients.c1.publish({ topic: `q${qos}`, payload: 'x', qos }, done))
    expect((await got).map(([topic]) => topic).sort()).toEqual(['q0', 'q1', 'q2'])
  })

  it.each([
    ['one', { topic: 'a', qos: 1 }, 'a'],
    ['a list', [{ topic: 'a', qos: 1 }], ['a']],
    ['a packet', { subscriptions: [{ topic: 'a', qos: 1 }] }, { unsubscriptions: ['a'] }],
  ])('subscribes and unsubscribes, given %s', async (_name, subscription, unsubscription) => {
    const client = await connect('c1')
    await called((done) => aedes.clients.c1.subscribe(subscription, done))
    const got = messages(client, 1)
    aedes.publish({ topic: 'a', payload: 'x', qos: 1 })
    expect(await got).toEqual([['a', 'x']])
    await called((done) => aedes.clients.c1.unsubscribe(unsubscription, done))
    expect(Object.keys(aedes.clients.c1.subscriptions)).toEqual([])
  })

  it('closes, and is gone when that is told', async () => {
    const raw = await RawClient.connect(port, { client_id: 'c1' })
    await new Promise<void>((resolve) => aedes.clients.c1.close(resolve))
    expect(aedes.clients.c1).toBe(undefined)
    await raw.closed
  })

  it('ends when a program emits an error on it', async () => {
    const told = event('clientError')
    const raw = await RawClient.connect(port, { client_id: 'c1' })
    const wrong = new Error('enough')
    aedes.clients.c1.emit('error', wrong)
    await raw.closed
    expect((await told)[1]).toBe(wrong)
  })
})

describe('aedes-stats', () => {
  it('counts on our instance, and a client reads what it publishes', async () => {
    stats(aedes, { interval: 20 })
    const sub = await connect('sub')
    const got = messages(sub, 1)
    await sub.subscribeAsync(`$SYS/${aedes.id}/messages/publish/sent`)
    await got
    const pub = await connect('pub')
    await pub.publishAsync('a', 'x', { qos: 1 })
    await vi.waitFor(() =>
      expect(aedes.stats).toMatchObject({ connectedClients: 2, maxConnectedClients: 2, publishedMessages: 1 }),
    )
    await pub.endAsync()
    await vi.waitFor(() => expect(aedes.stats).toMatchObject({ connectedClients: 1, maxConnectedClients: 2 }))
  })

  it('makes an idle broker write nothing to its disk', async () => {
    await stop()
    const path = mkdtempSync(join(tmpdir(), 'aqueduct-idle-'))
    await start({ store: { path, durability: 'os', min_free_bytes: 0 } })
    stats(aedes, { interval: 2 })
    // A retained message of the plug-in's is there, so it has run; then many of its rounds pass.
    const sub = await connect('sub')
    const first = messages(sub, 1)
    await sub.subscribeAsync(`$SYS/${aedes.id}/uptime`)
    await first
    const journal = aqueduct.standing.store?.journal
    await journal?.flush()
    const before = [journal?.openGroup, journal?.bytesWritten, folderBytes(path)]
    await messages(sub, 50)
    expect([journal?.openGroup, journal?.bytesWritten, folderBytes(path)]).toEqual(before)
    await stop()
    rmSync(path, { recursive: true, force: true })
    await start()
  })
})

function folderBytes(path: string): number {
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0)
}

/** Two streams, each the other's peer. */
function pair(): [Duplex, Duplex] {
  const make = (peer: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        peer().push(chunk)
        done()
      },
      final(done) {
        peer().push(null)
        done()
      },
      destroy(error, done) {
        if (!peer().destroyed) peer().push(null)
        done(error)
      },
    })
  const near: Duplex = make(() => far)
  const far: Duplex = make(() => near)
  return [near, far]
}
