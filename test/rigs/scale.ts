/**
 * The scale rig, one part at a time:
 *
 *   filters        1,000 filters in one session: subscribe, and reconnect to the stored session
 *   subscriptions  100,000 stored subscriptions (1,000 sessions of 100): start-up time
 *   idle           5,000 idle connections: memory of each
 *   backlog        a million waiting messages: restart time and memory against an empty store, and the drain against that of an empty broker
 *
 *   npx tsx test/rigs/scale.ts --target aqueduct [--part filters,idle] [--messages 1000000] [--connections 5000]
 *
 * Exit 1 where a figure misses its bar: 1 s; 2 s; 8 KiB; 2 s, 50 MiB and 2 times the CPU. Connections need a limit of open files above their number.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MqttClient, packet, type QoS, T } from '../support/mqtt-client.js'
import { Options, pause } from './lib/options.js'
import { cpu_s, rss_mib } from './lib/process.js'
import { type Running, type Target, targetNamed } from './lib/target.js'

interface Part {
  lines: string[]
  kept: boolean
}

/** CPU of a drained message: of a million that come from the disk, and of a few that are in memory still. Reading is the difference. */
const DRAIN_CPU_RATIO = 2

const ms = (since: number): number => Math.round(performance.now() - since)

async function filters(target: Target, dir: string): Promise<Part> {
  const broker = await target.start(dir)
  try {
    const list = Array.from({ length: 1000 }, (_, i): [string, QoS] => [`f/${i}/+`, 1])
    const options = { client_id: 'many', clean: false, timeout_ms: 90_000 }
    const client = await MqttClient.connect(broker.port, options)
    let began = performance.now()
    const codes = await client.subscribe(...list)
    const subscribe_ms = ms(began)
    await client.disconnect()
    began = performance.now()
    const again = await MqttClient.connect(broker.port, options)
    await again.ping()
    const reconnect_ms = ms(began)
    began = performance.now()
    await again.subscribe(...list)
    const resubscribe_ms = ms(began)
    const sender = await MqttClient.connect(broker.port, { client_id: 'sender' })
    await sender.publishAndWait('f/999/x', 'here', { qos: 1 })
    await again.expect(T.PUBLISH)
    await again.disconnect()
    await sender.disconnect()
    const right = codes.length === 1000 && codes.every((code) => code === 1)
    return {
      lines: [
        `1,000 filters: subscribed in ${subscribe_ms} ms, reconnected in ${reconnect_ms} ms, subscribed again in ${resubscribe_ms} ms`,
      ],
      kept: right && Math.max(subscribe_ms, reconnect_ms, resubscribe_ms) < 1000,
    }
  } finally {
    await broker.kill()
  }
}

async function subscriptions(target: Target, dir: string): Promise<Part> {
  let broker = await target.start(dir)
  const empty_ms = broker.start_ms
  const empty_mib = rss_mib(broker.pid)
  try {
    const began = performance.now()
    for (let session = 0; session < 1000; session++) {
      const client = await MqttClient.connect(broker.port, { client_id: `s-${session}`, clean: false, timeout_ms: 60_000 })
      await client.subscribe(...Array.from({ length: 100 }, (_, i): [string, QoS] => [`s/${session}/${i}/#`, 1]))
      await client.disconnect()
      if (ms(began) > 240_000) throw new Error(`only ${session} of 1,000 sessions in 240 s`)
    }
    const made_ms = ms(began)
    await broker.kill()
    broker = await target.start(dir)
    const rss = rss_mib(broker.pid)
    const sender = await MqttClient.connect(broker.port, { client_id: 'sender' })
    await sender.publishAndWait('s/999/99/x', 'here', { qos: 1 })
    await sender.disconnect()
    const reader = await MqttClient.connect(broker.port, { client_id: 's-999', clean: false })
    await reader.expect(T.PUBLISH)
    return {
      lines: [
        `100,000 subscriptions of 1,000 sessions: made in ${made_ms} ms; start in ${broker.start_ms} ms (empty ${empty_ms} ms), ` +
          `${rss.toFixed(0)} MiB (empty ${empty_mib.toFixed(0)} MiB)`,
      ],
      kept: broker.start_ms < 2000,
    }
  } finally {
    await broker.kill()
  }
}

async function idle(target: Target, dir: string, connections: number): Promise<Part> {
  const broker = await target.start(dir)
  const clients: MqttClient[] = []
  try {
    const open = async (from: number, count: number): Promise<void> => {
      for (let i = from; i < from + count; i += 50) {
        const some = Array.from({ length: Math.min(50, from + count - i) }, (_, n) =>
          MqttClient.connect(broker.port, { client_id: `idle-${i + n}`, timeout_ms: 60_000 }),
        )
        clients.push(...(await Promise.all(some)))
      }
    }
    // The first few pay for code and buffers that all share.
    await open(0, 200)
    await pause(500)
    const before = rss_mib(broker.pid)
    const began = performance.now()
    await open(200, connections)
    const took_ms = ms(began)
    await pause(1500)
    const each_kib = ((rss_mib(broker.pid) - before) * 1024) / connections
    const held = clients.filter((c) => !c.is_closed && c.connack?.code === 0).length
    await clients[clients.length - 1].ping()
    return {
      lines: [`${held} of ${connections + 200} idle connections held, opened in ${took_ms} ms, ${each_kib.toFixed(1)} KiB each`],
      kept: held === connections + 200 && each_kib <= 8,
    }
  } finally {
    for (const client of clients) client.destroy()
    await broker.kill()
  }
}

const BODY = Buffer.alloc(100, 'b')

/** Publishes at QoS 1 with up to 1,000 in flight. */
async function fill(broker: Running, messages: number): Promise<number> {
  const client = await MqttClient.connect(broker.port, { client_id: 'filler', auto_ack: false })
  const began = performance.now()
  let sent = 0
  let acked = 0
  await new Promise<void>((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`only ${acked} of ${messages} stored in 300 s`)), 300_000)
    let waiting = false
    const more = (): void => {
      waiting = false
      const batch: Buffer[] = []
      while (sent < messages && sent - acked < 1000) {
        sent++
        batch.push(packet.publish(`b/${sent % 10}`, BODY, { qos: 1, id: (sent % 65535) + 1 }))
      }
      if (batch.length > 0) client.send(Buffer.concat(batch))
    }
    client.onPacket = (p) => {
      if (p.type !== T.PUBACK) return
      acked++
      if (acked === messages) {
        clearTimeout(limit)
        resolve()
      } else if (!waiting) {
        waiting = true
        setImmediate(more)
      }
    }
    more()
  })
  await client.disconnect()
  return (messages * 1000) / (performance.now() - began)
}

interface Drained {
  rate: number
  cpu_us: number
  got: number
}

/** Sessions `from` ≤ i < `to` come back at once and take what waits for them. */
async function drain(broker: Running, from: number, to: number, each: number): Promise<Drained> {
  const cpu = cpu_s(broker.pid)
  const began = performance.now()
  const counts = await Promise.all(Array.from({ length: to - from }, (_, i) => drainOne(broker, `b-${from + i}`, each)))
  const seconds = (performance.now() - began) / 1000
  const got = counts.reduce((sum, n) => sum + n, 0)
  return { rate: got / seconds, cpu_us: ((cpu_s(broker.pid) - cpu) * 1e6) / got, got }
}

async function drainOne(broker: Running, client_id: string, each: number): Promise<number> {
  const client = await MqttClient.connect(broker.port, { client_id, clean: false })
  let mine = client.inbox.splice(0).filter((p) => p.type === T.PUBLISH).length
  await new Promise<void>((resolve) => {
    let last = performance.now()
    const timer = setInterval(() => {
      if (mine < each && performance.now() - last < 5000) return
      clearInterval(timer)
      resolve()
    }, 5)
    client.onPacket = (p) => {
      if (p.type !== T.PUBLISH) return
      mine++
      last = performance.now()
    }
  })
  await client.disconnect()
  return mine
}

const shown = ({ rate, cpu_us }: Drained): string => `${Math.round(rate)}/s, ${cpu_us.toFixed(1)} us CPU each`

async function backlog(target: Target, dir: string, messages: number): Promise<Part> {
  // Ten sessions with a tenth each, below the limit of one session's queue.
  const sessions = 10
  const subscribe = async (port: number): Promise<void> => {
    for (let i = 0; i < sessions; i++) {
      const client = await MqttClient.connect(port, { client_id: `b-${i}`, clean: false })
      await client.subscribe([`b/${i}`, 1])
      await client.disconnect()
    }
  }
  let broker = await target.start(dir)
  try {
    await subscribe(broker.port)
    await broker.stop()
    broker = await target.start(dir)
    await pause(500)
    const empty = { ms: broker.start_ms, mib: rss_mib(broker.pid) }
    const stored = await fill(broker, messages)
    const filled_mib = rss_mib(broker.pid)
    await broker.kill()
    broker = await target.start(dir)
    await pause(500)
    const full = { ms: broker.start_ms, mib: rss_mib(broker.pid) }
    const each = messages / sessions
    // Alone, a session reads rows that it shares with nine others; together they share the reading.
    const alone = await drain(broker, 0, 1, each)
    const together = await drain(broker, 1, sessions, each)
    // The same after a short backlog: what an empty broker does.
    const few = Math.min(50_000, messages / 10)
    await fill(broker, few)
    const short = await drain(broker, 0, sessions, few / sessions)
    return {
      lines: [
        `${messages} waiting: stored at ${Math.round(stored)}/s (${filled_mib.toFixed(0)} MiB then); after kill -9 start in ${full.ms} ms ` +
          `(empty ${empty.ms} ms), ${full.mib.toFixed(0)} MiB (empty ${empty.mib.toFixed(0)} MiB); nine sessions drained theirs at ` +
          `${shown(together)}, one alone at ${shown(alone)} (all ten, a backlog of ${few}: ${shown(short)})`,
      ],
      kept:
        alone.got + together.got >= messages &&
        full.ms < 2000 &&
        full.mib - empty.mib <= 50 &&
        together.cpu_us <= short.cpu_us * DRAIN_CPU_RATIO,
    }
  } finally {
    await broker.kill()
  }
}

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const target = targetNamed(o.text('target', 'aqueduct'))
  let clean = true
  for (const part of o.text('part', 'filters,subscriptions,idle,backlog').split(',')) {
    const dir = mkdtempSync(join(tmpdir(), 'rig-scale-'))
    let result: Part
    try {
      if (part === 'filters') result = await filters(target, dir)
      else if (part === 'subscriptions') result = await subscriptions(target, dir)
      else if (part === 'idle') result = await idle(target, dir, o.number('connections', 5000))
      else if (part === 'backlog') result = await backlog(target, dir, o.number('messages', 1_000_000))
      else throw new Error(`no part ${part}`)
    } catch (error) {
      result = { lines: [`${part}: ${error instanceof Error ? error.message : String(error)}`], kept: false }
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
    if (!result.kept) clean = false
    for (const line of result.lines) console.log(`${target.name} scale, ${line}: ${result.kept ? 'kept' : 'BROKEN'}`)
  }
  return clean
}

main().then(
  (clean) => process.exit(clean ? 0 : 1),
  (error: unknown) => {
    console.error(error)
    process.exit(2)
  },
)
