/** Why entries left, counted by kind of queue and reason (design §2, promise 5). */
import { DEPARTURES, type Departure, QUEUE_KINDS, type QueueKind } from '../core/queue-words.js'

export type Tally = Record<Departure, number>

export type Departures = Readonly<Record<QueueKind, Tally>>

export function newDepartures(): Departures {
  return Object.fromEntries(QUEUE_KINDS.map((kind) => [kind, newTally()])) as Departures
}

function newTally(): Tally {
  return Object.fromEntries(DEPARTURES.map((why) => [why, 0])) as Tally
}

/** Both together, as a new table. */
export function addDepartures(a: Departures, b: Departures): Departures {
  const sum = newDepartures()
  for (const kind of QUEUE_KINDS) for (const why of DEPARTURES) sum[kind][why] = a[kind][why] + b[kind][why]
  return sum
}
