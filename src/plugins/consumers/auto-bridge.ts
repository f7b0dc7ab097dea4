/**
 * `$queue/{name}/{filter}`: a subscription that makes its queue, and the bridge rule that fills it, when they are not there. Both stay when the
 * subscription ends: the queue goes on collecting, and is deleted as any other.
 */
import { createHash } from 'node:crypto'
import type { BrokerApi } from '../../broker/plugin.js'
import { AqueductError } from '../../core/errors.js'
import type { Bridges } from '../bridge/index.js'
import type { RefusalReason } from './refusals.js'

/** Why there is no such queue and rule, or undefined: they are there, from the open commit group on at the latest. */
export type AutoBridge = (queue: string, filter: string) => RefusalReason | undefined

export function autoBridge(api: BrokerApi, allowed: boolean): AutoBridge {
  return (queue, filter) => {
    const bridges = offered(api)
    if (bridges === undefined || !allowed) return 'not_allowed'
    if (bridges.list().some((rule) => rule.queue === queue && rule.filter === filter)) return undefined
    try {
      bridges.put(ruleName(queue, filter), { filter, queue })
      return undefined
    } catch (error) {
      if (!(error instanceof AqueductError)) throw error
      api.log.info({ err: error, queue, filter }, 'a subscription could not make its queue')
      return error.code === 'limit_reached' ? 'quota' : error.code === 'store_failed' ? 'failed' : 'no_such'
    }
  }
}

/** The same for the same queue and filter. */
function ruleName(queue: string, filter: string): string {
  return `auto.${createHash('sha256').update(`${queue}/${filter}`).digest('hex').slice(0, 32)}`
}

function offered(api: BrokerApi): Bridges | undefined {
  try {
    return api.use<Bridges>('bridge')
  } catch {
    // A program may leave that plugin out.
    return undefined
  }
}
