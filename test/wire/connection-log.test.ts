/** Who came, who went and why, as the log tells it. */
import { afterEach, expect, test } from 'vitest'
import { silentLog } from '../../src/core/log.js'
import { type ClockedBroker, MqttClient, openWith, packet, startClocked, untilClosed } from '../support/broker.js'

let b: ClockedBroker
let lines: Record<string, unknown>[]
afterEach(() => b.close())

async function start(o: Parameters<typeof startClocked>[0] = {}): Promise<void> {
  lines = []
  const note = (level: string) => (fields: object, message: string) => void lines.push({ level, message, ...fields })
  b = await startClocked({ log: { ...silentLog, info: note('info'), warn: note('warn') }, ...o })
}

const of = (client: string) => lines.filter((line) => line.client === client)
/** The next line about this client: the socket's own events take their time. */
async function next(client: string, count: number): Promise<Record<string, unknown>> {
  while (of(client).length < count) await new Promise((resolve) => setImmediate(resolve))
  return of(client)[count - 1]
}

test('a line when a client connects and one when it goes, with the reason', async () => {
  await start()
  const polite = await MqttClient.connect(b.port, { client_id: 'polite', keepalive_s: 30 })
  expect(await next('polite', 1)).toMatchObject({
    level: 'info',
    message: 'a client connected',
    version: 4,
    keepalive_s: 30,
    session_present: false,
  })
  expect(of('polite')[0].remote).toMatch(/^127\.0\.0\.1:\d+$/)
  b.clock.advance(3_000)
  await polite.ping()
  await polite.disconnect()
  expect(await next('polite', 2)).toMatchObject({
    level: 'info',
    message: 'a client disconnected',
    reason: 'DISCONNECT',
    connected_s: 3,
  })

  const cut = await MqttClient.connect(b.port, { client_id: 'cut' })
  cut.destroy()
  expect((await next('cut', 2)).message).toBe('a client disconnected')
  expect(of('cut')[1].reason).not.toBe('DISCONNECT')

  const silent = await MqttClient.connect(b.port, { client_id: 'silent', keepalive_s: 10 })
  b.clock.advance(20_000)
  await untilClosed(silent)
  expect(await next('silent', 2)).toMatchObject({ level: 'info', reason: 'keep alive timeout' })

  await MqttClient.connect(b.port, { client_id: 'twin' })
  const heir = await MqttClient.connect(b.port, { client_id: 'twin' })
  expect((await next('twin', 3)).reason ?? of('twin')[1].reason).toBe('another connection with this client identifier took over')
  await heir.disconnect()
})

test('a warning for whom the broker turns away, with what was wrong', async () => {
  await start({ aedes: { authenticate: (_c, name, _p, done) => done(null, name === 'ann') } })
  const wrong = await MqttClient.connect(b.port, { client_id: 'wrong', username: 'ann' })
  wrong.send(packet.frame(0x36, Buffer.from([0, 1, 0x61, 0, 1])))
  await untilClosed(wrong)
  expect(await next('wrong', 2)).toMatchObject({ level: 'warn', message: 'a client disconnected' })
  await untilClosed(await openWith(b.port, packet.connect({ client_id: 'bob', username: 'bob' })))
  const refused = lines.find(({ message }) => message === 'a connection was refused')
  expect(refused).toMatchObject({ level: 'warn' })
  expect(refused?.reason).toMatch(/.+/)
  // One that closes without a byte is normal.
  const before = lines.length
  const mute = await MqttClient.open(b.port)
  mute.destroy()
  await MqttClient.connect(b.port, { client_id: 'after', username: 'ann' })
  expect(lines.slice(before).map(({ client }) => client)).toEqual(['after'])
})

test('a storm of connections is a bounded number of lines', async () => {
  await start()
  for (let i = 0; i < 150; i++) {
    const client = await MqttClient.connect(b.port, { client_id: `storm-${i}` })
    await client.disconnect()
  }
  const connected = () => lines.filter(({ message }) => message === 'a client connected')
  expect(connected()).toHaveLength(30)
  b.clock.advance(10_000)
  await MqttClient.connect(b.port, { client_id: 'later' })
  expect(connected().at(-1)).toMatchObject({ client: 'later', more: 120 })
})
