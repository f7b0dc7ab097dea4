/**
 * What `/metrics` reads, as shapes: the rooms that count do not know this one. Every member is a plain number or a function that is
 * called per scrape and must be cheap: O(1), or O(kinds of queue), never O(queues) or O(sessions).
 */
import type { HistogramReading } from './registry.js'

/** Numbers that the broker counts on its hot paths. */
export interface BrokerCounts {
  /** Connections accepted since the start. */
  readonly connectionsTotal: number
  /** PUBLISH packets by QoS: three numbers. */
  readonly received: ArrayLike<number>
  readonly sent: ArrayLike<number>
  readonly bytesReceived: number
  readonly bytesSent?: number
  /** QoS 0 copies for which a slow connection had no room. */
  readonly droppedQos0: number
  /** Publishes to a reserved topic that nobody may publish to or where nothing is. */
  readonly droppedReserved: number
  /** Publishes and wills that a hook refused. */
  readonly droppedRefused: number
  /** Copies that were larger than the client takes. */
  readonly droppedTooLarge: number
  /** Publishes refused because the disk is nearly full. */
  readonly refusedFull: number
  /** Publishes refused because a queue that must have them has no room. */
  readonly refusedQuota: number
  /** Times that a connection was not read on because its client did not take its answers. */
  readonly inputStalls: number
  /** Times that packets of a connection waited for the next turn, because this one was used up. */
  readonly inputRests: number
  /** Connections closed for a packet that breaks the protocol. */
  readonly malformed: number
  /** Connections closed for a packet that is larger than is taken. */
  readonly tooLarge: number
  /** Connections before MQTT 5 closed because a publish could not be taken. */
  readonly turnedAway: number
  readonly takeovers: number
  readonly keepaliveTimeouts: number
  readonly connectTimeouts: number
  /** Connections ended because enhanced authentication failed, or was not tried where it must be. */
  readonly authRefused: number
  readonly willsPublished: number
  /** Wills that were due while there was no room, with too many waiting for that. */
  readonly willsDropped: number
  readonly sessionsExpired: number
  readonly retainedExpired: number
}

/** The wall clock, seen from the broker's own time. */
export interface ClockCounts {
  readonly steps: number
  readonly offset_ms: number
}

/** Entries that left a queue, by the queue's kind and why. Promise 5: nothing vanishes uncounted. */
export interface DepartureCount {
  readonly kind: string
  readonly reason: string
  readonly count: number
}

/** What waits in all queues of one kind. */
export interface QueueTotals {
  readonly kind: string
  readonly queues: number
  readonly ready: number
  readonly leased: number
  readonly delayed: number
  readonly bytes: number
}

/** What bridge rules did, all together. */
export interface BridgeCounts {
  readonly copied: number
  /** Copies that were not made, by reason. */
  readonly reasons: Readonly<Record<string, number>>
  /** The condition of a rule was not true, */
  readonly unmatched: number
  /** or could not be answered. */
  readonly errors: number
  /** Among the errors: there was too much to do. */
  readonly cut: number
  /** Messages refused whole because a rule requires its copy. */
  readonly required: number
}

export interface StoreCounts {
  readonly commits: number
  readonly commitFailures: number
  /** Times the store was closed, reopened and rebuilt after a failed commit. */
  readonly reopened: number
  /** From the start of a commit's write until it is stored. */
  readonly commitSeconds: HistogramReading
  /** Bytes that the file system still has room for, as last looked at; Infinity in memory. */
  readonly freeBytes: number
  /** Rows found damaged since the process started, by kind. */
  readonly damagedRows?: ReadonlyMap<string, number>
}

/** All of them optional: a metric without its source is not shown. */
export interface MetricSources {
  readonly version?: string
  readonly broker?: BrokerCounts
  readonly connectionsOpen?: () => number
  /** Stored sessions, connected or not. */
  readonly sessions?: () => number
  readonly subscriptions?: () => number
  readonly retained?: () => number
  readonly retainedBytes?: () => number
  /** Wills of connections, and those that wait. */
  readonly wills?: () => number
  /** What sessions, and topics of retained messages, take of the memory, as reckoned. */
  readonly sessionMemory?: () => number
  readonly retainedMemory?: () => number
  /** What limits refused, by the key of the limit. */
  readonly refused?: () => Iterable<readonly [limit: string, count: number]>
  readonly departures?: () => Iterable<DepartureCount>
  readonly queues?: () => Iterable<QueueTotals>
  readonly bridgeRules?: () => number
  /** Messages that wait for their moment (`$delayed`). */
  readonly delayed?: () => number
  readonly bridge?: BridgeCounts
  readonly store?: StoreCounts
  readonly clock?: ClockCounts
  readonly ready?: () => boolean
}
