/**
 * The one way in: every message, whoever publishes it, is routed here and given to all who want it.
 *
 * Ensures (design §2): all that is stored of one message, with the acknowledgement's other rows, joins ONE commit group; volatile copies of QoS 0
 * and 1 leave at once, since waiting for the commit would let a later message without stored copies overtake them; volatile copies of
 * QoS 2 leave after the commit whenever the publisher's answer waits for one.
 */
import { topicFault } from '../topics/names.js'
import { type Inbound, inboundOf } from './message.js'
import { FLAG_RETAIN } from './ports.js'
import type { Route } from './routes.js'
import type { BrokerState, Stored } from './state.js'

/** What became of a message. A positive number is the commit group that its acknowledgement waits for. */
export const ADMITTED = 0
/** The disk is nearly full and the message has stored copies: nothing of it was taken. */
export const REFUSED_FULL = -1

/**
 * Admits `m` (usually `state.inbound`). Returns the commit group to wait for, ADMITTED when nothing of it is stored, or REFUSED_FULL.
 */
export function admit(state: BrokerState, stored: Stored, m: Inbound): number {
  const route = state.routes.of(m.topic)
  const { store } = stored
  // An empty retained message only takes something away: that passes on a full disk, too.
  const keeps = m.retain && m.payloadStart < m.end
  if ((keeps || (m.qos > 0 && route.durable > 0)) && store.full) {
    state.stats.refusedFull++
    if (m.qos > 0) return REFUSED_FULL
  }
  let durable = false
  if (m.qos > 0) {
    if (route.sessions.length > 0) durable = toSessions(stored, m, route)
  } else {
    sendQos0(route, m)
  }
  if (m.retain && !(keeps && store.full) && stored.retained.set(m)) durable = true
  if (route.listeners.length > 0 || state.hooks.observesPublish) state.hooks.published(m, route.listeners)
  state.stats.received[m.qos]++
  return durable ? store.journal.openGroup : ADMITTED
}

function toSessions(stored: Stored, m: Inbound, route: Route): boolean {
  const { mailboxes } = stored
  const { sessions, options } = route
  let begun = false
  // The publisher's own identifier row makes its PUBREC wait, too.
  const publisherStored = m.qos === 2 && m.publisher !== null && m.publisher.durable
  for (let i = 0; i < sessions.length; i++) {
    const option = options[i]
    const session = sessions[i]
    if (option.noLocal && session === m.publisher) continue
    const qos = option.qos < m.qos ? option.qos : m.qos
    if (qos === 0) {
      const connection = session.connection
      if (connection !== null) connection.sendQos0(m, option.retainAsPublished && m.retain)
      continue
    }
    if (!begun) {
      begun = true
      mailboxes.begin(m)
    }
    const flags = option.retainAsPublished && m.retain ? qos | FLAG_RETAIN : qos
    mailboxes.append(session.mailbox, flags, qos === 2 && (publisherStored || mailboxes.durable))
  }
  return begun && mailboxes.durable
}

function sendQos0(route: Route, m: Inbound): void {
  const { sessions, options } = route
  for (let i = 0; i < sessions.length; i++) {
    const connection = sessions[i].connection
    if (connection === null) continue
    const option = options[i]
    if (option.noLocal && sessions[i] === m.publisher) continue
    connection.sendQos0(m, option.retainAsPublished && m.retain)
  }
}

/** A message that no packet brought: from a program, a will, the broker itself. */
export interface Outgoing {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

/** Admits a message from inside. Throws `topic_invalid`-worded text through `fault` when the topic is none. */
export function admitOutgoing(state: BrokerState, stored: Stored, o: Outgoing, client: unknown): number | string {
  const fault = topicFault(o.topic, state.settings.max_topic_levels)
  if (fault !== undefined) return fault
  const topic = state.routes.topics.internName(o.topic)
  if (topic === undefined) return 'not a topic name'
  // Not the shared scratch: a hook or listener may publish while a packet is being admitted.
  const m = inboundOf(topic, o.payload, o.qos, o.retain, state.clock.now())
  m.client = client
  return admit(state, stored, m)
}
