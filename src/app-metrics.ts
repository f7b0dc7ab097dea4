/** What `/metrics` shows, gathered from the rooms. */
import type { Broker } from './broker/broker.js'
import type { Clock } from './core/clock.js'
import { COUNTED_LIMITS } from './core/refusals.js'
import { createMetrics } from './metrics/metrics.js'
import type { Counters, MetricsText } from './metrics/registry.js'
import type { DepartureCount, QueueTotals } from './metrics/stats.js'
import type { Bridges, DelayedMessages } from './plugins/bridge/index.js'
import type { Consumers } from './plugins/consumers/index.js'
import type { DurableQueues } from './plugins/durable-queues/index.js'
import type { Standing } from './standing.js'

export function metricsOf(broker: Broker, standing: Standing, clock: Clock): MetricsText {
  const queues = broker.offer<DurableQueues>('durable-queues')
  const delayed = broker.offer<DelayedMessages>('delayed')
  const bridges = broker.offer<Bridges>('bridge')
  const { state } = broker
  const metrics = createMetrics(
    {
      broker: state.stats,
      connectionsOpen: () => state.connections.size,
      sessions: () => state.stored?.sessions.size ?? 0,
      subscriptions: () => state.routes.subscriptions,
      retained: () => state.stored?.retained.size ?? 0,
      retainedBytes: () => state.stored?.retained.bytes ?? 0,
      wills: () => state.stored?.wills.size ?? 0,
      sessionMemory: () => state.stored?.sessions.footprint.bytes ?? 0,
      retainedMemory: () => state.stored?.retained.footprint.bytes ?? 0,
      refused: () => COUNTED_LIMITS.map((limit) => [limit, state.refusals.of(limit)] as const),
      ready: () => standing.readiness().ready,
      store: standing,
      clock: state.clock,
      ...(delayed === undefined ? {} : { delayed: () => delayed.waiting }),
      ...(bridges === undefined ? {} : { bridge: bridges.totals, bridgeRules: () => bridges.size }),
      ...(queues === undefined ? {} : { departures: () => departuresOf(queues), queues: () => totalsOf(queues) }),
    },
    clock,
  )
  const consumers = broker.offer<Consumers>('consumers')
  if (consumers !== undefined) addConsumers(metrics, consumers)
  return metrics
}

function addConsumers(to: Counters, consumers: Consumers): void {
  const { counts } = consumers
  to.gauge('aqueduct_shared_groups', 'Groups of shared subscriptions.', () => consumers.groups)
  to.counter(
    'aqueduct_shared_dropped_total',
    'QoS 0 messages of shared subscriptions that no member could take.',
    () => counts.dropped_qos0,
  )
  to.counter(
    'aqueduct_shared_taken_back_total',
    'Messages of shared subscriptions taken back from a live member that did not acknowledge.',
    () => counts.taken_back,
  )
}

function* departuresOf(queues: DurableQueues): Iterable<DepartureCount> {
  for (const [kind, reasons] of Object.entries(queues.departures())) {
    for (const [reason, count] of Object.entries(reasons)) yield { kind, reason, count }
  }
}

function* totalsOf(queues: DurableQueues): Iterable<QueueTotals> {
  for (const [kind, totals] of Object.entries(queues.ordered?.totals.byKind ?? {})) yield { kind, ...totals }
}
