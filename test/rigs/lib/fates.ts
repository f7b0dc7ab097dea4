/**
 * What must have become of a will, from what its client knows: when it was lost, whether it came back. Every moment is an interval, since a rig sees a kill and a
 * restart from outside only; what falls between two answers is judged `either`. Times are milliseconds.
 */

/** The broker was killed at `from` and took connections again at `to`. */
export interface Outage {
  readonly from: number
  readonly to: number
}

/** The client's second connection: when it was asked for and granted. */
export interface Return {
  readonly asked: number
  readonly granted: number
  readonly clean: boolean
  readonly present: boolean
}

export interface Life {
  readonly name: string
  readonly expiry_s: number
  readonly delay_s: number
  /** The connection was over for the broker not before this; Infinity while it is not over. */
  lost: number
  /** How it ended: `told`, it took its will back and the broker has said something since that was committed later. */
  end: 'dropped' | 'told' | 'unsure'
  /** Undefined: it did not come back, or nobody knows whether it did. */
  back: Return | undefined
  /** It tried to come back and got no answer. */
  tried: boolean
}

/** What the broker does within this, when nothing kills it. */
export const PROMPT_MS = 700

/** When something that happens at `at` has surely been stored: after a start, if the broker died then. */
function settled(at: number, outages: readonly Outage[]): number {
  let end = at + PROMPT_MS
  for (const { from, to } of outages) if (from <= end && to >= at) end = Math.max(end, to + PROMPT_MS)
  return end
}

export interface Expectation {
  readonly will: 'once' | 'never' | 'either'
  /** Not sent before, and not after. */
  readonly from: number
  readonly to: number
}

export function expectation(life: Life, outages: readonly Outage[]): Expectation {
  const wait_ms = Math.min(life.delay_s, life.expiry_s) * 1000
  const { lost, back } = life
  const over = settled(lost, outages)
  const from = lost + wait_ms
  const to = settled(over + wait_ms, outages)
  const any = { from: 0, to: Number.POSITIVE_INFINITY }
  if (life.end === 'told') return { will: 'never', ...any }
  if (life.end === 'unsure' || life.tried) return { will: 'either', ...any }
  if (back === undefined) return { will: 'once', from, to }
  // The old session ended with it, at the latest.
  if (back.clean) return { will: 'once', from: Math.min(from, back.asked), to: Math.min(to, settled(back.granted, outages)) }
  if (!back.present) return { will: 'once', from, to }
  if (back.granted < from) return { will: 'never', ...any }
  return { will: back.asked > to ? 'once' : 'either', from, to }
}

/** Whether the session must have been there when the client came back; undefined: either. */
export function presence(life: Life, outages: readonly Outage[]): boolean | undefined {
  const { back, lost, expiry_s } = life
  if (back === undefined || life.tried) return undefined
  if (back.clean) return false
  if (back.granted < lost + expiry_s * 1000) return true
  return back.asked > settled(settled(lost, outages) + expiry_s * 1000, outages) ? false : undefined
}

/** What is wrong with it, or nothing. `sent`: when the will arrived. */
export function faults(life: Life, sent: readonly number[], outages: readonly Outage[]): string[] {
  const found: string[] = []
  const { will, from, to } = expectation(life, outages)
  const first = sent[0]
  if (sent.length > 1) found.push('sent twice')
  if (will === 'never' && first !== undefined) found.push('sent, though it was taken back')
  if (will === 'once' && first === undefined) found.push('never sent')
  if (will === 'once' && first !== undefined && first < from) found.push(`sent ${Math.round(from - first)} ms too early`)
  if (will === 'once' && first !== undefined && first > to) found.push(`sent ${Math.round(first - to)} ms too late`)
  const present = presence(life, outages)
  if (present !== undefined && life.back?.present !== present)
    found.push(present ? 'session ended too early' : 'session outlived its time')
  return found
}
