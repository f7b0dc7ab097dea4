/** Before CONNECT has come whole, little is kept of what anybody sends, over whichever transport. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { App } from '../../src/app.js'
import { MqttClient, packet, startTestApp } from '../support/broker.js'

let app: App & { readonly mqttPort: number; readonly httpPort: number }
const clients: WebSocket[] = []
beforeEach(async () => {
  app = await startTestApp()
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate()
  await app.close()
})

async function open(): Promise<{ client: WebSocket; closed: Promise<number> }> {
  const client = new WebSocket(`ws://127.0.0.1:${app.httpPort}/mqtt`, 'mqtt')
  clients.push(client)
  client.on('error', () => {})
  await new Promise((resolve) => client.once('open', resolve))
  return { client, closed: new Promise((resolve) => client.once('close', resolve)) }
}

const KIB = 1024

/** What looks like the beginning of a CONNECT of `bytes`: nothing is wrong with it but that it never ends. */
const begun = (bytes: number): Buffer =>
  Buffer.concat([packet.connect({ client_id: 'c', will: WILL }).subarray(0, 12), Buffer.alloc(bytes)])
const WILL = { topic: 't', payload: Buffer.alloc(65_535) }

test('a frame that is larger than any CONNECT is not kept, and its connection counted', async () => {
  const { client, closed } = await open()
  const large = packet.frame(0x10, Buffer.from([0, 4, 77, 81, 84, 84, 4, 2, 0, 0]), Buffer.alloc(600 * KIB))
  client.send(large)
  await closed
  const { malformed, tooLarge } = app.broker.state.stats
  expect(malformed + tooLarge).toBe(1)
})

test('neither is what comes after a CONNECT that is not whole, in many parts', async () => {
  const { client, closed } = await open()
  client.send(begun(0), { fin: false })
  for (let i = 0; i < 60; i++) client.send(Buffer.alloc(10 * KIB), { fin: false })
  await closed
})

test('nor a flood of control frames, or of frames with nothing in them', async () => {
  for (const flood of [
    (client: WebSocket) => client.ping(Buffer.alloc(100)),
    (client: WebSocket) => client.send(Buffer.alloc(0)),
    (client: WebSocket) => client.send(Buffer.alloc(0), { fin: false }),
  ]) {
    const { client, closed } = await open()
    client.send(begun(100))
    for (let i = 0; i < 30_000; i++) flood(client)
    await closed
  }
})

test('the largest CONNECT comes in, in parts, and then a packet that is larger', async () => {
  const { client } = await open()
  const answer = (): Promise<Buffer> => new Promise((resolve) => client.once('message', (data) => resolve(data as Buffer)))
  const welcome = answer()
  const connect = largest()
  for (let at = 0; at < connect.length; at += 1_000)
    client.send(connect.subarray(at, at + 1_000), { fin: at % 3_000 === 0 || at + 1_000 >= connect.length })
  expect(await welcome).toEqual(Buffer.from([0x20, 2, 0, 0]))
  client.send(packet.publish('t', Buffer.alloc(1_900 * KIB), { qos: 1, id: 1 }))
  expect(await answer()).toEqual(Buffer.from([0x40, 2, 0, 1]))
})

/** Every field as long as two bytes can say. */
function largest(protocol: 4 | 5 = 4): Buffer {
  const long = 'x'.repeat(65_535)
  const properties = protocol === 5 ? { properties: {} } : {}
  const will = { topic: long, payload: Buffer.alloc(65_535), ...(protocol === 5 ? { properties: { contentType: long } } : {}) }
  return packet.connect({ client_id: long, protocol, username: long, password: long, will, ...properties })
}

test('over TCP the same: the largest CONNECT comes in', async () => {
  for (const protocol of [4, 5] as const) {
    const client = await MqttClient.open(app.mqttPort, { protocol })
    client.send(largest(protocol))
    expect((await client.next()).code).toBe(0)
    client.socket.destroy()
  }
})

test('and a larger one is refused by its declared length; MQTT 5 hears why', async () => {
  for (const [protocol, answers] of [
    [4, []],
    [5, [0x95]],
  ] as const) {
    const client = await MqttClient.open(app.mqttPort, { protocol })
    const head = packet.frame(0x10, Buffer.from([0, 4, 77, 81, 84, 84, protocol]), Buffer.alloc(524_288))
    // Byte by byte: nothing is said before it is known to whom.
    for (const byte of head.subarray(0, 10)) client.send(Buffer.from([byte]))
    client.send(head.subarray(10, 12))
    await client.closed
    expect(client.inbox.map(({ type, code }) => [type, code])).toEqual(answers.map((code) => [2, code]))
  }
})
