/** What MQTT 5 promises by time on the wire: session expiry, will delay, message expiry of a will. The rules together are in time-model.test.ts. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { admitOutgoing } from '../../src/broker/admission.js'
import { WILLS_REFUSED_MAX } from '../../src/core/limits.js'
import * as keys from '../../src/store/keys.js'
import {
  arrived,
  type ClientOptions,
  type ClockedBroker,
  type ClockedOptions,
  delivered,
  MqttClient,
  packet,
  startClocked,
  T,
} from '../support/broker.js'
import type { Props } from '../support/mqtt-properties.js'
import { checked } from '../support/store.js'

let b: ClockedBroker
let witness: MqttClient
const all: ClockedBroker[] = []
beforeEach(() => start({ settings: { session_expiry_s: 1_000 } }))
afterEach(async () => {
  for (const one of all.splice(0)) await one.close()
})

async function start(o: ClockedOptions = {}): Promise<void> {
  b = await startClocked(o)
  all.push(b)
  witness = await MqttClient.connect(b.port, { client_id: 'witness', protocol: 5 })
  await witness.subscribe(['w/#', 2])
}

const join = (client_id: string, properties: Props = {}, o: ClientOptions = {}) =>
  MqttClient.connect(b.port, { client_id, protocol: 5, clean: false, properties, ...o })

const will = (client_id: string, properties: Props, more = {}): ClientOptions => ({
  will: { topic: `w/${client_id}`, payload: 'gone', qos: 1, properties, ...more },
})

/** The broker has noticed. */
async function gone(client_id: string): Promise<void> {
  while ([...b.broker.state.connections].some((c) => c.id === client_id)) await witness.ping()
  await witness.ping()
}

async function lose(client: MqttClient, client_id: string): Promise<void> {
  client.destroy()
  await gone(client_id)
}

async function wills(): Promise<number> {
  await b.broker.state.stored?.store.journal.flush()
  let count = 0
  for await (const { key } of b.disk.scan(keys.wills)) if (key.length > 0) count++
  return count
}

const here = (client_id: string): boolean => b.broker.state.stored?.sessions.get(client_id) !== undefined

test('a session ends the seconds after its connection that CONNECT asked for, to the quarter second, and the setting is the most it gets', async () => {
  const clients = await Promise.all([10, 2_000, 0xffff_ffff].map((s) => join(`s${s}`, { sessionExpiryInterval: s })))
  expect(clients.map((c) => c.connack?.properties.sessionExpiryInterval)).toEqual([undefined, 1_000, 1_000])
  b.clock.advance(5_000)
  for (const client of clients) await client.disconnect()
  b.clock.advance(9_750)
  expect(here('s10')).toBe(true)
  b.clock.advance(250)
  expect(here('s10')).toBe(false)
  b.clock.advance(989_750)
  expect([here('s2000'), here('s4294967295')]).toEqual([true, true])
  b.clock.advance(250)
  expect([here('s2000'), here('s4294967295')]).toEqual([false, false])
  expect(b.broker.state.stats.sessionsExpired).toBe(3)
})

test('Clean Start makes a new session, which lasts; without one it resumes, and with no expiry that session ends with the connection', async () => {
  const first = await join('dev', { sessionExpiryInterval: 100 }, { clean: true })
  await first.subscribe(['a', 1])
  await lose(first, 'dev')
  const second = await join('dev', { sessionExpiryInterval: 100 }, { clean: true })
  expect(second.connack?.present).toBe(false)
  await second.subscribe(['b', 1])
  await lose(second, 'dev')
  await witness.publishAndWait('a', 'for the first', { qos: 1 })
  await witness.publishAndWait('b', 'for the second', { qos: 1 })
  const third = await join('dev')
  expect(third.connack?.present).toBe(true)
  expect(await delivered(third)).toEqual(['b for the second q1'])
  await lose(third, 'dev')
  expect(here('dev')).toBe(false)
  const fourth = await join('dev')
  expect(fourth.connack?.present).toBe(false)
  await fourth.disconnect()
})

test('a session that is over is over for who connects, also before the broker has looked', async () => {
  const client = await join('dev', { sessionExpiryInterval: 10 }, will('dev', { willDelayInterval: 100 }))
  await lose(client, 'dev')
  b.clock.step(10_000)
  const back = await join('dev', { sessionExpiryInterval: 10 })
  expect(back.connack?.present).toBe(false)
  expect(await delivered(witness)).toEqual(['w/dev gone q1'])
})

test('DISCONNECT may change the expiry: shorter, longer, to nothing, and all that goes, goes in one commit', async () => {
  for (const [before, after] of [
    [100, 10],
    [10, 100],
    [100, undefined],
  ]) {
    const client = await join('dev', before === undefined ? {} : { sessionExpiryInterval: before }, { clean: true })
    client.send(packet.reason(T.DISCONNECT, 0, after === undefined ? {} : { sessionExpiryInterval: after }))
    await gone('dev')
    b.clock.advance((after ?? 100) * 1000 - 250)
    expect(here('dev')).toBe(true)
    b.clock.advance(250)
    expect(here('dev')).toBe(false)
  }
  const client = await join('dev', { sessionExpiryInterval: 100 }, will('dev', {}))
  await client.subscribe(['a', 1], ['b', 2])
  await witness.publishAndWait('b', 'x', { qos: 1 })
  const writes = b.disk.writes
  const gonePrefixes: string[] = []
  b.disk.onWrite = (ops) =>
    gonePrefixes.push(
      ops
        .filter((op) => op.type === 'del')
        .map(({ key }) => key.toString('latin1', 0, 1))
        .join(''),
    )
  client.send(packet.reason(T.DISCONNECT, 0, { sessionExpiryInterval: 0 }))
  await gone('dev')
  await b.broker.state.stored?.store.journal.flush()
  expect(here('dev')).toBe(false)
  expect(b.disk.writes).toBe(writes + 1)
  expect([...(gonePrefixes[0] ?? '')].sort().join('')).toBe('FFHQSW')
})

test('a will waits for its delay and no longer; the client that comes back in time takes it back', async () => {
  const options = will('dev', { willDelayInterval: 10 })
  const client = await join('dev', { sessionExpiryInterval: 100 }, options)
  await lose(client, 'dev')
  b.clock.advance(9_750)
  expect(await delivered(witness)).toEqual([])
  const back = await join('dev', { sessionExpiryInterval: 100 }, options)
  expect(back.connack?.present).toBe(true)
  b.clock.advance(20_000)
  expect(await delivered(witness)).toEqual([])
  await lose(back, 'dev')
  b.clock.advance(10_000)
  expect(await delivered(witness)).toEqual(['w/dev gone q1'])
  b.clock.advance(100_000)
  expect(await delivered(witness)).toEqual([])
  expect(await wills()).toBe(0)
})

test('who comes back in the last moment, before the broker has looked, comes back too late', async () => {
  const client = await join('dev', { sessionExpiryInterval: 100 }, will('dev', { willDelayInterval: 10 }))
  await lose(client, 'dev')
  b.clock.step(10_000)
  const back = await join('dev', { sessionExpiryInterval: 100 })
  expect(back.connack?.present).toBe(true)
  expect(await delivered(witness)).toEqual(['w/dev gone q1'])
  expect(await wills()).toBe(0)
})

test('a will does not wait longer than its session: expiry, no expiry, Clean Start, takeover', async () => {
  const options = will('dev', { willDelayInterval: 50 })
  const sent = async (): Promise<string[]> => delivered(witness)
  await lose(await join('dev', { sessionExpiryInterval: 10 }, options), 'dev')
  b.clock.advance(9_750)
  expect(await sent()).toEqual([])
  b.clock.advance(250)
  expect(await sent()).toEqual(['w/dev gone q1'])

  await lose(await join('dev', {}, options), 'dev')
  expect(await sent()).toEqual(['w/dev gone q1'])

  await lose(await join('dev', { sessionExpiryInterval: 100 }, options), 'dev')
  const clean = await join('dev', { sessionExpiryInterval: 100 }, { ...options, clean: true })
  expect(await sent()).toEqual(['w/dev gone q1'])
  // Taken over within the session: no will. With the end of the session: the will at once.
  const heir = await join('dev', { sessionExpiryInterval: 100 }, options)
  await clean.closed
  expect(await sent()).toEqual([])
  const last = await join('dev', { sessionExpiryInterval: 100 }, { clean: true })
  await heir.closed
  expect(await sent()).toEqual(['w/dev gone q1'])
  await lose(last, 'dev')
  expect(await wills()).toBe(0)
})

test('DISCONNECT with reason 0x04 leaves the will to its delay, with 0x00 takes it back', async () => {
  for (const [reason, expected] of [
    [0, []],
    [4, ['w/dev gone q1']],
  ] as const) {
    const client = await join('dev', { sessionExpiryInterval: 100 }, will('dev', { willDelayInterval: 10 }))
    client.send(packet.reason(T.DISCONNECT, reason))
    await gone('dev')
    b.clock.advance(9_750)
    expect(await delivered(witness)).toEqual([])
    b.clock.advance(250)
    expect(await delivered(witness)).toEqual(expected)
  }
})

test('the time that a will is worth delivering begins when it is published; its properties come with it', async () => {
  const properties: Props = {
    willDelayInterval: 30,
    messageExpiryInterval: 20,
    contentType: 'text/x',
    userProperties: [['a', 'b']],
  }
  await witness.subscribe(['w/#', 1])
  const away = await join('away', { sessionExpiryInterval: 500 })
  await away.subscribe(['w/#', 1])
  await lose(away, 'away')
  await lose(await join('dev', { sessionExpiryInterval: 100 }, will('dev', properties)), 'dev')
  b.clock.advance(30_000)
  const [first] = await arrived(witness)
  expect(first?.properties).toEqual({ messageExpiryInterval: 20, contentType: 'text/x', userProperties: [['a', 'b']] })
  b.clock.advance(5_000)
  const back = await join('away', { sessionExpiryInterval: 500 })
  expect((await arrived(back))[0]?.properties.messageExpiryInterval).toBe(15)
  await lose(back, 'away')
  await lose(await join('dev', { sessionExpiryInterval: 100 }, will('dev', properties)), 'dev')
  b.clock.advance(50_000)
  const late = await join('away', { sessionExpiryInterval: 500 })
  expect(await delivered(late)).toEqual([])
})

test('the hook is asked when the connection ends and not again; what it says while the will waits, counts', async () => {
  const asked: { client: unknown; answer: (error?: Error | null) => void }[] = []
  await start({
    aedes: {
      authorizePublish: (client: { id: string } | null, p: { payload: Buffer }, done: (error?: Error | null) => void) => {
        if (client?.id === 'witness') return done(null)
        asked.push({ client: client?.id, answer: done })
        p.payload = Buffer.from('changed')
      },
    } as never,
  })
  const o = will('dev', { willDelayInterval: 10 })
  const lost = async (): Promise<void> => lose(await join('dev', { sessionExpiryInterval: 100 }, o), 'dev')
  // In time.
  await lost()
  expect(asked.splice(0).map(({ client, answer }) => [client, answer()])).toEqual([['dev', undefined]])
  b.clock.advance(10_000)
  expect(await delivered(witness)).toEqual(['w/dev changed q1'])
  // Too late: at once.
  await lost()
  b.clock.advance(60_000)
  expect(await delivered(witness)).toEqual([])
  asked.splice(0).map(({ answer }) => answer())
  expect(await delivered(witness)).toEqual(['w/dev changed q1'])
  // Refused, or the client came back meanwhile: not at all.
  await lost()
  asked.splice(0).map(({ answer }) => answer(new Error('no')))
  await lost()
  const back = await join('dev', { sessionExpiryInterval: 100 })
  asked.splice(0).map(({ answer }) => answer())
  b.clock.advance(60_000)
  expect(await delivered(witness)).toEqual([])
  expect(await wills()).toBe(0)
  // The session ended while the hook thought.
  await back.disconnect()
  await lost()
  const clean = await join('dev', {}, { clean: true })
  asked.splice(0).map(({ answer }) => answer())
  expect(await delivered(witness)).toEqual(['w/dev changed q1'])
  await clean.disconnect()
  expect(await wills()).toBe(0)
})

test('a subscriber in memory does not get a will of QoS 2 before the store knows that it was sent', async () => {
  const client = await join('dev', { sessionExpiryInterval: 100 }, will('dev', { willDelayInterval: 10 }, { qos: 2 }))
  await lose(client, 'dev')
  await b.broker.state.stored?.store.journal.flush()
  b.disk.holding = true
  b.clock.advance(10_000)
  expect(await delivered(witness)).toEqual([])
  b.disk.holding = false
  while (b.disk.step());
  await b.broker.state.stored?.store.journal.flush()
  expect(await delivered(witness)).toEqual(['w/dev gone q2'])
})

test('what the hook made of a will is what is sent after a crash, without asking again', async () => {
  let asked = 0
  const aedes = {
    authorizePublish: (_client: unknown, p: { topic: string; payload: Buffer }, done: (error?: Error | null) => void) => {
      if (p.topic.startsWith('w/')) {
        asked++
        p.payload = Buffer.from(`judged ${asked}`)
      }
      done(null)
    },
  } as never
  await start({ aedes })
  await lose(await join('dev', { sessionExpiryInterval: 100 }, will('dev', { willDelayInterval: 10 })), 'dev')
  await b.broker.state.stored?.store.journal.flush()
  const { disk, clock } = b
  await b.die()
  all.pop()
  await start({ aedes, after: disk, clock })
  clock.advance(10_000)
  expect(await delivered(witness)).toEqual(['w/dev judged 1 q1'])
  expect(asked).toBe(1)
})

test('a will for which there is no room waits for room, also over a restart, and too many such wills are dropped and counted', async () => {
  const away = await join('away', { sessionExpiryInterval: 900 })
  await away.subscribe(['w/#', 1])
  await away.disconnect()
  const { state } = b.broker
  const store = state.stored?.store as { full: boolean }
  let full = true
  Object.defineProperty(store, 'full', { get: () => full, configurable: true })
  await lose(await join('dev', {}, will('dev', {})), 'dev')
  b.clock.advance(5_000)
  expect([state.stats.willsPublished, state.stored?.wills.waiting, await wills()]).toEqual([0, 1, 1])
  // The client's return has nothing to do with it: it was due.
  await (await join('dev')).disconnect()
  full = false
  b.clock.advance(1_000)
  expect(await delivered(witness)).toEqual(['w/dev gone q1'])
  expect([state.stats.willsPublished, state.stored?.wills.waiting, await wills()]).toEqual([1, 0, 0])
  full = true
  await lose(await join('dev', {}, will('dev', {})), 'dev')
  await state.stored?.store.journal.flush()
  const { disk, clock } = b
  await b.die()
  all.pop()
  await start({ after: disk, clock })
  const back = await join('away')
  expect((await delivered(back)).at(-1)).toBe('w/dev gone q1')
})

test('wills that find no room are bounded', async () => {
  const { state } = b.broker
  const { stored } = state
  if (stored === null) throw new Error('not open')
  const away = await join('away', { sessionExpiryInterval: 900 })
  await away.subscribe(['w/#', 1])
  await away.disconnect()
  Object.defineProperty(stored.store, 'full', { get: () => true, configurable: true })
  for (let i = 0; i < WILLS_REFUSED_MAX + 5; i++) {
    const w = stored.wills.add({ clientId: `c${i}`, topic: 'w/x', payload: Buffer.from('x'), qos: 1, retain: false })
    stored.wills.end(w, null)
  }
  expect([stored.wills.waiting, state.stats.willsDropped]).toEqual([WILLS_REFUSED_MAX, 5])
  await stored.store.journal.flush()
})

test('a will due in the middle of an admission waits for its end', async () => {
  const closed: string[] = []
  await start({
    aedes: {
      authorizeForward: (client: { id: string; close(): void }, p: unknown) => {
        if (client.id === 'dev' && closed.push('dev') === 1) client.close()
        return p
      },
    } as never,
  })
  const before = await join('before')
  await before.subscribe(['t', 1])
  const dev = await join('dev', {}, will('dev', {}))
  await dev.subscribe(['t', 0])
  const other = await join('other')
  await other.subscribe(['t', 1])
  const { state } = b.broker
  if (state.stored === null) throw new Error('not open')
  admitOutgoing(state, state.stored, { topic: 't', payload: Buffer.from('m'), qos: 1, retain: false }, null)
  await gone('dev')
  expect(await delivered(before)).toEqual(['t m q1'])
  expect(await delivered(other)).toEqual(['t m q1'])
  expect(await delivered(witness)).toEqual(['w/dev gone q1'])
})

test('a step of the clock moves ends and waits by the step and no more', async () => {
  await lose(await join('dev', { sessionExpiryInterval: 100 }, will('dev', { willDelayInterval: 50 })), 'dev')
  b.clock.step(-30_000)
  b.clock.advance(79_750)
  expect(await delivered(witness)).toEqual([])
  b.clock.advance(250)
  expect(await delivered(witness)).toEqual(['w/dev gone q1'])
  b.clock.step(30_000)
  b.clock.advance(19_750)
  expect(here('dev')).toBe(true)
  b.clock.advance(250)
  expect(here('dev')).toBe(false)
})

test('many that are due together end in several turns, the earliest first', async () => {
  const { stored, stats } = b.broker.state
  if (stored === null) throw new Error('not open')
  for (let i = 0; i < 600; i++) {
    const session = stored.sessions.openOffline(`s${i}`)
    const w = stored.wills.add({
      clientId: `s${i}`,
      topic: 'w/x',
      payload: Buffer.from(`${i}`),
      qos: 0,
      retain: false,
      delay_s: 500,
    })
    stored.wills.end(w, null)
    expect(session.expiresAt).toBe(b.clock.now() + 1_000_000)
    if (i === 0) b.clock.advance(250)
  }
  await stored.store.journal.flush()
  b.clock.step(499_750)
  const sent = [1, 2, 3, 4].map(() => {
    b.clock.advance(250)
    return stats.willsPublished
  })
  expect(sent).toEqual([256, 512, 600, 600])
  expect((await delivered(witness))[0]).toBe('w/x 0 q0')
  b.clock.step(499_500)
  const ended = [1, 2, 3, 4].map(() => {
    b.clock.advance(250)
    return stats.sessionsExpired
  })
  expect(ended).toEqual([250, 500, 600, 600])
})

test('rows of the first version are read: sessions live as long as the setting says, wills are due at once', async () => {
  const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
  for (const name of ['gone', 'here']) {
    const client = await join(name, { sessionExpiryInterval: 5 })
    await client.subscribe(['w/#', 1])
  }
  const { stored } = b.broker.state
  await stored?.store.journal.flush()
  const { disk, clock } = b
  await b.die()
  all.pop()
  for (const name of ['gone', 'here']) {
    const id = stored?.sessions.get(name)?.id.toString(16).padStart(8, '0')
    const ends = name === 'gone' ? clock.now() + 20_000 : 0
    const row = hex(`01 ${id} ${ends.toString(16).padStart(12, '0')} 04 0000`)
    await checked(disk.rows).write([{ type: 'put', key: keys.sessionKey(name), value: row }], false)
  }
  const value = hex('01 01 000000000102 000000000000 00000000 0003 772f78 0000 627965')
  await checked(disk.rows).write([{ type: 'put', key: keys.willKey('other'), value }], false)
  await start({ after: disk, clock, settings: { session_expiry_s: 60 } })
  expect([b.broker.state.stats.willsPublished, await wills()]).toEqual([1, 0])
  clock.advance(19_750)
  expect([here('gone'), here('here')]).toEqual([true, true])
  clock.advance(250)
  expect([here('gone'), here('here')]).toEqual([false, true])
  clock.advance(39_750)
  expect(here('here')).toBe(true)
  const back = await join('here')
  expect(await delivered(back)).toEqual(['w/x bye q1'])
  await back.disconnect()
})
