/** The program with a small heap, against clients that make all they may: it lives, others are served, and it starts again in the same heap. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { MqttClient, T } from './support/mqtt-client.js'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

const root = fileURLToPath(new URL('..', import.meta.url))
const HEAP_MIB = 128
const STARTS = 2
let folder: string
let running: ChildProcess | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aqueduct-quotas-'))
})
afterEach(async () => {
  await kill()
  rmSync(folder, { recursive: true, force: true })
})

/** Starts on the folder; resolves with the port. */
function start(): Promise<number> {
  const set = [`store.path=${folder}/data`, 'store.durability=os', 'mqtt.port=0', 'http.port=off']
  const args = ['--import=tsx', join(root, 'src/main.ts'), 'serve', ...set.flatMap((one) => ['--set', one])]
  const child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MIB}`, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running = child
  return new Promise((resolve, reject) => {
    let out = ''
    let err = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err = (err + text).slice(-4_000)
    })
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      const found = /^mqtt listening on 127\.0\.0\.1:(\d+)$/m.exec(out)
      if (found !== null) resolve(Number(found[1]))
    })
    child.once('close', (code, signal) => reject(new Error(`ended with ${code ?? signal}: ${err}`)))
  })
}

function kill(): Promise<void> {
  const child = running
  running = undefined
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('close', () => resolve())
    child.kill('SIGKILL')
  })
}

/** Attack, then an honest client; then starts in the same heap, an honest client each time. */
async function survives(attack: (port: number) => Promise<void>): Promise<void> {
  let port = await start()
  await attack(port)
  for (let n = 0; n <= STARTS; n++) {
    if (n > 0) {
      await kill()
      port = await start()
    }
    const honest = await MqttClient.connect(port, { client_id: 'honest', timeout_ms: 20_000 })
    expect(honest.connack?.code).toBe(0)
    await honest.publishAndWait('honest', 'x', { qos: 1 })
    honest.destroy()
  }
}

it('ever new sessions of long names', async () => {
  await survives(async (port) => {
    let refused = 0
    for (let i = 0; i < 4_000 && refused < 20; i++) {
      const client = await MqttClient.connect(port, { client_id: `${i}`.padEnd(60_000, 'x'), clean: false, timeout_ms: 20_000 })
      if (client.connack?.code === 3) refused++
      client.destroy()
    }
    expect(refused).toBe(20)
  })
})

it('ever new sessions of short names', async () => {
  await survives(async (port) => {
    let refused = 0
    for (let round = 0; round < 400 && refused < 20; round++) {
      const ids = Array.from({ length: 200 }, (_, i) => `${round}-${i}`)
      const clients = await Promise.all(
        ids.map((client_id) => MqttClient.connect(port, { client_id, clean: false, timeout_ms: 20_000 })),
      )
      for (const client of clients) {
        if (client.connack?.code === 3) refused++
        client.destroy()
      }
    }
    expect(refused).toBeGreaterThanOrEqual(20)
  })
})

it('ever new subscriptions, long and deep ones', async () => {
  await survives(async (port) => {
    const client = await MqttClient.connect(port, { client_id: 'a', clean: false, timeout_ms: 20_000 })
    let refused = 0
    for (let i = 0; i < 8_000 && refused < 20; i++) {
      const deep = `${i >> 1}${'/x'.repeat(190)}/${i & 1}/+`
      const codes = await client.subscribe([`${i}`.padEnd(60_000, 'x'), 1], [deep, 1])
      refused += codes.filter((code) => code === 0x80).length
    }
    expect(refused).toBeGreaterThanOrEqual(20)
    client.destroy()
  })
})

it('ever new retained topics, long and deep ones', async () => {
  await survives(async (port) => {
    const client = await MqttClient.connect(port, { client_id: 'a', protocol: 5, timeout_ms: 20_000 })
    let refused = 0
    for (let i = 0; i < 8_000 && refused < 20; i++) {
      const ids = [`${i}`.padEnd(60_000, 'x'), `${i >> 1}${'/x'.repeat(190)}/${i & 1}`].map((topic) =>
        client.publish(topic, 'x', { qos: 1, retain: true }),
      )
      for (const id of ids) if ((await client.expect(T.PUBACK, (p) => p.id === id)).code === 0x97) refused++
    }
    client.destroy()
    expect(refused).toBeGreaterThanOrEqual(20)
  })
})
