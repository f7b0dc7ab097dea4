/** SUBSCRIBE and UNSUBSCRIBE [MQTT-3.8.*, MQTT-3.10.*]: linear in the number of filters, one commit for all of them. */
import { Reason } from '../mqtt/constants.js'
import { suback, unsuback } from '../mqtt/encode.js'
import type { Frame } from '../mqtt/frame.js'
import { readSubscribe, readUnsubscribe, type SubscriptionRequest } from '../mqtt/subscribe.js'
import { filterFault } from '../topics/names.js'
import type { Connection } from './connection.js'
import { RetainedReplay } from './replay.js'
import type { Session } from './session.js'
import { isServedOnly } from './spaces.js'
import type { Stored } from './state.js'

const FAILURE = 0x80

/** A filter as hooks see and may change it; null: refused. */
export interface AskedSubscription {
  topic: string
  qos: 0 | 1 | 2
  nl?: boolean
  rap?: boolean
  rh?: number
}

export function handleSubscribe(c: Connection, buf: Buffer, frame: Frame): void {
  const packet = readSubscribe(buf, frame, c.version ?? 4)
  for (const { filter } of packet.subscriptions) {
    const wrong = brokenFilter(filter, c.version)
    if (wrong !== undefined) {
      c.fault(Reason.topic_filter_invalid, `SUBSCRIBE: ${wrong}`)
      return
    }
  }
  const asked = packet.subscriptions.map(c.version === 5 ? asked5 : asked4)
  if (!c.state.hooks.gatesSubscribe) {
    grant(c, packet.packetId, asked, asked)
    return
  }
  c.suspend()
  c.state.hooks.authorizeSubscribe(c, asked, (error, allowed) => {
    if (c.phase !== 'connected') return
    if (error !== null) c.fault(Reason.not_authorised, 'subscription refused by a hook', error)
    else grant(c, packet.packetId, asked, allowed)
    c.resume()
  })
}

/** The options of MQTT 5 are there for its clients only. */
function asked4(r: SubscriptionRequest): AskedSubscription {
  return { topic: r.filter, qos: r.qos }
}

function asked5(r: SubscriptionRequest): AskedSubscription {
  return { topic: r.filter, qos: r.qos, nl: r.noLocal, rap: r.retainAsPublished, rh: r.retainHandling }
}

function grant(
  c: Connection,
  packetId: number,
  asked: readonly AskedSubscription[],
  allowed: readonly (AskedSubscription | null)[],
): void {
  const stored = c.state.stored
  const session = c.session
  if (stored === null || session === null) return
  const { codes, replay } = applySubscriptions(c, stored, session, allowed)
  const answer = (): void => {
    c.send(suback(c.version ?? 4, packetId, codes))
    c.startReplay(replay)
  }
  c.answerWith(answer, session.durable ? stored.store.journal.openGroup : 0)
  c.state.hooks.subscribed(c, answered(asked, codes))
}

/** What Aedes tells its listeners: what was asked for, with the QoS that was granted, 128 for none. */
export function answered(asked: readonly AskedSubscription[], codes: readonly number[]): object[] {
  return asked.map((one, i) => ({ ...one, qos: codes[i] }))
}

/** Makes the subscriptions; `codes` has one entry for each asked, in order [MQTT-3.9.3-1]. */
export function applySubscriptions(
  c: Connection,
  stored: Stored,
  session: Session,
  asked: readonly (AskedSubscription | null)[],
): { codes: number[]; replay: RetainedReplay } {
  const codes: number[] = []
  const replay = new RetainedReplay(stored)
  for (const one of asked) {
    if (one === null || refused(c, one.topic)) {
      codes.push(FAILURE)
      continue
    }
    const options = { qos: one.qos, noLocal: one.nl === true, retainAsPublished: one.rap === true }
    const space = c.state.spaces.of(one.topic)
    const code = space?.asks?.(session, one.topic, options) ?? one.qos
    codes.push(code)
    if (code > 2) continue
    stored.sessions.subscribe(session, one.topic, { ...options, qos: code as 0 | 1 | 2 })
    // Queues and shared groups begin with what comes from now on.
    if (space === undefined) replay.add(one.topic, one.qos)
  }
  return { codes, replay }
}

/** What ends the connection. Only MQTT 5 has rules of its own for `$share/`: before it that is refused like any reserved name. */
function brokenFilter(filter: string, version: number | null): string | undefined {
  if (version !== 5 && filter.startsWith('$share/')) return undefined
  return filterFault(filter, Number.POSITIVE_INFINITY)
}

/** Filters that get 0x80: named by a setting, too deep, or of a reserved space that nothing here serves. */
function refused(c: Connection, filter: string): boolean {
  const { deny_subscribe, max_topic_levels } = c.state.settings
  if (deny_subscribe.includes(filter)) return true
  if (isServedOnly(filter) && c.state.spaces.of(filter)?.asks === undefined) return true
  return filterFault(filter, max_topic_levels) !== undefined
}

export function handleUnsubscribe(c: Connection, buf: Buffer, frame: Frame): void {
  const packet = readUnsubscribe(buf, frame, c.version ?? 4)
  const stored = c.state.stored
  const session = c.session
  if (stored === null || session === null) return
  for (const filter of packet.filters) {
    const wrong = brokenFilter(filter, c.version)
    if (wrong === undefined) continue
    c.fault(Reason.topic_filter_invalid, `UNSUBSCRIBE: ${wrong}`)
    return
  }
  const codes = packet.filters.map((filter) =>
    stored.sessions.unsubscribe(session, filter) ? Reason.success : Reason.no_subscription_existed,
  )
  c.answerWith(
    () => c.send(unsuback(c.version ?? 4, packet.packetId, codes)),
    session.durable ? stored.store.journal.openGroup : 0,
  )
  c.state.hooks.unsubscribed(c, packet.filters)
}
