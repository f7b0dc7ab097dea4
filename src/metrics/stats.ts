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
  /** Publishes acknowledged and dropped because their topic may not be published to. */
  readonly droppedReserved: number
  /** QoS 0 publishes of MQTT 5 that a hook refused. */
  readonly droppedRefused: number
  /** Copies that were larger than the client takes. */
  readonly droppedTooLarge: number
  /** Publishes refused because the disk is nearly full. */
  readonly refusedFull: number
  /** Connections closed for a packet that breaks the protocol. */
  readonly malformed: number
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
  readonly departures?: () => Iterable<DepartureCount>
  readonly queues?: () => Iterable<QueueTotals>
  readonly bridgeRules?: () => number
  /** Messages that wait for their moment (`$delayed`). */
  readonly delayed?: () => number
  readonly bridge?: BridgeCounts
  readonly store?: StoreCounts
  readonly ready?: () => boolean
}
