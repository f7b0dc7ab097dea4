/** What HTTP clients may make the program hold: bodies, answers, connections; and what a body may be. */
import net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { App } from '../src/app.js'
import type { SettingsInput } from '../src/config/schema.js'
import { systemClock } from '../src/core/clock.js'
import { silentLog } from '../src/core/log.js'
import type { CountedLimit } from '../src/core/refusals.js'
import { FREE_BYTES, Receiving } from '../src/http/api/receiving.js'
import { startHttp } from '../src/http/server.js'
import { createMetrics } from '../src/metrics/metrics.js'
import { startTestApp } from './support/broker.js'

const KIB = 1024
let app: (App & { readonly httpPort: number }) | undefined
const sockets: net.Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await app?.close()
  app = undefined
})

async function start(http: SettingsInput['http'] = {}): Promise<string> {
  app = await startTestApp({ http })
  return `http://127.0.0.1:${app.httpPort}`
}

const refused = (limit: CountedLimit): number => app?.broker.state.refusals.of(limit) ?? 0

/** Sends `text` and collects what comes until the end. */
function raw(text: string): { socket: net.Socket; answer: Promise<string> } {
  const socket = net.connect(app?.httpPort as number, '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => {})
  socket.write(text)
  let got = ''
  socket.setEncoding('latin1').on('data', (part) => {
    got += part
  })
  return { socket, answer: new Promise((resolve) => socket.once('close', () => resolve(got))) }
}

const post = (path: string, length: number, type = 'application/octet-stream'): string =>
  `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`

/** Until it holds; the limit of the test ends it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe('JSON', () => {
  const json = async (base: string, body: string): Promise<[number, string]> => {
    const answer = await fetch(`${base}/v1/publish`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    return [answer.status, ((await answer.json()) as { error: { message: string } }).error.message]
  }

  it('is no deeper than 64 levels, brackets in strings left out', async () => {
    const base = await start()
    const nested = (depth: number, inner = ''): string => `${'[{"a":'.repeat(depth / 2)}"${inner}"${'}]'.repeat(depth / 2)}`
    expect(await json(base, nested(64, '[{\\"[['))).toEqual([400, expect.stringContaining('The body is an object')])
    for (const depth of [66, 5_000, 100_000])
      expect(await json(base, nested(depth))).toEqual([400, 'The body is nested deeper than 64 levels.'])
  })

  it('has no more than 65,536 separators, commas in strings left out', async () => {
    const base = await start()
    expect(await json(base, `["${','.repeat(70_000)}"${',1'.repeat(65_536)}]`)).toEqual([
      400,
      expect.stringContaining('The body is an object'),
    ])
    expect(await json(base, `[1${',1'.repeat(65_537)}]`)).toEqual([400, 'The body has more than 65536 values.'])
  })
})

describe('a foreign Host', () => {
  it('is refused by every route, known or not', async () => {
    await start()
    for (const path of ['/metrics', '/healthz', '/readyz', '/', '/openapi.json', '/v1/queues', '/nothing']) {
      const { answer } = raw(`GET ${path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`)
      expect(await answer, path).toMatch(/^HTTP\/1\.1 403 [\s\S]*"not_authorised"/)
    }
    const { answer } = raw('GET /metrics HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n')
    expect(await answer).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('bodies', () => {
  it('are bounded together; small ones pass, and what was given up makes room', async () => {
    const base = await start({ max_receiving_bytes: 1_000 * KIB })
    await fetch(`${base}/v1/queues/q`, { method: 'PUT' })
    const unfinished = Array.from({ length: 5 }, () => {
      const one = raw(post('/v1/queues/q/messages', 1_000_000))
      one.socket.write(Buffer.alloc(400_000))
      return one
    })
    // 400,000 bytes are in a buffer of up to twice that.
    const answer = await Promise.race(unfinished.map((one) => new Promise<string>((resolve) => one.socket.once('data', resolve))))
    expect(answer).toMatch(/^HTTP\/1\.1 503 /)
    expect(answer.toLowerCase()).toContain('retry-after: 1')
    expect(answer).toContain('"busy"')
    expect(refused('http.max_receiving_bytes')).toBeGreaterThan(0)
    const send = (bytes: number): Promise<Response> =>
      fetch(`${base}/v1/queues/q/messages`, { method: 'POST', body: Buffer.alloc(bytes) })
    expect((await send(60 * KIB)).status).toBe(201)
    for (const { socket } of unfinished) socket.destroy()
    let status = 0
    await until(() => app?.broker.state.refusals !== undefined)
    for (let i = 0; i < 200 && status !== 201; i++) status = (await send(900 * KIB)).status
    expect(status).toBe(201)
  })

  it('cost what they are long, in however small parts they come', () => {
    const receiving = new Receiving(1_000_000)
    const closed: (() => void)[] = []
    const response = { once: (_: string, fn: () => void) => closed.push(fn) } as never
    const body = receiving.body(response, 0, 300_000)
    for (let i = 0; i < 300_000; i++) expect(body.add(Buffer.from([i & 255]))).toBe(true)
    expect(body.add(Buffer.alloc(1))).toBe(false)
    expect([body.bytes.length, body.bytes[299_999]]).toEqual([300_000, 299_999 & 255])
    receiving.reserve(1_000_000 - (300_000 - FREE_BYTES))
    expect(() => receiving.reserve(1)).toThrow('max_receiving_bytes')
    for (const fn of closed) fn()
    receiving.reserve(300_000 - FREE_BYTES)
    expect(closed.length).toBe(1)
  })

  it('must arrive in time, and not much later', async () => {
    const listener = await startHttp({
      host: '127.0.0.1',
      port: 0,
      request_ms: 1_000,
      readiness: () => ({ ready: true }),
      metrics: createMetrics({}, systemClock),
      doors: [(door) => void door.post('/', async () => 'never')],
      clock: systemClock,
      log: silentLog,
    })
    const socket = net.connect(listener.port, '127.0.0.1')
    const began = performance.now()
    socket.write(post('/', 10, 'text/plain'))
    const answer = await new Promise<string>((resolve) => socket.once('data', (part) => resolve(part.toString())))
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    // By itself Node would look after 30 s.
    expect(performance.now() - began).toBeLessThan(15_000)
    socket.destroy()
    await listener.close()
  })
})

describe('answers', () => {
  it('that nobody takes are bounded together: the oldest is cut', async () => {
    const base = await start({ max_sending_bytes: 8_000_000 })
    await fetch(`${base}/v1/queues/q`, { method: 'PUT' })
    for (let i = 0; i < 7; i++)
      await fetch(`${base}/v1/queues/q/messages`, { method: 'POST', body: Buffer.alloc(1_000_000, 'x') })
    const ask = (): net.Socket => {
      const { socket } = raw('GET /v1/queues/q/peek?limit=7 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
      socket.once('data', () => socket.pause())
      return socket
    }
    const first = ask()
    await until(() => first.bytesRead > 0)
    const second = ask()
    await until(() => refused('http.max_sending_bytes') === 1)
    first.resume()
    await new Promise((resolve) => first.once('close', resolve))
    expect(first.bytesRead).toBeLessThan(7_000_000)
    second.resume()
    await until(() => second.bytesRead > 7_000_000)
  })
})

describe('connections', () => {
  it('are bounded: the one that has been idle longest goes', async () => {
    await start({ max_connections: 2 })
    const [first, second] = [raw(''), raw('')]
    await until(() => first.socket.readyState === 'open' && second.socket.readyState === 'open')
    const third = raw('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n')
    expect(await third.answer).toMatch(/^HTTP\/1\.1 200 /)
    await Promise.race([first.answer, second.answer])
    expect(refused('http.max_connections')).toBe(1)
  })
})
