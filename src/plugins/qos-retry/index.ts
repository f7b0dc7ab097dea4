/**
 * Plugin: QoS 1 and 2 towards subscribers. In-flight window, packet identifiers, DUP, resending, attempts and the dead-letter queue, on top of
 * the queues of `durable-queues`.
 */
import type { BrokerApi, Plugin } from '../../broker/plugin.js'
import type { Mailbox } from '../../broker/ports.js'
import { pubrelFields, pubrels } from '../../store/keys.js'
import type { DurableQueues } from '../durable-queues/index.js'
import { type AssignedRow, readAssigned } from './assigned.js'
import type { Lane } from './lane.js'
import type { RetryRules } from './outbox.js'
import type { Released } from './released.js'
import { SessionOutbox } from './session-outbox.js'

export interface QosRetryOptions {
  /** Resend to a 3.1.1 client after so long without an acknowledgement, doubling each time; 0: only when it reconnects. */
  readonly interval_ms: number
  /** Hand-outs after which a message goes to the dead-letter queue; 0: no limit. */
  readonly max_attempts: number
}

/** What this plugin offers to those that need it. */
export interface QosRetry {
  readonly max_attempts: number
  /** The way to the client of a mailbox, for messages that are not in it. */
  laneOf(mailbox: Mailbox): Lane
}

export const defaultQosRetry: QosRetryOptions = { interval_ms: 30_000, max_attempts: 0 }

export function qosRetry(options: Partial<QosRetryOptions> = {}): Plugin {
  return {
    name: 'qos-retry',
    needs: ['durable-queues'],
    setup(api: BrokerApi) {
      const rules: RetryRules = { ...defaultQosRetry, ...options, clock: api.clock, coarse_ms: api.coarse_ms, log: api.log }
      const offer: QosRetry = { max_attempts: rules.max_attempts, laneOf: (mailbox) => mailbox as SessionOutbox }
      api.share('qos-retry', offer)
      /** PUBREL handshakes found at the start, by session, in the order in which PUBREC came. */
      let left = new Map<number, Released[]>()
      /** Identifiers that messages were given before they came here, by session. */
      let given = new Map<number, AssignedRow[]>()
      api.use<DurableQueues>('durable-queues').deliverWith({
        async load(store) {
          left = new Map()
          given = await readAssigned(store)
          for await (const row of store.disk.scan(pubrels)) {
            const { sessionId, seq } = pubrelFields(row.key)
            const packetId = row.value.length === 2 ? row.value.readUInt16BE(0) : 0
            if (packetId === 0) {
              store.damage.note({ key: row.key })
              continue
            }
            const list = left.get(sessionId)
            if (list === undefined) left.set(sessionId, [{ packetId, seq }])
            else list.push({ packetId, seq })
          }
        },
        mailbox(queue, clientId, storage, maybeSent) {
          const outbox = new SessionOutbox(queue, clientId, storage, rules, maybeSent)
          for (const released of left.get(queue.id) ?? []) outbox.restore(released)
          left.delete(queue.id)
          const rows = given.get(queue.id)
          if (rows !== undefined) outbox.restoreAssigned(rows)
          given.delete(queue.id)
          return outbox
        },
      })
    },
  }
}
