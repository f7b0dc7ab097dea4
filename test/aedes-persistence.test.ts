/** What the contract suite of aedes-persistence does not ask (test/persistence): order, restarts, concurrency, QoS per subscriber, delivery. */
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Aqueduct, createAqueduct } from '../src/app.js'
import type { AedesPersistence } from '../src/broker/persistence.js'
import { MqttClient, packet as packets, T } from './support/mqtt-client.js'

let folder: string
let aqueduct: Aqueduct
let persistence: AedesPersistence

async function open(): Promise<void> {
  aqueduct = await createAqueduct({ store: { path: folder, durability: 'os', min_free_bytes: 0 } })
  persistence = (aqueduct.aedes as unknown as { persistence: AedesPersistence }).persistence
}

async function restart(): Promise<void> {
  await aqueduct.close()
  await open()
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'aqueduct-contract-'))
  await open()
})

afterEach(async () => {
  await aqueduct.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Seen {
  cmd: string
  topic: string
  payload: Buffer
  qos: number
  messageId?: number
  brokerId?: string
  brokerCounter?: number
}

async function list(stream: Readable): Promise<Seen[]> {
  const found: Seen[] = []
  for await (const packet of stream) found.push(packet as Seen)
  return found
}

async function waiting(id: string): Promise<string[]> {
  return (await list(persistence.outgoingStream({ id }))).map((p) =>
    p.cmd === 'publish' ? String(p.payload) : `${p.cmd} ${p.messageId}`,
  )
}

function message(payload: string, more: object = {}) {
  return {
    cmd: 'publish',
    topic: 'a/b',
    payload: Buffer.from(payload),
    qos: 1 as const,
    retain: false,
    brokerId: 'one',
    brokerCounter: 1,
    ...more,
  }
}

async function withPort<T>(use: (port: number) => Promise<T>): Promise<T> {
  const server = net.createServer(aqueduct.aedes.handle as unknown as (socket: net.Socket) => void)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await use((server.address() as net.AddressInfo).port)
  } finally {
    server.close()
  }
}

describe('queued packets', () => {
  it('keep the order in which they came, over restarts, whatever broker ids and counters they carry', async () => {
    const to = { clientId: 'dev', qos: 1 }
    await persistence.outgoingEnqueue(to, message('1', { brokerId: 'zzz', brokerCounter: 900 }))
    await persistence.outgoingEnqueue(to, message('2', { brokerId: 'aaa', brokerCounter: 1 }))
    await restart()
    await persistence.outgoingEnqueue(to, message('3', { brokerId: 'mmm', brokerCounter: 5 }))
    await restart()
    expect(await waiting('dev')).toEqual(['1', '2', '3'])
  })

  it('are not overwritten when a broker of a fixed id starts to count anew', async () => {
    const to = { clientId: 'dev', qos: 1 }
    for (const n of [1, 2]) await persistence.outgoingEnqueue(to, message(`old ${n}`, { brokerCounter: n }))
    await restart()
    for (const n of [1, 2]) await persistence.outgoingEnqueue(to, message(`new ${n}`, { brokerCounter: n }))
    expect(await waiting('dev')).toEqual(['old 1', 'old 2', 'new 1', 'new 2'])
  })

  it('keep the order of the calls when nobody waits for the call before', async () => {
    const calls: Promise<void>[] = []
    for (let i = 0; i < 500; i++)
      calls.push(persistence.outgoingEnqueue({ clientId: 'dev', qos: 1 }, message(String(i), { brokerCounter: i })))
    await Promise.all(calls)
    expect(await waiting('dev')).toEqual(Array.from({ length: 500 }, (_, i) => String(i)))
  })

  it('have the QoS of each recipient, and none at QoS 0', async () => {
    const recipients = [0, 1, 2].map((qos) => ({ clientId: `q${qos}`, qos }))
    await persistence.outgoingEnqueueCombi(recipients, message('x', { qos: 2 }))
    expect(await list(persistence.outgoingStream({ id: 'q0' }))).toEqual([])
    expect((await list(persistence.outgoingStream({ id: 'q1' }))).map((p) => p.qos)).toEqual([1])
    expect((await list(persistence.outgoingStream({ id: 'q2' }))).map((p) => p.qos)).toEqual([2])
  })

  it('are all there when far more wait than memory holds, and can be read while others come', async () => {
    const N = 20_000
    const to = { clientId: 'dev', qos: 1 }
    const calls: Promise<void>[] = []
    for (let i = 0; i < N; i++) calls.push(persistence.outgoingEnqueue(to, message(String(i), { brokerCounter: i })))
    await Promise.all(calls)
    let expected = 0
    for await (const packet of persistence.outgoingStream({ id: 'dev' })) {
      if (expected === 5) await persistence.outgoingEnqueue(to, message(String(N), { brokerCounter: N }))
      if (String((packet as Seen).payload) !== String(expected)) expect(String((packet as Seen).payload)).toBe(String(expected))
      expected++
    }
    expect(expected).toBe(N + 1)
  })

  it('go out to the client, under the identifier that they were given, and with DUP then', async () => {
    await persistence.addSubscriptions({ id: 'dev' }, [{ topic: 'a/#', qos: 1 }])
    await persistence.outgoingEnqueue({ clientId: 'dev', qos: 1 }, message('first', { brokerCounter: 1 }))
    await persistence.outgoingEnqueue({ clientId: 'dev', qos: 1 }, message('second', { brokerCounter: 2 }))
    await persistence.outgoingUpdate({ id: 'dev' }, { ...message('first'), brokerCounter: 1, messageId: 4711 })
    await restart()
    await withPort(async (port) => {
      const client = await MqttClient.connect(port, { client_id: 'dev', clean: false })
      expect(client.connack?.present).toBe(true)
      const first = await client.expect(T.PUBLISH)
      const second = await client.expect(T.PUBLISH)
      expect([first.payload.toString(), first.id, first.dup]).toEqual(['first', 4711, true])
      expect([second.payload.toString(), second.dup]).toEqual(['second', false])
      await client.ping()
      await client.disconnect()
    })
    expect(await waiting('dev')).toEqual([])
    await restart()
    expect(await waiting('dev')).toEqual([])
  })

  it('become a PUBREL that is sent after a restart, and are not sent again themselves', async () => {
    const name = { brokerId: 'one', brokerCounter: 7 }
    await persistence.outgoingEnqueue({ clientId: 'dev', qos: 2 }, message('x', { ...name, qos: 2 }))
    await persistence.outgoingUpdate({ id: 'dev' }, { ...name, messageId: 99 })
    await persistence.outgoingUpdate({ id: 'dev' }, { cmd: 'pubrel', messageId: 99 })
    await restart()
    expect(await waiting('dev')).toEqual(['pubrel 99'])
    await withPort(async (port) => {
      const client = await MqttClient.connect(port, { client_id: 'dev', clean: false, auto_ack: false })
      const pubrel = await client.expect(T.PUBREL)
      expect(pubrel.id).toBe(99)
      client.send(packets.pubcomp(99))
      await client.ping()
      expect(client.inbox).toEqual([])
      await client.disconnect()
    })
    expect(await waiting('dev')).toEqual([])
  })

  it('that came in over MQTT are read, settled and cleared the same way', async () => {
    await persistence.addSubscriptions({ id: 'dev' }, [{ topic: 'a/#', qos: 1 }])
    await withPort(async (port) => {
      const publisher = await MqttClient.connect(port, { client_id: 'pub' })
      for (const text of ['1', '2', '3']) await publisher.publishAndWait('a/b', text, { qos: 1 })
      await publisher.disconnect()
    })
    const queued = await list(persistence.outgoingStream({ id: 'dev' }))
    expect(queued.map((p) => [p.topic, p.qos, p.messageId])).toEqual(Array(3).fill(['a/b', 1, undefined]))
    await persistence.outgoingUpdate({ id: 'dev' }, { ...queued[1], messageId: 5 })
    expect((await persistence.outgoingClearMessageId({ id: 'dev' }, { messageId: 5 }))?.cmd).toBe('publish')
    expect(await waiting('dev')).toEqual(['1', '3'])
  })

  it('of a connected client: what is in flight is seen with the identifier it was sent under, and can be cleared', async () => {
    await withPort(async (port) => {
      const client = await MqttClient.connect(port, { client_id: 'dev', clean: false, auto_ack: false })
      await client.subscribe(['a/#', 1])
      await persistence.outgoingEnqueue({ clientId: 'dev', qos: 1 }, message('live'))
      const sent = await client.expect(T.PUBLISH)
      expect((await list(persistence.outgoingStream({ id: 'dev' }))).map((p) => p.messageId)).toEqual([sent.id])
      await persistence.outgoingClearMessageId({ id: 'dev' }, { messageId: sent.id })
      expect(await waiting('dev')).toEqual([])
      client.destroy()
      await client.closed
      const again = await MqttClient.connect(port, { client_id: 'dev', clean: false })
      await again.ping()
      expect(again.inbox).toEqual([])
      await again.disconnect()
    })
  })

  it('that a hook adds while a message is being given out do not mix with that message', async () => {
    await persistence.addSubscriptions({ id: 'dev' }, [{ topic: 'a/#', qos: 1 }])
    let calls: Promise<void> | undefined
    aqueduct.aedes.authorizeForward = (client, packet) => {
      if (client.id === 's1') calls ??= persistence.outgoingEnqueue({ clientId: 'dev', qos: 1 }, message('from the hook'))
      return packet
    }
    await withPort(async (port) => {
      const clients = await Promise.all(['s1', 's2'].map((id) => MqttClient.connect(port, { client_id: id })))
      for (const client of clients) await client.subscribe(['a/#', 1])
      await clients[0].publishAndWait('a/b', 'x', { qos: 1 })
      for (const client of clients) expect((await client.expect(T.PUBLISH)).payload.toString()).toBe('x')
      for (const client of clients) client.destroy()
    })
    await calls
    expect(await waiting('dev')).toEqual(['x', 'from the hook'])
  })

  it('are refused for what is no topic, and for identifiers that nothing has', async () => {
    await expect(persistence.outgoingEnqueue({ clientId: 'dev', qos: 1 }, message('x', { topic: 'a/#' }))).rejects.toThrow(
      /topic|wildcard/i,
    )
    await expect(persistence.outgoingUpdate({ id: 'dev' }, { ...message('x'), messageId: 1 })).rejects.toThrow('no such packet')
    expect(await persistence.outgoingClearMessageId({ id: 'nobody' }, { messageId: 1 })).toBe(undefined)
  })
})

describe('subscriptions', () => {
  it('that overlap are apart: one goes, the other stays, also over a restart', async () => {
    const client = { id: 'dev' }
    await persistence.addSubscriptions(client, [
      { topic: 'k/#', qos: 1 },
      { topic: 'k/b', qos: 2 },
      { topic: 'k/+', qos: 0 },
    ])
    const filters = async (): Promise<unknown[]> => (await persistence.subscriptionsByTopic('k/b')).map((s) => [s.topic, s.qos])
    expect(await filters()).toEqual([
      ['k/#', 1],
      ['k/b', 2],
    ])
    await persistence.addSubscriptions(client, [{ topic: 'k/b', qos: 0 }])
    expect(await filters()).toEqual([['k/#', 1]])
    await persistence.addSubscriptions(client, [{ topic: 'k/b', qos: 1 }])
    await persistence.removeSubscriptions(client, ['k/#'])
    expect(await filters()).toEqual([['k/b', 1]])
    await restart()
    expect(await filters()).toEqual([['k/b', 1]])
    expect(await persistence.countOffline()).toEqual({ subsCount: 1, clientsCount: 1 })
  })

  it('keep all options over a restart, QoS 0 too', async () => {
    const given = [
      { topic: 'a', qos: 0 as const, rh: 2, rap: true, nl: false },
      { topic: 'b', qos: 2 as const, rh: 0, rap: false, nl: true, subscriptionIdentifier: 268_435_455 },
    ]
    await persistence.addSubscriptions({ id: 'dev' }, given)
    await restart()
    expect(await persistence.subscriptionsByClient({ id: 'dev' })).toEqual(given)
  })

  it('refuse what is no filter, whole: none of the call is taken', async () => {
    const call = persistence.addSubscriptions({ id: 'dev' }, [
      { topic: 'a', qos: 1 },
      { topic: 'a/#/b', qos: 1 },
    ])
    await expect(call).rejects.toMatchObject({ code: 'filter_invalid' })
    expect(await persistence.subscriptionsByClient({ id: 'dev' })).toEqual([])
  })

  it('of clients whose ids begin alike, or are odd, are not mixed up', async () => {
    const ids = ['abc', 'abcd', 'abc:', 'ab', '__proto__', 'é', ' ']
    for (const id of ids) await persistence.addSubscriptions({ id }, [{ topic: `t/${id}`, qos: 1 }])
    await restart()
    for (const id of ids) expect((await persistence.subscriptionsByClient({ id })).map((s) => s.topic)).toEqual([`t/${id}`])
  })
})

describe('retained messages', () => {
  const retained = (topic: string, payload: string) => ({
    cmd: 'publish',
    topic,
    payload: Buffer.from(payload),
    qos: 1 as const,
    retain: true,
  })
  const topics = async (pattern: string): Promise<string[]> =>
    (await list(persistence.createRetainedStream(pattern))).map((p) => p.topic).sort()

  it('are found exactly: by name, by empty levels, and $ names only by name', async () => {
    for (const topic of ['a', 'a/', 'a/b', 'a/b/c', '$x/y', '/']) await persistence.storeRetained(retained(topic, topic))
    expect(await topics('a')).toEqual(['a'])
    expect(await topics('a/')).toEqual(['a/'])
    expect(await topics('a/+')).toEqual(['a/', 'a/b'])
    expect(await topics('a/#')).toEqual(['a', 'a/', 'a/b', 'a/b/c'])
    expect(await topics('#')).toEqual(['/', 'a', 'a/', 'a/b', 'a/b/c'])
    expect(await topics('$x/#')).toEqual(['$x/y'])
    expect(await topics('+/y')).toEqual([])
  })

  it('are those of the broker: a client gets what a program stored, and the other way round, over a restart', async () => {
    await persistence.storeRetained({ ...retained('a/1', 'program'), brokerCounter: 7, note: 'kept' })
    await withPort(async (port) => {
      const client = await MqttClient.connect(port, { client_id: 'c' })
      await client.publishAndWait('a/2', 'client', { qos: 1, retain: true })
      await client.subscribe(['a/1', 1])
      expect((await client.expect(T.PUBLISH)).payload.toString()).toBe('program')
      await client.disconnect()
    })
    await restart()
    const found = await list(persistence.createRetainedStream('a/+'))
    expect(found.map((p) => [p.topic, String(p.payload)])).toEqual([
      ['a/1', 'program'],
      ['a/2', 'client'],
    ])
    expect(found[0]).toMatchObject({ brokerCounter: 7, note: 'kept', qos: 1 })
    await withPort(async (port) => {
      const client = await MqttClient.connect(port, { client_id: 'c' })
      await client.publishAndWait('a/1', 'newer', { qos: 1, retain: true })
      await client.disconnect()
    })
    expect((await list(persistence.createRetainedStream('a/1')))[0]).not.toHaveProperty('note')
  })
})

describe('the rest', () => {
  it('streamWill yields nothing while the broker publishes wills itself; a will that is left goes out at the next start', async () => {
    await persistence.addSubscriptions({ id: 'dev' }, [{ topic: 'w/#', qos: 1 }])
    await persistence.putWill({ id: 'gone' }, { topic: 'w/gone', payload: Buffer.from('bye'), qos: 1, retain: false })
    expect(await list(persistence.streamWill({}))).toEqual([])
    expect((await persistence.getWill({ id: 'gone' }))?.topic).toBe('w/gone')
    await restart()
    expect(await persistence.getWill({ id: 'gone' })).toBe(undefined)
    expect(await waiting('dev')).toEqual(['bye'])
  })

  it('QoS 2 identifiers are those of the broker: a repeated PUBLISH after a restart is not published again', async () => {
    await persistence.addSubscriptions({ id: 'dev' }, [{ topic: '#', qos: 2 }])
    await persistence.incomingStorePacket({ id: 'pub' }, { ...message('x', { qos: 2 }), messageId: 12 })
    await restart()
    expect((await persistence.incomingGetPacket({ id: 'pub' }, { messageId: 12 })).payload).toEqual(Buffer.from('x'))
    await withPort(async (port) => {
      const client = await MqttClient.connect(port, { client_id: 'pub', clean: false })
      client.publish('a/b', 'x', { qos: 2, id: 12, dup: true })
      await client.expect(T.PUBREC)
      client.send(packets.pubrel(12))
      await client.expect(T.PUBCOMP)
      await client.disconnect()
    })
    expect(await waiting('dev')).toEqual([])
    await expect(persistence.incomingGetPacket({ id: 'pub' }, { messageId: 12 })).rejects.toThrow('no such packet')
  })

  it('every method that needs the store refuses when it is closed', async () => {
    await aqueduct.close()
    await expect(persistence.storeRetained({ topic: 'a', payload: 'x', qos: 0, retain: true })).rejects.toMatchObject({
      code: 'store_failed',
    })
    await expect(persistence.outgoingEnqueue({ clientId: 'dev' }, message('x'))).rejects.toMatchObject({ code: 'store_failed' })
    await expect(persistence.subscriptionsByClient({ id: 'dev' })).rejects.toMatchObject({ code: 'store_failed' })
    await open()
  })
})
