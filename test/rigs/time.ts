/**
 * The rig for what happens by time: devices of MQTT 5 with session expiry and delayed wills come, go and come back while the broker is killed again and again;
 * messages with an expiry wait in the sessions of others, and the wall clock is set again and again. A witness collects the wills at QoS 2. Before that, scenes of
 * one step of the clock each (lib/steps.ts).
 *
 *   npx tsx test/rigs/time.ts --rounds 10 --seed 1
 *
 * Options: --rounds, --seed, --devices (a round), --dir (kept), --short (one line). Exit 1 when a will is sent twice, not at all, too early, too late or though it
 * was taken back; when a session ends too early or too late; when an expired message is delivered or one that has not expired is lost.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MqttClient, packet, T } from '../support/mqtt-client.js'
import { faults, type Life, type Outage, PROMPT_MS } from './lib/fates.js'
import { Options, pause } from './lib/options.js'
import { Seeded } from './lib/seeded.js'
import { SCENES, SHORT_SCENES, StepRun } from './lib/steps.js'
import { type Running, type Target, targetNamed } from './lib/target.js'
import { WallClock } from './lib/wall-clock.js'

const DELAYS_S = [0, 1, 2, 3]
const EXPIRIES_S = [0, 1, 2, 30]
/** What the wall clock is ahead by. */
const STEPS_MS = [0, 3_000, -3_000, 3_600_000, -3_600_000, 864_000_000, -864_000_000]
/** All that a round leaves is over by then. */
const LONGEST_MS = 3_000

interface Sent {
  readonly key: string
  readonly asked: number
  acked: number
  readonly expiry_s: number
}

class TimeRun {
  readonly found: string[] = []
  wills = 0
  expired = 0
  delivered = 0
  kills = 0
  /** Of the wall clock. */
  steps = 0
  private readonly outages: Outage[] = []
  private readonly target: Target
  private readonly dir: string
  private readonly random: Seeded
  private readonly lives: Life[] = []
  private readonly arrivals = new Map<string, number[]>()
  private broker!: Running
  private clock!: WallClock
  private up: Promise<void> = Promise.resolve()
  private witness: MqttClient | undefined
  /** Identifiers that the witness holds, over reconnects, as a correct receiver of QoS 2 does. */
  private readonly open_ids = new Set<number>()

  constructor(target: Target, dir: string, random: Seeded) {
    this.target = target
    this.dir = dir
    this.random = random
  }

  async begin(clock: WallClock): Promise<void> {
    this.clock = clock
    this.broker = await this.start()
    await this.watch()
    await this.witness?.subscribe(['will/#', 2])
  }

  async round(round: number, devices: number): Promise<void> {
    const lives = Array.from({ length: devices }, (_, i) => this.live(`d${round}-${i}`))
    const waiting = this.messages(round)
    const kills = this.random.between(1, 2)
    for (let i = 0; i < kills; i++) {
      await pause(this.random.between(100, 900))
      this.step()
      await pause(this.random.between(100, 900))
      await this.kill()
    }
    await Promise.all(lives)
    await waiting
    await pause(LONGEST_MS + 2 * PROMPT_MS)
    this.judge()
  }

  async end(): Promise<void> {
    this.witness?.destroy()
    await this.broker.kill()
  }

  /** kill -9, some time without a broker, and a start on the same folder. */
  private async kill(): Promise<void> {
    const from = performance.now()
    let ready: () => void = () => {}
    this.up = new Promise((resolve) => {
      ready = resolve
    })
    await this.broker.kill()
    this.kills++
    await pause(this.random.chance(0.5) ? 0 : this.random.between(0, 1_500))
    if (this.random.chance(0.5)) this.step()
    this.broker = await this.start()
    this.outages.push({ from, to: performance.now() })
    await this.watch()
    ready()
  }

  private start(): Promise<Running> {
    return this.target.start(this.dir, { env: this.clock.env })
  }

  /** Somebody sets the wall clock. */
  private step(): void {
    this.steps++
    this.clock.set(this.random.pick(STEPS_MS))
  }

  private async watch(): Promise<void> {
    this.witness?.destroy()
    this.witness = await MqttClient.connect(this.broker.port, {
      client_id: 'witness',
      clean: false,
      onPacket: (p) => {
        if (p.type === T.PUBREL) this.open_ids.delete(p.id)
        if (p.type !== T.PUBLISH || this.open_ids.has(p.id)) return
        this.open_ids.add(p.id)
        const times = this.arrivals.get(p.topic)
        if (times === undefined) this.arrivals.set(p.topic, [performance.now()])
        else times.push(performance.now())
      },
    })
  }

  /** A connection, or undefined when the broker died in the middle. */
  private async connect(client_id: string, clean: boolean, expiry_s: number, will?: { topic: string; delay_s: number }) {
    await this.up
    const asked = performance.now()
    try {
      const client = await MqttClient.connect(this.broker.port, {
        client_id,
        clean,
        protocol: 5,
        properties: { sessionExpiryInterval: expiry_s },
        ...(will === undefined
          ? {}
          : { will: { topic: will.topic, payload: 'gone', qos: 2, properties: { willDelayInterval: will.delay_s } } }),
      })
      if (client.connack?.code !== 0) throw new Error(`refused: ${client.connack?.code}`)
      return { client, asked, granted: performance.now(), present: client.connack.present }
    } catch {
      return undefined
    }
  }

  /** One device: it comes with a will, goes in one way or another, and may come back. */
  private async live(name: string): Promise<void> {
    const { random } = this
    const expiry_s = random.pick(EXPIRIES_S)
    const delay_s = random.pick(DELAYS_S)
    const how = random.pick(['drop', 'drop', 'bye', 'bye with will', 'stay'])
    const comes_back = random.chance(0.6)
    const [before, stays, away] = [random.between(0, 1_500), random.between(0, 1_500), random.between(0, 3_500)]
    const clean = random.chance(0.25)
    await pause(before)
    const life: Life = { name, expiry_s, delay_s, lost: Number.POSITIVE_INFINITY, end: 'unsure', back: undefined, tried: false }
    const topic = `will/${name}`
    const first = await this.connect(name, random.chance(0.5), expiry_s, { topic, delay_s })
    this.lives.push(life)
    if (first === undefined) return
    this.wills++
    const { client } = first
    let closed = false
    void client.closed.then(() => {
      // The broker died under it.
      closed = true
      if (life.lost === Number.POSITIVE_INFINITY) life.lost = performance.now() - PROMPT_MS
    })
    // Until the broker dies, if it does once more in this round.
    await (how === 'stay' ? Promise.race([client.closed, pause(2_500)]) : pause(stays))
    life.end = 'dropped'
    if (!closed) {
      life.lost = performance.now()
      if (how === 'drop' || how === 'stay') client.destroy()
      else {
        client.send(packet.reason(T.DISCONNECT, how === 'bye' ? 0 : 4))
        await client.closed
      }
      if (how === 'bye') life.end = (await this.barrier(life.lost)) ? 'told' : 'unsure'
    }
    if (!comes_back) return
    await pause(away)
    const second = await this.connect(name, clean, 0)
    life.tried = second === undefined
    if (second === undefined) return
    const { asked, granted, present } = second
    life.back = { asked, granted, clean, present }
    second.client.send(packet.reason(T.DISCONNECT, 0))
    await second.client.closed
  }

  /** True when something that came later is committed, by the same broker. */
  private async barrier(since: number): Promise<boolean> {
    const { pid } = this.broker
    const client = (await this.connect(`barrier-${since}`, true, 0))?.client
    try {
      await client?.publishAndWait('barrier', 'x', { qos: 1, retain: true })
      return client !== undefined && this.broker.pid === pid && !this.outages.some(({ to }) => to > since)
    } catch {
      return false
    } finally {
      client?.destroy()
    }
  }

  /** A session that is away while messages of several expiries come in for it, and while the broker dies. */
  private async messages(round: number): Promise<void> {
    const name = `sleeper-${round}`
    const topic = `for/${name}`
    const sleeper = (await this.connect(name, true, 600))?.client
    const granted = await sleeper?.subscribe([topic, 2]).catch(() => undefined)
    sleeper?.destroy()
    if (granted === undefined) return
    const sent: Sent[] = []
    for (let i = 0; i < 60; i++) {
      const publisher = await this.connect(`publisher-${round}`, true, 0)
      if (publisher === undefined) continue
      try {
        for (; i < 60; i++) {
          const expiry_s = this.random.pick([0, 1, 2, 60])
          const message = { key: `${round}-${i}`, asked: performance.now(), acked: 0, expiry_s }
          sent.push(message)
          const properties = expiry_s === 0 ? {} : { messageExpiryInterval: expiry_s }
          await publisher.client.publishAndWait(topic, message.key, { qos: 1, properties })
          message.acked = performance.now()
          await pause(this.random.between(0, 60))
        }
      } catch {
        // The broker died; the last one may be there or not.
      }
      publisher.client.destroy()
    }
    const heard = new Map<string, number>()
    let back: Awaited<ReturnType<TimeRun['connect']>>
    while (back === undefined) back = await this.connect(name, false, 600)
    back.client.onPacket = (p) => {
      if (p.type === T.PUBLISH) heard.set(p.payload.toString(), performance.now())
    }
    for (const p of back.client.inbox.splice(0)) back.client.onPacket(p)
    await pause(PROMPT_MS)
    for (const { key, acked, asked, expiry_s } of sent) {
      const at = heard.get(key)
      const ends = expiry_s === 0 ? Number.POSITIVE_INFINITY : expiry_s * 1000
      if (at === undefined) {
        if (acked === 0 || back.granted + PROMPT_MS > asked + ends) this.expired += acked === 0 ? 0 : 1
        else if (!back.client.is_closed) this.found.push(`message ${key} is lost`)
        continue
      }
      this.delivered++
      if (acked > 0 && at > acked + ends + PROMPT_MS)
        this.found.push(`message ${key} came ${Math.round(at - acked - ends)} ms after its expiry`)
    }
    back.client.destroy()
  }

  private judge(): void {
    for (const life of this.lives.splice(0)) {
      const sent = this.arrivals.get(`will/${life.name}`) ?? []
      for (const fault of faults(life, sent, this.outages))
        this.found.push(`will of ${life.name}: ${fault}: ${JSON.stringify(life)}`)
    }
  }
}

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const rounds = o.number('rounds', 10)
  const seed = o.number('seed', 1)
  const given = o.text('dir', '')
  const dir = given === '' ? mkdtempSync(join(tmpdir(), 'rig-time-')) : given
  const began = performance.now()
  const work = mkdtempSync(join(tmpdir(), 'rig-time-clock-'))
  const clock = new WallClock(work)
  const stepped = join(work, 'stepped')
  mkdirSync(stepped)
  const steps = new StepRun(targetNamed('aqueduct'), stepped, clock)
  const run = new TimeRun(targetNamed('aqueduct'), dir, new Seeded(seed))
  try {
    await steps.run(o.flag('short') ? SHORT_SCENES : SCENES)
    run.found.push(...steps.found)
    clock.set(0)
    await run.begin(clock)
    try {
      for (let round = 0; round < rounds; round++) {
        await run.round(round, o.number('devices', 150))
        if (!o.flag('short')) console.log(`round ${round}: ${run.wills} wills, ${run.kills} kills, ${run.found.length} wrong`)
      }
    } finally {
      await run.end()
    }
    const kept = run.found.length === 0
    for (const fault of run.found.slice(0, 20)) console.log(`  ${fault}`)
    console.log(
      `aqueduct time: ${run.kills} kills in ${rounds} rounds, seed ${seed}: ${run.wills} wills, ${run.delivered} messages delivered, ${run.expired} expired, ` +
        `${run.steps} steps of the clock in them, ${steps.scenes} scenes of steps; ${run.found.length} wrong, ${Math.round((performance.now() - began) / 1000)} s: ${kept ? 'kept' : 'BROKEN'}`,
    )
    return kept
  } finally {
    rmSync(work, { recursive: true, force: true })
    if (given === '') rmSync(dir, { recursive: true, force: true })
  }
}

main().then(
  (kept) => process.exit(kept ? 0 : 1),
  (error: unknown) => {
    console.error(error)
    process.exit(2)
  },
)
