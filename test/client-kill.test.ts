/** `consume` from `@aqueduct-mq/aqueduct/client` against a real server that is killed and started again while messages are handled. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type Consumer, consume } from '../src/client/client.js'
import { ApiClient } from './support/api-client.js'

// A start takes about a second; a loaded machine may need many.
vi.setConfig({ testTimeout: 90_000 })

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
let folder: string
let server: ChildProcess | undefined
let consumer: Consumer | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aqueduct-client-'))
})
afterEach(async () => {
  await consumer?.stop({ within_ms: 0 })
  server?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

async function freePort(): Promise<number> {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as { port: number }
  holder.close()
  await once(holder, 'close')
  return port
}

/** Resolves when it listens. */
async function serve(port: number): Promise<void> {
  const set = [`store.path=${folder}`, 'mqtt.port=off', `http.port=${port}`, 'log.level=silent'].flatMap((one) => ['--set', one])
  const child = spawn(process.execPath, ['--import=tsx', main, 'serve', ...set], { stdio: ['ignore', 'pipe', 'inherit'] })
  server = child
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (text: Buffer) => void (text.includes('http listening') && resolve()))
    child.once('close', (code) => reject(new Error(`ended with ${code}`)))
  })
}

async function kill(): Promise<void> {
  const child = server as ChildProcess
  child.kill('SIGKILL')
  await once(child, 'close')
}

it('loses nothing and acknowledges nothing twice', async () => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  await serve(port)
  const api = new ApiClient(port)
  await api.put('work')
  const sent: string[] = []
  for (let i = 0; i < 3; i++) sent.push(...(await api.send('work', ...Array.from({ length: 200 }, (_, n) => `${i}-${n}`))))

  const handled: string[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const after = (count: number): Promise<void> =>
    handled.length >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve }))
  consumer = consume(
    'work',
    async ({ id }) => {
      // Longer than a request, so that messages are in hand when the server dies.
      await new Promise((resolve) => setTimeout(resolve, 20))
      handled.push(id)
      for (const w of waiting) if (handled.length >= w.count) w.resolve()
    },
    { url, concurrency: 16, lease_ms: 3_000, wait_ms: 5_000 },
  )
  for (const count of [100, 250]) {
    await after(count)
    await kill()
    await serve(port)
  }
  const empty = async (): Promise<boolean> => {
    const { ready = 0, leased = 0 } = await api.counts('work')
    return ready + leased === 0
  }
  while (!(await empty())) await new Promise((resolve) => setTimeout(resolve, 100))
  await consumer.stop()

  expect([...new Set(handled)].sort()).toEqual([...sent].sort())
  const { received, acknowledged, lost, failed, returned, running } = consumer.counts
  expect({ failed, returned, running }).toEqual({ failed: 0, returned: 0, running: 0 })
  expect(received).toBe(handled.length)
  expect(acknowledged + lost).toBe(received)
  // A message comes twice only where its acknowledgement was not answered or its lease was lost: those that were in hand at a kill.
  expect(acknowledged).toBeLessThanOrEqual(sent.length)
  expect(handled.length - sent.length).toBeLessThanOrEqual(2 * 16)
})
