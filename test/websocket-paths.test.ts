/** `http.websocket_paths`: where MQTT over WebSocket is, at the whole program. */
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { App } from '../src/app.js'
import { makeSettings } from '../src/config/load.js'
import type { SettingsInput } from '../src/config/schema.js'
import { packet, startTestApp } from './support/broker.js'

let app: (App & { readonly httpPort: number }) | undefined
afterEach(async () => {
  await app?.close()
  app = undefined
})

async function start(http: SettingsInput['http'] = {}): Promise<number> {
  app = await startTestApp({ http })
  return app.httpPort
}

/** The status of the upgrade, and what CONNECT is answered with when it is 101. */
function tries(url: string, protocols: string[] = ['mqtt']): Promise<{ status: number; answer?: string; text?: string }> {
  return new Promise((resolve) => {
    const client = new WebSocket(url, protocols)
    client.on('error', () => {})
    client.on('open', () => client.send(packet.connect({ client_id: 'c' })))
    client.on('message', (data: Buffer) => {
      client.terminate()
      resolve({ status: 101, answer: data.toString('hex') })
    })
    client.on('unexpected-response', (_request, response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
  })
}
const WELCOME = { status: 101, answer: '20020000' }

test('an address without a path is enough, and /mqtt is there', async () => {
  const port = await start()
  for (const path of ['', '/', '/mqtt', '/?a=b', '/mqtt?a=b'])
    expect(await tries(`ws://127.0.0.1:${port}${path}`)).toEqual(WELCOME)
  for (const path of ['/x', '/mqtt/', '//', '/v1/queues']) expect((await tries(`ws://127.0.0.1:${port}${path}`)).status).toBe(404)
})

test('the subprotocol is asked for on every path, and the page at / is what it was', async () => {
  const port = await start()
  for (const path of ['/', '/mqtt']) {
    expect((await tries(`ws://127.0.0.1:${port}${path}`, [])).status).toBe(400)
    expect((await tries(`ws://127.0.0.1:${port}${path}`, ['chat'])).status).toBe(400)
  }
  const page = await fetch(`http://127.0.0.1:${port}/`)
  expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
})

test('the setting says where, and only there', async () => {
  const port = await start({ websocket_paths: ['/ws', '/a/b'] })
  expect(await tries(`ws://127.0.0.1:${port}/ws`)).toEqual(WELCOME)
  expect(await tries(`ws://127.0.0.1:${port}/a/b`)).toEqual(WELCOME)
  const { status, text } = await tries(`ws://127.0.0.1:${port}/mqtt`)
  expect([status, text]).toEqual([404, expect.stringContaining('/ws and /a/b')])
})

test('without a path there is none, and the answer says so', async () => {
  const port = await start({ websocket_paths: [] })
  expect(await tries(`ws://127.0.0.1:${port}/`)).toMatchObject({
    status: 404,
    text: expect.stringContaining('http.websocket_paths'),
  })
})

describe('a path', () => {
  test.each(['', 'mqtt', '/a b', '/a?b', '/a#b', '/ä', `/${'x'.repeat(1024)}`])('is not %s', (path) => {
    expect(() => makeSettings({ http: { websocket_paths: [path] } })).toThrow('http.websocket_paths')
  })
  test('is any other', () => {
    const websocket_paths = ['/', '/a/b.c', '/%20', `/${'x'.repeat(1023)}`]
    expect(makeSettings({ http: { websocket_paths } }).http.websocket_paths).toEqual(websocket_paths)
  })
})
