/** Every metric that Aqueduct has, with its name, in one place. */
import type { Clock } from '../core/clock.js'
import { addProcessMetrics } from './process.js'
import { type Counters, MetricRegistry, type MetricsText, type Sample } from './registry.js'
import type { BridgeCounts, BrokerCounts, ClockCounts, MetricSources, QueueTotals, StoreCounts } from './stats.js'

/** Declares what `sources` offers. More can be declared on the result, by a door or a plugin. */
export function createMetrics(sources: MetricSources, clock: Clock): Counters & MetricsText {
  const registry = new MetricRegistry()
  const { version, connectionsOpen, sessions, subscriptions, retained, departures, queues, ready, bridgeRules } = sources
  if (version !== undefined) {
    registry.gauge('aqueduct_info', 'Always 1; the version is a label.', () => [{ labels: { version }, value: 1 }])
  }
  if (ready !== undefined) {
    registry.gauge('aqueduct_ready', '1 while messages are taken and acknowledged, else 0.', () => (ready() ? 1 : 0))
  }
  if (connectionsOpen !== undefined) {
    registry.gauge('aqueduct_connections', 'MQTT connections that are open.', connectionsOpen)
  }
  if (sessions !== undefined) registry.gauge('aqueduct_sessions', 'MQTT sessions, connected or stored.', sessions)
  if (subscriptions !== undefined) registry.gauge('aqueduct_subscriptions', 'Subscriptions of all sessions.', subscriptions)
  if (retained !== undefined) registry.gauge('aqueduct_retained_messages', 'Retained messages.', retained)
  addLimits(registry, sources)
  if (sources.broker !== undefined) addBroker(registry, sources.broker)
  if (departures !== undefined) {
    registry.counter('aqueduct_departures_total', 'Messages that left a queue, by kind of queue and reason.', function* () {
      for (const { kind, reason, count } of departures()) yield { labels: { kind, reason }, value: count }
    })
  }
  if (queues !== undefined) addQueues(registry, queues)
  if (bridgeRules !== undefined) registry.gauge('aqueduct_bridge_rules', 'Bridge rules at work.', bridgeRules)
  if (sources.delayed !== undefined) {
    registry.gauge('aqueduct_delayed_messages', 'Messages published to $delayed that wait for their moment.', sources.delayed)
  }
  if (sources.bridge !== undefined) addBridge(registry, sources.bridge)
  if (sources.store !== undefined) addStore(registry, sources.store)
  if (sources.clock !== undefined) addClock(registry, sources.clock)
  addProcessMetrics(registry, clock)
  return registry
}

function addLimits(to: Counters, { retainedBytes, wills, sessionMemory, retainedMemory, refused }: MetricSources): void {
  if (retainedBytes !== undefined) to.gauge('aqueduct_retained_bytes', 'Bytes that retained messages take.', retainedBytes)
  if (wills !== undefined) to.gauge('aqueduct_wills', 'Wills of connected clients, and those that wait.', wills)
  if (sessionMemory !== undefined)
    to.gauge(
      'aqueduct_session_memory_bytes',
      'What sessions and all that is theirs take of the memory, as reckoned.',
      sessionMemory,
    )
  if (retainedMemory !== undefined)
    to.gauge('aqueduct_retained_memory_bytes', 'What retained topics take of the memory, as reckoned.', retainedMemory)
  if (refused === undefined) return
  to.counter('aqueduct_refused_total', 'What was refused because a limit was reached, by limit.', function* () {
    for (const [limit, value] of refused()) yield { labels: { limit }, value }
  })
}

function addBroker(to: Counters, broker: BrokerCounts): void {
  to.counter('aqueduct_connections_total', 'MQTT connections accepted.', () => broker.connectionsTotal)
  to.counter('aqueduct_messages_received_total', 'PUBLISH packets received, by QoS.', () => byQos(broker.received))
  to.counter('aqueduct_messages_sent_total', 'PUBLISH packets sent, by QoS.', () => byQos(broker.sent))
  to.counter('aqueduct_bytes_received_total', 'Bytes received from MQTT clients.', () => broker.bytesReceived)
  if (broker.bytesSent !== undefined) {
    to.counter('aqueduct_bytes_sent_total', 'Bytes sent to MQTT clients.', () => broker.bytesSent ?? 0)
  }
  to.counter('aqueduct_messages_dropped_total', 'Messages that were not passed on, by reason.', () => [
    { labels: { reason: 'slow_reader' }, value: broker.droppedQos0 },
    { labels: { reason: 'reserved_topic' }, value: broker.droppedReserved },
    { labels: { reason: 'refused_by_hook' }, value: broker.droppedRefused },
    { labels: { reason: 'too_large' }, value: broker.droppedTooLarge },
    { labels: { reason: 'store_full' }, value: broker.refusedFull },
    { labels: { reason: 'queue_full' }, value: broker.refusedQuota },
  ])
  to.counter(
    'aqueduct_input_stalls_total',
    'Times that a connection was not read on because its client did not take its answers.',
    () => broker.inputStalls,
  )
  to.counter(
    'aqueduct_input_rests_total',
    'Times that packets of a connection waited so that others had their turn, because what clients asked for was dear.',
    () => broker.inputRests,
  )
  to.counter('aqueduct_connections_closed_total', 'MQTT connections that Aqueduct closed, by reason.', () => [
    { labels: { reason: 'malformed' }, value: broker.malformed },
    { labels: { reason: 'packet_too_large' }, value: broker.tooLarge },
    { labels: { reason: 'publish_refused' }, value: broker.turnedAway },
    { labels: { reason: 'taken_over' }, value: broker.takeovers },
    { labels: { reason: 'keep_alive' }, value: broker.keepaliveTimeouts },
    { labels: { reason: 'no_connect' }, value: broker.connectTimeouts },
    { labels: { reason: 'not_authenticated' }, value: broker.authRefused },
  ])
  to.counter('aqueduct_wills_published_total', 'Will messages published.', () => broker.willsPublished)
  to.counter('aqueduct_wills_dropped_total', 'Wills that were due and found no room.', () => broker.willsDropped)
  to.counter('aqueduct_sessions_expired_total', 'Stored sessions that reached their expiry.', () => broker.sessionsExpired)
  to.counter('aqueduct_retained_expired_total', 'Retained messages that reached their expiry.', () => broker.retainedExpired)
}

function* byQos(counts: ArrayLike<number>): Iterable<Sample> {
  for (let qos = 0; qos < 3; qos++) yield { labels: { qos: String(qos) }, value: counts[qos] ?? 0 }
}

function addQueues(to: Counters, queues: () => Iterable<QueueTotals>): void {
  to.gauge('aqueduct_queues', 'Queues, by kind.', function* () {
    for (const { kind, queues: value } of queues()) yield { labels: { kind }, value }
  })
  to.gauge('aqueduct_queue_entries', 'Messages in queues, by kind of queue and state.', function* () {
    for (const { kind, ready, leased, delayed } of queues()) {
      yield { labels: { kind, state: 'ready' }, value: ready }
      yield { labels: { kind, state: 'leased' }, value: leased }
      yield { labels: { kind, state: 'delayed' }, value: delayed }
    }
  })
  to.gauge('aqueduct_queue_bytes', 'Bytes that the messages in queues count for, by kind of queue.', function* () {
    for (const { kind, bytes } of queues()) yield { labels: { kind }, value: bytes }
  })
}

function addBridge(to: Counters, bridge: BridgeCounts): void {
  to.counter('aqueduct_bridge_copied_total', 'Copies that bridge rules made.', () => bridge.copied)
  to.counter('aqueduct_bridge_refused_total', 'Copies that bridge rules could not make, by reason.', function* () {
    for (const [reason, value] of Object.entries(bridge.reasons)) yield { labels: { reason }, value }
  })
  to.counter('aqueduct_bridge_unmatched_total', 'Messages that the condition of a bridge rule left out.', () => bridge.unmatched)
  to.counter(
    'aqueduct_bridge_errors_total',
    'Messages for which the condition of a bridge rule had no answer.',
    () => bridge.errors,
  )
  to.counter(
    'aqueduct_bridge_cut_total',
    'Messages for which the condition of a bridge rule was given up because there was too much to do.',
    () => bridge.cut,
  )
  to.counter(
    'aqueduct_bridge_required_total',
    'Messages refused because a bridge rule requires its copy and there was no room for it.',
    () => bridge.required,
  )
}

function addClock(to: Counters, clock: ClockCounts): void {
  to.counter(
    'aqueduct_clock_steps_total',
    'Times the wall clock was set, by a second or more. Nothing ends earlier or later by it.',
    () => clock.steps,
  )
  to.gauge(
    'aqueduct_clock_offset_seconds',
    "How far the wall clock is ahead of the broker's own time, on which stored moments are: all steps since the store was made.",
    () => clock.offset_ms / 1000,
  )
}

function addStore(to: Counters, store: StoreCounts): void {
  to.counter('aqueduct_commits_total', 'Group commits stored.', () => store.commits)
  to.counter(
    'aqueduct_commit_failures_total',
    'Group commits that failed; nothing of them was acknowledged.',
    () => store.commitFailures,
  )
  to.counter('aqueduct_store_reopened_total', 'Times the store was reopened after a failed commit.', () => store.reopened)
  to.histogram('aqueduct_commit_seconds', 'Time to store one group commit.', () => store.commitSeconds)
  to.counter('aqueduct_store_damaged_rows_total', 'Rows of the store found damaged and left out, by kind.', function* () {
    for (const [kind, value] of store.damagedRows ?? []) yield { labels: { kind }, value }
  })
  to.gauge('aqueduct_store_free_bytes', 'Bytes left on the file system of store.path.', () => store.freeBytes)
}
