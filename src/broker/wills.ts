/**
 * Wills: what is published for a client that goes without saying goodbye [MQTT-3.1.2-8]. Each is stored with the CONNECT that brought
 * it, so that a broker that dies publishes the wills of all who were connected when it starts again.
 */
import { textOf, willKey, wills } from '../store/keys.js'
import { admitOutgoing } from './admission.js'
import { bytesOf } from './client-api.js'
import { payloadOf, topicOf, viewOf } from './message.js'
import { readMessageRecord, writeMessageRecord } from './records.js'
import type { BrokerState, Stored } from './state.js'

export interface Will {
  readonly clientId: string
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

/** Stores `will` in the open commit group. */
export function storeWill(state: BrokerState, stored: Stored, will: Will): void {
  const view = viewOf(Buffer.from(will.topic), will.payload, state.clock.now())
  stored.store.journal.put(willKey(will.clientId), writeMessageRecord(view, will.qos, will.retain))
}

/**
 * The connection that brought `will` is over. `publish`: it ended without DISCONNECT. The message and the end of the stored will are in one group, so
 * that it is sent once, whenever the broker dies.
 */
export function endWill(state: BrokerState, will: Will, publish: boolean, client: unknown = null): void {
  const stored = state.stored
  if (stored === null) return
  if (!publish) {
    forget(stored, will)
    return
  }
  const packet = { cmd: 'publish', topic: will.topic, payload: will.payload, qos: will.qos, retain: will.retain, dup: false }
  state.hooks.authorizePublish(client, packet, (refused) => {
    if (state.stored !== stored) return
    forget(stored, will)
    if (refused) return
    if (state.spaces.isClosed(packet.topic)) {
      state.stats.droppedReserved++
      return
    }
    // The hook may have changed it.
    const { topic, qos, retain } = packet
    const outcome = admitOutgoing(state, stored, { topic, payload: bytesOf(packet.payload), qos, retain }, client)
    if (typeof outcome === 'number') state.stats.willsPublished++
    stored.store.journal.request()
  })
}

/** The stored will goes, unless a later connection of that client has put its own in its place while a hook was thinking. */
function forget(stored: Stored, will: Will): void {
  const heir = stored.sessions.get(will.clientId)?.connection?.lastWill ?? null
  if (heir === null || heir === will) stored.store.journal.del(willKey(will.clientId))
}

/** At a start: publishes the wills of connections that were open when the broker died. Resolves when they are stored. */
export async function publishLeftWills(state: BrokerState, stored: Stored): Promise<number> {
  let count = 0
  for await (const row of stored.store.disk.scan(wills)) {
    const record = readMessageRecord(row.value)
    const { view, qos, retain } = record
    endWill(state, { clientId: textOf(row.key).toString(), topic: topicOf(view), payload: payloadOf(view), qos, retain }, true)
    count++
  }
  await stored.store.journal.flush()
  return count
}
