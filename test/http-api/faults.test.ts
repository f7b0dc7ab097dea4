/** Everything that can be wrong with a request before an operation sees it, and that nothing has changed then. */
import * as net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { ApiClient, BATCH } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'

let app: App & { httpPort: number }
let api: ApiClient

beforeAll(async () => {
  app = await startTestApp({ http: { max_body_bytes: '64 KiB' } })
  api = new ApiClient(app.httpPort)
  await api.put('here', { max_message_bytes: 1_000 })
  await api.send('here', 'x')
})
afterAll(() => app.close())

const JSON_TYPE = 'application/json'
const messages = '/v1/queues/here/messages'

/** Sends bytes as they are and gives the whole answer. */
function raw(text: string | Buffer, more?: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(app.httpPort, '127.0.0.1')
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      // Whoever is refused in the middle of a body may go on sending; this one goes.
      if (answer.includes('\r\n\r\n') && answer.endsWith('}')) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
    socket.write(text)
    if (more !== undefined) socket.write(more)
  })
}

describe('a request', () => {
  it.each([
    ['GET', '/v1', 404, 'not_found'],
    ['GET', '/v1/queue', 404, 'not_found'],
    ['GET', '/v1/queues/', 404, 'queue_not_found'],
    ['GET', '/v1/queues/here/there', 404, 'not_found'],
    ['GET', '/v2/queues', 404, 'not_found'],
    ['POST', '/v1/queues', 405, 'method_not_allowed'],
    ['PATCH', '/v1/queues/here', 405, 'method_not_allowed'],
    ['GET', messages, 405, 'method_not_allowed'],
    ['GET', '/v1/queues/here/receive', 405, 'method_not_allowed'],
    ['DELETE', '/v1/publish', 405, 'method_not_allowed'],
    ['PUT', '/v1/sessions/x', 405, 'method_not_allowed'],
    ['POST', '/openapi.json', 405, 'method_not_allowed'],
  ])('%s %s is %i', async (method, path, status, code) => {
    expect(await api.refused(method, path)).toMatchObject({ status, code })
    if (status === 405) expect((await api.call(method, path)).headers.get('allow')).not.toBeNull()
  })

  it.each([
    ['POST', '/v1/queues/here/ack', '{', 'bad_request', /^The body is not JSON/],
    ['POST', '/v1/queues/here/ack', '', 'bad_request', /^A JSON body is needed/],
    ['POST', '/v1/queues/here/receive', '{"max":1}}', 'bad_request', /^The body is not JSON/],
    ['POST', '/v1/publish', Buffer.from('{"topic":"\xff"}', 'latin1'), 'bad_request', /UTF-8/],
    ['PUT', '/v1/queues/here', '\ufeff{}', 'bad_request', /^The body is not JSON/],
    ['POST', '/v1/queues/here/purge', '{"all":true}', 'bad_request', 'No body is taken here.'],
    ['DELETE', '/v1/queues/here', '{"really":true}', 'bad_request', 'No body is taken here.'],
    ['POST', '/v1/queues/here/ack', '{"receipts":[]}', 'attribute_invalid', 'receipts is a list of 1 to 256: got [].'],
    ['POST', '/v1/queues/here/ack', '{"receipts":"x"}', 'attribute_invalid', 'receipts is a list of 1 to 256: got "x".'],
    ['POST', '/v1/queues/here/ack', '{"receipts":[1]}', 'attribute_invalid', /^receipts\[0\] is a text/],
    ['POST', '/v1/queues/here/ack', '{}', 'attribute_invalid', 'receipts is missing: it is a list of 1 to 256.'],
    ['POST', '/v1/queues/here/ack', '{"receipts":["a"],"delay_ms":1}', 'attribute_invalid', 'The body has no field "delay_ms".'],
    ['POST', '/v1/queues/here/nack', '{"receipts":["a"],"delay_ms":-1}', 'attribute_invalid', /^delay_ms is a whole number/],
    ['POST', '/v1/queues/here/extend', '{"receipts":["a"],"lease_ms":1.5}', 'attribute_invalid', /^lease_ms is a whole number/],
  ])('%s %s of %j is refused', async (method, path, body, code, message) => {
    const refusal = await api.refused(method, path, body, JSON_TYPE)
    expect(refusal).toMatchObject({ status: 400, code })
    expect(refusal.message).toMatch(message)
    expect(await api.counts('here')).toMatchObject({ ready: 1, leased: 0 })
  })

  it('names at most 256 receipts', async () => {
    const receipts = Array.from({ length: 257 }, () => 'x')
    expect((await api.refused('POST', '/v1/queues/here/ack', { receipts })).code).toBe('attribute_invalid')
    expect(await api.settle('here', 'ack', receipts.slice(1))).toEqual(Array(256).fill('receipt_invalid'))
  })

  it.each([undefined, 'text/plain', 'application/x-www-form-urlencoded', 'application/json5', BATCH])(
    'of type %s is no JSON',
    async (type) => {
      for (const [method, path] of [
        ['PUT', '/v1/queues/here'],
        ['POST', '/v1/queues/here/receive'],
        ['POST', '/v1/publish'],
      ] as const) {
        const refusal = await api.refused(method, path, Buffer.from('{}'), type)
        expect(refusal).toMatchObject({ status: 415, code: 'unsupported_media_type' })
      }
      expect(await api.counts('here')).toMatchObject({ ready: 1, leased: 0 })
    },
  )

  it.each(['application/json', 'APPLICATION/JSON; charset=UTF-8', 'application/json ;x=y'])('of type %s is', async (type) => {
    expect((await api.call('PUT', '/v1/queues/typed', '{}', type)).status).toBeLessThan(300)
  })

  it('may send an empty object where no body is needed', async () => {
    expect((await api.call('POST', '/v1/queues/here/redrive', '', JSON_TYPE)).status).toBe(200)
    expect((await api.call('POST', '/v1/queues/here/redrive')).status).toBe(200)
  })

  it('that is not HTTP is told so', async () => {
    expect(await raw('NONSENSE\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  })
})

describe('a message to send', () => {
  it.each([
    [[{ body: 1 }], 'messages[0].body is a text: got 1.'],
    [[{}], 'messages[0].body is missing: it is a text.'],
    [[{ body: 'a' }, { body: 'b', priority: 0 }], 'messages[1].priority is a whole number from 1 to 16: got 0.'],
    [[{ body: 'a', priority: 17 }], /^messages\[0\]\.priority/],
    [[{ body: 'a', delay_ms: -1 }], /^messages\[0\]\.delay_ms/],
    [[{ body: 'a', delay_ms: 31_536_000_001 }], /^messages\[0\]\.delay_ms/],
    [[{ body: 'a', ttl_s: 0 }], /^messages\[0\]\.ttl_s/],
    [[{ body: 'a', key: 'x'.repeat(256) }], /^messages\[0\]\.key is a text of at most 255 characters/],
    [[{ body: 'a', key: 'ü'.repeat(200) }], 'key has at most 255 bytes.'],
    [[{ body: 'a', dedup_id: 'ü'.repeat(200) }], 'dedup_id has at most 255 bytes.'],
    [[{ body: 'a', encoding: 'hex' }], /^messages\[0\]\.encoding is one of text, base64/],
    [[{ body: 'a', encoding: 'base64' }], /^messages\[0\]\.body is not base64/],
    [[{ body: 'YQ=', encoding: 'base64' }], /^messages\[0\]\.body is not base64/],
    [[{ body: 'a_-=', encoding: 'base64' }], /^messages\[0\]\.body is not base64/],
    [[{ body: 'a' }, { body: '\ud800' }], /^messages\[1\]\.body holds half a surrogate pair/],
    [[{ body: 'a', topic: 'a/#' }], /^topic: .*wildcards/],
    [[{ body: 'a', topic: '' }], /^topic: .*empty/],
    [[{ body: 'a', what: 1 }], 'messages[0] has no field "what".'],
    [['a'], 'messages[0] is an object: got "a".'],
    [[], 'messages is a list of 1 to 256: got [].'],
    [Array.from({ length: 257 }, () => ({ body: '' })), /^messages is a list of 1 to 256/],
    [{ body: 'a' }, /^messages is a list of 1 to 256/],
  ])('as %j is refused, and the whole batch with it', async (list, message) => {
    const refusal = await api.refused('POST', messages, { messages: list }, BATCH)
    expect(refusal.status).toBe(400)
    expect(['attribute_invalid', 'topic_invalid']).toContain(refusal.code)
    expect(refusal.message).toMatch(message)
    expect(await api.counts('here')).toMatchObject({ ready: 1, delayed: 0 })
  })

  it.each([
    ['priority=0', /^priority is a whole number from 1 to 16: got "0"/],
    ['priority=1&priority=2', /^priority/],
    ['delay_ms=1e3', /^delay_ms/],
    ['delay_ms=', /^delay_ms/],
    [`key=${'x'.repeat(256)}`, /^key is a text of at most 255/],
    ['ttl_s=0', /^ttl_s/],
    ['topic=a/%2B', /^topic: /],
    ['body=x', 'The query has no field "body".'],
  ])('with %s in the query is refused', async (query, message) => {
    const refusal = await api.refused('POST', `${messages}?${query}`, 'x', 'text/plain')
    expect(refusal.status).toBe(400)
    expect(refusal.message).toMatch(message)
    expect(await api.counts('here')).toMatchObject({ ready: 1, delayed: 0 })
  })

  it('has its attributes in the batch or in the query, not in both', async () => {
    const refusal = await api.refused('POST', `${messages}?priority=1`, { messages: [{ body: 'a' }] }, BATCH)
    expect(refusal.message).toBe('A batch says priority for each of its messages, not in the query.')
  })

  it('may have as many bytes as its queue says, its topic among them', async () => {
    await api.put('exact', { max_message_bytes: 100 })
    const room = 100 - 4 - '$queue/exact'.length
    expect((await api.call('POST', '/v1/queues/exact/messages', 'x'.repeat(room))).status).toBe(201)
    for (const bytes of [room + 1, 101, 100_000]) {
      expect(await api.refused('POST', '/v1/queues/exact/messages', 'x'.repeat(bytes))).toMatchObject({
        status: 413,
        code: 'message_too_large',
      })
    }
    const batch = { messages: [{ body: 'x' }, { body: 'x'.repeat(room + 1) }] }
    expect(await api.refused('POST', '/v1/queues/exact/messages', batch, BATCH)).toMatchObject({ code: 'message_too_large' })
    expect(await api.counts('exact')).toMatchObject({ ready: 1 })
  })

  it('is refused by the length that it declares, and as soon as it is longer when it declares none', async () => {
    const head = `POST ${messages} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: a/b\r\n`
    expect(await raw(`${head}Connection: close\r\nContent-Length: 200000000\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 413 .*message_too_large/s,
    )
    const chunk = `1000\r\n${'x'.repeat(0x1000)}\r\n`
    expect(await raw(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk}`)).toMatch(/^HTTP\/1\.1 413 .*message_too_large/s)
  })

  it('may come in chunks', async () => {
    const head = `POST ${messages} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`
    expect(await raw(head, '1\r\na\r\n1\r\nb\r\n0\r\n\r\n')).toMatch(/^HTTP\/1\.1 201 /)
    const got = await api.receive('here', { max: 2 })
    expect(got.map((m) => m.body)).toEqual(['x', 'ab'])
    await api.settle('here', 'ack', [got[1].receipt])
    await api.settle('here', 'nack', [got[0].receipt])
  })
})

describe('a JSON body', () => {
  it('may have as many bytes as the setting says', async () => {
    const body = (bytes: number) => `{"topic":"a","body":"${'x'.repeat(bytes - 24)}"}`
    expect(body(65_536)).toHaveLength(65_536 - 1)
    expect((await api.call('POST', '/v1/publish', `${body(65_536)} `, JSON_TYPE)).status).toBe(200)
    expect(await api.refused('POST', '/v1/publish', `${body(65_536)}  `, JSON_TYPE)).toMatchObject({
      status: 413,
      code: 'body_too_large',
    })
    expect(await api.refused('POST', messages, body(65_538), BATCH)).toMatchObject({ status: 413, code: 'body_too_large' })
  })
})
