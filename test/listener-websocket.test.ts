import * as http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { AqueductError } from '../src/core/errors.js'
import { silentLog } from '../src/core/log.js'
import { CLOSE_MS_MAX } from '../src/listeners/closing.js'
import { originRule } from '../src/listeners/origins.js'
import { createWebSocketListener, type WebSocketListener } from '../src/listeners/websocket.js'
import { ManualClock } from './support/clock.js'
import { openRawWebSocket, WS, wsFrame } from './support/raw-websocket.js'
import { Acceptor, connect, fillUp, once, type Recorder, readBytes } from './support/transports.js'

let server: http.Server
let listener: WebSocketListener
let acceptor: Acceptor
let clock: ManualClock
let port: number
const clients: WebSocket[] = []

beforeEach(async () => {
  acceptor = new Acceptor()
  clock = new ManualClock()
  const allow_origins = ['http://listed.example']
  listener = createWebSocketListener({
    accept: acceptor.accept,
    clock,
    log: silentLog,
    mayConnect: originRule(allow_origins),
  })
  server = http.createServer()
  server.on('upgrade', listener.upgrade)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.terminate()
  listener.destroyAll()
  await new Promise((resolve) => server.close(resolve))
})

async function join(
  protocols: string[] = ['mqtt'],
  headers: Record<string, string> = {},
): Promise<{ client: WebSocket; server: Recorder }> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, protocols, { headers })
  clients.push(client)
  client.on('error', () => {})
  const [, recorder] = await Promise.all([once(client, 'open'), acceptor.next()])
  return { client, server: recorder }
}

/** The HTTP answer to an upgrade that is refused. */
function refused(path: string, protocols: string[], options: { headers?: Record<string, string> } = {}) {
  return new Promise<{ status: number; body: { error: { code: string; message: string } } }>((resolve, reject) => {
    const client = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, options)
    clients.push(client)
    client.on('error', () => {})
    client.on('open', () => reject(new Error('was accepted')))
    client.on('unexpected-response', (_request, response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }))
    })
  })
}

describe('the WebSocket upgrade', () => {
  it('selects the subprotocol mqtt when it is offered [MQTT-6.0.0-4]', async () => {
    expect((await join(['mqttv3.1', 'other', 'mqtt'])).client.protocol).toBe('mqtt')
    expect((await join(['mqttv3.1'])).client.protocol).toBe('mqttv3.1')
    expect(listener.connections).toBe(2)
  })

  it('hands on who asked', async () => {
    const { server } = await join()
    expect((server.transport.request as http.IncomingMessage).url).toBe('/mqtt')
    expect(server.transport.remote).toBe(`127.0.0.1:${(server.transport.stream as Socket).remotePort}`)
  })

  it('takes a query behind the path', async () => {
    const client = new WebSocket(`ws://127.0.0.1:${port}/mqtt?token=1`, 'mqtt')
    clients.push(client)
    await once(client, 'open')
  })

  it('answers 404 on another path', async () => {
    const { status, body } = await refused('/other', ['mqtt'])
    expect(status).toBe(404)
    expect(body.error.code).toBe('not_found')
    expect(body.error.message).toContain('/mqtt')
    expect((await refused('/mqtt/x', ['mqtt'])).status).toBe(404)
  })

  it('answers 400 without the subprotocol', async () => {
    for (const protocols of [[], ['soap'], ['mqttx']]) {
      const { status, body } = await refused('/mqtt', protocols)
      expect(status).toBe(400)
      expect(body.error.code).toBe('bad_request')
      expect(body.error.message).toContain('mqtt')
    }
  })

  it('answers 403 to a page of a foreign origin, naming the setting', async () => {
    for (const origin of ['https://foreign.example', 'null', 'http://127.0.0.1/']) {
      const { status, body } = await refused('/mqtt', ['mqtt'], { headers: { origin } })
      expect(status).toBe(403)
      expect(body.error.code).toBe('not_authorised')
      expect(body.error.message).toContain('http.allow_origins')
    }
    expect(acceptor.all).toEqual([])
  })

  it('takes a page that came from here, and one of a listed origin', async () => {
    await join(['mqtt'], { origin: `http://127.0.0.1:${port}` })
    await join(['mqtt'], { origin: 'http://listed.example', host: 'broker.example' })
    await join(['mqtt'], { origin: 'http://broker.example', host: 'broker.example' })
    expect(listener.connections).toBe(3)
  })

  it('answers 400 to a broken handshake', async () => {
    const socket = await connect(port)
    socket.write(
      'GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: short\r\n\r\n',
    )
    const text = (await readBytes(socket, 20)).toString()
    expect(text).toMatch(/^HTTP\/1\.1 400 /)
    expect(text).toContain('{"error":{"code":"bad_request"')
    await once(socket, 'close')
  })

  it('answers 503 once closed, and open connections go on', async () => {
    const { client, server } = await join()
    listener.close()
    expect((await refused('/mqtt', ['mqtt'])).status).toBe(503)
    client.send(Buffer.from('still'))
    await server.until(() => server.bytes === 5)
  })
})

describe('an MQTT connection over WebSocket', () => {
  it('takes packets cut anywhere [MQTT-6.0.0-2]', async () => {
    const { client, server } = await join()
    client.send(Buffer.from('a'))
    client.send(Buffer.from('bc'), { fin: false })
    client.send(Buffer.from('d'))
    client.send(new Uint8Array([101]))
    await server.until(() => server.bytes === 5)
    expect(server.text).toBe('abcde')
  })

  it('answers with one binary frame per write', async () => {
    const { client, server } = await join()
    const frames: [string, boolean][] = []
    client.on('message', (data, isBinary) => frames.push([data.toString(), isBinary]))
    const slab = Buffer.from('first')
    expect(server.transport.write(slab)).toBe(true)
    slab.fill('x')
    server.transport.write(Buffer.from('second, of two packets'))
    await once(client, 'message')
    while (frames.length < 2) await once(client, 'message')
    expect(frames).toEqual([
      ['first', true],
      ['second, of two packets', true],
    ])
    expect(server.transport.pendingBytes).toBe(0)
  })

  it('closes on a text frame [MQTT-6.0.0-1]', async () => {
    const { client, server } = await join()
    const closed = new Promise<number>((resolve) => client.once('close', resolve))
    client.send('text')
    client.send(Buffer.from('after'))
    expect(await closed).toBe(1003)
    await server.until(() => server.closes.length > 0)
    expect(server.closes[0]).toBeInstanceOf(AqueductError)
    expect(server.bytes).toBe(0)
  })

  it('hands on a message of any length and of any number of parts, as it comes [MQTT-6.0.0-2]', async () => {
    const { client, server } = await join()
    const bytes = Buffer.alloc(5_000_000)
    for (let i = 0; i < bytes.length; i++) bytes[i] = i + (i >> 8)
    client.send(bytes)
    for (let i = 0; i < 5_000; i++) client.send(Buffer.from([i]), { fin: false })
    client.send(Buffer.alloc(0))
    await server.until(() => server.bytes === bytes.length + 5_000)
    const all = Buffer.concat(server.chunks)
    expect(all.subarray(0, bytes.length).equals(bytes)).toBe(true)
    expect([...all.subarray(bytes.length)].every((byte, i) => byte === (i & 255))).toBe(true)
    // Not collected: each stretch is what one read brought.
    expect(Math.max(...server.chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(65_536)
  })

  it('hands on what came of a frame before the rest has come', async () => {
    const socket = await openRawWebSocket(port)
    const server = await acceptor.next()
    const bytes = Buffer.from('the first half and the second')
    const frame = wsFrame(WS.binary, bytes)
    socket.write(frame.subarray(0, frame.length - 10))
    await server.until(() => server.bytes === bytes.length - 10)
    socket.write(frame.subarray(frame.length - 10))
    await server.until(() => server.bytes === bytes.length)
    expect(server.text).toBe(bytes.toString())
    socket.destroy()
  })

  it('closes on a frame that breaks the rules of frames', async () => {
    for (const [bytes, code] of [
      [wsFrame(WS.continuation, Buffer.from('x')), 1002],
      [Buffer.concat([wsFrame(WS.binary, Buffer.from('x'), { fin: false }), wsFrame(WS.binary, Buffer.from('y'))]), 1002],
      [wsFrame(WS.binary, Buffer.from('x'), { mask: null }), 1002],
      [wsFrame(WS.text, Buffer.alloc(70_000, 'x')), 1009],
    ] as const) {
      const socket = await openRawWebSocket(port)
      const server = await acceptor.next()
      socket.write(bytes)
      const answer = await readBytes(socket, 4)
      expect([answer[0], answer.readUInt16BE(2)]).toEqual([0x88, code])
      socket.destroy()
      await server.until(() => server.closes.length > 0)
      expect(server.closes[0]).toBeInstanceOf(Error)
    }
    expect(listener.connections).toBe(0)
  })

  it('says when a reader that had stopped has taken everything', async () => {
    const { client, server } = await join()
    client.pause()
    const block = Buffer.alloc(1 << 20, 1)
    const written = fillUp(server.transport, block)
    expect(server.transport.pendingBytes).toBeGreaterThan(0)
    expect(server.drains).toBe(0)
    let got = 0
    client.on('message', (data) => {
      got += (data as Buffer).length
    })
    client.resume()
    await server.until(() => server.drains > 0)
    expect(server.transport.pendingBytes).toBe(0)
    while (got < written) await once(client, 'message')
    expect(server.drains).toBe(1)
  })

  it('stops reading while paused', async () => {
    const { client, server } = await join()
    server.onData = () => server.transport.pause()
    const block = Buffer.alloc(1 << 19)
    for (let i = 0; i < 32; i++) client.send(block)
    await server.until(() => server.bytes > 0)
    const other = await join()
    other.client.send(Buffer.from('x'))
    await other.server.until(() => other.server.bytes === 1)
    expect(server.bytes).toBeLessThan(32 * block.length)
    server.onData = undefined
    server.transport.resume()
    await server.until(() => server.bytes === 32 * block.length)
  })

  it('ends with a close frame behind what was written', async () => {
    const { client, server } = await join()
    const got: string[] = []
    client.on('message', (data) => got.push(data.toString()))
    const closed = new Promise<number>((resolve) => client.once('close', resolve))
    server.transport.write(Buffer.from('last'))
    server.transport.end()
    expect(server.transport.write(Buffer.from('dropped'))).toBe(true)
    expect(await closed).toBe(1000)
    await server.until(() => server.closes.length > 0)
    expect(got).toEqual(['last'])
    expect(server.closes).toEqual([undefined])
    expect(clock.pending).toBe(0)
  })

  it('closes in order although it was paused', async () => {
    const { client, server } = await join()
    server.transport.pause()
    client.send(Buffer.from('unread'))
    server.transport.end()
    await server.until(() => server.closes.length > 0)
    expect(server.closes).toEqual([undefined])
    expect(server.bytes).toBe(0)
    expect(clock.pending).toBe(0)
  })

  it('cuts off a peer that does not close, at the bound', async () => {
    const { client, server } = await join()
    client.pause()
    server.transport.end()
    clock.advance(CLOSE_MS_MAX - 1)
    expect((server.transport.stream as Socket).destroyed).toBe(false)
    clock.advance(1)
    await server.until(() => server.closes.length > 0)
    expect(server.closes.length).toBe(1)
  })

  it('reports a close by the peer, and a vanished peer, once each', async () => {
    const a = await join()
    a.client.close()
    await a.server.until(() => a.server.closes.length > 0)
    expect(a.server.closes).toEqual([undefined])
    const b = await join()
    b.client.terminate()
    await b.server.until(() => b.server.closes.length > 0)
    expect(b.server.closes.length).toBe(1)
    expect(listener.connections).toBe(0)
  })

  it('closes a connection whose handler throws, and no other', async () => {
    const bad = await join()
    const good = await join()
    bad.server.onData = () => {
      throw new Error('a bug')
    }
    bad.client.send(Buffer.from('x'))
    await bad.server.until(() => bad.server.closes.length > 0)
    expect(bad.server.closes[0]?.message).toBe('a bug')
    good.client.send(Buffer.from('y'))
    await good.server.until(() => good.server.bytes === 1)
  })
})
