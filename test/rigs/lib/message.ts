/**
 * What a rig sends. A message is named by publisher, topic, QoS, its number in that stream, and the round it was made in; the name is
 * the start of its payload, so that a delivery can be judged by itself.
 */
import type { QoS } from '../../support/mqtt-client.js'

export interface Message {
  /** `publisher|topic|qos|number|round`, unique in a run. */
  key: string
  topic: string
  qos: QoS
  retain: boolean
}

export interface Parts {
  /** Publisher, topic and QoS: within one of these the order holds [MQTT-4.6.0-6]. */
  stream: string
  topic: string
  qos: QoS
  number: number
  round: number
}

export function keyOf(publisher: string, topic: string, qos: QoS, number: number, round: number): string {
  return `${publisher}|${topic}|${qos}|${number}|${round}`
}

export function partsOf(key: string): Parts {
  const [publisher, topic, qos, number, round] = key.split('|')
  return { stream: `${publisher}|${topic}|${qos}`, topic, qos: Number(qos) as QoS, number: Number(number), round: Number(round) }
}

const PAD = Buffer.alloc(4096, '.')

/** The payload of `key`: `bytes` long, one in eight up to 4 KiB, always the same for the same key. */
export function payloadOf(key: string, usual: number): Buffer {
  const head = Buffer.from(`${key};`)
  let hash = 0
  for (const byte of head) hash = (Math.imul(hash, 31) + byte) >>> 0
  const bytes = hash % 8 === 0 ? Math.min(PAD.length, usual * (hash % 29)) : usual
  return head.length >= bytes ? head : Buffer.concat([head, PAD.subarray(0, bytes - head.length)])
}

export function keyIn(payload: Buffer): string {
  const end = payload.indexOf(59)
  return end < 0 ? '' : payload.toString('utf8', 0, end)
}

/** Nanoseconds of CLOCK_MONOTONIC, the clock that every process of the machine shares. */
export function stamp_ns(): number {
  return Number(process.hrtime.bigint())
}

/** Topic filter against topic, MQTT 3.1.1 section 4.7 (a second opinion on the broker's own). */
export function matches(filter: string, topic: string): boolean {
  const f = filter.split('/')
  const t = topic.split('/')
  if (t[0].startsWith('$') && (f[0] === '#' || f[0] === '+')) return false
  for (let i = 0; i < f.length; i++) {
    if (f[i] === '#') return true
    if (i >= t.length) return false
    if (f[i] !== '+' && f[i] !== t[i]) return false
  }
  return f.length === t.length
}
