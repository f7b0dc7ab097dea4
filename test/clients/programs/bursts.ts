/** Node's `mqtt` 4 and 5, the way a loop in a flow or a script uses it: thousands of publishes before the first answer. */
import { createRequire } from 'node:module'
import mqtt5 from 'mqtt'
import { check, type Scenario, until } from './scenario.js'

const mqtt4: typeof mqtt5 = createRequire(import.meta.url)('mqtt4')

const COUNT = 3_000

export function bursts(short: boolean): Scenario[] {
  const scenarios: Scenario[] = []
  for (const [library, mqtt] of [
    ['mqtt 4', mqtt4],
    ['mqtt 5', mqtt5],
  ] as const) {
    for (const protocolVersion of [3, 4, 5] as const) {
      for (const qos of [0, 1, 2] as const) {
        // One of each kind is enough in a hurry.
        if (short && (protocolVersion === 3 || qos === 1)) continue
        scenarios.push({
          name: `${library}, level ${protocolVersion}: ${COUNT} publishes in a loop at QoS ${qos}`,
          play: ({ broker }) => burst(mqtt, broker.port, protocolVersion, qos),
        })
      }
    }
  }
  return scenarios
}

async function burst(mqtt: typeof mqtt5, port: number, protocolVersion: 3 | 4 | 5, qos: 0 | 1 | 2): Promise<void> {
  const o = {
    protocolVersion,
    ...(protocolVersion === 3 ? { protocolId: 'MQIsdp' as const } : {}),
    reconnectPeriod: 100,
  }
  const reader = mqtt.connect(`mqtt://127.0.0.1:${port}`, { ...o, clientId: 'reader' })
  const got: string[] = []
  reader.on('message', (_topic: string, payload: Buffer) => void got.push(payload.toString()))
  await new Promise<void>((resolve, reject) => reader.subscribe('burst', { qos }, (error) => (error ? reject(error) : resolve())))
  const writer = mqtt.connect(`mqtt://127.0.0.1:${port}`, { ...o, clientId: 'writer' })
  let closes = 0
  let failures = 0
  let answered = 0
  for (const client of [reader, writer]) client.on('close', () => closes++)
  for (let n = 0; n < COUNT; n++) {
    writer.publish('burst', `${n}`, { qos }, (error) => {
      answered++
      if (error) failures++
    })
  }
  await until(
    `${COUNT} messages (${got.length} came, ${closes} connections lost)`,
    () => got.length >= COUNT && answered === COUNT,
  )
  check(closes === 0 && failures === 0, `${closes} connections were lost, ${failures} publishes failed`)
  check(
    got.every((text, n) => text === `${n}`),
    'messages came twice or out of order',
  )
  await Promise.all([reader, writer].map((client) => new Promise<void>((resolve) => client.end(true, {}, () => resolve()))))
}
