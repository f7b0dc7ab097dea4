/** HTTP as clients speak it that are no browsers: half-closed, pipelined, packed, without a Host, with expectations; and pages that must see refusals. */
import * as net from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { ApiClient } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'

const PAGE = 'https://dash.example'
let app: App & { httpPort: number }
let api: ApiClient

beforeAll(async () => {
  app = await startTestApp({ http: { allow_origins: [PAGE], max_body_bytes: 65_536 } })
  api = new ApiClient(app.httpPort)
  await api.put('q', { max_message_bytes: 100_000 })
})
afterAll(() => app.close())

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A socket on which a test writes what it likes and reads whole answers. */
class Raw {
  readonly socket: net.Socket
  private got = ''
  private wake: () => void = () => {}
  closed = false

  constructor(allowHalfOpen = true) {
    this.socket = net.connect({ port: app.httpPort, host: '127.0.0.1', allowHalfOpen })
    this.socket.on('data', (part) => {
      this.got += part.toString('latin1')
      this.wake()
    })
    this.socket.on('error', () => {})
    for (const event of ['end', 'close']) {
      this.socket.on(event, () => {
        this.closed = true
        this.wake()
      })
    }
  }

  write(...lines: string[]): void {
    this.socket.write(lines.join('\r\n'))
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.got)}`)
      await new Promise<void>((resolve) => (this.wake = resolve))
    }
  }

  async end(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => (this.wake = resolve))
  }

  async answer(): Promise<Answer> {
    await this.until(() => this.got.includes('\r\n\r\n'))
    const [head = ''] = this.got.split('\r\n\r\n', 1)
    const [first = '', ...lines] = head.split('\r\n')
    const headers = Object.fromEntries(
      lines.map((line) => [line.split(': ', 1)[0]?.toLowerCase(), line.slice(line.indexOf(': ') + 2)]),
    )
    const length = Number(headers['content-length'] ?? 0)
    await this.until(() => this.got.length >= head.length + 4 + length)
    const body = this.got.slice(head.length + 4, head.length + 4 + length)
    this.got = this.got.slice(head.length + 4 + length)
    return { status: Number(first.split(' ')[1]), headers, body }
  }
}

/** Every refusal is the same JSON, whoever made it. */
function refused(answer: Answer): { status: number; code: string } {
  expect(answer.headers['content-type']).toMatch(/^application\/json/)
  const { error } = JSON.parse(answer.body)
  expect(error.message).toMatch(/\.$/)
  return { status: answer.status, code: error.code }
}

const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`
const post = (path: string, ...headers: string[]): string[] => [
  `POST /v1/queues/q/${path} HTTP/1.1`,
  'Host: 127.0.0.1',
  ...headers,
  '',
  '',
]

describe('a body that is too large', () => {
  it('is refused, and the connection goes on with the next request', async () => {
    for (const [path, type] of [
      ['messages', 'text/plain'],
      ['messages', 'application/vnd.aqueduct+json'],
      ['receive', 'application/json'],
    ] as const) {
      const raw = new Raw()
      raw.write(...post(path, 'Transfer-Encoding: chunked', `Content-Type: ${type}`))
      for (let i = 0; i < 20; i++) raw.write(chunk(60_000))
      expect((await raw.answer()).status).toBe(413)
      raw.write('0\r\n\r\n')
      raw.write('GET /v1/queues/q HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
      expect((await raw.answer()).status).toBe(200)
      raw.socket.destroy()
    }
  })

  it('is refused by what it says of itself, and the connection goes on', async () => {
    const raw = new Raw()
    raw.write(post('messages', 'Content-Length: 200000').join('\r\n') + 'x'.repeat(200_000))
    expect(refused(await raw.answer())).toEqual({ status: 413, code: 'message_too_large' })
    raw.write('GET /v1/queues/q HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
    expect((await raw.answer()).status).toBe(200)
    raw.socket.destroy()
  })

  it('ends with its connection when it goes on and on', async () => {
    const raw = new Raw()
    raw.write(...post('messages', 'Transfer-Encoding: chunked'))
    const part = chunk(1_000_000)
    for (let i = 0; i < 100 && !raw.closed; i++) await new Promise<void>((resolve) => raw.socket.write(part, () => resolve()))
    await raw.end()
  })

  it('is not sent by a client that asks before', async () => {
    const raw = new Raw()
    raw.write(...post('messages', 'Content-Length: 200000', 'Expect: 100-continue'))
    const answer = await raw.answer()
    expect(refused(answer)).toEqual({ status: 413, code: 'message_too_large' })
    expect(answer.headers.connection).toBe('close')
    await raw.end()
  })
})

describe('a client that asks whether to go on', () => {
  it('is told so when its body is wanted', async () => {
    const raw = new Raw()
    raw.write(...post('messages', 'Content-Length: 5', 'Expect: 100-continue'))
    expect((await raw.answer()).status).toBe(100)
    raw.write('hello')
    const answer = await raw.answer()
    expect(answer.status).toBe(201)
    expect(answer.headers.connection).not.toBe('close')
    raw.socket.destroy()
  })

  it('hears of any other expectation that it cannot be met', async () => {
    const raw = new Raw()
    raw.write(...post('messages', 'Content-Length: 5', 'Expect: magic'))
    expect(refused(await raw.answer())).toEqual({ status: 417, code: 'expectation_failed' })
  })
})

describe('a body that is packed', () => {
  it.each(['gzip', 'br', 'x-unknown', 'identity, gzip'])('is refused, not stored as it is: %s', async (coding) => {
    for (const type of ['text/plain', 'application/vnd.aqueduct+json']) {
      const answer = await fetch(`http://127.0.0.1:${app.httpPort}/v1/queues/q/messages`, {
        method: 'POST',
        headers: { 'content-encoding': coding, 'content-type': type },
        body: gzipSync('payload'),
      })
      expect(answer.status).toBe(415)
      expect(((await answer.json()) as { error: { code: string } }).error.code).toBe('unsupported_media_type')
    }
  })

  it('by its transfer, or in another charset, too', async () => {
    const raw = new Raw()
    raw.write(`${post('messages', 'Transfer-Encoding: gzip, chunked').join('\r\n')}${chunk(5)}0\r\n\r\n`)
    expect(refused(await raw.answer()).status).toBe(415)
    raw.socket.destroy()
    const headers = { 'content-type': 'application/json; charset=latin1' }
    expect(await api.refused('POST', '/v1/queues/q/receive', undefined, undefined, { headers })).toMatchObject({ status: 415 })
  })

  it('is taken when it is not', async () => {
    const answer = await fetch(`http://127.0.0.1:${app.httpPort}/v1/queues/q/messages`, {
      method: 'POST',
      headers: { 'content-encoding': 'identity' },
      body: 'plain',
    })
    expect(answer.status).toBe(201)
  })
})

describe('a client that closes its side right after asking', () => {
  it('is answered', async () => {
    const raw = new Raw()
    raw.socket.end(`${post('messages', 'Content-Length: 5').join('\r\n')}hello`)
    expect((await raw.answer()).status).toBe(201)
    await raw.end()
  })

  it('gets what is there, and is not kept waiting', async () => {
    await api.put('half')
    await api.send('half', 'here')
    const body = '{"wait_ms":30000}'
    const ask = [
      'POST /v1/queues/half/receive HTTP/1.1',
      'Host: 127.0.0.1',
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
      '',
      body,
    ].join('\r\n')
    for (const there of [1, 0]) {
      const raw = new Raw()
      raw.socket.end(ask)
      const answer = await raw.answer()
      expect(JSON.parse(answer.body).messages).toHaveLength(there)
      await raw.end()
    }
  })
})

describe('requests that follow each other closely', () => {
  it('are answered in their order, refused ones among them', async () => {
    const raw = new Raw()
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
    raw.write(
      `${get('/v1/queues/q') + get('/v1/nothing') + post('messages', 'Content-Length: 2').join('\r\n')}hi${get('/healthz')}`,
    )
    const statuses: number[] = []
    for (let i = 0; i < 4; i++) statuses.push((await raw.answer()).status)
    expect(statuses).toEqual([200, 404, 201, 200])
    raw.socket.destroy()
  })
})

describe('a request that is none', () => {
  it.each([
    ['no Host', 'GET /v1/queues HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', 'GET /v1/queues HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n', 400],
    ['no HTTP', 'HELLO\r\n\r\n', 400],
    ['a broken path', 'GET /v1/queues/%ff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 400],
    ['a broken query', 'GET /v1/queues?prefix=%ed%a0%bd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 400],
    ['large headers', `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['a proxy', 'CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 405],
    ['a method of WebDAV', 'PROPFIND /v1/queues HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 405],
    ['TRACE', 'TRACE /v1/queues HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 405],
    ['a method that is not there', 'PATCH /v1/queues/q HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}', 405],
    ['an upgrade to nothing', 'GET /v1/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n', 404],
  ])('is refused in the same form: %s', async (_, text, status) => {
    const raw = new Raw()
    raw.write(text)
    expect(refused(await raw.answer()).status).toBe(status)
    raw.socket.destroy()
  })

  it('says which methods there are', async () => {
    const answer = await fetch(`http://127.0.0.1:${app.httpPort}/v1/queues/q/messages`)
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe('OPTIONS, POST')
  })

  it('of HTTP/1.0 needs no Host beyond what the setting asks for', async () => {
    const raw = new Raw()
    raw.write('GET /healthz HTTP/1.0\r\n\r\n')
    expect((await raw.answer()).status).toBe(200)
  })
})

describe('a page that may ask', () => {
  it.each([
    ['GET', '/v1/queues', undefined, 200],
    ['GET', '/v1/nothing', undefined, 404],
    ['GET', '/nothing', undefined, 404],
    ['GET', '/v1/queues/none', undefined, 404],
    ['PATCH', '/v1/queues/q', '{}', 405],
    ['POST', '/v1/queues/q/messages', 'x'.repeat(200_000), 413],
    ['POST', '/v1/queues/q/receive', 'text', 415],
    ['POST', '/v1/queues/%ff/receive', '{}', 400],
    ['GET', '/metrics', undefined, 200],
  ])('can read the answer, whatever it is: %s %s', async (method, path, body, status) => {
    const answer = await fetch(`http://127.0.0.1:${app.httpPort}${path}`, {
      method,
      headers: { origin: PAGE, ...(body === undefined ? {} : { 'content-type': 'text/plain' }) },
      ...(body === undefined ? {} : { body }),
    })
    expect(answer.status).toBe(status)
    expect(answer.headers.get('access-control-allow-origin')).toBe(PAGE)
    expect(answer.headers.get('vary')).toBe('origin')
    await answer.arrayBuffer()
  })

  it('and one that may not, cannot', async () => {
    for (const path of ['/v1/queues', '/nothing', '/metrics']) {
      const answer = await fetch(`http://127.0.0.1:${app.httpPort}${path}`, { headers: { origin: 'https://evil.example' } })
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
      await answer.arrayBuffer()
    }
  })
})

describe('a receiver that goes before its answer was sent', () => {
  it('has had no attempt', async () => {
    await api.put('large', { max_attempts: 1, max_message_bytes: 10_000_000 })
    const payload = Buffer.alloc(8_000_000, 'x')
    for (let i = 0; i < 2; i++) await app.queues.send('large', [{ body: payload }])
    const raw = new Raw(false)
    // It takes the head of an answer that no buffer of the system holds, and goes.
    raw.socket.once('data', () => raw.socket.destroy())
    raw.write(
      'POST /v1/queues/large/receive HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"max":2}',
    )
    await new Promise<void>((resolve) => raw.socket.once('close', () => resolve()))
    for (let i = 0; i < 1_000 && app.queues.get('large').counts.leased > 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 5))
    expect(app.queues.get('large').counts).toMatchObject({ ready: 2, leased: 0, dead: 0 })
    expect((await app.queues.receive('large'))[0]?.attempts).toBe(1)
  })
})
