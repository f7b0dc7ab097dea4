/**
 * Both sides of one broker: the persistent subscribers (in the rig's process), the promises given to the publishers, and the ledgers that
 * compare them. The kill, disk-full and mixed rigs play on it; the power rig rebuilds one for every cut.
 */
import { MqttClient, T } from '../../support/mqtt-client.js'
import type { StepRecord } from './load.js'
import { keyIn, partsOf } from './message.js'
import { pause } from './options.js'
import { addCounts, type Counts, Ledger, noCounts } from './oracle.js'
import { type Filters, type Heard, Subscriber } from './subscriber.js'

/** Different QoS, overlapping wildcards, and one that hears one publisher only. */
export const SUBSCRIBERS: readonly (readonly [string, Filters])[] = [
  ['s-all-2', [['k/#', 2]]],
  [
    's-overlap',
    [
      ['k/#', 1],
      ['k/+/b', 2],
    ],
  ],
  [
    's-some',
    [
      ['k/+/a', 2],
      ['k/p0/#', 1],
      ['k/p0/+', 2],
    ],
  ],
  ['s-one-1', [['k/p1/#', 1]]],
]

export interface Verdict extends Counts {
  /** Messages with a PUBACK or PUBREC. */
  acked: number
  sent: number
  /** Retained topics whose value is not the last one acknowledged. */
  retained_wrong: number
  sessions_lost: number
}

export function isClean(v: Verdict): boolean {
  return v.lost === 0 && v.doubled === 0 && v.inverted === 0 && v.unasked === 0 && v.retained_wrong === 0 && v.sessions_lost === 0
}

interface Seat {
  subscriber: Subscriber
  ledger: Ledger
}

/** Members of a group: one ledger for all of them. */
export interface Group {
  name: string
  filters: Filters
  members: readonly (readonly [string, Filters])[]
}

export class World {
  readonly seats: Seat[]
  /** One for each subscriber and group, and what was added from outside. */
  readonly ledgers: Ledger[] = []
  readonly examples: string[] = []
  private sent = new Set<string>()
  /** Acknowledged keys of the open round; true where the promise came before the crash. */
  private acked = new Map<string, boolean>()
  /** Acknowledged keys that `complete` has not yet seen delivered to everybody. */
  private open: string[] = []
  private readonly retained = new Map<string, number>()
  private sent_count = 0
  private crashed = false
  private lost_sessions = 0
  /** Sees every hand-over and release. */
  onHeard: ((name: string, heard: Heard) => void) | undefined

  constructor(subscribers: readonly (readonly [string, Filters])[] = SUBSCRIBERS, groups: readonly Group[] = []) {
    this.seats = subscribers.map(([name, filters]) => this.seat(name, filters, this.ledger(new Ledger(name, filters))))
    for (const { name, filters, members } of groups) {
      const ledger = this.ledger(new Ledger(name, filters, true))
      this.seats.push(...members.map(([member, own]) => this.seat(member, own, ledger)))
    }
  }

  /** Judges `ledger` with the others at the end of each round. */
  ledger(ledger: Ledger): Ledger {
    this.ledgers.push(ledger)
    return ledger
  }

  private seat(name: string, filters: Filters, ledger: Ledger): Seat {
    const onHeard = (heard: Heard): void => {
      this.onHeard?.(name, heard)
      if (heard.key !== '') ledger.deliver(heard.key)
    }
    return { subscriber: new Subscriber(name, filters, onHeard), ledger }
  }

  note(record: StepRecord): void {
    const { key, retain, topic } = record.message
    if (record.step === 'sent') {
      this.sent.add(key)
      this.sent_count++
      if (retain) this.retained.set(topic, partsOf(key).number)
    } else if (record.step === 'acked') {
      this.acked.set(key, !this.crashed)
      this.open.push(key)
    }
  }

  crash(): void {
    this.crashed = true
  }

  /** Whether every acknowledged message has reached everybody. */
  complete(): boolean {
    for (let i = this.open.length; i > 0; i--) {
      const { topic, qos } = partsOf(this.open[i - 1])
      for (const { ledger } of this.seats) if (!ledger.has(this.open[i - 1]) && ledger.owes(topic, qos)) return false
      this.open.length = i - 1
    }
    return true
  }

  /** Waits until all is there or nothing has come for `quiet_ms`; then a moment longer, for what should not come. */
  async drain(quiet_ms: number, limit_ms: number): Promise<boolean> {
    const end = Date.now() + limit_ms
    const heard = (): number => Math.max(...this.seats.map((s) => s.subscriber.last_ns))
    let last = heard()
    let quiet_since = Date.now()
    while (Date.now() < end) {
      if (this.complete()) break
      await pause(15)
      const now = heard()
      if (now !== last) {
        last = now
        quiet_since = Date.now()
      } else if (Date.now() - quiet_since > quiet_ms) break
    }
    const whole = this.complete()
    await pause(60)
    return whole
  }

  /** Compares the retained messages with what was sent last; asks as a new clean session. */
  async wrongRetained(port: number): Promise<number> {
    const seen = new Map<string, number>()
    const client = await MqttClient.connect(port, { client_id: 'retained-reader', timeout_ms: 10_000 })
    client.onPacket = (p) => {
      if (p.type === T.PUBLISH && p.retain) seen.set(p.topic, partsOf(keyIn(p.payload)).number)
    }
    await client.subscribe(['k/+/r1', 0], ['k/+/r2', 0])
    const right = (): boolean => [...this.retained].every(([topic, number]) => seen.get(topic) === number)
    for (let i = 0; i < 50 && !right(); i++) await pause(20)
    await client.disconnect()
    let wrong = 0
    for (const [topic, number] of this.retained) {
      if (seen.get(topic) === number) continue
      wrong++
      this.example(`retained ${topic}: ${seen.get(topic) ?? 'none'} instead of ${number}`)
    }
    return wrong
  }

  /** Ends a round. `publisher_sessions_lost` counts over the whole run. */
  close(round: number, retained_wrong: number, publisher_sessions_lost: number): Verdict {
    const counts = noCounts()
    let sessions = publisher_sessions_lost
    for (const { subscriber } of this.seats) sessions += subscriber.sessions_lost
    for (const ledger of this.ledgers) {
      addCounts(counts, ledger.close(round, this.acked, this.sent))
      for (const line of ledger.examples.splice(0)) this.example(`round ${round} ${line}`)
    }
    const verdict: Verdict = {
      ...counts,
      acked: this.acked.size,
      sent: this.sent_count,
      retained_wrong,
      sessions_lost: sessions - this.lost_sessions,
    }
    this.lost_sessions = sessions
    this.acked = new Map()
    this.open = []
    this.sent = new Set()
    this.sent_count = 0
    this.crashed = false
    return verdict
  }

  private example(line: string): void {
    if (this.examples.length < 60) this.examples.push(line)
  }
}
