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
export type AutoBridge = (queue: string, filter: string, client: string) => RefusalReason | undefined

/** `auto`: while nobody has to say who they are; else anybody who may subscribe may make what stays. */
export type MayMake = 'auto' | 'yes' | 'no'

export function autoBridge(api: BrokerApi, allowed: MayMake): AutoBridge {
  return (queue, filter, client) => {
    const bridges = offered(api)
    if (bridges === undefined) return 'not_allowed'
    // What is there may be consumed all the same.
    if (bridges.copies(filter, queue)) return undefined
    if (allowed === 'no' || (allowed === 'auto' && api.authenticates)) return 'not_allowed'
    try {
      bridges.make(ruleName(queue, filter), { filter, queue }, client)
      return undefined
    } catch (error) {
      if (!(error instanceof AqueductError)) throw error
      api.log.debug({ why: error.message, queue, filter }, 'a subscription could not make its queue')
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
