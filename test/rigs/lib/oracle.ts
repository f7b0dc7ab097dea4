/**
 * The verdict: what was promised against what was delivered. Pure, so that it can be tested by itself.
 *
 * - *lost*: acknowledged (PUBACK or PUBREC seen), a filter of the subscriber matches with QoS 1 or 2, and never handed over;
 * - *doubled*: published and granted at QoS 2 and handed over twice;
 * - *inverted*: a first hand-over with a lower number than one before it in the same publisher, topic and QoS;
 * - *unasked*: handed over without being sent, or without a matching filter.
 */
import type { QoS } from '../../support/mqtt-client.js'
import { matches, partsOf } from './message.js'
import type { Filters } from './subscriber.js'

export interface Counts {
  /** Acknowledged messages times the subscribers that must get them. */
  owed: number
  delivered: number
  lost: number
  /** Of `owed`, how many were acknowledged before the broker died. */
  lost_acked_before: number
  doubled: number
  inverted: number
  unasked: number
  /** More than one hand-over at QoS 1: allowed, shown. */
  repeated: number
  /** Counted as lost in an earlier round and handed over after all: the drain was too impatient, or the broker too slow. */
  late: number
}

export function noCounts(): Counts {
  return { owed: 0, delivered: 0, lost: 0, lost_acked_before: 0, doubled: 0, inverted: 0, unasked: 0, repeated: 0, late: 0 }
}

export function addCounts(to: Counts, from: Counts): void {
  for (const name of Object.keys(from) as (keyof Counts)[]) to[name] += from[name]
}

/** The QoS that a message of `qos` has for a session with these filters: the highest that matches, or -1. */
export function grantedQos(filters: Filters, topic: string, qos: QoS): QoS | -1 {
  let top: QoS | -1 = -1
  for (const [filter, max] of filters) if (max > top && matches(filter, topic)) top = max
  return top === -1 ? -1 : (Math.min(top, qos) as QoS)
}

/** What one subscriber is owed and what it got, message by message. */
export class Ledger {
  readonly name: string
  /** Several take turns: what each gets is in order, all of it together is not. */
  private readonly shared: boolean
  private readonly filters: Filters
  private readonly granted = new Map<string, QoS | -1>()
  /** Hand-overs per key, of the open rounds. */
  private readonly got = new Map<string, number>()
  private readonly top = new Map<string, number>()
  private readonly missing = new Set<string>()
  private closed_round = -1
  private counts = noCounts()
  /** Names of the first few failures, for the reader. */
  readonly examples: string[] = []

  constructor(name: string, filters: Filters, shared = false) {
    this.name = name
    this.shared = shared
    this.filters = filters
  }

  qosOf(topic: string, qos: QoS): QoS | -1 {
    const name = `${topic}|${qos}`
    let granted = this.granted.get(name)
    if (granted === undefined) {
      granted = grantedQos(this.filters, topic, qos)
      this.granted.set(name, granted)
    }
    return granted
  }

  deliver(key: string): void {
    const { stream, topic, qos, number, round } = partsOf(key)
    const granted = this.qosOf(topic, qos)
    if (granted === -1) {
      this.counts.unasked++
      this.example(`unasked ${key}`)
      return
    }
    if (this.missing.delete(key)) {
      this.counts.late++
      return
    }
    const before = round <= this.closed_round ? 1 : (this.got.get(key) ?? 0)
    this.got.set(key, before + 1)
    if (before > 0) {
      if (granted === 2) {
        this.counts.doubled++
        this.example(`doubled ${key}`)
      } else this.counts.repeated++
      return
    }
    this.counts.delivered++
    if (this.shared) return
    const top = this.top.get(stream) ?? -1
    if (number < top) {
      this.counts.inverted++
      this.example(`inverted ${key} after ${top}`)
    } else this.top.set(stream, number)
  }

  has(key: string): boolean {
    return this.got.has(key)
  }

  /** Whether this subscriber must get `key`. */
  owes(topic: string, qos: QoS): boolean {
    return this.qosOf(topic, qos) > 0
  }

  /**
   * Judges a round and starts counting anew. `acked` holds what was promised, true where the promise came before the crash. `sent` is only
   * looked at here, because a delivery may be seen before the report of its sending.
   */
  close(round: number, acked: ReadonlyMap<string, boolean>, sent: ReadonlySet<string>): Counts {
    for (const key of this.got.keys()) {
      if (partsOf(key).round <= this.closed_round || sent.has(key)) continue
      this.counts.unasked++
      this.example(`unasked ${key}`)
    }
    for (const [key, before] of acked) {
      const { topic, qos } = partsOf(key)
      if (!this.owes(topic, qos)) continue
      this.counts.owed++
      if (this.got.has(key)) continue
      this.counts.lost++
      if (before) this.counts.lost_acked_before++
      this.missing.add(key)
      this.example(`lost ${key}`)
    }
    this.closed_round = round
    this.got.clear()
    const counts = this.counts
    this.counts = noCounts()
    return counts
  }

  private example(line: string): void {
    if (this.examples.length < 20) this.examples.push(`${this.name}: ${line}`)
  }
}
