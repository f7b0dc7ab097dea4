/** Why entries left, counted by kind of queue and reason (design §2, promise 5). */
import type { Departure, QueueKind } from './queue.js'

export type Tally = Record<Departure, number>

export type Departures = Readonly<Record<QueueKind, Tally>>

export function newDepartures(): Departures {
  return { session: newTally(), group: newTally(), pull: newTally(), dead: newTally(), internal: newTally() }
}

function newTally(): Tally {
  return {
    acked: 0,
    expired: 0,
    purged: 0,
    dropped_oldest: 0,
    dropped_newest: 0,
    refused: 0,
    dead: 0,
    deleted: 0,
    replaced: 0,
    redriven: 0,
  }
}

/** Both together, as a new table. */
export function addDepartures(a: Departures, b: Departures): Departures {
  const sum = newDepartures()
  for (const kind of Object.keys(sum) as QueueKind[]) {
    for (const why of Object.keys(sum[kind]) as Departure[]) sum[kind][why] = a[kind][why] + b[kind][why]
  }
  return sum
}
