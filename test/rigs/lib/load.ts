/**
 * The publishers, in a process of their own (started by `startLoad`): they send, and report each step over a pipe to the rig, which
 * outlives the broker. This process also delivers the kill where the moment is an acknowledgement, so that nothing lies between the two.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { QoS } from '../../support/mqtt-client.js'
import { keyOf, type Message } from './message.js'
import { Publisher, type Step } from './publisher.js'
import { Seeded } from './seeded.js'
import { track } from './target.js'

export interface LoadShape {
  publishers: number
  /** Messages in flight per publisher, QoS 0 ones not counted. */
  window: number
  bytes: number
  /** Shares of QoS 0, 1 and 2, in any unit. */
  mix: readonly [number, number, number]
  seed: number
  /** So many of the publishers speak MQTT 5. */
  five?: number
}

/** How a run ends. Without `pid` the broker is left alive and the publishers stop at the end of it. */
export interface Plan {
  round: number
  port: number
  /** No more than this many messages at QoS 1 and 2. */
  messages: number
  limit_ms: number
  /** Kill this process … */
  pid?: number
  /** … at acknowledgement number n of the run, or after a time, whichever comes first. */
  kill_at_ack?: number
  kill_after_ms?: number
  /** Send everything in bursts of one write, each when the last one is acknowledged. */
  burst?: number
  /** At most this many messages a second over all publishers; without it as fast as the window lets. */
  rate?: number
}

export interface StepRecord {
  step: Step
  at_ns: number
  id: number
  message: Message
}

/** Topics of one publisher: three plain ones, and one retained topic for each of QoS 1 and 2. */
export function topicsOf(publisher: string): { plain: string[]; retained: [string, QoS][] } {
  return {
    plain: [`k/${publisher}/a`, `k/${publisher}/b`, `k/${publisher}/c`],
    retained: [
      [`k/${publisher}/r1`, 1],
      [`k/${publisher}/r2`, 2],
    ],
  }
}

/** Makes the messages of one publisher; the numbers go on over rounds. */
export class Source {
  private readonly name: string
  private readonly random: Seeded
  private readonly mix: readonly [number, number, number]
  private readonly numbers = new Map<string, number>()

  constructor(name: string, mix: readonly [number, number, number], seed: number) {
    this.name = name
    this.mix = mix
    this.random = new Seeded(seed)
  }

  next(round: number): Message {
    const { plain, retained } = topicsOf(this.name)
    if (this.random.chance(0.04)) {
      const [topic, qos] = this.random.pick(retained)
      return this.make(topic, qos, round, true)
    }
    const x = this.random.unit() * (this.mix[0] + this.mix[1] + this.mix[2])
    const qos = x < this.mix[0] ? 0 : x < this.mix[0] + this.mix[1] ? 1 : 2
    return this.make(this.random.pick(plain), qos, round, false)
  }

  /** One more message in each stream that a subscriber may watch: when it has come, so has all before it. */
  last(round: number): Message[] {
    const { plain } = topicsOf(this.name)
    return plain.flatMap((topic) => [this.make(topic, 1, round, false), this.make(topic, 2, round, false)])
  }

  /** Goes on after a message that another source made. */
  skip(topic: string, qos: QoS, number: number): void {
    const stream = `${topic}|${qos}`
    this.numbers.set(stream, Math.max(this.numbers.get(stream) ?? 0, number + 1))
  }

  make(topic: string, qos: QoS, round: number, retain: boolean): Message {
    const stream = `${topic}|${qos}`
    const number = this.numbers.get(stream) ?? 0
    this.numbers.set(stream, number + 1)
    return { key: keyOf(this.name, topic, qos, number, round), topic, qos, retain }
  }
}

type Command =
  | { do: 'shape'; shape: LoadShape }
  | { do: 'connect'; port: number }
  | { do: 'run'; plan: Plan }
  | { do: 'settle'; round: number; limit_ms: number }
  | { do: 'quit' }

interface Answer {
  ok: boolean
  error: string
  sessions_lost: number
  in_flight: number
}

type Report = { steps: StepRecord[] } | { answer: Answer }

export interface Load {
  /** Publishers (re)connect and send again what is unacknowledged. */
  connect(port: number): Promise<Answer>
  run(plan: Plan): Promise<Answer>
  /** Waits until all is acknowledged, publishes the last messages of the round, and waits for those too. */
  settle(round: number, limit_ms: number): Promise<Answer>
  quit(): Promise<void>
}

/** Starts the publishers' process. Every step comes to `onStep` before the answer of the command that it belongs to. */
export async function startLoad(shape: LoadShape, onStep: (record: StepRecord) => void): Promise<Load> {
  const child = track(
    fork(fileURLToPath(import.meta.url), ['publishers'], { execArgv: ['--import', 'tsx'], serialization: 'advanced' }),
  )
  const waiting: ((answer: Answer) => void)[] = []
  child.on('message', (report: Report) => {
    if ('steps' in report) for (const record of report.steps) onStep(record)
    else waiting.shift()?.(report.answer)
  })
  child.once('exit', () => {
    for (const done of waiting.splice(0)) done({ ok: false, error: 'the publishers ended', sessions_lost: 0, in_flight: 0 })
  })
  const ask = (command: Command): Promise<Answer> =>
    new Promise((resolve) => {
      waiting.push(resolve)
      child.send(command)
    })
  const first = await ask({ do: 'shape', shape })
  if (!first.ok) throw new Error(first.error)
  return {
    connect: (port) => ask({ do: 'connect', port }),
    run: (plan) => ask({ do: 'run', plan }),
    settle: (round, limit_ms) => ask({ do: 'settle', round, limit_ms }),
    quit: async () => {
      await ask({ do: 'quit' })
      child.disconnect()
    },
  }
}

class Worker {
  private readonly publishers: Publisher[] = []
  private readonly sources: Source[] = []
  private steps: StepRecord[] = []
  private shape: LoadShape | undefined
  private acks = 0
  private plan: Plan | undefined

  async handle(command: Command): Promise<void> {
    let error = ''
    try {
      if (command.do === 'shape') this.setUp(command.shape)
      else if (command.do === 'connect') await Promise.all(this.publishers.map((p) => p.connect(command.port)))
      else if (command.do === 'run') await this.run(command.plan)
      else if (command.do === 'settle') await this.settle(command.round, command.limit_ms)
      else for (const p of this.publishers) p.drop()
    } catch (failure) {
      error = failure instanceof Error ? failure.message : String(failure)
    }
    this.flush()
    const sum = (f: (p: Publisher) => number): number => this.publishers.reduce((n, p) => n + f(p), 0)
    const answer: Answer = {
      ok: error === '',
      error,
      sessions_lost: sum((p) => p.sessions_lost),
      in_flight: sum((p) => p.in_flight.size),
    }
    process.send?.({ answer } satisfies Report)
  }

  flush(): void {
    if (this.steps.length === 0) return
    process.send?.({ steps: this.steps } satisfies Report)
    this.steps = []
  }

  private setUp(shape: LoadShape): void {
    this.shape = shape
    for (let i = 0; i < shape.publishers; i++) {
      const name = i < shape.publishers - (shape.five ?? 0) ? `p${i}` : `v${i}`
      this.sources.push(new Source(name, shape.mix, shape.seed * 1000 + i))
      this.publishers.push(
        new Publisher(name, shape.bytes, (step, at_ns, id, message) => this.note({ step, at_ns, id, message })),
      )
    }
  }

  private note(record: StepRecord): void {
    this.steps.push(record)
    const plan = this.plan
    if (record.step === 'acked' && plan !== undefined && ++this.acks === plan.kill_at_ack) this.kill(plan)
    if (this.steps.length === 1) setImmediate(() => this.flush())
  }

  private kill(plan: Plan): void {
    if (plan.pid === undefined) return
    try {
      process.kill(plan.pid, 'SIGKILL')
    } catch {
      // It has ended by itself: the rig sees that.
    }
  }

  private async run(plan: Plan): Promise<void> {
    const shape = this.shape
    if (shape === undefined) throw new Error('no shape')
    this.plan = plan
    this.acks = 0
    let left = plan.messages
    const began = Date.now()
    const fill = (i: number): void => {
      const publisher = this.publishers[i]
      const room =
        plan.burst === undefined ? shape.window - publisher.in_flight.size : publisher.in_flight.size === 0 ? plan.burst : 0
      if (room < Math.min(8, shape.window) || !publisher.connected) return
      let allowed = Math.min(room, left)
      if (plan.rate !== undefined) {
        const due = ((Date.now() - began) * plan.rate) / 1000 - (plan.messages - left)
        allowed = Math.min(allowed, Math.max(0, Math.floor(due)))
      }
      const batch: Message[] = []
      for (let taken = 0; taken < allowed && batch.length < 8 * allowed; ) {
        const message = this.sources[i].next(plan.round)
        if (message.qos > 0) taken++
        batch.push(message)
      }
      left -= allowed
      if (batch.length > 0) publisher.publish(batch)
    }
    this.publishers.forEach((p, i) => {
      // Once for all acknowledgements of a read, so that the next messages leave in one write.
      let waiting = false
      p.onDone = () => {
        if (waiting) return
        waiting = true
        setImmediate(() => {
          waiting = false
          if (this.plan === plan) fill(i)
        })
      }
    })
    const closed = Promise.all(this.publishers.map((p) => p.closed()))
    const timers: NodeJS.Timeout[] = []
    const end = new Promise<void>((resolve) => timers.push(setTimeout(resolve, plan.limit_ms)))
    if (plan.kill_after_ms !== undefined) timers.push(setTimeout(() => this.kill(plan), plan.kill_after_ms))
    const tick = setInterval(() => {
      for (let i = 0; i < this.publishers.length; i++) fill(i)
    }, 5)
    for (let i = 0; i < this.publishers.length; i++) fill(i)
    await Promise.race([closed, end])
    clearInterval(tick)
    for (const timer of timers) clearTimeout(timer)
    this.plan = undefined
    for (const p of this.publishers) p.onDone = undefined
    if (plan.pid !== undefined && this.publishers.some((p) => p.connected)) {
      this.kill(plan)
      await closed
    }
  }

  private async settle(round: number, limit_ms: number): Promise<void> {
    const end = Date.now() + limit_ms
    await Promise.all(this.publishers.map((p) => p.settle(end - Date.now())))
    for (const [i, p] of this.publishers.entries()) p.publish(this.sources[i].last(round))
    await Promise.all(this.publishers.map((p) => p.settle(end - Date.now())))
  }
}

if (process.argv[2] === 'publishers' && process.send !== undefined) {
  const worker = new Worker()
  let queue: Promise<void> = Promise.resolve()
  process.on('message', (command: Command) => {
    queue = queue.then(() => worker.handle(command))
  })
}
