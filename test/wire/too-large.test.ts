/** What is too large is refused, and everybody hears of it who can: the client of MQTT 5, the log, the metrics. */
import { afterEach, expect, test } from 'vitest'
import type { Log } from '../../src/core/log.js'
import { silentLog } from '../../src/core/log.js'
import { type ClockedBroker, MqttClient, packet, startClocked, startTestApp, T, untilClosed } from '../support/broker.js'

const LIMIT = 10_000
let b: ClockedBroker | undefined
afterEach(async () => {
  await b?.close()
  b = undefined
})

interface Line {
  readonly fields: Record<string, unknown>
  readonly text: string
}

async function start(): Promise<{ port: number; lines: Line[]; stats: { tooLarge: number; malformed: number } }> {
  const lines: Line[] = []
  const log: Log = {
    ...silentLog,
    warn: (fields: unknown, text = '') => {
      // Who goes has a line of its own (`connection-log.test.ts`).
      if (!/^a client disconnected$|^a connection was refused$/.test(text)) lines.push({ fields: fields as never, text })
    },
  } as Log
  b = await startClocked({ settings: { max_packet_bytes: LIMIT }, log })
  return { port: b.port, lines, stats: b.broker.state.stats }
}

test.each([
  [4, undefined],
  [5, 0x95],
] as const)('MQTT level %i: closed by the declared length, with a line in the log', async (protocol, code) => {
  const { port, lines, stats } = await start()
  const client = await MqttClient.connect(port, { client_id: 'big', protocol })
  const props = protocol === 5 ? { properties: {} } : {}
  const one = packet.publish('t', Buffer.alloc(LIMIT + 1), props)
  client.send(one.subarray(0, 4))
  const last = await untilClosed(client)
  expect(last.map(({ type, code: said }) => [type, said])).toEqual(code === undefined ? [] : [[T.DISCONNECT, code]])
  if (code !== undefined) expect(last[0].properties?.reasonString).toContain(`${LIMIT}`)
  expect(lines).toEqual([
    {
      fields: { client: 'big', remote: expect.stringMatching(/^127\.0\.0\.1:\d+$/), bytes: one.length, max_bytes: LIMIT },
      text: 'a packet is larger than mqtt.max_packet_bytes: connection closed',
    },
  ])
  expect(stats).toMatchObject({ tooLarge: 1, malformed: 0 })
})

test('a CONNECT too; and a thousand of them are ten lines', async () => {
  const { port, lines, stats } = await start()
  const bytes = packet.connect({ client_id: 'x'.repeat(LIMIT) })
  for (let i = 0; i < 30; i++) {
    const client = await MqttClient.open(port)
    client.send(bytes)
    await client.closed
  }
  expect(lines.length).toBe(10)
  expect(lines[0]).toEqual({
    fields: { remote: expect.stringMatching(/^127/), bytes: bytes.length, max_bytes: LIMIT },
    text: 'a CONNECT is too large: connection closed',
  })
  expect(stats.tooLarge).toBe(30)
})

test('by default the largest packet passes, to subscribers, to a queue and by a rule; a will of 65,535 bytes does', async () => {
  const app = await startTestApp({ bridge: { rules: [{ name: 'r', filter: 'copied', queue: 'copies' }] } })
  try {
    await app.queues.put('q', {})
    const reader = await MqttClient.connect(app.mqttPort, { client_id: 'reader' })
    await reader.subscribe(['#', 1])
    const client = await MqttClient.connect(app.mqttPort, {
      client_id: 'writer',
      will: { topic: 'will', payload: Buffer.alloc(65_535), qos: 1 },
    })
    const sized = (topic: string): Buffer => {
      const rest = packet.publish(topic, Buffer.alloc(1_000_000), { qos: 1, id: 1 }).length - 1_000_000
      return packet.publish(topic, Buffer.alloc(2_000_000 - rest, 'x'), { qos: 1, id: 1 })
    }
    expect(sized('copied').length).toBe(2_000_000)
    for (const topic of ['copied', '$queue/q']) {
      client.send(sized(topic))
      await client.expect(T.PUBACK)
    }
    expect((await reader.expect(T.PUBLISH)).payload.length).toBeGreaterThan(1_999_000)
    for (const name of ['copies', 'q']) {
      const [message] = await app.queues.receive(name, {})
      expect(message.body.length).toBeGreaterThan(1_999_000)
    }
    client.socket.destroy()
    expect((await reader.expect(T.PUBLISH)).payload.length).toBe(65_535)
  } finally {
    await app.close()
  }
})
