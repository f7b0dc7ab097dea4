/**
 * Plugin: competing consumers over MQTT. Shared subscriptions (`$share/{group}/{filter}`), pull queues (`$queue/{name}`) and dead-letter queues (`$dead/…`):
 * two kinds of source, one machine that hands out (`consumer-group.ts`).
 */
import type { BrokerApi, Plugin } from '../../broker/plugin.js'
import type { QueueLimits } from '../../queue/queue.js'
import { type DurableQueues, defaultSessionLimits } from '../durable-queues/index.js'
import type { QosRetry } from '../qos-retry/index.js'
import { autoBridge, type MayMake } from './auto-bridge.js'
import type { ConsumerCounts } from './consumer-group.js'
import type { Distribution } from './distribution.js'
import { Members } from './members.js'
import { DeadSpace, PullConsumers, QueueSpace } from './pull.js'
import { SharedGroups } from './share.js'

export interface ConsumersOptions {
  /** Who gets the next message. */
  readonly distribution: Distribution
  /** The same for one group or queue: `{ "jobs": "hash_topic", "$queue/orders": "sticky" }`. */
  readonly groups: Readonly<Record<string, Distribution>>
  /** Subscribing `$queue/{name}/{filter}` makes queue and bridge rule; within the bounds of the bridge. */
  readonly auto_queues: MayMake
  /** Shared groups that there may be. */
  readonly max_groups: number
  /** Bounds of one group's queue. */
  readonly limits: QueueLimits & { overflow: 'drop_oldest' | 'drop_newest' }
}

export const defaultConsumers: ConsumersOptions = {
  distribution: 'round_robin',
  groups: {},
  auto_queues: 'auto',
  max_groups: 10_000,
  limits: defaultSessionLimits,
}

/** What this plugin offers. */
export interface Consumers {
  readonly counts: Readonly<ConsumerCounts>
  /** Shared groups. */
  readonly groups: number
}

const TICK_MS = 1_000

export function consumers(options: Partial<ConsumersOptions> = {}): Plugin {
  const o = { ...defaultConsumers, ...options }
  return {
    name: 'consumers',
    needs: ['durable-queues', 'qos-retry'],
    setup(api: BrokerApi) {
      const queues = api.use<DurableQueues>('durable-queues')
      const delivery = api.use<QosRetry>('qos-retry')
      const members = new Members(delivery)
      const shared = new SharedGroups(members)
      const pulled = new PullConsumers(members)
      const counts: ConsumerCounts = { dropped_qos0: 0, taken_back: 0 }
      const offer: Consumers = {
        counts,
        get groups() {
          return shared.size
        },
      }
      api.share('consumers', offer)
      api.serve('$share', shared)
      api.serve('$queue', new QueueSpace(pulled, autoBridge(api, o.auto_queues)))
      api.serve('$dead', new DeadSpace(pulled))
      const distributionOf = (name: string): Distribution => (Object.hasOwn(o.groups, name) ? o.groups[name] : o.distribution)
      api.onOpen((store, mailboxes) => {
        const { engine, ordered } = queues
        if (engine === undefined || ordered === undefined) return
        const { clock, log } = api
        const rules = { store, mailboxes, clock, log, counts }
        const queue = { engine, ordered, store, clock, log, limits: o.limits, max_attempts: delivery.max_attempts }
        shared.open({ api, queue, rules, distributionOf, max_groups: o.max_groups })
        pulled.open({ ordered, rules, distributionOf })
      })
      const ticking = api.clock.every(TICK_MS, () => {
        pulled.tick()
        shared.tick(api.clock.now())
      })
      api.onClose(() => {
        ticking.cancel()
        shared.close()
        pulled.close()
      })
    },
  }
}
