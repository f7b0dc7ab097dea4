/**
 * The stall rig: messages flow to some healthy subscribers and to one that has stopped reading. The healthy ones must keep their rate and the
 * broker its memory; then the stalled one reads again and gets what it is owed.
 *
 *   npx tsx test/rigs/stall.ts --target aqueduct --messages 100000
 *
 * Each variant runs with all four reading and with one of them stalled, --repeat times in turn; the best rate of each counts, because on a shared machine
 * only the best of several runs says something about the program. The publisher stays at most --ahead messages in front of the slowest healthy
 * subscriber, so that nobody but the stalled one is too slow. Exit 1 below 95 % of the rate or above 150 MiB of growth.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MqttClient, packet, type QoS } from '../support/mqtt-client.js'
import { Options, pause } from './lib/options.js'
import { cpu_s, rss_mib, watchMemory } from './lib/process.js'
import { type Running, targetNamed } from './lib/target.js'

interface Variant {
  name: string
  qos: QoS
  persistent: boolean
}

const VARIANTS: readonly Variant[] = [
  { name: 'QoS 0', qos: 0, persistent: false },
  { name: 'QoS 1 clean', qos: 1, persistent: false },
  { name: 'QoS 1 persistent', qos: 1, persistent: true },
]

/** Reads PUBLISH packets of one fixed length from a socket, as fast as it can, and acknowledges them. */
class Meter {
  count = 0
  onMore: (() => void) | undefined
  private readonly length: number
  private readonly id_at: number
  private seen = 0
  private id = 0

  constructor(socket: Socket, length: number, id_at: number) {
    this.length = length
    this.id_at = id_at
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => this.take(socket, chunk))
  }

  private take(socket: Socket, chunk: Buffer): void {
    const from = this.seen
    const end = from + chunk.length
    this.seen = end
    const first = Math.floor(from / this.length)
    const last = Math.floor(end / this.length)
    if (this.id_at > 0) {
      const acks: Buffer[] = []
      for (let n = first; n * this.length < end; n++) {
        const high = n * this.length + this.id_at - from
        if (high >= 0 && high < chunk.length) this.id = chunk[high] << 8
        if (high + 1 >= 0 && high + 1 < chunk.length) this.id |= chunk[high + 1]
        if ((n + 1) * this.length <= end) acks.push(packet.puback(this.id))
      }
      if (acks.length > 0) socket.write(Buffer.concat(acks))
    }
    this.count += last - first
    if (last > first) this.onMore?.()
  }
}

interface Result {
  rate: number
  cpu_us: number
  before_mib: number
  top_mib: number
  drained: number
}

const TOPIC = 'stall/flow'
const BYTES = 1024

async function flow(broker: Running, v: Variant, messages: number, ahead: number, stalled: boolean): Promise<Result> {
  const head = 3 + 2 + TOPIC.length
  const length = head + (v.qos > 0 ? 2 : 0) + BYTES
  const clients: MqttClient[] = []
  const join_ = async (name: string): Promise<MqttClient> => {
    const client = await MqttClient.connect(broker.port, {
      client_id: name,
      clean: !v.persistent,
      auto_ack: false,
      timeout_ms: 20_000,
    })
    await client.subscribe(['stall/#', v.qos])
    clients.push(client)
    return client
  }
  const staller = await join_('staller')
  const stalled_meter = new Meter(staller.socket, length, v.qos > 0 ? head : 0)
  if (stalled) staller.socket.pause()
  const meters: Meter[] = []
  for (let i = 0; i < 3; i++) meters.push(new Meter((await join_(`healthy-${i}`)).socket, length, v.qos > 0 ? head : 0))
  const publisher = await MqttClient.connect(broker.port, { client_id: 'flow', auto_ack: false })
  clients.push(publisher)
  publisher.socket.removeAllListeners('data')
  publisher.socket.resume()
  const body = Buffer.alloc(BYTES, 'x')
  const before_mib = rss_mib(broker.pid)
  const top = watchMemory(broker.pid)
  const cpu = cpu_s(broker.pid)
  const began = process.hrtime.bigint()
  let sent = 0
  await new Promise<void>((resolve, reject) => {
    const limit = setTimeout(
      () => reject(new Error(`only ${meters.map((m) => m.count).join(', ')} of ${messages} after 120 s`)),
      120_000,
    )
    const more = (): void => {
      const slowest = Math.min(...meters.map((m) => m.count))
      if (slowest >= messages) {
        clearTimeout(limit)
        resolve()
        return
      }
      const batch: Buffer[] = []
      while (sent < messages && sent - slowest < ahead && batch.length < 64) {
        sent++
        batch.push(packet.publish(TOPIC, body, { qos: v.qos, id: (sent % 65535) + 1 }))
      }
      if (batch.length > 0) publisher.socket.write(Buffer.concat(batch))
    }
    // The next batch leaves when the slowest has a quarter of the lead less.
    for (const meter of meters) meter.onMore = () => sent - Math.min(...meters.map((m) => m.count)) < (3 * ahead) / 4 && more()
    const tick = setInterval(() => {
      more()
      if (Math.min(...meters.map((m) => m.count)) >= messages) clearInterval(tick)
    }, 2)
    limit.unref()
    more()
  })
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  const cpu_us = ((cpu_s(broker.pid) - cpu) * 1e6) / messages
  const top_mib = top()
  let drained = 0
  if (stalled) {
    staller.socket.resume()
    let last = -1
    for (let i = 0; i < 200 && (stalled_meter.count !== last || i < 10); i++) {
      last = stalled_meter.count
      await pause(150)
    }
    drained = stalled_meter.count
  }
  for (const client of clients) await client.disconnect()
  return { rate: messages / seconds, cpu_us, before_mib, top_mib, drained }
}

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const target = targetNamed(o.text('target', 'aqueduct'))
  const messages = o.number('messages', 100_000)
  const repeat = o.number('repeat', 3)
  const ahead = o.number('ahead', 500)
  let clean = true
  for (const v of VARIANTS) {
    const best = { alone: 0, beside: 0, cpu_alone: Infinity, cpu_beside: Infinity, growth: 0, drained: 0 }
    let failure = ''
    for (let i = 0; i < repeat * 2 && failure === ''; i++) {
      const stalled = i % 2 === 1
      const dir = mkdtempSync(join(tmpdir(), 'rig-stall-'))
      const broker = await target.start(dir)
      try {
        await flow(broker, { ...v, persistent: false }, Math.min(messages, 20_000), ahead, false)
        const r = await flow(broker, v, messages, ahead, stalled)
        if (stalled) {
          best.beside = Math.max(best.beside, r.rate)
          best.cpu_beside = Math.min(best.cpu_beside, r.cpu_us)
          best.growth = Math.max(best.growth, r.top_mib - r.before_mib)
          best.drained = r.drained
        } else {
          best.alone = Math.max(best.alone, r.rate)
          best.cpu_alone = Math.min(best.cpu_alone, r.cpu_us)
        }
      } catch (error) {
        failure = `${stalled ? 'stalled' : 'all reading'}: ${error instanceof Error ? error.message : String(error)} ${broker.stderr().slice(-1500)}`
      } finally {
        await broker.kill()
        rmSync(dir, { recursive: true, force: true })
      }
    }
    const share = best.beside / best.alone
    const kept = failure === '' && share >= 0.95 && best.growth <= 150
    if (!kept) clean = false
    console.log(
      failure !== ''
        ? `${target.name} stall, ${v.name}: ${failure}: BROKEN`
        : `${target.name} stall, ${v.name}: ${Math.round(best.alone)} messages/s to each of 3 while all read, ${Math.round(best.beside)} beside a ` +
            `stalled reader (${(share * 100).toFixed(1)} %); CPU ${best.cpu_alone.toFixed(1)} and ${best.cpu_beside.toFixed(1)} us a message; memory +` +
            `${best.growth.toFixed(0)} MiB; the stalled one then read ${best.drained} of ${messages}: ${kept ? 'kept' : 'BROKEN'}`,
    )
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
