/** The program with a small heap, from outside: what one client can make it keep has a bound, or it would end here. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Attack, Ground } from './rigs/hostile/attack.js'
import { neverReads } from './rigs/hostile/never-reads.js'
import { everNewTopics } from './rigs/hostile/overlapping.js'
import { MqttClient } from './support/mqtt-client.js'
import { Child } from './support/processes.js'

const HEAP_MIB = 100
let dir: string
let broker: Child
let port: number
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'hostile-'))
  const heap = `--max-old-space-size=${HEAP_MIB}`
  const settings = [`store.path=${dir}`, 'mqtt.port=0', 'http.port=off', 'store.durability=memory']
  broker = new Child(process.execPath, [
    heap,
    '--import',
    'tsx',
    'src/main.ts',
    'serve',
    ...settings.flatMap((s) => ['--set', s]),
  ])
  const [line] = await broker.has(1)
  port = Number(/:(\d+)/.exec(line ?? '')?.[1])
})
afterEach(async () => {
  await broker.stop('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})

/** Until the broker has taken so many bytes from the attackers, or will take no more, or a time that is long for either. */
async function attack(one: Attack, limit_ms: number): Promise<void> {
  const ground = new Ground({ port, http_port: 0, scale: 0.1 })
  const run = one.run(ground)
  await ground.pause(limit_ms)
  ground.end()
  await run
}

test.each([neverReads, everNewTopics])('$name: it lives, and serves others', { timeout: 60_000 }, async (one) => {
  await attack(one, 8_000)
  const client = await MqttClient.connect(port, { client_id: 'after', timeout_ms: 20_000 })
  await client.ping()
  await client.disconnect()
  expect(broker.complaints).not.toMatch(/heap|fatal/i)
})
