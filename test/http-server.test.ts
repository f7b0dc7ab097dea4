import * as http from 'node:http'
import * as net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { AqueductError, type ErrorCode, hasCode } from '../src/core/errors.js'
import { type Log, silentLog } from '../src/core/log.js'
import { Refusals } from '../src/core/refusals.js'
import { HttpError } from '../src/http/errors.js'
import { type Door, type HttpListener, type HttpOptions, startHttp } from '../src/http/server.js'
import { createWebSocketListener } from '../src/listeners/websocket.js'
import { createMetrics } from '../src/metrics/metrics.js'
import { ManualClock } from './support/clock.js'
import { Acceptor, connect, once } from './support/transports.js'

const open: HttpListener[] = []
const sockets: { destroy(): void }[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const listener of open.splice(0)) await listener.close()
})

async function start(options: Partial<HttpOptions> = {}) {
  const clock = new ManualClock()
  const listener = await startHttp({
    host: '127.0.0.1',
    port: 0,
    readiness: () => ({ ready: true }),
    metrics: createMetrics({ connectionsOpen: () => 3 }, clock),
    clock,
    log: silentLog,
    ...options,
  })
  open.push(listener)
  const base = `http://127.0.0.1:${listener.port}`
  const get = (path: string, init?: RequestInit) => fetch(base + path, init)
  return { listener, clock, base, get }
}

async function failure(response: Response): Promise<{ status: number; code: string; message: string }> {
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  const body = (await response.json()) as { error: { code: string; message: string } }
  expect(Object.keys(body)).toEqual(['error'])
  expect(body.error.message).toMatch(/\.$/)
  return { status: response.status, ...body.error }
}

/** Sends bytes as they are and gives the whole answer. */
async function raw(port: number, text: string): Promise<string> {
  const socket = await connect(port)
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  socket.write(text)
  await once(socket, 'close')
  return answer
}

const door: Door = (app) => {
  app.get('/v1/things', () => ({ things: [] }))
  app.get('/v1/things/:thing', (request) => ({ thing: (request.params as { thing: string }).thing }))
  app.put('/v1/things/:thing', (_request, reply) => reply.code(201).send({}))
  app.post('/v1/things/:thing/echo', (request) => ({ body: request.body }))
  app.post('/v1/small', { bodyLimit: 10 }, (request) => ({ body: request.body }))
  app.get('/v1/fail/:code', (request) => {
    throw new AqueductError((request.params as { code: string }).code as ErrorCode, 'It failed because of this.')
  })
  app.get('/v1/bad', () => {
    throw new HttpError('bad_request', 'Say it otherwise.')
  })
  app.get('/v1/bug', () => {
    throw new TypeError('secret /etc/path')
  })
}

describe('health', () => {
  it('says that the process lives, whatever else is wrong', async () => {
    const { get } = await start({ readiness: () => ({ ready: false }) })
    const response = await get('/healthz')
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ status: 'ok' })
  })

  it('says whether it is ready, and why not', async () => {
    let readiness: { ready: boolean; reason?: string } = { ready: true }
    const { get } = await start({ readiness: () => readiness })
    expect((await get('/readyz')).status).toBe(200)
    readiness = { ready: false, reason: 'The disk is full.' }
    expect(await failure(await get('/readyz'))).toEqual({ status: 503, code: 'not_ready', message: 'The disk is full.' })
    readiness = { ready: false }
    expect((await failure(await get('/readyz'))).status).toBe(503)
    readiness = { ready: true }
    expect((await get('/readyz')).status).toBe(200)
  })

  it('answers HEAD, as probes ask', async () => {
    const { get } = await start()
    const response = await get('/readyz', { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('')
  })
})

describe('/metrics', () => {
  it('is the Prometheus text format', async () => {
    const { get } = await start()
    const response = await get('/metrics')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(await response.text()).toContain('\naqueduct_connections 3\n')
  })

  it('fails by itself when a source fails', async () => {
    const logged: string[] = []
    const log: Log = { ...silentLog, error: (_fields, message) => logged.push(message) }
    const metrics = createMetrics(
      {
        connectionsOpen: () => {
          throw new Error('gone')
        },
      },
      new ManualClock(),
    )
    const { get } = await start({ metrics, log })
    expect((await failure(await get('/metrics'))).code).toBe('internal')
    expect(logged).toEqual(['a request failed'])
    expect((await get('/healthz')).status).toBe(200)
  })
})

describe('errors', () => {
  it('404 for a path that is not there', async () => {
    const { get } = await start({ doors: [door] })
    for (const path of ['/', '/nothing', '/v1/things/a/b', '/healthz/', '/v1/things/a?x=/v1/things']) {
      const response = await get(path)
      if (path.includes('?')) expect(response.status).toBe(200)
      else expect((await failure(response)).code).toBe('not_found')
    }
  })

  it('405 with Allow for a path that is there', async () => {
    const { get } = await start({ doors: [door] })
    const ask = async (method: string, path: string) => {
      const response = await get(path, { method })
      const allow = response.headers.get('allow')
      return { ...(await failure(response)), allow }
    }
    expect(await ask('POST', '/healthz')).toMatchObject({ status: 405, code: 'method_not_allowed', allow: 'GET, HEAD' })
    expect(await ask('DELETE', '/v1/things/a')).toMatchObject({ status: 405, allow: 'GET, HEAD, PUT' })
    expect(await ask('GET', '/v1/things/a/echo')).toMatchObject({ status: 405, allow: 'POST' })
    expect(await ask('PROPFIND', '/v1/things?q=1')).toMatchObject({ status: 405, allow: 'GET, HEAD' })
    expect(await ask('DELETE', '/v1/things/')).toMatchObject({ status: 404 })
  })

  it('400, 413 and 415 for bodies that cannot be taken', async () => {
    const refusals = new Refusals(new ManualClock(), silentLog)
    const { get } = await start({ doors: [door], max_body_bytes: 1000, refusals })
    const post = async (path: string, type: string, body: string) =>
      failure(await get(path, { method: 'POST', headers: { 'content-type': type }, body }))
    expect(await post('/v1/things/a/echo', 'application/json', '{"a":')).toMatchObject({ status: 400, code: 'bad_request' })
    expect(await post('/v1/things/a/echo', 'application/json', '{"__proto__":{}}')).toMatchObject({ status: 400 })
    expect(await post('/v1/things/a/echo', 'application/json', '')).toMatchObject({ status: 400 })
    expect(await post('/v1/things/a/echo', 'application/json', JSON.stringify('x'.repeat(1000)))).toMatchObject({
      status: 413,
      code: 'body_too_large',
    })
    expect(refusals.of('http.max_body_bytes')).toBe(1)
    expect(await post('/v1/small', 'text/plain', 'eleven chars')).toMatchObject({ status: 413 })
    expect(await post('/v1/things/a/echo', 'image/png', 'x')).toMatchObject({ status: 415, code: 'unsupported_media_type' })
  })

  it('keeps the code and sentence of a refusal', async () => {
    const { get } = await start({ doors: [door] })
    for (const [code, status] of [
      ['queue_not_found', 404],
      ['queue_full', 409],
      ['name_invalid', 400],
      ['message_too_large', 413],
      ['not_authorised', 403],
      ['store_full', 507],
      ['store_failed', 503],
    ]) {
      expect(await failure(await get(`/v1/fail/${code}`))).toEqual({ status, code, message: 'It failed because of this.' })
    }
    expect(await failure(await get('/v1/bad'))).toEqual({ status: 400, code: 'bad_request', message: 'Say it otherwise.' })
  })

  it('says nothing about our insides', async () => {
    const logged: unknown[] = []
    const { get } = await start({ doors: [door], log: { ...silentLog, error: (fields) => logged.push(fields) } })
    const bug = await failure(await get('/v1/bug'))
    expect(bug).toMatchObject({ status: 500, code: 'internal' })
    expect(bug.message).not.toContain('secret')
    expect(await failure(await get('/v1/fail/internal'))).toEqual(bug)
    expect(logged.length).toBe(2)
    expect(((logged[0] as { err: Error }).err as Error).message).toContain('secret')
  })

  it('takes long names in paths, and refuses a broken escape', async () => {
    const { get, listener } = await start({ doors: [door] })
    const long = 'x'.repeat(8000)
    expect(await (await get(`/v1/things/${long}`)).json()).toEqual({ thing: long })
    expect(await failure(await get('/v1/things/%zz'))).toMatchObject({ status: 400, code: 'bad_request' })
    expect(await raw(listener.port, 'GET /v1/things/%zz HTTP/1.0\r\n\r\n')).toContain('"bad_request"')
  })

  it('answers what is not HTTP', async () => {
    const { listener, get } = await start()
    const garbage = await raw(listener.port, '\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00')
    expect(garbage).toMatch(/^HTTP\/1\.1 400 /)
    expect(garbage).toContain('{"error":{"code":"bad_request","message":')
    const headers = await raw(listener.port, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`)
    expect(headers).toMatch(/^HTTP\/1\.1 431 /)
    expect(headers).toContain('"headers_too_large"')
    expect((await get('/healthz')).status).toBe(200)
  })
})

describe('opening the HTTP server', () => {
  it('names the setting when the port is in use', async () => {
    const { listener } = await start()
    const again = startHttp({
      host: '127.0.0.1',
      port: listener.port,
      setting: 'http.port',
      readiness: () => ({ ready: true }),
      metrics: createMetrics({}, new ManualClock()),
      clock: new ManualClock(),
      log: silentLog,
    })
    const error = await again.catch((e: unknown) => e)
    expect(hasCode(error, 'port_in_use')).toBe(true)
    expect((error as Error).message).toContain('http.port')
    expect(listener.address).toBe(`127.0.0.1:${listener.port}`)
  })
})

describe('closing the HTTP server', () => {
  it('lets a request under way finish, takes no other, and frees the port', async () => {
    let answer: (() => void) | undefined
    let asked: (() => void) | undefined
    const arrived = new Promise<void>((resolve) => {
      asked = resolve
    })
    const { listener } = await start({
      doors: [
        (app) => {
          app.get('/slow', () => {
            asked?.()
            return new Promise((resolve) => {
              answer = () => resolve({ done: true })
            })
          })
        },
      ],
    })
    const socket = await connect(listener.port)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString()
    })
    socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
    await arrived
    const socketClosed = once(socket, 'close')
    let closed = false
    const closing = listener.close().then(() => {
      closed = true
    })
    await expect(connect(listener.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    expect(closed).toBe(false)
    answer?.()
    await closing
    // Kept alive when it asked, closed now that it has its answer.
    await socketClosed
    expect(text).toContain('{"done":true}')
    await listener.close()
  })

  it('asks doors to end their long polls', async () => {
    let answer: ((body: object) => void) | undefined
    let asked: (() => void) | undefined
    const arrived = new Promise<void>((resolve) => {
      asked = resolve
    })
    const { listener, get } = await start({
      doors: [
        (app) => {
          app.get('/poll', () => {
            asked?.()
            return new Promise<object>((resolve) => {
              answer = resolve
            })
          })
          app.addHook('preClose', async () => answer?.({ messages: [] }))
        },
      ],
    })
    const poll = get('/poll')
    await arrived
    await listener.close()
    expect(await (await poll).json()).toEqual({ messages: [] })
  })

  it('cuts off at the bound', async () => {
    let asked: (() => void) | undefined
    const arrived = new Promise<void>((resolve) => {
      asked = resolve
    })
    const { listener, clock, base } = await start({
      drain_ms: 2_000,
      doors: [
        (app) => {
          app.get('/never', () => {
            asked?.()
            return new Promise(() => {})
          })
        },
      ],
    })
    const lost = new Promise((resolve) => http.get(`${base}/never`).on('error', resolve))
    await arrived
    const closing = listener.close()
    clock.advance(2_000)
    expect(((await lost) as NodeJS.ErrnoException).code).toBe('ECONNRESET')
    await closing
    expect(clock.pending).toBe(0)
  })

  it('does not wait for idle connections nor for WebSockets', async () => {
    const acceptor = new Acceptor()
    const clock = new ManualClock()
    const ws = createWebSocketListener({ accept: acceptor.accept, clock, log: silentLog })
    const { listener, base } = await start({ upgrade: ws.upgrade, clock })
    const idle = await connect(listener.port)
    idle.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(idle, 'data')
    const client = new WebSocket(`${base.replace('http', 'ws')}/mqtt`, 'mqtt')
    sockets.push({ destroy: () => client.terminate() })
    await once(client, 'open')
    const server = await acceptor.next()
    const idleClosed = once(idle, 'close')
    await listener.close()
    await idleClosed
    client.send(Buffer.from('still here'))
    await server.until(() => server.bytes === 10)
    ws.destroyAll()
    await server.until(() => server.closes.length > 0)
  })
})

describe('upgrades', () => {
  it('carries MQTT over WebSocket beside the doors', async () => {
    const acceptor = new Acceptor()
    const clock = new ManualClock()
    const ws = createWebSocketListener({ accept: acceptor.accept, clock, log: silentLog })
    const { base, get } = await start({ upgrade: ws.upgrade })
    const client = new WebSocket(`${base.replace('http', 'ws')}/mqtt`, 'mqtt')
    sockets.push({ destroy: () => client.terminate() })
    await once(client, 'open')
    const server = await acceptor.next()
    server.transport.write(Buffer.from('hi'))
    const [data] = await new Promise<[Buffer, boolean]>((resolve) => client.once('message', (d, b) => resolve([d as Buffer, b])))
    expect(data.toString()).toBe('hi')
    expect((await get('/mqtt')).status).toBe(404)
    expect((await get('/healthz')).status).toBe(200)
  })

  it('answers a request that offers another protocol as if it had not', async () => {
    const ws = createWebSocketListener({
      accept: new Acceptor().accept,
      clock: new ManualClock(),
      log: silentLog,
    })
    const { listener } = await start({ upgrade: ws.upgrade, doors: [door] })
    const h2c = 'Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'
    const got = await raw(listener.port, `GET /healthz HTTP/1.1\r\n${h2c}\r\n`)
    expect(got).toMatch(/^HTTP\/1\.1 200 /)
    expect(got).toContain('{"status":"ok"}')
    const post = await raw(
      listener.port,
      `POST /v1/things/a/echo HTTP/1.1\r\n${h2c}Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx`,
    )
    // Newer versions of Node never hand it to us as an upgrade.
    if (Number(process.versions.node.split('.')[0]) < 24) {
      expect(post).toMatch(/^HTTP\/1\.1 400 /)
      expect(post).toContain('h2c')
    }
  })

  it('has none when nobody takes them', async () => {
    const { base } = await start()
    const client = new WebSocket(`${base.replace('http', 'ws')}/mqtt`, 'mqtt')
    sockets.push({ destroy: () => client.terminate() })
    const error = (await once(client, 'error')) as Error
    expect(error.message).toContain('404')
  })
})

it('holds a socket open no longer than its server: no handle is left behind', async () => {
  const { listener } = await start()
  await listener.close()
  open.splice(0)
  const probe = net.createServer()
  await new Promise<void>((resolve) => probe.listen(listener.port, '127.0.0.1', resolve))
  await new Promise((resolve) => probe.close(resolve))
})
