/** Few file descriptors: who is in stays in and the store has what it needs; who comes when all are taken is refused at once. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { placesOf } from '../src/descriptors.js'
import { Places } from '../src/listeners/places.js'
import { MqttClient } from './support/mqtt-client.js'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 })

const root = fileURLToPath(new URL('..', import.meta.url))
let folder: string
let child: ChildProcess | undefined
const sockets: net.Socket[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aqueduct-files-'))
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  const running = child
  child = undefined
  if (running !== undefined) {
    const closed = new Promise((resolve) => running.once('close', resolve))
    running.kill('SIGKILL')
    await closed
  }
  rmSync(folder, { recursive: true, force: true })
})

async function start(files: number): Promise<{ mqtt: number; http: number }> {
  const set = [`store.path=${folder}/data`, 'mqtt.port=0', 'http.port=0'].flatMap((one) => ['--set', one])
  const script = `ulimit -n ${files}; exec "$@"`
  const command = [process.execPath, '--import=tsx', join(root, 'src/main.ts'), 'serve', ...set]
  const running = spawn('bash', ['-c', script, 'bash', ...command], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  child = running
  let out = ''
  running.stderr.resume()
  return new Promise((resolve, reject) => {
    running.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      const [mqtt, http] = ['mqtt', 'http'].map((name) =>
        Number(new RegExp(`^${name} listening on .*:(\\d+)$`, 'm').exec(out)?.[1]),
      )
      if (mqtt > 0 && http > 0) resolve({ mqtt, http })
    })
    running.once('close', (code) => reject(new Error(`ended with ${code}`)))
  })
}

/** A connection that says nothing; counted while it is open. */
function idle(port: number, open: Set<net.Socket>): void {
  const socket = net.connect(port, '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => {})
  socket.on('connect', () => open.add(socket))
  socket.on('close', () => open.delete(socket))
}

it.each(['mqtt', 'http'] as const)('a flood of connections to %s cuts nobody who is in', async (door) => {
  const ports = await start(160)
  const publisher = await MqttClient.connect(ports.mqtt, { client_id: 'in', timeout_ms: 20_000 })
  const away = await MqttClient.connect(ports.mqtt, { client_id: 'away', clean: false, timeout_ms: 20_000 })
  await away.subscribe(['t', 1])
  await away.disconnect()
  const open = new Set<net.Socket>()
  for (let i = 0; i < 400; i++) idle(ports[door], open)
  // More than a log file of the store and a table hold, so that new ones are opened.
  for (let i = 0; i < 300; i++) await publisher.publishAndWait('t', Buffer.alloc(100_000), { qos: 1 })
  expect(publisher.is_closed).toBe(false)
  expect(open.size).toBeLessThan(160)
  // Who means it gets in, though all places are taken by those who say nothing.
  const later = await MqttClient.connect(ports.mqtt, { client_id: 'later', timeout_ms: 20_000 })
  expect(later.connack?.code).toBe(0)
  await later.publishAndWait('x', 'y', { qos: 1 })
  later.destroy()
})

it('when real clients have all places, one more is refused at once', async () => {
  const ports = await start(160)
  const clients: MqttClient[] = []
  let turnedAway = 0
  for (let i = 0; i < 120 && turnedAway < 3; i++) {
    const client = await MqttClient.connect(ports.mqtt, { client_id: `c${i}`, timeout_ms: 20_000 }).catch(() => undefined)
    if (client?.connack?.code === 0) clients.push(client)
    else turnedAway++
  }
  expect(turnedAway).toBe(3)
  expect(clients.length).toBeGreaterThan(20)
  await clients[0].publishAndWait('t', 'x', { qos: 1 })
  // Health can still be asked.
  expect((await fetch(`http://127.0.0.1:${ports.http}/readyz`)).status).toBe(200)
  for (const client of clients.splice(1)) await client.disconnect()
  expect((await MqttClient.connect(ports.mqtt, { client_id: 'later', timeout_ms: 20_000 })).connack?.code).toBe(0)
  clients[0].destroy()
})

it('an eighth of the descriptors is kept, no fewer than 32 and no more than 512', () => {
  expect(placesOf(1_024, 40)).toBe(1_024 - 40 - 16 - 128)
  expect(placesOf(128, 40)).toBe(128 - 40 - 16 - 32)
  expect(placesOf(1_048_576, 40)).toBe(1_048_576 - 40 - 16 - 512)
  expect(placesOf(64, 40)).toBe(4)
  expect(placesOf(Number.POSITIVE_INFINITY, 40)).toBe(Number.POSITIVE_INFINITY)
})

it('a place is taken, given back, or made by ending somebody', () => {
  let refused = 0
  const places = new Places(1, () => refused++)
  expect([places.take(), places.take(), refused]).toEqual([true, false, 1])
  places.makeRoom = () => true
  expect([places.take(), places.open]).toEqual([true, 2])
  places.makeRoom = () => false
  places.leave()
  expect(places.take()).toBe(false)
  places.leave()
  expect(places.take()).toBe(true)
})
