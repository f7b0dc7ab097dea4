/** Long polls over HTTP: who waits, who is served, and who has gone. */
import * as net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { ApiClient, type ReceivedMessage } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'

let app: App & { httpPort: number }
let api: ApiClient

beforeAll(async () => {
  app = await startTestApp()
  api = new ApiClient(app.httpPort)
})
afterAll(() => app.close())

/** Resolves when `n` receivers wait at the queue. */
async function waiting(queue: string, n: number): Promise<void> {
  for (;;) {
    const { body } = await api.call('GET', `/v1/queues/${queue}`)
    if (body.receivers === n) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** A long poll on a socket of its own, that a test can end as it likes. */
async function poll(queue: string): Promise<net.Socket> {
  const socket = net.connect(app.httpPort, '127.0.0.1')
  const body = '{"wait_ms":30000}'
  socket.write(
    `POST /v1/queues/${queue}/receive HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  socket.on('error', () => {})
  return socket
}

describe('a long poll', () => {
  it('is served when a message comes', async () => {
    await api.put('waits')
    const got = api.receive('waits', { wait_ms: 30_000, lease_ms: 1_000 })
    await waiting('waits', 1)
    await api.send('waits', 'here')
    expect(await got).toMatchObject([{ body: 'here', attempts: 1 }])
    expect((await api.call('GET', '/v1/queues/waits')).body.receivers).toBe(0)
  })

  it('comes back empty in time', async () => {
    await api.put('empty', { wait_ms: 20 })
    const began = Date.now()
    expect(await api.receive('empty')).toEqual([])
    expect(Date.now() - began).toBeGreaterThanOrEqual(15)
    expect(await api.receive('empty', { wait_ms: 0 })).toEqual([])
  })

  it('ends empty when its queue is deleted', async () => {
    await api.put('doomed')
    const got = api.receive('doomed', { wait_ms: 30_000 })
    await waiting('doomed', 1)
    await api.call('DELETE', '/v1/queues/doomed')
    expect(await got).toEqual([])
  })

  it('is one of 200, and a message wakes exactly one', async () => {
    await api.put('crowd')
    const answers: ReceivedMessage[][] = []
    const polls = Array.from({ length: 200 }, () =>
      api.receive('crowd', { wait_ms: 30_000 }).then((got) => {
        answers.push(got)
      }),
    )
    await waiting('crowd', 200)
    await api.send('crowd', '0')
    await waiting('crowd', 199)
    await api.call('GET', '/v1/queues/crowd')
    expect(answers.map((got) => got.map((m) => m.body))).toEqual([['0']])
    await api.send('crowd', ...Array.from({ length: 199 }, (_, i) => String(i + 1)))
    await Promise.all(polls)
    expect(answers.map((got) => got.length)).toEqual(Array(200).fill(1))
    expect(new Set(answers.flat().map((m) => m.body)).size).toBe(200)
    expect(answers.flat().every((m) => m.attempts === 1)).toBe(true)
  })

  it.each(['destroy', 'end'] as const)('whose client has gone (%s) is never given a message', async (how) => {
    await api.put(`gone.${how}`)
    const socket = await poll(`gone.${how}`)
    await waiting(`gone.${how}`, 1)
    socket[how]()
    await waiting(`gone.${how}`, 0)
    await api.send(`gone.${how}`, 'mine')
    expect(await api.receive(`gone.${how}`)).toMatchObject([{ body: 'mine', attempts: 1 }])
  })

  it('is answered with nothing when the broker stops, well within its time', async () => {
    const other = await startTestApp()
    const client = new ApiClient(other.httpPort)
    await client.put('stop')
    await client.openApi()
    const polls = Array.from({ length: 20 }, () => client.receive('stop', { wait_ms: 30_000 }))
    for (;;) if ((await client.call('GET', '/v1/queues/stop')).body.receivers === 20) break
    const began = Date.now()
    await other.close()
    expect(await Promise.all(polls)).toEqual(Array(20).fill([]))
    expect(Date.now() - began).toBeLessThan(3_000)
  })
})

describe('a receive', () => {
  it.each([
    [{ max: 0 }, 'max is a whole number from 1 to 256: got 0.'],
    [{ max: 257 }, 'max is a whole number from 1 to 256: got 257.'],
    [{ max: '1' }, 'max is a whole number from 1 to 256: got "1".'],
    [{ wait_ms: -1 }, 'wait_ms is a whole number from 0 to 30000: got -1.'],
    [{ wait_ms: 30_001 }, 'wait_ms is a whole number from 0 to 30000: got 30001.'],
    [{ lease_ms: 43_200_001 }, 'lease_ms is a whole number from 0 to 43200000: got 43200001.'],
    [{ lease_ms: 1e300 }, /^lease_ms is a whole number/],
    [{ timeout: 1 }, 'The body has no field "timeout".'],
  ])('of %j is refused and leases nothing', async (body, message) => {
    await api.put('strict')
    if ((await api.counts('strict')).ready === 0) await api.send('strict', 'x')
    const refusal = await api.refused('POST', '/v1/queues/strict/receive', body)
    expect(refusal).toMatchObject({ status: 400, code: 'attribute_invalid' })
    expect(refusal.message).toMatch(message)
    expect(await api.counts('strict')).toMatchObject({ ready: 1, leased: 0 })
  })

  it('brings no more bytes than fit, but at least one message', async () => {
    await api.put('large', { max_message_bytes: 20_000_000, max_bytes: 100_000_000 })
    const big = Buffer.alloc(17 * 1024 * 1024, 0x61)
    const half = Buffer.alloc(9 * 1024 * 1024, 0x62)
    for (const body of [big, half, half]) {
      expect((await api.call('POST', '/v1/queues/large/messages', body)).status).toBe(201)
    }
    expect((await api.receive('large', { max: 256 })).map((m) => m.body.length)).toEqual([big.length])
    expect((await api.receive('large', { max: 256 })).map((m) => m.body.length)).toEqual([half.length])
    expect((await api.receive('large', { max: 256 })).map((m) => m.body.length)).toEqual([half.length])
  })
})
