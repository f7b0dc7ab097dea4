/** Sessions of MQTT clients: who there is, what waits for them, and the same operations as on any other queue. */
import type { Connection } from '../broker/connection.js'
import { payloadOf, topicOf } from '../broker/message.js'
import { FLAG_QOS, FLAG_RETAIN, type Mailbox } from '../broker/ports.js'
import type { Session } from '../broker/session.js'
import { AqueductError } from '../core/errors.js'
import { BATCH_MESSAGES_MAX, MOVES_MAX, READ_BYTES_MAX } from '../core/limits.js'
import type { SessionQueue } from '../queue/queue.js'
import { whole } from './checks.js'
import { type Ground, show } from './ground.js'
import { messageId, sequenceOf } from './ids.js'
import { type Page, type PageOptions, pageOf } from './page.js'
import { type MessageProperties, shownProperties } from './properties.js'
import { deadOfSession, redriveSession, sessionNotFound } from './session-dead.js'

/** A session and how it is doing, known without reading anything. Moments are milliseconds since 1970; null for none. */
export interface SessionInfo {
  readonly client: string
  /** Whose it is: nobody else may connect with its client identifier. Null: nobody's. */
  readonly user: string | null
  readonly connected: boolean
  /** The address of its connection; null without one. */
  readonly remote: string | null
  /** Of its last connection. */
  readonly version: '3.1' | '3.1.1' | '5.0'
  /** It outlives its connection, and the broker. */
  readonly durable: boolean
  /** How many filters it is subscribed to. */
  readonly subscriptions: number
  /** Messages that wait for it. */
  readonly waiting: number
  /** Messages that it was sent and has not acknowledged. */
  readonly in_flight: number
  /** Bytes of both. */
  readonly bytes: number
  /** Messages in its dead-letter queue. */
  readonly dead: number
  /** When it ends if nobody connects; null while connected, or for never. */
  readonly expires_at: number | null
}

export interface SubscriptionInfo {
  readonly filter: string
  readonly qos: 0 | 1 | 2
  readonly no_local: boolean
  readonly retain_as_published: boolean
}

export interface SessionDetail extends SessionInfo {
  readonly filters: readonly SubscriptionInfo[]
  /** When the oldest message that it has not acknowledged was accepted. */
  readonly oldest_at: number | null
}

/** A message in a session. */
export interface Boxed {
  readonly id: string
  readonly topic: string
  readonly body: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly accepted_at: number
  readonly expires_at: number | null
  readonly properties: MessageProperties | null
}

export interface SessionPeekOptions {
  /** 1 to 256; default 10. */
  readonly limit?: number
  /** Only what was accepted after this message. */
  readonly after?: string
}

const VERSIONS = { 3: '3.1', 4: '3.1.1', 5: '5.0' } as const

export class Sessions {
  private readonly ground: Ground

  constructor(ground: Ground) {
    this.ground = ground
  }

  list(o: PageOptions = {}): Page<SessionInfo> {
    const { items, next } = pageOf(this.ground.stored.sessions.all(), (session) => session.clientId, o)
    return { items: items.map((session) => this.info(session)), next }
  }

  /** Throws `session_not_found`. */
  async get(client: string): Promise<SessionDetail> {
    const session = this.need(client)
    const detail = { ...this.info(session), filters: [...(session.filters ?? [])].map(subscription) }
    return { ...detail, oldest_at: await this.oldest(session.mailboxIfAny) }
  }

  /** What is in flight and what waits, in order. Messages of a session that is in memory only are not shown. */
  async peek(client: string, o: SessionPeekOptions = {}): Promise<Boxed[]> {
    return (await this.look(client, o)).messages
  }

  /** The same, a page at a time. */
  async look(client: string, o: SessionPeekOptions = {}): Promise<{ messages: Boxed[]; next: string | null }> {
    whole('limit', o.limit, 1, BATCH_MESSAGES_MAX)
    const limit = o.limit ?? 10
    const after = o.after === undefined ? 0 : sequenceOf(o.after)
    if (after === undefined)
      throw new AqueductError('attribute_invalid', `after is a message's id: got ${show(o.after as string)}.`)
    const box = this.need(client).mailboxIfAny
    const out: Boxed[] = []
    let bytes = 0
    for await (const { seq, flags, read } of box?.browse() ?? []) {
      if (seq <= after) continue
      const message = await read()
      if (message === undefined) continue
      bytes += message.end - message.bodyStart
      if (out.length === limit || (bytes > READ_BYTES_MAX && out.length > 0))
        return { messages: out, next: out.at(-1)?.id ?? null }
      out.push({
        id: messageId(seq),
        topic: topicOf(message),
        body: payloadOf(message),
        qos: (flags & FLAG_QOS) as 0 | 1 | 2,
        retain: (flags & FLAG_RETAIN) !== 0,
        accepted_at: this.ground.calendar(message.acceptedAt),
        expires_at: this.ground.calendarOrNull(message.expiresAt),
        properties: shownProperties(message),
      })
    }
    return { messages: out, next: null }
  }

  /** What waits is thrown away; what is in flight stays. Returns how many. */
  async purge(client: string): Promise<number> {
    const purged = this.need(client).mailboxIfAny?.discard() ?? 0
    await this.committed()
    return purged
  }

  /** Dead letters go back to the end of the session's queue, at QoS 1. Throws `session_not_found` for one that is not stored. */
  async redrive(client: string, o: { readonly max?: number } = {}): Promise<{ moved: number; full: boolean }> {
    whole('max', o.max, 1, MOVES_MAX)
    const { moved, full } = await redriveSession(this.ground, client, o)
    await this.committed()
    return { moved, full }
  }

  /** Closes its connection, if it has one, and ends the session with all that waits in it. Its dead letters stay. */
  async end(client: string): Promise<void> {
    const session = this.need(client)
    const connection: Connection | null = session.connection
    const { sessions } = this.ground.stored
    connection?.close()
    // One that ended with its connection is gone already.
    if (sessions.get(client) === session) sessions.remove(session)
    await this.committed()
  }

  private need(client: string): Session {
    const session = this.ground.stored.sessions.get(client)
    if (session === undefined) throw sessionNotFound(client)
    return session
  }

  private committed(): Promise<void> {
    return this.ground.ordered.committed()
  }

  private async oldest(box: Mailbox | null): Promise<number | null> {
    for await (const boxed of box?.browse() ?? []) {
      const message = await boxed.read()
      if (message !== undefined) return this.ground.calendar(message.acceptedAt)
    }
    return null
  }

  private info(session: Session): SessionInfo {
    const { connection, mailboxIfAny: box } = session
    const dead = this.ground.ordered.get(deadOfSession(session.clientId))?.counts()
    return {
      client: session.clientId,
      user: session.user ?? null,
      connected: connection !== null,
      remote: connection === null ? null : connection.transport.remote,
      version: VERSIONS[session.version as 3 | 4 | 5] ?? '3.1.1',
      durable: session.durable,
      subscriptions: session.filters?.size ?? 0,
      waiting: box?.waiting ?? 0,
      in_flight: box?.inFlight ?? 0,
      bytes: queueOf(box)?.counts().bytes ?? 0,
      dead: dead === undefined ? 0 : dead.ready + dead.delayed + dead.leased,
      expires_at: this.ground.calendarOrNull(session.expiresAt),
    }
  }
}

/** The queue behind a mailbox that `durable-queues` made. */
function queueOf(box: Mailbox | null): SessionQueue | undefined {
  return (box as (Mailbox & { readonly queue?: SessionQueue }) | null)?.queue
}

function subscription([filter, o]: [string, { qos: 0 | 1 | 2; noLocal: boolean; retainAsPublished: boolean }]): SubscriptionInfo {
  return { filter, qos: o.qos, no_local: o.noLocal, retain_as_published: o.retainAsPublished }
}
