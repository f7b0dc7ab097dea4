/** SUBSCRIBE and UNSUBSCRIBE [MQTT-3.8.*, MQTT-3.10.*]: linear in the number of filters, one commit for all of them. */
import { Reason } from '../mqtt/constants.js'
import { suback, unsuback } from '../mqtt/encode.js'
import type { Frame } from '../mqtt/frame.js'
import { readSubscribe, readUnsubscribe, type SubscribePacket, type SubscriptionRequest } from '../mqtt/subscribe.js'
import { filterFault } from '../topics/names.js'
import type { Connection } from './connection.js'
import { isDeniedFilter } from './denied.js'
import { type HookProperties, seenProperties } from './five/hook-properties.js'
import { writeIdentifiers } from './five/identifiers.js'
import { RetainedReplay } from './replay.js'
import type { Session, SubscriptionOptions } from './session.js'
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
  /** Those of the whole SUBSCRIBE. */
  properties?: HookProperties
}

export function handleSubscribe(c: Connection, buf: Buffer, frame: Frame): void {
  const packet = readSubscribe(buf, frame, c.version ?? 4)
  for (const { filter } of packet.subscriptions) {
    const wrong = brokenFilter(filter, c.version)
    if (wrong !== undefined) {
      c.fault(Reason.malformed_packet, `SUBSCRIBE: ${wrong}`)
      return
    }
  }
  const asked = packet.subscriptions.map(c.version === 5 ? asked5 : asked4)
  if (packet.properties !== undefined && Object.keys(packet.properties).length > 0) {
    const properties = seenProperties(packet.properties)
    for (const one of asked) one.properties = properties
  }
  if (!c.state.hooks.gatesSubscribe) {
    grant(c, packet, asked, asked)
    return
  }
  c.suspend()
  c.state.hooks.authorizeSubscribe(c, asked, (error, allowed) => {
    if (c.phase !== 'connected') return
    if (error !== null) c.fault(Reason.not_authorised, 'subscription refused by a hook', error)
    else grant(c, packet, asked, allowed)
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
  { packetId, properties }: SubscribePacket,
  asked: readonly AskedSubscription[],
  allowed: readonly (AskedSubscription | null)[],
): void {
  const stored = c.state.stored
  const session = c.session
  if (stored === null || session === null) return
  const { codes, replay, rows } = applySubscriptions(c, stored, session, allowed, properties?.subscriptionIdentifiers?.[0])
  const answer = (): void => {
    c.send(suback(c.version ?? 4, packetId, codes))
    c.startReplay(replay)
  }
  c.answerWith(answer, rows ? stored.store.journal.openGroup : 0)
  c.state.hooks.subscribed(c, answered(asked, codes))
}

/** What Aedes tells its listeners: what was asked for, with the QoS that was granted, 128 for none. */
export function answered(asked: readonly AskedSubscription[], codes: readonly number[]): object[] {
  return asked.map((one, i) => ({ ...one, qos: codes[i] }))
}

/** Makes the subscriptions; `codes` has one entry for each asked, in order [MQTT-3.9.3-1]. `rows`: something may be stored in the open group. */
export function applySubscriptions(
  c: Connection,
  stored: Stored,
  session: Session,
  asked: readonly (AskedSubscription | null)[],
  identifier?: number,
): { codes: number[]; replay: RetainedReplay; rows: boolean } {
  let rows = session.durable
  const codes: number[] = []
  const replay = new RetainedReplay(stored)
  const extra = identifier === undefined ? undefined : writeIdentifiers([identifier])
  for (const one of asked) {
    const refusal = one === null ? Reason.not_authorised : refusalOf(c, one.topic)
    if (one === null || refusal !== 0) {
      codes.push(c.version === 5 ? refusal : FAILURE)
      continue
    }
    const limit = stored.sessions.refusesFilter(session, one.topic)
    if (limit !== undefined) {
      c.state.refusals.count(limit, { client: c.id.slice(0, 64) })
      codes.push(c.version === 5 ? Reason.quota_exceeded : FAILURE)
      continue
    }
    const options = optionsOf(one, identifier)
    const space = c.state.spaces.of(one.topic)
    const code = space?.asks?.(session, one.topic, options) ?? one.qos
    codes.push(code > 2 && c.version !== 5 ? FAILURE : code)
    if (code > 2) continue
    const isNew = stored.sessions.subscribe(session, one.topic, { ...options, qos: code as 0 | 1 | 2 })
    // Queues and shared groups begin with what comes from now on.
    if (space !== undefined) {
      rows ||= space.stores === true
      continue
    }
    const handling = options.retainHandling ?? 0
    if (handling === 0 || (handling === 1 && isNew)) replay.add(one.topic, one.qos, extra)
  }
  return { codes, replay, rows }
}

/** What ends the connection. Only MQTT 5 says what a broken `$share/…` is: before it that is refused, not a fault. */
function brokenFilter(filter: string, version: number | null): string | undefined {
  if (version !== 5 && filter.startsWith('$share/')) return undefined
  return filterFault(filter, Number.POSITIVE_INFINITY)
}

/** Retain handling and identifier are kept only where they were given: most subscriptions have neither. */
function optionsOf(one: AskedSubscription, identifier: number | undefined): SubscriptionOptions {
  return {
    qos: one.qos,
    noLocal: one.nl === true,
    retainAsPublished: one.rap === true,
    ...(one.rh === undefined || one.rh === 0 ? {} : { retainHandling: one.rh }),
    ...(identifier === undefined ? {} : { identifier }),
  }
}

/** Why a valid filter is refused, 0 when it is not: named by a setting, too deep, or of a reserved space that nothing here serves. */
function refusalOf(c: Connection, filter: string): number {
  const { deny_subscribe, max_topic_levels } = c.state.settings
  if (isDeniedFilter(deny_subscribe, filter)) return Reason.unspecified_error
  if (isServedOnly(filter) && c.state.spaces.of(filter)?.asks === undefined)
    return filter.startsWith('$share/') ? Reason.shared_subscriptions_not_supported : Reason.topic_filter_invalid
  return filterFault(filter, max_topic_levels) === undefined ? 0 : Reason.topic_filter_invalid
}

export function handleUnsubscribe(c: Connection, buf: Buffer, frame: Frame): void {
  const packet = readUnsubscribe(buf, frame, c.version ?? 4)
  const stored = c.state.stored
  const session = c.session
  if (stored === null || session === null) return
  for (const filter of packet.filters) {
    const wrong = brokenFilter(filter, c.version)
    if (wrong === undefined) continue
    c.fault(Reason.malformed_packet, `UNSUBSCRIBE: ${wrong}`)
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
