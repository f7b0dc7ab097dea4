/**
 * Plugin: copies what is published to topics into pull queues, by rules, in the commit that acknowledges the publisher; and takes what is
 * published to `$queue/{name}` and `$delayed/{s}/{topic}`.
 */
import type { BrokerApi, Plugin } from '../../broker/plugin.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import type { DurableQueues } from '../durable-queues/index.js'
import { type BridgeOptions, RuleBook } from './bridges.js'
import { DelayedClock } from './delayed-clock.js'
import { DELAYED_LEVEL, type DelayedLimits, DelayedSpace } from './delayed-space.js'
import { QUEUE_LEVEL, QueueSpace } from './queue-space.js'

export type { BridgeOptions, Bridges, ListedRule } from './bridges.js'
export type { RuleCounts } from './counts.js'
export type { DelayedLimits } from './delayed-space.js'
export type { Rule } from './rule.js'

export const defaultBridgeOptions: BridgeOptions = {
  rules: [],
  max_auto_queues: 1_000,
  max_auto_rules: 1_000,
  max_client_rules: 100,
  max_rules: 10_000,
  max_when_bytes: 65_536,
}

const defaultDelayedLimits: DelayedLimits = { max_messages: 1_000_000, max_bytes: 1024 ** 3 }

/** What the plugin offers of delayed messages: `broker.offer<DelayedMessages>('delayed')`. */
export interface DelayedMessages {
  /** Messages that wait for their moment. */
  readonly waiting: number
}

export function bridge(options: Partial<BridgeOptions> = {}, delayed: Partial<DelayedLimits> = {}): Plugin {
  return {
    name: 'bridge',
    needs: ['durable-queues'],
    setup(api: BrokerApi) {
      const queues = api.use<DurableQueues>('durable-queues')
      const book = new RuleBook(api, { ...defaultBridgeOptions, ...options })
      api.share('bridge', book)
      const space = new QueueSpace()
      let clock: DelayedClock | undefined
      let opened = false
      const later = new DelayedSpace({ ...defaultDelayedLimits, ...delayed }, (queue, store) => {
        clock = new DelayedClock(api, queue, store, queues.ordered as OrderedQueues)
        if (opened) clock.begin()
      })
      api.share('delayed', later)
      api.serve(QUEUE_LEVEL, space)
      api.serve(DELAYED_LEVEL, later)
      api.onOpen(async (store, mailboxes) => {
        const ordered = queues.ordered as OrderedQueues
        space.open(store, mailboxes, ordered)
        await book.open(store, ordered)
        clock?.stop()
        clock = undefined
        opened = false
        later.open(store, mailboxes, ordered)
      })
      api.onOpened(() => {
        opened = true
        clock?.begin()
      })
      api.onClose(() => clock?.stop())
    },
  }
}
