/** MQTT 5 properties through HTTP: what a publisher gives along comes out of queues, sessions and subscriptions, and the other way round. */
import mqtt, { type IPublishPacket } from 'mqtt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { App } from '../../src/app.js'
import { ApiClient, BATCH } from '../support/api-client.js'
import { startTestApp } from '../support/broker.js'

let app: App & { httpPort: number; mqttPort: number }
let api: ApiClient
let five: mqtt.MqttClient

beforeAll(async () => {
  app = await startTestApp()
  api = new ApiClient(app.httpPort)
  five = await mqtt.connectAsync(`mqtt://127.0.0.1:${app.mqttPort}`, { protocolVersion: 5, clientId: 'five', clean: true })
})
afterAll(async () => {
  await five.endAsync(true)
  await app.close()
})

const SHOWN = {
  payload_format_indicator: 1,
  content_type: 'text/plain',
  response_topic: 'answers/1',
  correlation_data: Buffer.from([0, 255, 7]).toString('base64'),
  user_properties: [
    ['unit', 'C'],
    ['site', 'höhe'],
    ['unit', 'K'],
  ],
}

/** The next message on `filter` after what `act` does. */
async function arriving(filter: string, act: () => Promise<unknown>): Promise<IPublishPacket> {
  await five.subscribeAsync(filter, { qos: 1 })
  const next = new Promise<IPublishPacket>((resolve) => {
    five.on('message', function take(topic, _payload, packet) {
      if (!topic.startsWith(filter.replace('/#', ''))) return
      five.off('message', take)
      resolve(packet)
    })
  })
  await act()
  return next
}

/** As `mqtt` shows them: names in one object, so that their order among each other is not seen. */
const ON_THE_WIRE = {
  payloadFormatIndicator: true,
  contentType: 'text/plain',
  responseTopic: 'answers/1',
  correlationData: Buffer.from([0, 255, 7]),
  userProperties: { unit: ['C', 'K'], site: 'höhe' },
}

describe('properties', () => {
  it('of a publish over MQTT come out of bridged queues and sessions', async () => {
    await api.call('PUT', '/v1/bridges/out', { filter: 'out/#', queue: 'out' })
    const away = await mqtt.connectAsync(`mqtt://127.0.0.1:${app.mqttPort}`, {
      protocolVersion: 5,
      clientId: 'away',
      clean: false,
      properties: { sessionExpiryInterval: 100 },
    })
    await away.subscribeAsync('out/#', { qos: 1 })
    await away.endAsync()
    await five.publishAsync('out/1', 'warm', { qos: 1, properties: ON_THE_WIRE })
    await five.publishAsync('out/2', 'plain', { qos: 1 })
    const { body: looked } = await api.call('GET', '/v1/queues/out/peek')
    const { body: boxed } = await api.call('GET', '/v1/sessions/away/peek')
    const received = await api.receive('out', { max: 2 })
    for (const [first, second] of [looked.messages, boxed.messages, received]) {
      expect({ ...first.properties, user_properties: first.properties.user_properties.toSorted() }).toEqual({
        ...SHOWN,
        user_properties: SHOWN.user_properties.toSorted(),
      })
      expect(second).not.toHaveProperty('properties')
    }
    const [again] = await app.queues.receive('out', { max: 1 })
    expect(again).toBeUndefined()
  })

  it('of a publish over HTTP reach subscribers, rules and queues', async () => {
    await api.call('PUT', '/v1/bridges/in', {
      filter: 'in/#',
      queue: 'in',
      when: 'user.unit == "K" && content_type == "text/plain"',
    })
    const packet = await arriving('in/#', () =>
      api.call('POST', '/v1/publish', { topic: 'in/1', body: 'warm', properties: SHOWN }),
    )
    expect(packet.properties).toMatchObject(ON_THE_WIRE)
    const [m] = await api.receive('in')
    expect(m?.properties).toEqual(SHOWN)
    await api.call('POST', '/v1/publish', { topic: 'in/2', body: 'not in the rule', properties: {} })
    expect(await api.receive('in')).toEqual([])
  })

  it('of a message that is sent come out of the queue, over HTTP, MQTT and the library', async () => {
    await api.put('sent', {})
    await api.send('sent', { body: 'a', properties: SHOWN }, { body: 'b' })
    const [a, b] = await app.queues.receive('sent', { max: 2 })
    const data = new Uint8Array([0, 255, 7])
    expect(a?.properties).toMatchObject({ ...SHOWN, correlation_data: Buffer.from(data) })
    expect(b?.properties).toBeNull()
    await app.queues.send('sent', [{ body: 'c', properties: { ...SHOWN, correlation_data: data } as object }])
    const [c] = await api.receive('sent')
    expect(c?.properties).toEqual(SHOWN)
    const packet = await arriving('$queue/sent', () => api.send('sent', { body: 'd', properties: SHOWN }))
    expect(packet.properties).toMatchObject(ON_THE_WIRE)
  })

  it.each([
    ['that are no object', 'text', /^properties is an object/],
    ['with a field that is not known', { colour: 'red' }, /colour/],
    ['with a format that is neither', { payload_format_indicator: 2 }, /payload_format_indicator is a whole number from 0 to 1/],
    ['with U+0000', { content_type: 'a\u0000' }, /content_type/],
    ['with half a surrogate pair', { content_type: '\ud800' }, /surrogate/],
    ['with too many characters', { content_type: 'x'.repeat(65_536) }, /content_type is a text of at most 65535 characters/],
    ['with too many bytes', { content_type: 'ü'.repeat(40_000) }, /content_type has 80000 bytes; MQTT carries at most 65535/],
    ['with a wildcard', { response_topic: 'a/+' }, /response_topic has a wildcard/],
    ['that are not base64', { correlation_data: 'x' }, /^properties.correlation_data is not base64/],
    ['with too much data', { correlation_data: Buffer.alloc(65_536).toString('base64') }, /correlation_data/],
    ['with names as an object', { user_properties: { unit: 'C' } }, /user_properties is a list of at most 1000 pairs/],
    ['with three of a pair', { user_properties: [['unit', 'C', 'K']] }, /is a list of a name and a value/],
    ['with a number', { user_properties: [['unit', 7]] }, /is a text/],
    ['with U+0000 in a pair', { user_properties: [['unit', 'a\u0000']] }, /user_properties/],
    ['with too many pairs', { user_properties: Array.from({ length: 1_001 }, () => ['a', 'b']) }, /at most 1000 pairs/],
  ])('%s are refused, and nothing is stored', async (_what, properties, sentence) => {
    await api.put('refusing', {})
    const published = await api.refused('POST', '/v1/publish', { topic: '$queue/refusing', body: 'x', properties })
    expect(published).toMatchObject({ status: 400, code: 'attribute_invalid' })
    expect(published.message).toMatch(sentence)
    const sent = await api.refused(
      'POST',
      '/v1/queues/refusing/messages',
      { messages: [{ body: 'good' }, { body: 'x', properties }] },
      BATCH,
    )
    expect(sent).toMatchObject({ status: 400, code: 'attribute_invalid' })
    expect(app.queues.get('refusing').counts.ready).toBe(0)
  })

  it('that call bytes a text are refused', async () => {
    const refusal = await api.refused('POST', '/v1/publish', {
      topic: 'a',
      body: '/w==',
      encoding: 'base64',
      properties: { payload_format_indicator: 1 },
    })
    expect(refusal).toMatchObject({ status: 400, code: 'attribute_invalid' })
  })

  it('at the edge of what MQTT carries are taken', async () => {
    await api.put('edge', { max_message_bytes: 1_048_576 })
    const properties = {
      content_type: 'x'.repeat(65_535),
      correlation_data: Buffer.alloc(65_535, 1).toString('base64'),
      user_properties: Array.from({ length: 1_000 }, (_, i) => [`name ${i}`, '']),
    }
    await api.send('edge', { body: '', properties })
    const [m] = await api.receive('edge')
    expect(m?.properties).toEqual(properties)
  })
})
