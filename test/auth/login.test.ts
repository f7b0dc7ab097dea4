/** Logging in by SCRAM-SHA-256 from outside: a users file, the whole program, real clients over TCP and WebSocket. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt, { type IClientOptions } from 'mqtt'
import type { IAuthPacket } from 'mqtt-packet'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Log } from '../../src/core/log.js'
import {
  type App,
  createAqueduct,
  durableQueues,
  makeSettings,
  qosRetry,
  type SettingsInput,
  scram,
  scramCredential,
  scramUserLine,
  startApp,
} from '../../src/index.js'
import { arrived, MqttClient, type Packet, packet, startClocked, T, untilClosed } from '../support/broker.js'
import type { Props } from '../support/mqtt-packets.js'
import { ScramClient } from '../support/scram-client.js'

const METHOD = 'SCRAM-SHA-256'
/** As few as are allowed: these tests hash in the way of everything else. */
const fewer = { iterations: 4096 }

let folder: string
let users: string
let app: App
const debug: { fields: object; message: string }[] = []
const log: Log = {
  debug: (fields, message) => void debug.push({ fields, message }),
  info: () => {},
  warn: () => {},
  error: () => {},
}

const linesOf = async (table: Record<string, string>): Promise<string> =>
  (await Promise.all(Object.entries(table).map(([name, password]) => scramUserLine(name, password, fewer)))).join('\n')

const start = (given: SettingsInput): Promise<App> =>
  startApp(makeSettings({ store: { durability: 'memory' }, mqtt: { port: 0 }, http: { port: 0 }, ...given }), {
    announce: () => {},
    log,
  })

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'aqueduct-login-'))
  users = join(folder, 'users')
  writeFileSync(users, await linesOf({ ann: 'pencil', 'b,ö=b': 'a longer password' }))
  app = await start({ auth: { scram_file: users, scram_required: true } })
})
afterAll(async () => {
  await app.close()
  rmSync(folder, { recursive: true, force: true })
})

const withData = (authenticationData?: Buffer): Props => ({
  authenticationMethod: METHOD,
  ...(authenticationData === undefined ? {} : { authenticationData }),
})
const dataOf = (p: Packet): Buffer => p.properties.authenticationData ?? Buffer.alloc(0)

/** Goes through the exchange; what the broker said last. The client is left open when it was accepted. */
async function login(
  scram: ScramClient,
  o: { port?: number; client_id?: string } = {},
): Promise<{ client: MqttClient; last: Packet }> {
  const client = await MqttClient.open(o.port ?? (app.mqttPort as number), { protocol: 5 })
  client.send(
    packet.connect({
      protocol: 5,
      client_id: o.client_id ?? 'c',
      properties: { ...withData(scram.first()), requestProblemInformation: 1 },
    }),
  )
  let last = await client.next()
  if (last.type === T.AUTH) {
    client.send(packet.reason(T.AUTH, 0x18, withData(scram.final(dataOf(last)))))
    last = await client.next()
  }
  if (last.code !== 0) await untilClosed(client)
  return { client, last }
}

/** Authenticates again on an open connection. */
async function again(client: MqttClient, scram: ScramClient): Promise<Packet> {
  client.send(packet.reason(T.AUTH, 0x19, withData(scram.first())))
  const challenge = await client.next()
  if (challenge.type !== T.AUTH) return challenge
  client.send(packet.reason(T.AUTH, 0x18, withData(scram.final(dataOf(challenge)))))
  return client.next()
}

test.each([
  ['ann', 'pencil'],
  ['b,ö=b', 'a longer password'],
])('%s logs in, and the broker proves itself, too', async (name, password) => {
  const scram = new ScramClient(name, password)
  debug.length = 0
  const { client, last } = await login(scram)
  expect(last).toMatchObject({ type: T.CONNACK, code: 0 })
  expect(last.properties.authenticationMethod).toBe(METHOD)
  expect(scram.verify(dataOf(last))).toBe(true)
  expect((app.broker.aedes.clients.c as { user?: string }).user).toBe(name)
  expect(debug).toContainEqual({ fields: expect.objectContaining({ user: name, method: METHOD }), message: 'authenticated' })
  await client.disconnect()
})

test('a wrong password and a name that nobody has get the same answers', async () => {
  const answers = await Promise.all(
    [new ScramClient('ann', 'wrong'), new ScramClient('nobody', 'pencil')].map(async (scram) => {
      const { last } = await login(scram)
      return { ...last, iterations: scram.iterations, saltBytes: Buffer.from(scram.salt, 'base64').length }
    }),
  )
  expect(answers[0]).toMatchObject({ type: T.CONNACK, code: 0x87, properties: { reasonString: 'name or password is wrong' } })
  expect(answers[1]).toEqual(answers[0])
})

test('what is no SCRAM is refused with the reason why', async () => {
  const { last } = await login(new ScramClient('ann', 'pencil', { header: 'p=tls-exporter,,' }))
  expect(last).toMatchObject({ type: T.CONNACK, code: 0x87, properties: { reasonString: 'channel binding is not supported' } })
})

test('a client that waits to be asked is asked once', async () => {
  const scram = new ScramClient('ann', 'pencil')
  const client = await MqttClient.open(app.mqttPort as number, { protocol: 5 })
  client.send(packet.connect({ protocol: 5, properties: withData() }))
  expect((await client.next()).properties).toEqual(withData())
  client.send(packet.reason(T.AUTH, 0x18, withData(scram.first())))
  client.send(packet.reason(T.AUTH, 0x18, withData(scram.final(dataOf(await client.next())))))
  expect(await client.next()).toMatchObject({ type: T.CONNACK, code: 0 })
  await client.disconnect()
  const silent = await MqttClient.open(app.mqttPort as number, { protocol: 5 })
  silent.send(packet.connect({ protocol: 5, properties: withData() }))
  await silent.next()
  silent.send(packet.reason(T.AUTH, 0x18, withData()))
  expect(await untilClosed(silent)).toMatchObject([{ type: T.CONNACK, code: 0x87 }])
})

test('nobody gets in without it: not with a password, not over WebSocket, not as 3.1.1', async () => {
  const old = await MqttClient.connect(app.mqttPort as number, { username: 'ann', password: 'pencil' })
  expect(old.connack).toMatchObject({ code: 5 })
  await untilClosed(old)
  const plain = await MqttClient.connect(app.mqttPort as number, { protocol: 5, username: 'ann', password: 'pencil' })
  expect(plain.connack).toMatchObject({ code: 0x87 })
  await untilClosed(plain)
  const url = `ws://127.0.0.1:${app.httpPort}/mqtt`
  await expect(mqtt.connectAsync(url, { reconnectPeriod: 0, protocolVersion: 4 })).rejects.toMatchObject({ code: 5 })
})

test('authenticating again: with the same name it goes on, with a wrong password it ends', async () => {
  const { client } = await login(new ScramClient('ann', 'pencil'))
  for (let i = 0; i < 2; i++) {
    const scram = new ScramClient('ann', 'pencil')
    const done = await again(client, scram)
    expect(done).toMatchObject({ type: T.AUTH, code: 0 })
    expect(scram.verify(dataOf(done))).toBe(true)
  }
  expect(await arrived(client)).toEqual([])
  expect(await again(client, new ScramClient('ann', 'wrong'))).toMatchObject({ type: T.DISCONNECT, code: 0x87 })
  await client.closed
})

test('another user does not take over a connection', async () => {
  const { client } = await login(new ScramClient('ann', 'pencil'))
  expect(await again(client, new ScramClient('b,ö=b', 'a longer password'))).toMatchObject({ type: T.DISCONNECT, code: 0x87 })
  await client.closed
})

test('a users file that is saved counts from the next login on; who is connected stays', async () => {
  const { client } = await login(new ScramClient('ann', 'pencil'))
  const before = new ScramClient('eve', 'apple')
  expect((await login(before)).last.code).toBe(0x87)
  writeFileSync(users, await linesOf({ ann: 'pencil', 'b,ö=b': 'a longer password', eve: 'apple' }))
  const eve = await login(new ScramClient('eve', 'apple'), { client_id: 'eve' })
  expect(eve.last.code).toBe(0)
  await eve.client.disconnect()
  writeFileSync(users, await linesOf({ 'b,ö=b': 'a longer password' }))
  await client.ping()
  expect((await again(client, new ScramClient('ann', 'pencil'))).code).toBe(0x87)
  writeFileSync(users, await linesOf({ ann: 'pencil', 'b,ö=b': 'a longer password' }))
})

test.each([
  ['tcp', 'pencil'],
  ['ws', 'pencil'],
  ['tcp', 'wrong'],
])('the mqtt package for Node over %s with its own hook for AUTH, password %s', async (door, password) => {
  const hand = new ScramClient('ann', password)
  const url = door === 'tcp' ? `mqtt://127.0.0.1:${app.mqttPort}` : `ws://127.0.0.1:${app.httpPort}/mqtt`
  const o: IClientOptions = {
    protocolVersion: 5,
    reconnectPeriod: 0,
    manualConnect: true,
    properties: { authenticationMethod: METHOD, authenticationData: hand.first() },
  }
  const client = mqtt.connect(url, o)
  client.handleAuth = (challenge, callback) => {
    const data = challenge.properties?.authenticationData ?? Buffer.alloc(0)
    const answer: IAuthPacket = {
      cmd: 'auth',
      reasonCode: 0x18,
      properties: { authenticationMethod: METHOD, authenticationData: hand.final(data) },
    }
    callback(undefined as unknown as Error, answer)
  }
  const outcome = new Promise<number>((resolve) => {
    client.once('connect', (connack) => {
      expect(hand.verify(connack.properties?.authenticationData as Buffer)).toBe(true)
      resolve(0)
    })
    client.once('error', (error) => resolve((error as { code?: number }).code ?? -1))
  })
  client.connect()
  expect(await outcome).toBe(password === 'pencil' ? 0 : 0x87)
  if (password === 'pencil') {
    await client.subscribeAsync('loop', { qos: 1 })
    const got = new Promise<string>((resolve) => client.once('message', (_, payload) => resolve(payload.toString())))
    await client.publishAsync('loop', 'hello', { qos: 1 })
    expect(await got).toBe('hello')
  }
  await client.endAsync(true)
})

test('the salt of a name that nobody has stays the same over a restart', async () => {
  const store = { durability: 'os', path: join(folder, 'data') } as const
  const salts: string[] = []
  for (let i = 0; i < 2; i++) {
    const one = await start({ store, auth: { scram_file: users } })
    const scram = new ScramClient('nobody', 'x')
    await login(scram, { port: one.mqttPort as number })
    salts.push(scram.salt)
    await one.close()
  }
  expect(salts[0]).toHaveLength(24)
  expect(salts[1]).toBe(salts[0])
})

test('without scram_required others get in as ever, beside those who authenticate', async () => {
  const open = await start({ auth: { scram_file: users } })
  const old = await MqttClient.connect(open.mqttPort as number, { client_id: 'old' })
  expect(old.connack).toMatchObject({ code: 0 })
  const { client, last } = await login(new ScramClient('ann', 'pencil'), { port: open.mqttPort as number })
  expect(last.code).toBe(0)
  await Promise.all([old.disconnect(), client.disconnect()])
  await open.close()
})

test('a program brings its users from wherever it likes', async () => {
  const table = new Map([
    ['ann', await scramCredential('pencil', fewer)],
    ['bad', 'no credential'],
  ])
  const b = await startClocked({ plugins: [scram({ credentialOf: async (name) => table.get(name) })] })
  const port = b.port
  const good = await login(new ScramClient('ann', 'pencil'), { port })
  expect(good.last.code).toBe(0)
  expect((await login(new ScramClient('nobody', 'pencil'), { port })).last.code).toBe(0x87)
  expect((await login(new ScramClient('bad', 'pencil'), { port })).last.code).toBe(0x80)
  await b.close()
})

test('nothing starts with a users file that has a bad line, and nothing stays open', async () => {
  const bad = join(folder, 'bad')
  writeFileSync(bad, 'ann:secret\n')
  const path = join(folder, 'never')
  const starting = start({ store: { path, durability: 'os' }, auth: { scram_file: bad } })
  await expect(starting).rejects.toMatchObject({ code: 'bad_setting', message: expect.stringContaining(`"${bad}": line 1: `) })
  await expect(createAqueduct({ plugins: [durableQueues(), qosRetry(), scram({ file: bad })] })).rejects.toMatchObject({
    code: 'bad_setting',
  })
})
