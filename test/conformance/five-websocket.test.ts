/** MQTT 5 over WebSocket, at the whole program: the same packets, in frames that know nothing of them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startTestApp } from '../support/broker.js'
import { type Packet, PacketReader, packet, T } from '../support/mqtt-packets.js'
import { said } from './five.js'

let app: Awaited<ReturnType<typeof startTestApp>>
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app.close())

interface Talk {
  readonly socket: WebSocket
  readonly packets: Packet[]
  /** Settles when the connection is closed. */
  readonly closed: Promise<void>
  /** Waits until so many packets have come. */
  count(n: number): Promise<Packet[]>
}

async function open(): Promise<Talk> {
  const socket = new WebSocket(`ws://127.0.0.1:${app.httpPort}/mqtt`, ['mqtt'])
  const reader = new PacketReader(5)
  const packets: Packet[] = []
  let told = (): void => {}
  socket.on('message', (data: Buffer, isBinary) => {
    expect(isBinary).toBe(true)
    reader.push(data, (p) => packets.push(p))
    told()
  })
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  await new Promise((resolve) => socket.on('open', resolve))
  const count = async (n: number): Promise<Packet[]> => {
    while (packets.length < n)
      await new Promise<void>((resolve) => {
        told = resolve
      })
    return packets
  }
  return { socket, packets, closed, count }
}

const hello = packet.connect({ protocol: 5, client_id: 'socket', properties: { topicAliasMaximum: 5 } })
const talk = Buffer.concat([
  hello,
  packet.subscribe(1, [['socket', 2]], { subscriptionIdentifiers: [200] }),
  packet.publish('socket', 'x', { qos: 1, id: 2, properties: { contentType: 'c', userProperties: [['a', 'b']] } }),
  packet.pingreq(),
])

test('packets may be cut anywhere, and many may share a frame; the subprotocol is mqtt [MQTT-6.0.0-2] [MQTT-6.0.0-4]', async () => {
  for (const bytes of [1, 3, 7, talk.length]) {
    const { socket, count } = await open()
    expect(socket.protocol).toBe('mqtt')
    for (let at = 0; at < talk.length; at += bytes) socket.send(talk.subarray(at, at + bytes))
    const packets = await count(5)
    expect(packets.map((p) => p.type).sort((a, z) => a - z)).toEqual([T.CONNACK, T.PUBLISH, T.PUBACK, T.SUBACK, T.PINGRESP])
    expect(packets.find((p) => p.type === T.PUBLISH)?.properties).toMatchObject({
      contentType: 'c',
      userProperties: [['a', 'b']],
      subscriptionIdentifiers: [200],
    })
    socket.close()
  }
})

test('a text frame closes the connection [MQTT-6.0.0-1]', async () => {
  const { socket, closed, count } = await open()
  socket.send(hello)
  await count(1)
  socket.send(packet.pingreq().toString('latin1'))
  await closed
})

test('the last words arrive before the end: refused, malformed, taken over', async () => {
  const refused = await open()
  refused.socket.send(packet.connect({ protocol: 5, properties: { authenticationMethod: 'no-such' } }))
  await refused.closed
  expect(said(refused.packets)).toEqual(['CONNACK 8c'])
  const first = await open()
  first.socket.send(hello)
  await first.count(1)
  const second = await open()
  second.socket.send(hello)
  await first.closed
  expect(said(first.packets)).toEqual(['CONNACK 0', 'DISCONNECT 8e'])
  await second.count(1)
  second.socket.send(Buffer.concat([packet.pingreq(), Buffer.from([0, 0])]))
  await second.closed
  expect(said(second.packets)).toEqual(['CONNACK 0', 'PINGRESP 0', 'DISCONNECT 81'])
})
