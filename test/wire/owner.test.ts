/** A session belongs to the user who began it: nobody else connects with its client identifier [MQTT-5.4.2]. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/core/log.js'
import {
  type ClockedBroker,
  type ClockedOptions,
  delivered,
  MqttClient,
  openWith,
  packet,
  startClocked,
  T,
} from '../support/broker.js'

/** As a program lists its users. */
const authenticate: NonNullable<NonNullable<ClockedOptions['aedes']>['authenticate']> = (_client, username, _password, done) =>
  done(null, username !== 'mallory')

let b: ClockedBroker
let said: (object & { sentence: string })[]
/** Who comes and goes has lines of its own (`connection-log.test.ts`). */
const note = (fields: object, sentence: string): void => {
  if (!/^a client (dis)?connected$|^a connection was refused$/.test(sentence)) said.push({ ...fields, sentence })
}
const log = { ...silentLog, warn: note, info: note }
beforeEach(async () => {
  said = []
  b = await startClocked({ log, aedes: { authenticate } })
})
afterEach(() => b.close())

async function restart(aedes: NonNullable<ClockedOptions['aedes']>): Promise<void> {
  const before = b
  await before.close()
  b = await startClocked({ after: before.disk, clock: before.clock, log, aedes })
}

const session = (id: string) => b.broker.state.stored?.sessions.get(id)

describe.each([4, 5] as const)('version %i', (protocol) => {
  const kept = protocol === 5 ? { properties: { sessionExpiryInterval: 1_000 } } : {}
  const options = (username: string | undefined, o = {}) =>
    ({
      protocol,
      client_id: 'sensor',
      clean: false,
      ...kept,
      ...(username === undefined ? {} : { username, password: 'x' }),
      ...o,
    }) as const
  const connect = (username: string | undefined, o = {}) => MqttClient.connect(b.port, options(username, o))

  async function refused(username: string | undefined, o = {}): Promise<void> {
    const client = await openWith(b.port, packet.connect(options(username, o)), { protocol })
    const connack = await client.expect(T.CONNACK)
    expect(connack.code).toBe(protocol === 5 ? 0x87 : 5)
    await client.closed
  }

  test('another user gets neither a live connection nor a session, whatever is asked for; its user keeps both', async () => {
    const ann = await connect('ann')
    await ann.subscribe(['a', 1])
    for (const username of ['bob', undefined]) for (const clean of [true, false]) await refused(username, { clean })
    await refused('bob', { will: { topic: 'a', payload: 'mine', qos: 1, retain: false } })
    await ann.publishAndWait('a', '1', { qos: 1 })
    expect(await delivered(ann)).toEqual(['a 1 q1'])
    await ann.disconnect()
    for (const clean of [true, false]) await refused('bob', { clean })
    const other = await connect('bob', { client_id: 'other' })
    await other.publishAndWait('a', '2', { qos: 1 })
    const back = await connect('ann')
    expect(await delivered(back)).toEqual(['a 2 q1'])
    expect(session('sensor')?.user).toBe('ann')
    const why = {
      client: 'sensor',
      user: 'bob',
      owner: 'ann',
      sentence: 'a client identifier belongs to another user: connection refused',
    }
    expect(said[0]).toMatchObject(why)
    expect(said).toHaveLength(7)
  })

  test('the owner is known after a restart, and its own user takes over as ever', async () => {
    await (await connect('ann')).disconnect()
    await restart({ authenticate })
    await refused('bob')
    const first = await connect('ann')
    const second = await connect('ann')
    await first.closed
    await second.ping()
  })

  test("a session that is nobody's is its first user's, and that is said", async () => {
    const anonymous = await connect(undefined)
    await anonymous.disconnect()
    expect(session('sensor')?.user).toBeUndefined()
    await (await connect('ann')).disconnect()
    expect(said).toMatchObject([{ client: 'sensor', user: 'ann', sentence: "a session that was nobody's has an owner now" }])
    await refused('bob')
  })

  test('a session that is over is nobody’s', async () => {
    const ann = await connect('ann', { clean: true, properties: undefined })
    await ann.disconnect()
    await expect.poll(() => session('sensor')).toBeUndefined()
    await connect('bob')
    expect(session('sensor')?.user).toBe('bob')
  })

  test('a name that a program gives the client counts before the user name that it sent', async () => {
    await restart({
      authenticate: (client, _username, password, done) => {
        Object.assign(client, { user: `${password}` })
        done(null, true)
      },
    })
    await (await connect('token-1', { password: 'ann' })).disconnect()
    await (await connect('token-2', { password: 'ann' })).disconnect()
    await refused('token-2', { password: 'bob' })
  })

  test('where nobody is authenticated, nobody is refused, and the owner stays', async () => {
    await (await connect('ann')).disconnect()
    await restart({})
    await (await connect('bob')).disconnect()
    expect(session('sensor')?.user).toBe('ann')
  })
})
