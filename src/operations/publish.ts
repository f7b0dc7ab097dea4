/** Publishing a message as an MQTT client would: to subscribers, bridge rules and retained, in one commit. */
import { admitOutgoing, DROPPED, REFUSED_FULL, REFUSED_QUOTA, REFUSED_RETAINED } from '../broker/admission.js'
import { AqueductError } from '../core/errors.js'
import { RETENTION_S_MAX } from '../core/limits.js'
import { whole } from './checks.js'
import { type Ground, show } from './ground.js'
import { messageId } from './ids.js'
import { bytesOf } from './messages.js'
import { type MessageProperties, propertyBlock } from './properties.js'

export interface Publication {
  readonly topic: string
  /** Text is taken as its UTF-8. */
  readonly body?: Uint8Array | string
  /** Default 1. */
  readonly qos?: 0 | 1 | 2
  /** Also kept for later subscribers; empty, what was kept is removed. */
  readonly retain?: boolean
  /** How long it is worth delivering. */
  readonly ttl_s?: number
  /** For subscribers of MQTT 5, bridge rules and queues. */
  readonly properties?: MessageProperties
}

export interface Published {
  /** Null when no queue wanted it: there is then nothing that the id could be asked for. */
  readonly id: string | null
}

/** Resolves when all that is stored of it is on the disk. Throws `topic_invalid`, `not_authorised`, `queue_not_found`, `queue_full`, `limit_reached`, `store_full`. */
export type Publish = (message: Publication) => Promise<Published>

export function publisher(ground: Ground): Publish {
  return async ({ topic, body = '', qos = 1, retain = false, ttl_s, properties: given }) => {
    whole('qos', qos, 0, 2)
    whole('ttl_s', ttl_s, 1, RETENTION_S_MAX)
    const { stored } = ground
    const { state } = ground.broker
    if (typeof topic === 'string' && state.spaces.isClosed(topic))
      throw new AqueductError('not_authorised', `Nobody may publish to ${show(topic)}.`)
    const payload = bytesOf(body)
    const properties = propertyBlock(given, payload)
    const log = stored.store.messages
    const before = log.nextSeq
    const expiresAt = ttl_s === undefined ? 0 : ground.now() + ttl_s * 1000
    const group = admitOutgoing(state, stored, { topic, payload, qos, retain, properties, expiresAt }, null)
    if (typeof group === 'string') throw new AqueductError('topic_invalid', `topic: ${group}.`)
    if (group === REFUSED_FULL)
      throw new AqueductError('store_full', 'The store is nearly full: nothing of the message was stored.')
    if (group === REFUSED_QUOTA)
      throw new AqueductError('queue_full', 'A queue that must have the message has no room for it: nothing of it was stored.')
    if (group === REFUSED_RETAINED)
      throw new AqueductError('limit_reached', 'No more can be retained (retained.max_…): nothing of the message was stored.')
    if (group === DROPPED) throw new AqueductError('queue_not_found', `Nothing is there under ${show(topic)}.`)
    // Only a message that somebody's queue took has a sequence: taken just now, in this turn.
    const id = log.nextSeq === before ? null : messageId(log.openSeq)
    if (group > 0) await ground.ordered.committed()
    return { id }
  }
}
