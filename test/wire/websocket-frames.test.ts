/** MQTT in frames of all kinds, at the whole program: their length and number are no limit, that of a packet is. */
import type { Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { App } from '../../src/app.js'
import { MqttClient, packet, startTestApp, T } from '../support/broker.js'
import { openRawWebSocket, WS, wsFrame } from '../support/raw-websocket.js'

let app: App & { readonly mqttPort: number; readonly httpPort: number }
let reader: MqttClient
let socket: Socket
let closed: Promise<unknown>
beforeEach(async () => {
  app = await startTestApp({ mqtt: { max_packet_bytes: 200_000 } })
  reader = await MqttClient.connect(app.mqttPort, { client_id: 'reader' })
  await reader.subscribe(['t', 0])
  socket = await openRawWebSocket(app.httpPort)
  closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
})
afterEach(async () => {
  socket.destroy()
  await app.close()
})

const hello = packet.connect({ client_id: 'c' })

test('many packets in one frame, more than one packet may have together [MQTT-6.0.0-2]', async () => {
  const many = Array.from({ length: 15 }, (_, i) => packet.publish('t', Buffer.alloc(99_000, `${i % 10}`), { qos: 1, id: i + 1 }))
  socket.write(wsFrame(WS.binary, Buffer.concat([hello, ...many])))
  for (let i = 0; i < 15; i++) {
    const { payload } = await reader.expect(T.PUBLISH)
    expect([payload.length, payload[0], payload[98_999]]).toEqual([99_000, 48 + (i % 10), 48 + (i % 10)])
  }
})

test('one packet in many frames, in many parts of one message, with pings between them', async () => {
  const large = packet.publish('t', Buffer.alloc(150_000, 'x'))
  socket.write(wsFrame(WS.binary, hello))
  for (let at = 0; at < large.length; at += 999) socket.write(wsFrame(WS.binary, large.subarray(at, at + 999)))
  expect((await reader.expect(T.PUBLISH)).payload.equals(Buffer.alloc(150_000, 'x'))).toBe(true)
  socket.write(wsFrame(WS.binary, Buffer.alloc(0), { fin: false }))
  for (let at = 0; at < large.length; at += 15) {
    if (at % 20_000 < 15) socket.write(wsFrame(WS.ping, Buffer.from('ping')))
    socket.write(wsFrame(WS.continuation, large.subarray(at, at + 15), { fin: false }))
  }
  expect((await reader.expect(T.PUBLISH)).payload.equals(Buffer.alloc(150_000, 'x'))).toBe(true)
})

test('a message that never ends is heard all along; the bound is that of a packet, by its declared length', async () => {
  socket.write(wsFrame(WS.binary, Buffer.alloc(0), { length: 2 ** 40, mask: Buffer.alloc(4) }))
  socket.write(hello)
  const one = packet.publish('t', Buffer.alloc(10_000))
  for (let i = 0; i < 200; i++) socket.write(one)
  for (let i = 0; i < 200; i++) await reader.expect(T.PUBLISH)
  socket.write(packet.publish('t', Buffer.alloc(200_000)).subarray(0, 4))
  await closed
})
