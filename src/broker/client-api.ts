/** What a program may do with one client: send it a message, subscribe or unsubscribe it. Aedes's contract, on our session. */
import { filterFault, topicFault } from '../topics/names.js'
import type { Connection } from './connection.js'
import { type GivenProperties, givenProperties, type HookProperties } from './five/hook-properties.js'
import { viewOf } from './message.js'
import { FLAG_RETAIN } from './ports.js'
import { type AskedSubscription, answered, Subscriptions } from './subscribing.js'

export interface ClientPacket {
  topic: string
  payload?: string | Buffer
  qos?: number
  retain?: boolean
  /** MQTT 5, as `mqtt-packet` names them. */
  properties?: HookProperties
}

type Done = ((error?: Error) => void) | undefined

/** Gives `packet` to this client only, whatever it is subscribed to. `done` when it is stored, or at once when nothing is. */
export function clientPublish(c: Connection, packet: ClientPacket, done: Done): void {
  const stored = c.state.stored
  const session = c.session
  const wrong = topicFault(packet.topic, c.state.settings.max_topic_levels)
  if (stored === null || session === null || wrong !== undefined) {
    finish(done, new Error(wrong ?? 'the client is not connected'))
    return
  }
  const now = c.state.clock.now()
  const given = givenOr(packet, now)
  if (given instanceof Error) {
    finish(done, given)
    return
  }
  const qos = packet.qos === 1 || packet.qos === 2 ? packet.qos : 0
  const view = viewOf(Buffer.from(packet.topic), bytesOf(packet.payload), now, given.properties, given.expiresAt)
  if (qos === 0) {
    c.sendPublish(view, packet.retain === true ? FLAG_RETAIN : 0, 0, false, undefined)
    finish(done)
    return
  }
  stored.mailboxes.begin(view)
  const taken = stored.mailboxes.append(session.mailbox, packet.retain === true ? qos | FLAG_RETAIN : qos, false)
  if (!taken) finish(done, new Error('the queue of this session is full'))
  else if (!session.durable) finish(done)
  else
    stored.store.journal.flush().then(
      () => finish(done),
      (error: Error) => finish(done, error),
    )
}

/** `request`: one `{ topic, qos }`, a list of them, or `{ subscriptions: [...] }`. */
export function clientSubscribe(c: Connection, request: unknown, done: Done): void {
  const asked = listOf<AskedSubscription>(request, 'subscriptions')
  const stored = c.state.stored
  const session = c.session
  const wrong = asked
    .map(({ topic }) => filterFault(topic, c.state.settings.max_topic_levels))
    .find((fault) => fault !== undefined)
  if (stored === null || session === null || wrong !== undefined) {
    finish(done, new Error(wrong ?? 'the client is not connected'))
    return
  }
  c.state.hooks.authorizeSubscribe(c, asked, (error, allowed) => {
    if (error !== null) return finish(done, error)
    if (c.session !== session) return finish(done, new Error('the client is not connected'))
    const made = new Subscriptions(c, stored, session, allowed)
    made.apply()
    const { codes, replay } = made
    if (replay !== null) c.expectReplay(stored, replay)
    c.startReplay(replay)
    c.state.hooks.subscribed(c, () => answered(asked, codes))
    if (made.rows)
      stored.store.journal.flush().then(
        () => finish(done),
        (error: Error) => finish(done, error),
      )
    else finish(done)
  })
}

/** `request`: one filter, a list of them, or `{ unsubscriptions: [...] }`. */
export function clientUnsubscribe(c: Connection, request: unknown, done: Done): void {
  const filters = listOf<string | { topic: string }>(request, 'unsubscriptions').map((f) => (typeof f === 'string' ? f : f.topic))
  const stored = c.state.stored
  const session = c.session
  if (stored === null || session === null) {
    finish(done, new Error('the client is not connected'))
    return
  }
  for (const filter of filters) stored.sessions.unsubscribe(session, filter)
  c.state.hooks.unsubscribed(c, filters)
  if (session.durable)
    stored.store.journal.flush().then(
      () => finish(done),
      (error: Error) => finish(done, error),
    )
  else finish(done)
}

function listOf<T>(request: unknown, name: string): T[] {
  if (Array.isArray(request)) return request as T[]
  if (typeof request === 'object' && request !== null && name in request) return (request as Record<string, T[]>)[name] ?? []
  return [request as T]
}

/** The properties that a program gave, or what is wrong with them. */
export function givenOr({ properties }: ClientPacket, now: number): GivenProperties | Error {
  try {
    return givenProperties(properties, now)
  } catch (error) {
    return error as Error
  }
}

export function bytesOf(payload: string | Buffer | undefined): Buffer {
  if (payload === undefined) return Buffer.alloc(0)
  return typeof payload === 'string' ? Buffer.from(payload) : payload
}

function finish(done: Done, error?: Error): void {
  if (done !== undefined) setImmediate(done, error)
}
