/** Web pages and the API: those of foreign origins, those that pretend to be us, and those that may. */
import * as http from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { App } from '../../src/app.js'
import { hostRule } from '../../src/listeners/origins.js'
import { ApiClient } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'

let app: App & { httpPort: number }
let api: ApiClient

beforeAll(async () => {
  app = await startTestApp({ http: { allow_origins: ['https://dash.example'] } })
  api = new ApiClient(app.httpPort)
  await api.put('here')
})
afterAll(() => app.close())

/** With headers that `fetch` does not let through. */
function request(method: string, path: string, headers: http.OutgoingHttpHeaders): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ port: app.httpPort, host: '127.0.0.1', method, path, headers }, (answer) => {
      let text = ''
      answer.on('data', (part) => {
        text += part
      })
      answer.on('end', () => resolve({ status: answer.statusCode as number, text }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

describe('a page of a foreign origin', () => {
  it.each([
    ['PUT', '/v1/queues/made'],
    ['POST', '/v1/queues/here/messages'],
    ['POST', '/v1/queues/here/receive'],
    ['GET', '/v1/queues'],
    ['DELETE', '/v1/queues/here'],
    ['OPTIONS', '/v1/queues/here'],
  ])('may not %s %s', async (method, path) => {
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1.evil.example', 'https://dash.example:444']) {
      const refusal = await api.refused(method, path, undefined, undefined, { headers: { origin } })
      expect(refusal).toMatchObject({ status: 403, code: 'not_authorised' })
      expect(refusal.message).toContain('http.allow_origins')
    }
    const { body } = await api.call('GET', '/v1/queues')
    expect(body.queues.map((q: { name: string }) => q.name)).toEqual(['here'])
    expect(body.queues[0].counts.ready).toBe(0)
  })
})

describe('a page whose name was made to resolve to this machine', () => {
  const host = () => `evil.example:${app.httpPort}`

  it('may ask nothing, whether or not it says where it came from', async () => {
    for (const origin of [{}, { origin: `http://${host()}` }]) {
      const answer = await request('GET', '/v1/queues', { host: host(), ...origin })
      expect(answer.status).toBe(403)
      expect(JSON.parse(answer.text).error.code).toBe('not_authorised')
    }
  })

  it('may open no WebSocket', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${app.httpPort}/mqtt`, 'mqtt', {
      headers: { host: host() },
      origin: `http://${host()}`,
    })
    const error = await new Promise<Error>((resolve) => socket.once('error', resolve))
    expect(error.message).toContain('403')
  })

  it('is told from names that are ours', () => {
    const isOurs = hostRule('127.0.0.1', ['https://dash.example'])
    for (const host of [
      '127.0.0.1:8080',
      'localhost',
      'LOCALHOST:1',
      'a.localhost:8080',
      '[::1]:8080',
      '10.0.0.5',
      'dash.example:8080',
      '',
      undefined,
    ])
      expect(isOurs(host), host).toBe(true)
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '1.2.3', 'a b', '/', '@127.0.0.1'])
      expect(isOurs(host), host).toBe(host === '1.2.3')
    for (const listensOn of ['localhost', '::1', '127.0.0.9']) expect(hostRule(listensOn, [])('evil.example')).toBe(false)
    expect(hostRule('0.0.0.0', [])('broker.example')).toBe(true)
    expect(hostRule('127.0.0.1', ['*'])('broker.example')).toBe(true)
  })
})

describe('a page that may ask', () => {
  it.each(['https://dash.example', 'http://localhost:3000', 'http://127.0.0.1'])('from %s reads the answer', async (origin) => {
    const answer = await api.call('GET', '/v1/queues', undefined, undefined, { headers: { origin } })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('access-control-allow-origin')).toBe(origin)
    expect(answer.headers.get('vary')).toBe('origin')
    const refusal = await api.call('GET', '/v1/queues/none', undefined, undefined, { headers: { origin } })
    expect(refusal.headers.get('access-control-allow-origin')).toBe(origin)
  })

  it('is told which methods and headers it may send', async () => {
    const answer = await api.call('OPTIONS', '/v1/queues/here', undefined, undefined, {
      headers: { origin: 'https://dash.example' },
    })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-methods')).toBe('PUT, GET, DELETE')
    expect(answer.headers.get('access-control-allow-headers')).toBe('content-type')
  })

  it('is nobody that has no origin', async () => {
    const answer = await api.call('GET', '/v1/queues')
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  })
})
