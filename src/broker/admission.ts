/**
 * The one way in: every message, whoever publishes it, is routed here and given to all who want it.
 *
 * Ensures (design §2): all that is stored of one message, with the acknowledgement's other rows, joins ONE commit group; volatile copies of QoS 0
 * and 1 leave at once, since waiting for the commit would let a later message without stored copies overtake them; volatile copies of
 * QoS 2 leave after the commit whenever the publisher's answer waits for one.
 */
import { topicFault } from '../topics/names.js'
import { writeIdentifiers } from './five/identifiers.js'
import { type Inbound, inboundOf, ROOM_BYTES, withRoom } from './message.js'
import { FLAG_RETAIN } from './ports.js'
import type { Route } from './routes.js'
import { identifiersOf, type SubscriptionOptions } from './session.js'
import type { Space } from './spaces.js'
import type { BrokerState, Stored } from './state.js'

/** What became of a message. A positive number is the commit group that its acknowledgement waits for. */
export const ADMITTED = 0
/** The disk is nearly full and the message has stored copies: nothing of it was taken. */
export const REFUSED_FULL = -1
/** A queue that must have the message has no room for it: nothing of it was taken. */
export const REFUSED_QUOTA = -2
/** Its topic is in a reserved space where there is nothing of that name: nobody gets it. */
export const DROPPED = -3
/** It shall be retained and there is no room for that: nothing of it was taken. */
export const REFUSED_RETAINED = -4

/**
 * Admits `m` (usually `state.inbound`). Returns the commit group to wait for, ADMITTED when nothing of it is stored, or one of the refusals.
 */
export function admit(state: BrokerState, stored: Stored, m: Inbound): number {
  if (m.topic.dollar) {
    const space = state.spaces.of(m.topic.name)
    if (space?.publish !== undefined) return toSpace(state, stored, m, space)
  }
  const route = state.routes.of(m.topic)
  state.work += route.cost + state.routes.matched
  state.routes.matched = 0
  const { store } = stored
  const takers = route.takers.length
  m.reached = route.sessions.length + takers + route.listeners.length > 0
  // An empty retained message only takes something away: that passes on a full disk, too.
  const keeps = m.retain && m.payloadStart < m.end
  const limit = keeps ? stored.retained.refuses(m) : undefined
  if (limit !== undefined) {
    state.refusals.count(limit, { topic: m.topic.name.slice(0, 64) })
    if (m.qos > 0) return REFUSED_RETAINED
  }
  if ((keeps || takers > 0 || (m.qos > 0 && route.durable > 0)) && store.full) {
    state.stats.refusedFull++
    if (m.qos > 0) return REFUSED_FULL
  }
  let durable = false
  if (takers > 0) {
    m.attachment = null
    m.takersWork = 0
    if (m.gap !== ROOM_BYTES) withRoom(m)
    const allowed = allTakersAllow(m, route)
    durable = allowed && toTakers(stored, m, route)
    state.work += m.takersWork
    if (!allowed) return REFUSED_QUOTA
  }
  if (m.qos > 0) {
    if (route.sessions.length > 0 && toSessions(stored, m, route, durable)) durable = true
  } else {
    sendQos0(route, m)
  }
  if (m.retain && !(keeps && (store.full || limit !== undefined)) && stored.retained.set(m)) durable = true
  if (route.listeners.length > 0 || state.hooks.observesPublish) state.hooks.published(m, route.listeners)
  state.stats.received[m.qos]++
  return durable ? store.journal.openGroup : ADMITTED
}

/** A message for a reserved topic: that space alone gets it. */
function toSpace(state: BrokerState, stored: Stored, m: Inbound, space: Space): number {
  if (stored.store.full) {
    state.stats.refusedFull++
    if (m.qos > 0) return REFUSED_FULL
  }
  if (m.gap !== ROOM_BYTES) withRoom(m)
  m.reached = true
  const outcome = space.publish?.(m) ?? DROPPED
  if (outcome === DROPPED) state.stats.droppedReserved++
  else if (outcome >= 0) state.stats.received[m.qos]++
  return outcome
}

/** The publisher's own identifier row makes its PUBREC wait, too, and so does the row of a will. */
function publisherStored(m: Inbound): boolean {
  return m.qos === 2 && (m.oncePerRow || m.publisher?.durable === true)
}

function allTakersAllow(m: Inbound, { takers }: Route): boolean {
  for (let i = 0; i < takers.length; i++) if (!takers[i].allows(m)) return false
  return true
}

function toTakers(stored: Stored, m: Inbound, route: Route): boolean {
  const { takers } = route
  // Nothing is stored of a message without an answer while the disk is nearly full.
  if (m.qos === 0 && stored.store.full) return false
  stored.mailboxes.begin(m)
  let held = m.qos === 2 && (route.durable > 0 || publisherStored(m))
  let durable = false
  for (let i = 0; i < takers.length; i++) {
    if (!takers[i].take(m, held)) continue
    durable = true
    held = m.qos === 2
  }
  return durable
}

/** `durable`: something of the message is stored already, so that QoS 2 copies in memory must wait for the commit. */
function toSessions(stored: Stored, m: Inbound, route: Route, durable: boolean): boolean {
  const { mailboxes } = stored
  const { sessions, options, extras } = route
  // Takers opened the message.
  let begun = route.takers.length > 0
  const waits = durable || publisherStored(m)
  for (let i = 0; i < sessions.length; i++) {
    let option = options[i]
    let extra = extras === null ? undefined : extras[i]
    const session = sessions[i]
    if (option.noLocal && session === m.publisher) {
      if (option.own === undefined) continue
      option = option.own
      extra = extraOf(option)
    }
    const qos = option.qos < m.qos ? option.qos : m.qos
    if (qos === 0) {
      const connection = session.connection
      if (connection !== null) connection.sendQos0(m, option.retainAsPublished && m.retain, extra)
      continue
    }
    const flags = option.retainAsPublished && m.retain ? qos | FLAG_RETAIN : qos
    const waiting = session.durable ? null : (session.connection?.replay ?? null)
    if (waiting?.keeps(m, m, flags, qos === 2 && (waits || (begun && mailboxes.durable)), extra) === true) continue
    if (!begun) {
      begun = true
      // What is kept has room for a packet identifier; what only passes through keeps the shape it came in.
      if (m.gap !== ROOM_BYTES) withRoom(m)
      mailboxes.begin(m)
    }
    mailboxes.append(session.mailbox, flags, qos === 2 && (waits || mailboxes.durable), extra)
  }
  return begun && mailboxes.durable
}

/** What goes with a copy by the filters without No Local alone: only a client whose filters differ in that asks for it. */
function extraOf(own: SubscriptionOptions): Buffer | undefined {
  return writeIdentifiers(identifiersOf(own))
}

function sendQos0(route: Route, m: Inbound): void {
  const { sessions, options, extras } = route
  for (let i = 0; i < sessions.length; i++) {
    const connection = sessions[i].connection
    if (connection === null) continue
    let option = options[i]
    let extra = extras === null ? undefined : extras[i]
    if (option.noLocal && sessions[i] === m.publisher) {
      if (option.own === undefined) continue
      option = option.own
      extra = extraOf(option)
    }
    connection.sendQos0(m, option.retainAsPublished && m.retain, extra)
  }
}

/** A message that no packet brought: from a program, a will, the broker itself. */
export interface Outgoing {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** MQTT 5 property block in stored form. */
  readonly properties?: Buffer | undefined
  /** When it is no longer worth delivering: milliseconds since 1970, 0 for never. */
  readonly expiresAt?: number
  /** It is published because of a row that leaves the store in the same commit group; see `Inbound`. */
  readonly oncePerRow?: boolean
}

/** Admits a message from inside. Returns what `admit` does, or a sentence that says why the topic is none. */
export function admitOutgoing(state: BrokerState, stored: Stored, o: Outgoing, client: unknown): number | string {
  const fault = topicFault(o.topic, state.settings.max_topic_levels)
  if (fault !== undefined) return fault
  const topic = state.routes.topics.internName(o.topic)
  if (topic === undefined) return 'not a topic name'
  // Not the shared scratch: a hook or listener may publish while a packet is being admitted.
  const m = inboundOf(topic, o.payload, o.qos, o.retain, state.clock.now())
  m.properties = o.properties
  m.expiresAt = o.expiresAt ?? 0
  m.oncePerRow = o.oncePerRow === true
  m.client = client
  return admit(state, stored, m)
}
