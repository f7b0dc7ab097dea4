/** Clients that send all they have to say, and go: what came before their end is handled, whatever it waits for, over whichever door. */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { App } from '../../src/app.js'
import { LEAVING_MS_MAX } from '../../src/broker/sweep.js'
import { MqttClient, packet, startClocked, startTestApp, untilClosed } from '../support/broker.js'
import { openRawWebSocket, WS, wsFrame } from '../support/raw-websocket.js'
import { StuckTransport } from '../support/stuck-transport.js'
import { connect } from '../support/transports.js'

let app: App & { readonly mqttPort: number; readonly httpPort: number }
const sockets: Socket[] = []
beforeEach(async () => {
  app = await startTestApp()
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await app.close()
})

const MESSAGES = 25

function said(protocol: 4 | 5, qos: 0 | 1 | 2, client_id: string): Buffer[] {
  const none = protocol === 5 ? { properties: {} } : {}
  const packets = [packet.connect({ client_id, protocol, clean: false, ...none })]
  for (let i = 1; i <= MESSAGES; i++) {
    packets.push(packet.publish('gone', `${i}`, { qos, ...(qos > 0 ? { id: i } : {}), ...none }))
    if (qos === 2) packets.push(packet.pubrel(i))
  }
  packets.push(packet.disconnect())
  return packets
}

/** The other end of it has sent its bytes and nothing else: no close frame, no half-open end. */
class Gone extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done()
  }
}

const doors: Record<string, (packets: Buffer[]) => Promise<void>> = {
  'TCP, FIN behind the data': async (packets) => {
    const socket = await connect(app.mqttPort)
    sockets.push(socket)
    socket.resume()
    socket.end(Buffer.concat(packets))
  },
  'WebSocket, close frame in the same segment': async (packets) => {
    const socket = await openRawWebSocket(app.httpPort)
    sockets.push(socket)
    socket.write(Buffer.concat([...packets.map((p) => wsFrame(WS.binary, p)), wsFrame(WS.close, Buffer.from([3, 232]))]))
  },
  'WebSocket, FIN instead of a close frame': async (packets) => {
    const socket = await openRawWebSocket(app.httpPort)
    sockets.push(socket)
    socket.end(Buffer.concat(packets.map((p) => wsFrame(WS.binary, p))))
  },
  'a stream that ends': async (packets) => {
    const stream = new Gone()
    app.aedes.handle(stream)
    stream.push(Buffer.concat(packets))
    stream.push(null)
  },
  'a stream that is destroyed': async (packets) => {
    const stream = new Gone()
    app.aedes.handle(stream)
    stream.once('data', () => setImmediate(() => stream.destroy()))
    stream.push(Buffer.concat(packets))
  },
}

async function reads(): Promise<MqttClient> {
  const reader = await MqttClient.connect(app.mqttPort, { client_id: 'reader' })
  await reader.subscribe(['gone', 0])
  return reader
}

async function all(reader: MqttClient): Promise<string[]> {
  const got: string[] = []
  while (got.length < MESSAGES) got.push((await reader.expect(3)).payload.toString())
  return got
}

const numbers = Array.from({ length: MESSAGES }, (_, i) => `${i + 1}`)

describe.each(Object.keys(doors))('%s', (door) => {
  test.each([0, 1, 2] as const)('QoS %i: all messages are taken', async (qos) => {
    const reader = await reads()
    for (const protocol of [4, 5] as const) {
      await doors[door](said(protocol, qos, `${protocol}`))
      expect(await all(reader)).toEqual(numbers)
    }
  })

  test('also when hooks answer late', async () => {
    const late = (done: () => void): void => void setTimeout(done, 2)
    app.aedes.authenticate = (_client, _name, _password, done) => late(() => done(null, true))
    app.aedes.authorizePublish = (client, _packet, done) => (client === null ? done(null) : late(() => done(null)))
    const reader = await reads()
    await doors[door](said(4, 1, 'late'))
    expect(await all(reader)).toEqual(numbers)
  })
})

test('whoever has gone and waits for a hook that never answers is forgotten after a while', async () => {
  const asked: string[] = []
  const b = await startClocked({
    aedes: {
      authenticate: (client: { id: string }, _name: unknown, _password: unknown, done: (e: null, ok: boolean) => void) => {
        asked.push(client.id)
        if (client.id !== 'never') done(null, true)
      },
    } as never,
  })
  const transport = new StuckTransport(b.broker)
  const bytes = Buffer.concat([packet.connect({ client_id: 'never' }), packet.pingreq()])
  transport.connection.data(bytes, 0, bytes.length)
  transport.connection.ended(undefined)
  expect([asked, transport.connection.phase]).toEqual([['never'], 'connecting'])
  b.clock.advance(LEAVING_MS_MAX)
  expect(transport.connection.phase).toBe('connecting')
  b.clock.advance(1_000)
  expect(transport.connection.phase).toBe('closed')
  await b.close()
})

test('answers that nobody takes hold nothing up', async () => {
  const b = await startClocked()
  const transport = new StuckTransport(b.broker)
  const hello = packet.connect({ client_id: 'c' })
  transport.connection.data(hello, 0, hello.length)
  transport.open = false
  const pings = Buffer.concat(Array.from({ length: 32_768 }, () => packet.pingreq()))
  transport.give(pings)
  for (let i = 0; i < 64 && !transport.paused; i++) transport.give(pings)
  expect(transport.paused).toBe(true)
  const will = packet.publish('late', 'x', { retain: true })
  transport.connection.data(will, 0, will.length)
  transport.open = true
  transport.connection.ended(undefined)
  for (let i = 0; i < 1_000 && transport.connection.phase !== 'closed'; i++) await new Promise(setImmediate)
  expect(transport.connection.phase).toBe('closed')
  const reader = await MqttClient.connect(b.port)
  await reader.subscribe(['late', 0])
  expect((await reader.expect(3)).payload.toString()).toBe('x')
  reader.socket.destroy()
  await untilClosed(reader)
  await b.close()
})
