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

test('a frame that is larger than any CONNECT is not kept, and its connection counted', async () => {
  const { client, closed } = await open()
  client.send(Buffer.alloc(200 * KIB))
  await closed
  expect(app.broker.state.stats.malformed).toBe(1)
})

test('neither is a message in many parts', async () => {
  const { client, closed } = await open()
  for (let i = 0; i < 20; i++) client.send(Buffer.alloc(10 * KIB), { fin: false })
  await closed
})

test('nor a flood of control frames, or one that never ends', async () => {
  const { client, closed } = await open()
  for (let i = 0; i < 2_000; i++) client.ping(Buffer.alloc(100))
  await closed
})

test('the largest CONNECT comes in, in parts, and then a packet that is larger', async () => {
  const { client } = await open()
  const answer = (): Promise<Buffer> => new Promise((resolve) => client.once('message', (data) => resolve(data as Buffer)))
  const welcome = answer()
  const connect = packet.connect({ client_id: 'c', will: { topic: 't', payload: Buffer.alloc(65_000) } })
  for (let at = 0; at < connect.length; at += 1_000)
    client.send(connect.subarray(at, at + 1_000), { fin: at % 3_000 === 0 || at + 1_000 >= connect.length })
  expect(await welcome).toEqual(Buffer.from([0x20, 2, 0, 0]))
  client.send(packet.publish('t', Buffer.alloc(900 * KIB), { qos: 1, id: 1 }))
  expect(await answer()).toEqual(Buffer.from([0x40, 2, 0, 1]))
})

test('over TCP the same: refused by its declared length', async () => {
  const client = await MqttClient.open(app.mqttPort)
  client.send(
    packet.connect({ client_id: 'c', will: { topic: 't', payload: Buffer.alloc(65_000) }, username: 'x'.repeat(1_000) }),
  )
  await client.closed
  expect(client.inbox).toEqual([])
})
