/** What has been acknowledged: the side of the damage rig that the broker is compared with. Nothing in here talks to it. */
import type { QoS } from '../../../support/mqtt-client.js'
import { matches } from '../message.js'
import type { Filters } from '../subscriber.js'

/** Whom a message waits for: `session NAME` or `queue NAME`. */
export type Owner = `${'session' | 'queue'} ${string}`

export interface Sent {
  topic: string
  key: string
  priority: number
}

export interface Rule {
  filter: string
  queue: string
}

const setIn = (map: Map<Owner, Set<string>>, owner: Owner): Set<string> => {
  let set = map.get(owner)
  if (set === undefined) {
    set = new Set()
    map.set(owner, set)
  }
  return set
}

export class Promised {
  readonly sessions = new Map<string, Filters>()
  readonly queues = new Set<string>()
  readonly rules = new Map<string, Rule>()
  readonly messages = new Map<string, Sent>()
  /** Acknowledged and not yet taken: must come. */
  readonly owed = new Map<Owner, Set<string>>()
  /** Taken, and the taking is stored: must not come again as new. */
  readonly settled = new Map<Owner, Set<string>>()
  /** Topic to message. */
  readonly retained = new Map<string, string>()
  /** Retained topics whose last message was not acknowledged: both values are right. */
  readonly unsure = new Set<string>()
  /** Message to the client whose will it is. */
  readonly wills = new Map<string, string>()
  private numbers = 0

  clone(): Promised {
    const to = new Promised()
    for (const name of ['sessions', 'rules', 'messages', 'retained', 'wills'] as const)
      for (const [key, value] of this[name]) (to[name] as Map<string, unknown>).set(key, value)
    for (const name of ['queues', 'unsure'] as const) for (const key of this[name]) to[name].add(key)
    for (const name of ['owed', 'settled'] as const) for (const [owner, ids] of this[name]) to[name].set(owner, new Set(ids))
    to.numbers = this.numbers
    return to
  }

  /** A new message's name. It is known from here on, so that it may be delivered; it is owed once `acknowledged`. */
  sent(topic: string, key = '', priority = 8): string {
    const id = `m${this.numbers++}`
    this.messages.set(id, { topic, key, priority })
    return id
  }

  /** The broker has said that a published message is stored. */
  published(id: string, qos: QoS, retain: boolean): void {
    const { topic } = this.known(id)
    for (const [name, filters] of this.sessions)
      if (filters.some(([filter, max]) => Math.min(qos, max) > 0 && matches(filter, topic))) this.owe(`session ${name}`, id)
    for (const { filter, queue } of this.rules.values()) if (matches(filter, topic)) this.owe(`queue ${queue}`, id)
    if (retain) this.retained.set(topic, id)
  }

  owe(owner: Owner, id: string): void {
    setIn(this.owed, owner).add(id)
  }

  settle(owner: Owner, id: string): void {
    setIn(this.owed, owner).delete(id)
    setIn(this.settled, owner).add(id)
  }

  known(id: string): Sent {
    const sent = this.messages.get(id)
    if (sent === undefined) throw new Error(`no message ${id}`)
    return sent
  }

  /** Granted QoS of a message for a session, as far as filters say. */
  grants(session: string, topic: string): QoS {
    let top: QoS = 0
    for (const [filter, max] of this.sessions.get(session) ?? []) if (max > top && matches(filter, topic)) top = max
    return top
  }
}
