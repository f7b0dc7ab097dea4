/** The program with a small heap, from outside: what one client can make it keep has a bound, or it would end here. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Attack, Ground } from './rigs/hostile/attack.js'
import { neverReads } from './rigs/hostile/never-reads.js'
import { everNewTopics } from './rigs/hostile/overlapping.js'
import { watchMemory } from './rigs/lib/process.js'
import { MqttClient } from './support/mqtt-client.js'
import { Child } from './support/processes.js'

const HEAP_MIB = 100
let dir: string
let broker: Child
let port: number
let http_port: number
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'hostile-'))
  const heap = `--max-old-space-size=${HEAP_MIB}`
  const settings = [`store.path=${dir}`, 'mqtt.port=0', 'http.port=0', 'store.durability=memory']
  broker = new Child(process.execPath, [
    heap,
    '--import',
    'tsx',
    'src/main.ts',
    'serve',
    ...settings.flatMap((s) => ['--set', s]),
  ])
  const lines = (await broker.has(2)).join('\n')
  port = Number(/mqtt .*:(\d+)/.exec(lines)?.[1])
  http_port = Number(/http .*:(\d+)/.exec(lines)?.[1])
})
afterEach(async () => {
  await broker.stop('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})

/** Answers and routes are outside the heap as much as in it. */
const RSS_MIB_MAX = 400

/** So many messages must have come before it is over, where the machine is quick enough: to as many topics if they are ever new. */
const MESSAGES = 40_000

/** Goes on until what the attack names is counted, and some time more. Returns the most memory that the broker had meanwhile. */
async function attack(one: Attack): Promise<number> {
  const ground = new Ground({ port, http_port, scale: 0.1 })
  const top = watchMemory(broker.pid)
  const run = one.run(ground)
  for (let s = 0; s < 60 && !((await counted(one.counted)) > 0); s++) await ground.pause(1_000)
  expect(await counted(one.counted)).toBeGreaterThan(0)
  if (one === everNewTopics)
    for (let s = 0; s < 40 && (await counted(/^aqueduct_messages_received_total/)) < MESSAGES; s++) await ground.pause(1_000)
  await ground.pause(6_000)
  ground.end()
  await run
  return top()
}

async function counted(name = /^$/): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${http_port}/metrics`)).text()
  const lines = text.split('\n').filter((line) => name.test(line) && line !== '')
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

test.each([neverReads, everNewTopics])('$name: it lives, and serves others', { timeout: 120_000 }, async (one) => {
  const rss_mib = await attack(one)
  const client = await MqttClient.connect(port, { client_id: 'after', timeout_ms: 20_000 })
  await client.ping()
  await client.disconnect()
  expect(rss_mib).toBeLessThan(RSS_MIB_MAX)
  expect(broker.complaints).not.toMatch(/heap|fatal/i)
})
