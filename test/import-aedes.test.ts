/**
 * `aqueduct import-aedes` on folders that the real Aedes wrote, with real clients; then our broker on the result, drained by real clients.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Aedes } from 'aedes'
import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js'
import { Level } from 'level'
import mqtt from 'mqtt'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type App, importAedes, startApp } from '../src/app.js'
import { makeSettings } from '../src/config/load.js'
import type { SettingsInput } from '../src/config/schema.js'
import { MqttClient, packet as packets, T } from './support/mqtt-client.js'

let root: string
let folder: string
let target: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'aqueduct-import-'))
  folder = join(root, 'aedes')
  target = join(root, 'aqueduct')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const settings = (more: SettingsInput = {}) =>
  makeSettings({
    ...more,
    store: { path: target, min_free_bytes: 0, durability: 'os', ...more.store },
    mqtt: { port: 0 },
    http: { port: 'off' },
  })

interface Running {
  port: number
  aedes: Aedes
  /** As a process that ends at once: no client is told, no will is sent. */
  kill(): Promise<void>
}

/** The real thing: Aedes with aedes-persistence-level on `folder`. */
async function realAedes(): Promise<Running> {
  const db = new Level<string, Buffer>(folder, { valueEncoding: 'buffer' })
  const aedes = new Aedes({ persistence: new AsyncLevelPersistence(db) })
  await aedes.listen()
  const server = net.createServer(aedes.handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    aedes,
    async kill() {
      await new Promise((resolve) => setTimeout(resolve, 50))
      await db.close()
      await new Promise<void>((resolve) => aedes.close(resolve))
      server.close()
    },
  }
}

async function withBroker(use: (port: number, app: App) => Promise<void>): Promise<void> {
  const app = await startApp(settings(), { announce: () => {} })
  try {
    await use(app.mqttPort as number, app)
  } finally {
    await app.close()
  }
}

function fingerprint(path: string): string[] {
  return readdirSync(path)
    .sort()
    .map(
      (name) =>
        `${name} ${createHash('sha256')
          .update(readFileSync(join(path, name)))
          .digest('hex')}`,
    )
}

async function session(port: number, id: string, ...filters: (readonly [string, 0 | 1 | 2])[]): Promise<MqttClient> {
  const client = await MqttClient.connect(port, { client_id: id, clean: false, auto_ack: false })
  if (filters.length > 0) await client.subscribe(...filters)
  return client
}

describe('an import of what Aedes wrote', () => {
  it('brings sessions, queued messages in order, handshakes, retained messages and wills to clients', {
    timeout: 60_000,
  }, async () => {
    const old = await realAedes()
    // Two sessions that go offline and are sent to; ids with the characters that keys escape.
    const one = await session(old.port, 'dev/1:ü', ['a/#', 1], ['z/+', 0], ['b', 2])
    await one.disconnect()
    const low = await session(old.port, 'low', ['a/#', 1])
    await low.disconnect()
    // One that has three messages in its hands: unacknowledged, received, and neither.
    const busy = await session(old.port, 'busy', ['q', 2], ['w', 1])
    const publisher = await mqtt.connectAsync({ host: '127.0.0.1', port: old.port, clientId: 'pub' })
    await publisher.publishAsync('q', 'first', { qos: 2 })
    await publisher.publishAsync('q', 'second', { qos: 2 })
    const first = await busy.expect(T.PUBLISH)
    const second = await busy.expect(T.PUBLISH)
    busy.send(packets.pubrec(first.id))
    await busy.expect(T.PUBREL)
    busy.destroy()
    await busy.closed
    for (let i = 0; i < 200; i++) await publisher.publishAsync(`a/${i % 3}`, `n${i}`, { qos: i % 2 === 0 ? 1 : 2 })
    await publisher.publishAsync('a/x', 'never queued', { qos: 0 })
    await publisher.publishAsync('b', 'exactly once', { qos: 2 })
    await publisher.publishAsync('r/1', 'kept', { qos: 1, retain: true })
    await publisher.publishAsync('r/2', 'gone', { qos: 1, retain: true })
    await publisher.publishAsync('r/2', '', { qos: 1, retain: true })
    await publisher.publishAsync('r/ü', Buffer.from([0, 255, 1]), { qos: 0, retain: true })
    await publisher.endAsync()
    // A publisher between PUBLISH and PUBREL, and one that is connected with a will when the broker dies.
    const half = await session(old.port, 'half')
    half.publish('half', 'once', { qos: 2, id: 77 })
    await half.expect(T.PUBREC)
    await MqttClient.connect(old.port, { client_id: 'dying', will: { topic: 'w', payload: 'bye', qos: 1 } })
    await old.kill()

    const before = fingerprint(folder)
    const lines: string[] = []
    const imported = await importAedes(folder, settings(), (line) => lines.push(line))
    expect(lines).toEqual([])
    expect(fingerprint(folder)).toEqual(before)
    expect(readdirSync(target)).toEqual(['level', 'lock', 'mark'])
    // busy: a PUBREL and a message · dev: 201 · low: 200
    expect(imported).toMatchObject({ sessions: 4, messages: 2 + 201 + 200, retained: 2, wills: 1 })

    await withBroker(async (port) => {
      const again = await session(port, 'busy')
      expect(again.connack?.present).toBe(true)
      expect((await again.expect(T.PUBREL)).id).toBe(first.id)
      const resent = await again.expect(T.PUBLISH)
      expect([resent.payload.toString(), resent.id, resent.dup, resent.qos]).toEqual(['second', second.id, true, 2])
      // The will of the client that was connected went out when this broker started.
      expect((await again.expect(T.PUBLISH)).payload.toString()).toBe('bye')
      again.destroy()

      const dev = await MqttClient.connect(port, { client_id: 'dev/1:ü', clean: false })
      const got: [string, number, boolean][] = []
      while (got.length < 201) {
        const p = await dev.expect(T.PUBLISH)
        got.push([p.payload.toString(), p.qos, p.dup])
      }
      const order = Array.from({ length: 200 }, (_, i): [string, number, boolean] => [`n${i}`, 1, false])
      expect(got).toEqual([...order, ['exactly once', 2, false]])
      // The subscriptions are in force.
      await dev.publishAndWait('a/new', 'x', { qos: 1 })
      expect((await dev.expect(T.PUBLISH)).payload.toString()).toBe('x')
      await dev.subscribe(['r/#', 0])
      const retained = [await dev.expect(T.PUBLISH), await dev.expect(T.PUBLISH)]
      expect(retained.map((p) => [p.topic, p.payload.toString('hex')]).sort()).toEqual([
        ['r/1', Buffer.from('kept').toString('hex')],
        ['r/ü', '00ff01'],
      ])
      await dev.disconnect()

      // The identifier that was received is not published a second time.
      const watch = await MqttClient.connect(port, { client_id: 'watch' })
      await watch.subscribe(['half', 2])
      const publisherAgain = await session(port, 'half')
      publisherAgain.publish('half', 'once', { qos: 2, id: 77, dup: true })
      await publisherAgain.expect(T.PUBREC)
      publisherAgain.send(packets.pubrel(77))
      await publisherAgain.expect(T.PUBCOMP)
      await watch.ping()
      expect(watch.inbox).toEqual([])
      watch.destroy()
      publisherAgain.destroy()
    })
  })

  it('is refused a second time, and into a store that is in use', async () => {
    const old = await realAedes()
    await (await session(old.port, 'dev', ['a', 1])).disconnect()
    await old.kill()
    await importAedes(folder, settings())
    await expect(importAedes(folder, settings())).rejects.toMatchObject({
      code: 'store_damaged',
      message: expect.stringContaining('already holds an import'),
    })

    target = join(root, 'other')
    await withBroker(async (port) => (await session(port, 'mine', ['a', 1])).disconnect())
    await expect(importAedes(folder, settings())).rejects.toMatchObject({
      message: expect.stringContaining('needs an empty store'),
    })
  })

  it('says what an import into a small queue left behind', async () => {
    const old = await realAedes()
    await (await session(old.port, 'dev', ['a', 1])).disconnect()
    const publisher = await mqtt.connectAsync({ host: '127.0.0.1', port: old.port, clientId: 'pub' })
    for (let i = 0; i < 10; i++) await publisher.publishAsync('a', String(i), { qos: 1 })
    await publisher.endAsync()
    await old.kill()
    const lines: string[] = []
    const imported = await importAedes(folder, settings({ session: { max_messages: 4 } }), (line) => lines.push(line))
    expect(imported.messages).toBe(4)
    expect(lines).toEqual([expect.stringContaining('6 queued messages did not fit')])
  })
})

describe('an import is refused, and nothing is left behind,', () => {
  const files = (): string[] => {
    try {
      return readdirSync(target)
    } catch {
      return []
    }
  }

  it('of a folder that is not there, empty, or no database', async () => {
    await expect(importAedes(folder, settings())).rejects.toMatchObject({ code: 'store_damaged' })
    mkdirSync(folder)
    await expect(importAedes(folder, settings())).rejects.toMatchObject({
      code: 'store_damaged',
      message: expect.stringContaining('CURRENT'),
    })
    writeFileSync(join(folder, 'CURRENT'), 'nonsense\n')
    await expect(importAedes(folder, settings())).rejects.toMatchObject({
      code: 'store_damaged',
      message: expect.stringContaining('cannot be opened'),
    })
    expect(files()).toEqual([])
  })

  it('of a database that something else wrote', async () => {
    const db = new Level(folder)
    await db.put('session:1', 'x')
    await db.close()
    await expect(importAedes(folder, settings())).rejects.toMatchObject({
      code: 'store_damaged',
      message: expect.stringContaining('session:1'),
    })
    expect(files()).toEqual([])
  })

  it('of values that cannot be read', async () => {
    const db = new Level<string, Buffer>(folder, { valueEncoding: 'buffer' })
    await db.put('subscriptions:dev:a', Buffer.from([0xc1, 0xc1]))
    await db.close()
    await expect(importAedes(folder, settings())).rejects.toMatchObject({
      code: 'store_damaged',
      message: expect.stringContaining('subscriptions of dev'),
    })
    await expect(importAedes(folder, settings())).rejects.toMatchObject({ message: expect.stringContaining('interrupted') })
  })

  it.runIf(process.platform === 'linux')('of a database that is open', async () => {
    const old = await realAedes()
    await expect(importAedes(folder, settings())).rejects.toMatchObject({ code: 'store_locked' })
    expect(files()).toEqual([])
    await old.kill()
  })

  it('into memory, or into itself', async () => {
    await expect(importAedes(folder, settings({ store: { durability: 'memory' } }))).rejects.toMatchObject({
      code: 'bad_setting',
    })
    mkdirSync(folder)
    target = join(folder, 'in')
    mkdirSync(target)
    await expect(importAedes(folder, settings())).rejects.toMatchObject({ code: 'bad_setting' })
  })
})

it('the command says what it did', async () => {
  const old = await realAedes()
  await (await session(old.port, 'dev', ['a', 1])).disconnect()
  await old.kill()
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  const args = ['--import=tsx', main, 'import-aedes', folder, '--set', `store.path=${target}`, '--set', 'store.min_free_bytes=0']
  const { stdout } = await promisify(execFile)(process.execPath, args)
  expect(stdout).toBe(`imported 1 sessions, 0 queued messages, 0 retained messages, 0 wills from ${folder}\n`)
})
