/**
 * Plugin: copies what is published to topics into pull queues, by rules, in the commit that acknowledges the publisher; and takes what is
 * published to `$queue/{name}`.
 */
import type { BrokerApi, Plugin } from '../../broker/plugin.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import type { DurableQueues } from '../durable-queues/index.js'
import { type BridgeOptions, RuleBook } from './bridges.js'
import { QUEUE_LEVEL, QueueSpace } from './queue-space.js'

export type { BridgeOptions, Bridges, ListedRule } from './bridges.js'
export type { RuleCounts } from './counts.js'
export type { Rule } from './rule.js'

export const defaultBridgeOptions: BridgeOptions = { rules: [], max_auto_queues: 1_000, max_rules: 10_000 }

export function bridge(options: Partial<BridgeOptions> = {}): Plugin {
  return {
    name: 'bridge',
    needs: ['durable-queues'],
    setup(api: BrokerApi) {
      const queues = api.use<DurableQueues>('durable-queues')
      const book = new RuleBook(api, { ...defaultBridgeOptions, ...options })
      api.share('bridge', book)
      const space = new QueueSpace()
      api.serve(QUEUE_LEVEL, space)
      api.onOpen(async (store, mailboxes) => {
        const ordered = queues.ordered as OrderedQueues
        space.open(store, mailboxes, ordered)
        await book.open(store, ordered)
      })
    },
  }
}
