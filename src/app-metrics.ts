/** What `/metrics` shows, gathered from the rooms. */
import type { Broker } from './broker/broker.js'
import type { Clock } from './core/clock.js'
import { createMetrics } from './metrics/metrics.js'
import type { MetricsText } from './metrics/registry.js'
import type { DepartureCount } from './metrics/stats.js'
import type { Bridges, DelayedMessages } from './plugins/bridge/index.js'
import type { DurableQueues } from './plugins/durable-queues/index.js'
import type { Standing } from './standing.js'

export function metricsOf(broker: Broker, standing: Standing, clock: Clock): MetricsText {
  const queues = broker.offer<DurableQueues>('durable-queues')
  const delayed = broker.offer<DelayedMessages>('delayed')
  const bridges = broker.offer<Bridges>('bridge')
  const { state } = broker
  return createMetrics(
    {
      broker: state.stats,
      connectionsOpen: () => state.connections.size,
      sessions: () => state.stored?.sessions.size ?? 0,
      subscriptions: () => state.routes.subscriptions,
      retained: () => state.stored?.retained.size ?? 0,
      ready: () => standing.readiness().ready,
      store: standing,
      ...(delayed === undefined ? {} : { delayed: () => delayed.waiting }),
      ...(bridges === undefined ? {} : { bridge: bridges.totals, bridgeRules: () => bridges.size }),
      ...(queues === undefined ? {} : { departures: () => departuresOf(queues) }),
    },
    clock,
  )
}

function* departuresOf(queues: DurableQueues): Iterable<DepartureCount> {
  for (const [kind, reasons] of Object.entries(queues.departures())) {
    for (const [reason, count] of Object.entries(reasons)) yield { kind, reason, count }
  }
}
