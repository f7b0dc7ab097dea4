/** The HTTP door: bodies that do not end, a large one, many dear reads at once, conditions that are dear to answer. */
import { MqttClient, packet } from '../../support/mqtt-client.js'
import { type Attack, each } from './attack.js'

const NOTHING = Buffer.alloc(0)
const BATCH = 'application/vnd.aqueduct+json'

export const unfinishedBodies: Attack = {
  name: '40 unfinished HTTP bodies',
  counted: /^aqueduct_refused_total\{limit="http.max_receiving_bytes/,
  async run(ground) {
    await ground.http('PUT', '/v1/queues/large', '{}')
    const part = Buffer.alloc(256 * 1024, ' ')
    const one = async (): Promise<void> => {
      const socket = ground.socket(ground.http_port)
      socket.resume()
      socket.write(
        `POST /v1/queues/large/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${BATCH}\r\nContent-Length: 4000000\r\n\r\n`,
      )
      let sent = 0
      await ground.flood(socket, () => {
        sent += part.length
        return sent < 3_900_000 ? part : NOTHING
      })
    }
    // Those that are turned away come again.
    const again = async (): Promise<void> => {
      while (!ground.over) await Promise.all([one(), ground.pause(500)])
    }
    await Promise.all(Array.from({ length: 40 }, again))
  },
}

export const largeJson: Attack = {
  name: 'one large JSON body after another',
  counted: /^aqueduct_refused_total\{limit="http.max_body_bytes/,
  async run(ground) {
    const messages = `[${Array.from({ length: 400_000 }, () => '{"body":"some text"}').join(',')}]`
    // Of the size that may be, and nearly as many values.
    const fits = `[${Array.from({ length: 30_000 }, () => `{"body":"${'x'.repeat(100)}"}`).join(',')}]`
    const nested = `${'['.repeat(5_000)}${']'.repeat(5_000)}`
    await ground.http('PUT', '/v1/queues/large', '{}')
    const post = (list: string): Promise<number> =>
      ground.http('POST', '/v1/queues/large/messages', `{"messages":${list}}`, BATCH)
    while (!ground.over) {
      await post(messages)
      await post(fits)
      await post(nested)
    }
  },
}

export const traces: Attack = {
  name: '100 traces at once',
  counted: /^aqueduct_refused_total\{limit="searches/,
  async prepare(ground) {
    const client = await MqttClient.connect(ground.port, { client_id: 'fills', timeout_ms: 60_000 })
    const away = await MqttClient.connect(ground.port, { client_id: 'traced', clean: false })
    await away.subscribe(['traced', 1])
    await away.disconnect()
    const total = ground.scaled(50_000)
    for (let from = 0; from < total; from += 500) {
      client.send(each(500, (n) => packet.publish('traced', 'x', { qos: 1, id: 1 + n })))
      await client.ping()
    }
    await client.disconnect()
  },
  async run(ground) {
    const idOf = (n: number): string => (1 + n * 40).toString(16).padStart(12, '0')
    while (!ground.over) await Promise.all(Array.from({ length: 100 }, (_, n) => ground.http('GET', `/v1/messages/${idOf(n)}`)))
  },
}

export const dearConditions: Attack = {
  name: 'conditions that are dear to answer',
  counted: /^aqueduct_(bridge_cut|input_rests)/,
  async run(ground) {
    const loop = Array.from({ length: 12 }, (_, n) => `x + ${n} > 99999`).join(' || ')
    const conditions = [
      `payload.l.exists(x, ${loop})`,
      `payload.l.all(x, !(${loop}))`,
      'payload.l.exists(x, string(x) in payload.t)',
      'payload.x.contains(payload.y)',
      'payload.l in [payload.l]',
      'text.lowerAscii().contains(text)',
    ]
    for (const [n, when] of conditions.entries()) {
      const status = await ground.http('PUT', `/v1/bridges/dear${n}`, JSON.stringify({ filter: 'dear/#', queue: 'dear', when }))
      if (status >= 300 && !ground.over) throw new Error(`condition ${n}: ${status}`)
    }
    const list = Array.from({ length: 1_000 }, () => 1)
    const bodies = [
      { x: '1'.repeat(300), y: '1', l: list, t: list.map(String) },
      { x: 'a'.repeat(3_000), y: `${'a'.repeat(1_500)}b`, l: list, t: [] },
    ].map((body) => JSON.stringify(body))
    const next = (): Buffer => each(20, (n) => packet.publish('dear/x', bodies[n % 2] as string))
    await ground.flood(ground.client({ client_id: 'dear' }, true), next)
    for (const n of conditions.keys()) await ground.http('DELETE', `/v1/bridges/dear${n}`)
  },
}
