/**
 * Scenes in which somebody sets the wall clock: while the broker runs, while it is killed and started again, and over a start of the machine. What was to happen
 * after two seconds happens after two seconds, and what was to last an hour is there.
 */
import { MqttClient, T } from '../../support/mqtt-client.js'
import { PROMPT_MS } from './fates.js'
import { pause } from './options.js'
import type { Running, Target } from './target.js'
import type { WallClock } from './wall-clock.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SOON_MS = 2_000

export type When = 'running' | 'restart' | 'reboot'

export interface Scene {
  readonly when: When
  readonly step_ms: number
  /** The clock is set back after so long. */
  readonly back_ms?: number
}

/** Each step there is, at each time. A clock without a battery stands behind at a start, and is set right soon. */
export const SCENES: readonly Scene[] = [
  ...(['running', 'restart'] as const).flatMap((when) => [
    ...[3_000, HOUR_MS, 10 * DAY_MS].flatMap((ms) => [
      { when, step_ms: ms },
      { when, step_ms: -ms },
    ]),
    { when, step_ms: 10 * DAY_MS, back_ms: 2_000 },
  ]),
  { when: 'reboot', step_ms: 0 },
  { when: 'reboot', step_ms: -10 * DAY_MS, back_ms: 500 },
  { when: 'reboot', step_ms: 10_000 * DAY_MS, back_ms: 500 },
]

/** One of each kind. */
export const SHORT_SCENES: readonly Scene[] = [
  { when: 'running', step_ms: -HOUR_MS },
  { when: 'running', step_ms: 10 * DAY_MS, back_ms: 2_000 },
  { when: 'restart', step_ms: 10 * DAY_MS },
  { when: 'reboot', step_ms: -10 * DAY_MS, back_ms: 500 },
]

interface Answer {
  readonly messages: { readonly body: string; readonly receipt: string; readonly accepted_at: number }[]
}

export class StepRun {
  readonly found: string[] = []
  scenes = 0
  private readonly target: Target
  private readonly dir: string
  private readonly clock: WallClock
  private broker!: Running
  private witness!: MqttClient
  private readonly heard = new Map<string, number>()
  /** How long nobody was there, and whether the broker can know. */
  private away_ms = 0

  constructor(target: Target, dir: string, clock: WallClock) {
    this.target = target
    this.dir = dir
    this.clock = clock
  }

  async run(scenes: readonly Scene[]): Promise<void> {
    await this.start()
    try {
      await this.ask('PUT', '/v1/queues/jobs', { dedup_window_s: 3_600 })
      for (const scene of scenes) await this.scene(scene)
    } finally {
      await this.broker.kill()
    }
  }

  private async start(): Promise<void> {
    this.broker = await this.target.start(this.dir, { env: this.clock.env, settings: ['http.port=0'], limit_ms: 120_000 })
    this.witness = await MqttClient.connect(this.broker.port, {
      client_id: 'witness',
      clean: false,
      onPacket: (p) => {
        const text = p.type === T.PUBLISH ? p.payload.toString() : ''
        if (text !== '' && !this.heard.has(text)) this.heard.set(text, performance.now())
      },
    })
    await this.witness.subscribe(['soon', 1])
  }

  private async scene(scene: Scene): Promise<void> {
    const n = ++this.scenes
    const name = JSON.stringify(scene)
    const steps = await this.steps()
    const from = performance.now()
    await this.prepare(n)
    const until = performance.now()
    await this.set(scene)
    if (scene.when === 'running') await this.early(name, from)
    const last = until + SOON_MS + this.away_ms + PROMPT_MS
    await pause(last - performance.now())
    await this.judge(n, name, { from: from + SOON_MS, to: last })
    const seen = (await this.steps()) - (scene.when === 'running' ? steps : 0)
    const meant = (scene.step_ms === 0 ? 0 : 1) + (scene.back_ms === undefined ? 0 : 1)
    if (seen !== meant) this.found.push(`${name}: ${seen} steps counted, there were ${meant}`)
    if (meant > 0 && !/"wall clock|the wall clock (was set|stands)/.test(this.broker.stderr()))
      this.found.push(`${name}: nothing is said about the step`)
  }

  /** All that is to happen in two seconds, and what is to last. */
  private async prepare(n: number): Promise<void> {
    const { port } = this.broker
    await this.ask('POST', '/v1/queues/jobs/messages', { body: `leased ${n}`, dedup_id: `id ${n}` })
    const leased = await this.receive(SOON_MS)
    if (leased.messages[0]?.body !== `leased ${n}`) this.found.push(`scene ${n}: found ${JSON.stringify(leased)}`)
    await this.ask('POST', '/v1/queues/jobs/messages', { body: `delayed ${n}`, delay_ms: SOON_MS })
    for (const expiry_s of [2, 3_600]) {
      const client_id = `away-${expiry_s}-${n}`
      const client = await MqttClient.connect(port, { ...five, client_id, properties: { sessionExpiryInterval: expiry_s } })
      await client.subscribe([`for/${n}`, 1])
      await client.disconnect()
    }
    for (const expiry_s of [1, 3_600]) {
      const properties = { messageExpiryInterval: expiry_s }
      const publisher = await MqttClient.connect(port, { ...five, client_id: 'publisher' })
      await publisher.publishAndWait(`for/${n}`, `worth ${expiry_s}`, { qos: 1, properties })
      await publisher.publishAndWait(`$delayed/2/soon`, `published ${n}`, { qos: 1 })
      publisher.destroy()
    }
    const dying = await MqttClient.connect(port, {
      ...five,
      client_id: `dying-${n}`,
      properties: { sessionExpiryInterval: 600 },
      will: { topic: 'soon', payload: `will ${n}`, qos: 1, properties: { willDelayInterval: 2 } },
    })
    dying.destroy()
  }

  private async set({ when, step_ms, back_ms }: Scene): Promise<void> {
    const { clock } = this
    this.away_ms = 0
    if (when === 'running') clock.set(clock.shift_ms + step_ms)
    else {
      const began = performance.now()
      this.witness.destroy()
      await this.broker.kill()
      if (when === 'reboot') clock.reboot()
      clock.set(clock.shift_ms + step_ms)
      await this.start()
      this.away_ms = performance.now() - began
    }
    if (back_ms === undefined) return
    await pause(back_ms)
    clock.set(clock.shift_ms - step_ms)
  }

  /** Nothing comes before its time. */
  private async early(name: string, from: number): Promise<void> {
    const left = from + SOON_MS - 500 - performance.now()
    if (left <= 0) return
    await pause(left)
    const { messages } = await this.receive(100)
    if (messages.length > 0) this.found.push(`${name}: ${JSON.stringify(messages)} came too early`)
  }

  private async judge(n: number, name: string, { from, to }: { from: number; to: number }): Promise<void> {
    for (const text of [`will ${n}`, `published ${n}`]) {
      const at = this.heard.get(text)
      if (at === undefined || at < from - 50 || at > to)
        this.found.push(`${name}: ${text} came ${at === undefined ? 'not at all' : `${Math.round(at - from)} ms after its time`}`)
    }
    const { messages } = await this.receive(10_000)
    const bodies = messages.map((m) => m.body).sort()
    if (bodies.join() !== `delayed ${n},leased ${n}`) this.found.push(`${name}: received ${bodies.join()}`)
    for (const { body, accepted_at } of messages) {
      const age_ms = this.clock.now() - accepted_at
      if (age_ms < -1_000 || age_ms > 20_000) this.found.push(`${name}: ${body} says that it is ${age_ms} ms old`)
    }
    if (messages.length > 0) await this.ask('POST', '/v1/queues/jobs/ack', { receipts: messages.map((m) => m.receipt) })
    const again = await this.ask('POST', '/v1/queues/jobs/messages', { body: 'twice', dedup_id: `id ${n}` })
    if (!JSON.stringify(again).includes('"duplicate"')) this.found.push(`${name}: an id is forgotten: ${JSON.stringify(again)}`)
    await this.sessions(n, name)
  }

  private async sessions(n: number, name: string): Promise<void> {
    const texts: string[] = []
    for (const expiry_s of [2, 3_600]) {
      const client = await MqttClient.connect(this.broker.port, { ...five, client_id: `away-${expiry_s}-${n}`, clean: false })
      if (client.connack?.present !== (expiry_s !== 2))
        this.found.push(`${name}: the session of ${expiry_s} s is ${client.connack?.present ? 'still there' : 'gone'}`)
      await pause(100)
      for (const p of client.inbox) {
        if (p.type !== T.PUBLISH) continue
        texts.push(p.payload.toString())
        const left_s = p.properties.messageExpiryInterval ?? 0
        if (left_s < 3_570 || left_s > 3_600) this.found.push(`${name}: ${p.payload} is worth ${left_s} s more`)
      }
      await client.disconnect()
    }
    if (texts.join() !== 'worth 3600') this.found.push(`${name}: ${texts.join()} was delivered`)
  }

  private receive(lease_ms: number): Promise<Answer> {
    return this.ask('POST', '/v1/queues/jobs/receive', { max: 10, lease_ms }) as Promise<Answer>
  }

  private async ask(method: string, path: string, body: object): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.broker.http_port}${path}`, {
      method,
      headers: { 'Content-Type': path.endsWith('/messages') ? 'application/vnd.aqueduct+json' : 'application/json' },
      body: JSON.stringify(path.endsWith('/messages') ? { messages: [body] } : body),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }

  private async steps(): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.broker.http_port}/metrics`)).text()
    return Number(/^aqueduct_clock_steps_total (\d+)$/m.exec(text)?.[1])
  }
}

const five = { protocol: 5, clean: true } as const
