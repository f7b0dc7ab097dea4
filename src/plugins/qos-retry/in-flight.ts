/** One message under way to a client. Made for each delivery, so they are used again: `take` one, `give` it back. */
import type { Entry } from '../../queue/queue.js'
import type { Brought } from './lane.js'

export class InFlight {
  /** The leased entry; null once PUBREC came, for then the message itself is done with. */
  entry: Entry | null = null
  /** The message came from elsewhere than the session's own queue; `entry` is null then. */
  brought: Brought | null = null
  seq = 0
  /** True once PUBREC came: PUBREL is due or out. */
  released = false
  /** PUBREL may go: its PUBREC is stored. */
  stored = false
  sentAt = 0
  resends = 0
}

/** Kept for reuse, over all sessions. */
const SPARE_MAX = 4_096
const spare: InFlight[] = []

export function take(entry: Entry | null, seq: number, sentAt: number): InFlight {
  const flight = spare.pop() ?? new InFlight()
  flight.entry = entry
  flight.seq = seq
  flight.sentAt = sentAt
  return flight
}

/** The caller holds no reference any more. */
export function give(flight: InFlight): void {
  if (spare.length >= SPARE_MAX) return
  flight.entry = null
  flight.brought = null
  flight.released = false
  flight.stored = false
  flight.resends = 0
  spare.push(flight)
}
