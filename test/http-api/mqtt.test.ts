/** What the API does with MQTT: publishing, bridge rules, sessions. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { ApiClient } from '../support/api-client.js'
import { delivered, MqttClient, startTestApp, T, untilClosed } from '../support/broker.js'

let app: App & { httpPort: number; mqttPort: number }
let api: ApiClient

beforeAll(async () => {
  app = await startTestApp({ session: { max_messages: 5 } })
  api = new ApiClient(app.httpPort)
})
afterAll(() => app.close())

const publish = (message: object) => api.call('POST', '/v1/publish', message)

/** A stored session that has subscribed and left. */
async function leave(clientId: string, filter: string, qos: 0 | 1 | 2 = 1): Promise<void> {
  const client = await MqttClient.connect(app.mqttPort, { client_id: clientId, clean: false })
  await client.subscribe([filter, qos])
  await client.disconnect()
}

describe('publish', () => {
  it('reaches subscribers, bridged queues and later subscribers', async () => {
    const live = await MqttClient.connect(app.mqttPort, { client_id: 'live' })
    await live.subscribe(['news/#', 2])
    expect(await publish({ topic: 'news/a', body: 'one', qos: 0 })).toMatchObject({ status: 200, body: { id: null } })
    expect(await publish({ topic: 'news/a', body: 'AP8=', encoding: 'base64', qos: 2 })).toMatchObject({ status: 200 })
    expect(await publish({ topic: 'news/kept', body: 'two', retain: true })).toMatchObject({ status: 200, body: { id: null } })
    expect(await delivered(live)).toEqual(['news/a one q0', `news/a ${Buffer.from([0, 255])} q2`, 'news/kept two q1'])
    const late = await MqttClient.connect(app.mqttPort, { client_id: 'late' })
    await late.subscribe(['news/kept', 1])
    expect(await delivered(late)).toEqual(['news/kept two q1 retain'])
    await live.disconnect()
    await late.disconnect()
  })

  it('gives the id by which every queue knows the message', async () => {
    await leave('publish.waits', 'ids/#')
    await api.call('PUT', '/v1/bridges/ids', { filter: 'ids/#', queue: 'ids' })
    const { status, body } = await publish({ topic: 'ids/1', body: 'x' })
    expect(status).toBe(201)
    expect((await api.receive('ids')).map((m) => m.id)).toEqual([body.id])
    const { body: boxed } = await api.call('GET', '/v1/sessions/publish.waits/peek')
    expect(boxed.messages.map((m: { id: string }) => m.id)).toEqual([body.id])
  })

  it.each([
    [{}, 400, 'attribute_invalid', 'topic is missing: it is a text of at most 65535 characters.'],
    [{ topic: '' }, 400, 'topic_invalid', /may not be empty/],
    [{ topic: 'a/+' }, 400, 'topic_invalid', /wildcards/],
    [{ topic: 'a\u0000' }, 400, 'topic_invalid', /U\+0000/],
    [{ topic: '\ud800' }, 400, 'topic_invalid', /UTF-8/],
    [{ topic: '/'.repeat(200) }, 400, 'topic_invalid', /200 levels/],
    [{ topic: 7 }, 400, 'attribute_invalid', /^topic is a text/],
    [{ topic: '$SYS/x' }, 403, 'not_authorised', /publish/],
    [{ topic: '$dead/queue/x' }, 403, 'not_authorised', /publish/],
    [{ topic: 'a', qos: 3 }, 400, 'attribute_invalid', /^qos is a whole number from 0 to 2/],
    [{ topic: 'a', retain: 1 }, 400, 'attribute_invalid', /^retain is true or false/],
    [{ topic: 'a', body: 1 }, 400, 'attribute_invalid', /^body is a text/],
    [{ topic: 'a', body: '\ud800' }, 400, 'attribute_invalid', /^body holds half a surrogate pair/],
    [{ topic: 'a', body: 'x', encoding: 'base64' }, 400, 'attribute_invalid', /^body is not base64/],
    [{ topic: 'a', encoding: 'hex' }, 400, 'attribute_invalid', /^encoding is one of text, base64/],
    [{ topic: 'a', ttl_s: 0 }, 400, 'attribute_invalid', /^ttl_s is a whole number/],
    [{ topic: 'a', payload: 'x' }, 400, 'attribute_invalid', 'The body has no field "payload".'],
  ])('refuses %j', async (message, status, code, sentence) => {
    const refusal = await api.refused('POST', '/v1/publish', message)
    expect(refusal).toMatchObject({ status, code })
    expect(refusal.message).toMatch(sentence)
  })
})

describe('bridge rules', () => {
  it('are made, replaced, listed and ended', async () => {
    const made = await api.call('PUT', '/v1/bridges/telemetry', {
      filter: 'devices/+/telemetry',
      queue: 'telemetry',
      key: '{1}',
      priority: 3,
    })
    expect(made.status).toBe(201)
    expect(made.body).toEqual({
      name: 'telemetry',
      filter: 'devices/+/telemetry',
      queue: 'telemetry',
      key: '{1}',
      priority: 3,
      qos0: true,
      required: false,
      source: 'stored',
      counts: { copied: 0, refused: 0, unmatched: 0, errors: 0 },
    })
    const lamp = await MqttClient.connect(app.mqttPort, { client_id: 'lamp' })
    await lamp.publishAndWait('devices/lamp/telemetry', '21', { qos: 1 })
    await lamp.disconnect()
    expect(await api.receive('telemetry')).toMatchObject([
      { topic: 'devices/lamp/telemetry', body: '21', key: 'lamp', priority: 3 },
    ])
    expect((await api.call('GET', '/v1/bridges/telemetry')).body.counts.copied).toBe(1)
    expect((await api.call('PUT', '/v1/bridges/telemetry', { filter: 'x', queue: 'telemetry' })).status).toBe(200)
    const listed = await api.call('GET', '/v1/bridges?prefix=tele')
    expect(listed.body).toMatchObject({ bridges: [{ name: 'telemetry', filter: 'x' }], next: null })
    expect((await api.call('DELETE', '/v1/bridges/telemetry')).status).toBe(204)
    expect(await api.refused('GET', '/v1/bridges/telemetry')).toMatchObject({ status: 404, code: 'bridge_not_found' })
    expect(await api.refused('DELETE', '/v1/bridges/telemetry')).toMatchObject({ status: 404, code: 'bridge_not_found' })
    expect((await api.call('GET', '/v1/queues/telemetry')).status).toBe(200)
  })

  it.each([
    ['ok', { queue: 'q' }, 'attribute_invalid', /^filter is missing/],
    ['ok', { filter: 'a/#/b', queue: 'q' }, 'filter_invalid', /#/],
    ['ok', { filter: '$queue/x', queue: 'q' }, 'filter_invalid', /\$queue/],
    ['ok', { filter: 'a' }, 'attribute_invalid', /^queue is missing/],
    ['ok', { filter: 'a', queue: 'a/b' }, 'name_invalid', /queue/],
    ['ok', { filter: 'a', queue: '{1}' }, 'attribute_invalid', /queue/],
    ['ok', { filter: 'a', queue: 'q', qos0: 'no' }, 'attribute_invalid', /^qos0 is true or false/],
    ['ok', { filter: 'a', queue: 'q', priority: 17 }, 'attribute_invalid', /^priority is a whole number from 1 to 16/],
    ['ok', { filter: 'a', queue: 'q', ttl_s: 1, delay_s: 2 }, 'attribute_invalid', /ttl_s/],
    ['ok', { filter: 'a', queue: 'q', what: 1 }, 'attribute_invalid', 'The body has no field "what".'],
    ['a..b', { filter: 'a', queue: 'q' }, 'name_invalid', /name/],
  ])('named %s of %j are refused', async (name, rule, code, message) => {
    const before = (await api.call('GET', '/v1/bridges')).body
    const refusal = await api.refused('PUT', `/v1/bridges/${encodeURIComponent(name)}`, rule)
    expect(refusal).toMatchObject({ status: 400, code })
    expect(refusal.message).toMatch(message)
    expect((await api.call('GET', '/v1/bridges')).body).toEqual(before)
  })
})

describe('sessions', () => {
  it('are listed with what waits for them', async () => {
    await leave('s/1', 'home/#', 2)
    await publish({ topic: 'home/door', body: 'open', qos: 2, retain: true })
    const { body } = await api.call('GET', '/v1/sessions?prefix=s/')
    expect(body).toEqual({
      sessions: [
        {
          client: 's/1',
          user: null,
          connected: false,
          remote: null,
          version: '3.1.1',
          durable: true,
          subscriptions: 1,
          waiting: 1,
          in_flight: 0,
          bytes: 17,
          dead: 0,
          expires_at: expect.any(Number),
        },
      ],
      next: null,
    })
    const one = await api.call('GET', `/v1/sessions/${encodeURIComponent('s/1')}`)
    expect(one.body).toEqual({
      ...body.sessions[0],
      filters: [{ filter: 'home/#', qos: 2, no_local: false, retain_as_published: false }],
      oldest_at: expect.any(Number),
    })
    const peeked = await api.call('GET', `/v1/sessions/${encodeURIComponent('s/1')}/peek`)
    expect(peeked.body.messages).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{12}$/),
        topic: 'home/door',
        body: 'open',
        encoding: 'text',
        qos: 2,
        retain: false,
        accepted_at: one.body.oldest_at,
      },
    ])
    const { id } = peeked.body.messages[0]
    expect((await api.call('GET', `/v1/sessions/${encodeURIComponent('s/1')}/peek?after=${id}`)).body.messages).toEqual([])
  })

  it('say who is connected', async () => {
    const client = await MqttClient.connect(app.mqttPort, { client_id: 'here' })
    expect((await api.call('GET', '/v1/sessions/here')).body).toMatchObject({
      connected: true,
      durable: false,
      remote: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      expires_at: null,
      oldest_at: null,
    })
    await client.disconnect()
    expect(await api.refused('GET', '/v1/sessions/here')).toMatchObject({ status: 404, code: 'session_not_found' })
  })

  it('lose what waits when they are purged', async () => {
    await leave('s.purge', 'p/#')
    for (const n of ['1', '2', '3']) await publish({ topic: 'p/x', body: n })
    expect((await api.call('POST', '/v1/sessions/s.purge/purge')).body).toEqual({ purged: 3 })
    expect((await api.call('GET', '/v1/sessions/s.purge')).body).toMatchObject({ waiting: 0, bytes: 0, oldest_at: null })
    const back = await MqttClient.connect(app.mqttPort, { client_id: 's.purge', clean: false })
    expect(await delivered(back)).toEqual([])
    await back.disconnect()
  })

  it('are over when they are deleted, and so is their connection', async () => {
    await leave('s.end', 'e/#')
    await publish({ topic: 'e/1', body: 'x' })
    const client = await MqttClient.connect(app.mqttPort, { client_id: 's.end', clean: false, auto_ack: false })
    const closed = untilClosed(client)
    expect((await api.call('DELETE', '/v1/sessions/s.end')).status).toBe(204)
    await closed
    expect(await api.refused('DELETE', '/v1/sessions/s.end')).toMatchObject({ status: 404, code: 'session_not_found' })
    const again = await MqttClient.connect(app.mqttPort, { client_id: 's.end', clean: false })
    expect(again.connack?.present).toBe(false)
    expect(await delivered(again)).toEqual([])
    await again.disconnect()
    expect((await publish({ topic: 'e/1', body: 'x' })).status).toBe(200)
    const clean = await MqttClient.connect(app.mqttPort, { client_id: 's.clean' })
    const gone = untilClosed(clean)
    expect((await api.call('DELETE', '/v1/sessions/s.clean')).status).toBe(204)
    await gone
    expect((await api.refused('GET', '/v1/sessions/s.clean')).code).toBe('session_not_found')
  })

  it('get their dead letters back', async () => {
    const other = await startTestApp({ retry: { max_attempts: 1 } })
    const client = new ApiClient(other.httpPort)
    const name = 'dev/1'
    const path = `/v1/sessions/${encodeURIComponent(name)}`
    // Handed out once and not acknowledged: the next connection finds it dead.
    for (let i = 0; i < 2; i++) {
      const device = await MqttClient.connect(other.mqttPort, { client_id: name, clean: false, auto_ack: false })
      if (i === 0) {
        await device.subscribe(['d/#', 1])
        await client.call('POST', '/v1/publish', { topic: 'd/x', body: 'poison' })
        await device.expect(T.PUBLISH)
      } else await device.ping()
      await device.disconnect()
    }
    expect((await client.call('GET', path)).body).toMatchObject({ waiting: 0, in_flight: 0, dead: 1 })
    const dead = `/v1/queues/${encodeURIComponent(`$dead/session/${name}`)}`
    expect((await client.call('GET', `${dead}/peek`)).body.messages).toMatchObject([{ topic: 'd/x', body: 'poison' }])
    expect((await client.call('POST', `${path}/redrive`, {})).body).toEqual({ moved: 1, full: false })
    expect((await client.call('GET', path)).body).toMatchObject({ waiting: 1, dead: 0 })
    const back = await MqttClient.connect(other.mqttPort, { client_id: name, clean: false })
    expect(await delivered(back)).toEqual(['d/x poison q1'])
    await back.disconnect()
    await other.close()
  })

  it('come in pages', async () => {
    for (const n of ['c', 'a', 'b']) await leave(`page.${n}`, 'page')
    const first = (await api.call('GET', '/v1/sessions?prefix=page.&limit=2')).body
    expect(first.sessions.map((s: { client: string }) => s.client)).toEqual(['page.a', 'page.b'])
    const second = (await api.call('GET', `/v1/sessions?prefix=page.&limit=2&after=${first.next}`)).body
    expect(second.sessions.map((s: { client: string }) => s.client)).toEqual(['page.c'])
    expect(second.next).toBeNull()
  })

  it.each([
    ['GET', '', undefined],
    ['GET', '/peek', undefined],
    ['POST', '/purge', undefined],
    ['POST', '/redrive', {}],
    ['DELETE', '', undefined],
  ])('that are not there: %s %s', async (method, path, body) => {
    expect(await api.refused(method, `/v1/sessions/nobody${path}`, body)).toMatchObject({
      status: 404,
      code: 'session_not_found',
    })
  })
})
