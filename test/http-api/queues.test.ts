/** `/v1/queues`: made, changed, listed, looked at and deleted over HTTP. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { ApiClient } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'

let app: App & { httpPort: number }
let api: ApiClient

beforeAll(async () => {
  app = await startTestApp()
  api = new ApiClient(app.httpPort)
})
afterAll(() => app.close())

describe('a queue', () => {
  it('is made with its defaults, and says all about itself', async () => {
    const made = await api.call('PUT', '/v1/queues/plain')
    expect(made.status).toBe(201)
    expect(made.headers.get('cache-control')).toBe('no-store')
    expect(made.body).toEqual({
      name: 'plain',
      kind: 'pull',
      attributes: {
        lease_ms: 30_000,
        delay_ms: 0,
        retention_s: 345_600,
        max_attempts: 0,
        dead_letter: '',
        wait_ms: 0,
        fifo: false,
        last_value: false,
        dedup_window_s: 300,
        max_messages: 1_000_000,
        max_bytes: 1_073_741_824,
        max_message_bytes: 2_097_152,
        overflow: 'reject',
        retain_s: 0,
      },
      counts: { ready: 0, leased: 0, delayed: 0, dead: 0, retained: 0, bytes: 0 },
      receivers: 0,
    })
    expect((await api.call('GET', '/v1/queues/plain')).body).toEqual(made.body)
  })

  it('keeps what a change does not name', async () => {
    await api.put('changing', { lease_ms: 1_000, max_attempts: 3, fifo: true })
    const changed = await api.put('changing', { lease_ms: 2_000 })
    expect(changed.status).toBe(200)
    expect(changed.body.attributes).toMatchObject({ lease_ms: 2_000, max_attempts: 3, fifo: true })
  })

  it('does not change its order while it holds something', async () => {
    await api.put('held')
    await api.send('held', 'x')
    expect(await api.refused('PUT', '/v1/queues/held', { fifo: true })).toMatchObject({ status: 400, code: 'attribute_invalid' })
    expect((await api.call('GET', '/v1/queues/held')).body.attributes.fifo).toBe(false)
  })

  it('is gone when it was deleted, with all that was in it', async () => {
    await api.put('going')
    await api.send('going', 'a', 'b')
    expect(await api.call('DELETE', '/v1/queues/going')).toMatchObject({ status: 204, body: '' })
    const gone = { status: 404, code: 'queue_not_found' }
    expect(await api.refused('GET', '/v1/queues/going')).toMatchObject(gone)
    expect(await api.refused('DELETE', '/v1/queues/going')).toMatchObject(gone)
    expect(await api.refused('POST', '/v1/queues/going/receive')).toMatchObject(gone)
    expect(await api.refused('POST', '/v1/queues/going/messages', 'x')).toMatchObject(gone)
    await api.put('going')
    expect((await api.counts('going')).ready).toBe(0)
  })

  it.each(['a', '0', 'A.b_c-9', 'x'.repeat(256)])('may be called %s', async (name) => {
    expect((await api.put(name)).status).toBe(201)
  })

  it.each(['.a', '-a', '_a', 'a..b', 'a/b', 'a b', 'ä', '$x', '$dead/queue/x', 'x'.repeat(257), 'a\u0000b', '%'])(
    'may not be called %j',
    async (name) => {
      expect(await api.refused('PUT', `/v1/queues/${encodeURIComponent(name)}`)).toMatchObject({
        status: 400,
        code: 'name_invalid',
      })
    },
  )
})

describe('the settings', () => {
  it('say what a new queue has where nothing is said', async () => {
    const queue = { max_messages: 7, max_bytes: 70_000, overflow: 'drop_oldest' } as const
    const other = await startTestApp({ queue })
    const client = new ApiClient(other.httpPort)
    expect((await client.put('standard')).body.attributes).toMatchObject(queue)
    expect((await client.put('own', { max_messages: 8 })).body.attributes).toMatchObject({ ...queue, max_messages: 8 })
    const { document } = await client.openApi()
    const put = document.paths['/v1/queues/{queue}']?.put
    expect(put?.requestBody?.content['application/json']?.schema).toMatchObject({ properties: { max_messages: { default: 7 } } })
    await other.close()
  })
})

describe('attributes', () => {
  const bad: [object | string, string][] = [
    [{ lease_ms: -1 }, 'lease_ms is a whole number from 0 to 43200000: got -1.'],
    [{ lease_ms: 43_200_001 }, 'lease_ms is a whole number from 0 to 43200000: got 43200001.'],
    [{ lease_ms: 1.5 }, 'lease_ms is a whole number from 0 to 43200000: got 1.5.'],
    [{ lease_ms: '1' }, 'lease_ms is a whole number from 0 to 43200000: got "1".'],
    [{ lease_ms: null }, 'lease_ms is a whole number from 0 to 43200000: got null.'],
    [{ delay_ms: 31_536_000_001 }, 'delay_ms is a whole number from 0 to 31536000000: got 31536000001.'],
    [{ retention_s: 315_360_001 }, 'retention_s is a whole number from 0 to 315360000: got 315360001.'],
    [{ max_attempts: 10_001 }, 'max_attempts is a whole number from 0 to 10000: got 10001.'],
    [{ wait_ms: 30_001 }, 'wait_ms is a whole number from 0 to 30000: got 30001.'],
    [{ dedup_window_s: 604_801 }, 'dedup_window_s is a whole number from 0 to 604800: got 604801.'],
    [{ max_messages: 0 }, 'max_messages is a whole number from 1 to 1000000000: got 0.'],
    [{ max_bytes: 0 }, 'max_bytes is a whole number from 1 to 1125899906842624: got 0.'],
    [{ max_message_bytes: 268_435_456 }, 'max_message_bytes is a whole number from 1 to 268435455: got 268435456.'],
    [{ retain_s: -5 }, 'retain_s is a whole number from 0 to 31536000: got -5.'],
    [{ fifo: 'yes' }, 'fifo is true or false: got "yes".'],
    [{ last_value: 1 }, 'last_value is true or false: got 1.'],
    [{ overflow: 'drop' }, 'overflow is one of reject, drop_oldest, drop_newest: got "drop".'],
    [{ dead_letter: 'a/b' }, 'dead_letter is a queue\'s name or empty: got "a/b".'],
    [{ dead_letter: 'a..b' }, 'dead_letter is a queue\'s name or empty: got "a..b".'],
    [{ dead_letter: 'here' }, 'A queue cannot be its own dead_letter.'],
    [{ lease: 1 }, 'The body has no field "lease". The nearest is lease_ms.'],
    [{ constructor: 1 }, 'The body has no field "constructor".'],
    ['{"__proto__": 1}', 'The body has no field "__proto__".'],
    ['[]', 'The body is an object: got [].'],
    ['null', 'The body is an object: got null.'],
    ['7', 'The body is an object: got 7.'],
    ['"x"', 'The body is an object: got "x".'],
  ]
  it.each(bad)('%j are refused and change nothing', async (attributes, message) => {
    await api.put('here')
    const before = (await api.call('GET', '/v1/queues/here')).body
    expect(await api.refused('PUT', '/v1/queues/here', attributes, 'application/json')).toEqual({
      status: 400,
      code: 'attribute_invalid',
      message,
    })
    if (message !== 'A queue cannot be its own dead_letter.')
      expect((await api.refused('PUT', '/v1/queues/not-there', attributes, 'application/json')).message).toBe(message)
    expect((await api.call('GET', '/v1/queues/here')).body).toEqual(before)
    expect((await api.refused('GET', '/v1/queues/not-there')).code).toBe('queue_not_found')
  })

  it('are taken at the edges of their ranges', async () => {
    const low = { lease_ms: 0, retention_s: 0, max_messages: 1, max_bytes: 1, max_message_bytes: 1, dedup_window_s: 0 }
    expect((await api.put('low', low)).body.attributes).toMatchObject(low)
    const high = { lease_ms: 43_200_000, delay_ms: 31_536_000_000, retention_s: 315_360_000, max_bytes: 2 ** 50, wait_ms: 30_000 }
    expect((await api.put('high', high)).body.attributes).toMatchObject(high)
  })
})

describe('the list', () => {
  it('comes in pages, in the order of names', async () => {
    const names = ['list.b', 'list.a', 'list.d', 'list.c', 'list.e']
    for (const name of names) await api.put(name)
    const seen: string[] = []
    let after = ''
    for (let pages = 0; pages < 10; pages++) {
      const { body } = await api.call('GET', `/v1/queues?prefix=list.&limit=2${after}`)
      seen.push(...body.queues.map((q: { name: string }) => q.name))
      expect(body.queues.length).toBeLessThanOrEqual(2)
      if (body.next === null) break
      after = `&after=${body.next}`
    }
    expect(seen).toEqual([...names].sort())
    const all = await api.call('GET', '/v1/queues')
    expect(all.body.queues.map((q: { name: string }) => q.name)).toEqual(expect.arrayContaining(names))
  })

  it.each([
    ['?limit=0', 'limit is a whole number from 1 to 1000: got "0".'],
    ['?limit=1001', 'limit is a whole number from 1 to 1000: got "1001".'],
    ['?limit=ten', 'limit is a whole number from 1 to 1000: got "ten".'],
    ['?limit=1&limit=2', 'limit is a whole number from 1 to 1000: got ["1","2"].'],
    ['?limit=', 'limit is a whole number from 1 to 1000: got "".'],
    ['?page=2', 'The query has no field "page".'],
  ])('refuses %s', async (query, message) => {
    expect(await api.refused('GET', `/v1/queues${query}`)).toEqual({ status: 400, code: 'attribute_invalid', message })
  })
})

describe('metrics', () => {
  it('say what waits in all queues of a kind', async () => {
    const other = await startTestApp()
    const client = new ApiClient(other.httpPort)
    const lines = async (): Promise<string[]> => {
      const { body } = await client.call('GET', '/metrics')
      return (body as string).split('\n').filter((line) => /^aqueduct_queue(s|_entries|_bytes)\{/.test(line))
    }
    await client.put('m.a', { max_attempts: 1 })
    await client.put('m.b')
    await client.send('m.a', 'one', 'two')
    await client.send('m.b', { body: 'later', delay_ms: 60_000 }, 'now')
    const [one] = await client.receive('m.a')
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'aqueduct_queues{kind="pull"} 2',
        'aqueduct_queues{kind="dead"} 0',
        'aqueduct_queue_entries{kind="pull",state="ready"} 2',
        'aqueduct_queue_entries{kind="pull",state="leased"} 1',
        'aqueduct_queue_entries{kind="pull",state="delayed"} 1',
      ]),
    )
    await client.settle('m.a', 'nack', [one.receipt])
    await client.call('DELETE', '/v1/queues/m.b')
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'aqueduct_queues{kind="pull"} 1',
        'aqueduct_queues{kind="dead"} 1',
        'aqueduct_queue_entries{kind="pull",state="ready"} 1',
        'aqueduct_queue_entries{kind="pull",state="leased"} 0',
        'aqueduct_queue_entries{kind="pull",state="delayed"} 0',
        'aqueduct_queue_entries{kind="dead",state="ready"} 1',
        `aqueduct_queue_bytes{kind="pull"} ${4 + '$queue/m.a'.length + 3}`,
      ]),
    )
    await other.close()
  })
})
