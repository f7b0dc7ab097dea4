/**
 * All sessions, by client id. Durable ones are in the store with their subscriptions; volatile ones exist only with their connection.
 *
 * Always true:
 * - a session's end is a stored moment, counted from when its connection went; a crash counts as going. Until then the record says how long it will
 *   outlive its connection (`expiry_s`), since nobody can write it in the moment of a crash;
 * - a session whose moment has come is over for whoever connects, also before the sweep gets to it;
 * - all that ends with a session leaves in one commit group, and its waiting will goes out in the same (`SessionWatcher`).
 */
import type { Clock } from '../core/clock.js'
import { hasCode } from '../core/errors.js'
import { PACKET_ID_MAX } from '../core/limits.js'
import type { Log } from '../core/log.js'
import { Moments } from '../core/moments.js'
import type { Damaged } from '../store/disk.js'
import type { Journal } from '../store/journal.js'
import * as keys from '../store/keys.js'
import type { Store } from '../store/store.js'
import type { Connection } from './connection.js'
import { heldExpiry, momentIn, NEVER_S } from './expiry.js'
import type { Mailboxes } from './ports.js'
import { readSessionRecord, readSubscriptionRecord, writeSessionRecord, writeSubscriptionRecord } from './records.js'
import type { Routes } from './routes.js'
import { Session, type SubscriptionOptions } from './session.js'
import type { BrokerSettings } from './settings.js'
import { isServedOnly, type Spaces } from './spaces.js'
import type { BrokerStats } from './stats.js'

/** Sessions that end in one turn (a few milliseconds), and in one commit at a start. */
const ENDS_PER_TURN = 250
/** Sessions that are named one by one when rows of theirs are damaged. */
const SESSIONS_SAID_MAX = 64
/** Where the session's number ends in keys of its rows. */
const SESSION_ID_END = 5

export interface OpenedSession {
  readonly session: Session
  /** A stored session was there [MQTT-3.2.2-2]. */
  readonly present: boolean
  /** It has subscriptions and messages of before: so does one that is incomplete, and not said to be present. */
  readonly resumed: boolean
  /** Something changed in the store: CONNACK waits for the commit. */
  readonly stored: boolean
}

/** What a CONNECT asks for. */
export interface SessionRequest {
  readonly clientId: string
  /** Clean Session; in MQTT 5 Clean Start. */
  readonly clean: boolean
  /** How long it shall outlive the connection; `heldExpiry` has been asked. */
  readonly expiry_s: number
  /** MQTT level: 3, 4 or 5. */
  readonly version: number
}

/** Told in the turn in which it happens, so that what it stores joins the same commit. */
export interface SessionWatcher {
  /** The session that client had is over. */
  sessionEnded(clientId: string): void
  /** The client is back in its session. */
  sessionResumed(clientId: string): void
}

export interface SessionsOptions {
  readonly journal: Journal
  readonly mailboxes: Mailboxes
  readonly routes: Routes
  readonly spaces: Spaces
  readonly clock: Clock
  readonly settings: BrokerSettings
  readonly stats: BrokerStats
  readonly log: Log
}

export class Sessions {
  /** Set before the first session ends. */
  watcher: SessionWatcher | null = null
  private readonly byClient = new Map<string, Session>()
  /** Sessions without a connection that will end. */
  private readonly ends = new Moments<Session>()
  private readonly journal: Journal
  private readonly mailboxes: Mailboxes
  private readonly routes: Routes
  private readonly spaces: Spaces
  private readonly clock: Clock
  private readonly settings: BrokerSettings
  private readonly stats: BrokerStats
  private readonly log: Log
  /** Shared by all sessions. */
  private readonly makeVolatile = (clientId: string) => this.mailboxes.create(clientId, false)

  constructor(o: SessionsOptions) {
    this.journal = o.journal
    this.mailboxes = o.mailboxes
    this.routes = o.routes
    this.spaces = o.spaces
    this.clock = o.clock
    this.settings = o.settings
    this.stats = o.stats
    this.log = o.log
  }

  get size(): number {
    return this.byClient.size
  }

  all(): Iterable<Session> {
    return this.byClient.values()
  }

  get(clientId: string): Session | undefined {
    return this.byClient.get(clientId)
  }

  /** Reads sessions, subscriptions and received QoS 2 identifiers. Those whose time has come, or that were connected and ended with that, end now. */
  async load(store: Store): Promise<void> {
    const now = this.clock.now()
    const byId = new Map<number, Session>()
    const over: Session[] = []
    for await (const { key, value } of store.disk.scan(keys.sessions)) {
      const record = whole(store, key, () => readSessionRecord(value))
      if (record === undefined) continue
      const clientId = keys.textOf(key).toString()
      const mailbox = this.mailboxes.restore(clientId, record.id, record.maybeSent)
      if (mailbox === undefined) {
        this.log.error({ client: clientId }, 'the queue of a session is damaged: the session and what waited in it are lost')
        this.journal.del(key)
        continue
      }
      const session = new Session(clientId, mailbox, this.makeVolatile)
      session.version = record.version
      session.maybeSent = record.maybeSent
      session.expiry_s = record.expiry_s ?? this.defaultExpiry
      session.expiresAt = record.expiresAt !== 0 ? record.expiresAt : momentIn(session.expiry_s, now)
      if (session.expiresAt !== 0 && session.expiresAt <= now) over.push(session)
      else if (session.expiresAt !== record.expiresAt) this.write(session)
      if (session.expiresAt !== 0) this.ends.place(session)
      this.byClient.set(clientId, session)
      byId.set(record.id, session)
    }
    this.reviveUnclaimed(byId)
    await this.loadSubscriptions(store, byId)
    await this.loadInbound(store, byId)
    for (const [i, session] of over.entries()) {
      this.end(session)
      if ((i + 1) % ENDS_PER_TURN === 0) await this.journal.flush()
    }
  }

  /** Sessions whose row is damaged, known by their queues. How long they live is not known: as long as one that does not say. */
  private reviveUnclaimed(byId: Map<number, Session>): void {
    for (const { clientId, id } of this.mailboxes.unclaimedQueues()) {
      const mailbox = this.byClient.has(clientId) ? undefined : this.mailboxes.restore(clientId, id, PACKET_ID_MAX)
      if (mailbox === undefined) continue
      const session = new Session(clientId, mailbox, this.makeVolatile)
      session.maybeSent = PACKET_ID_MAX
      session.expiry_s = this.defaultExpiry
      session.incomplete = true
      this.byClient.set(clientId, session)
      byId.set(id, session)
      this.left(session)
      this.log.error(
        { client: clientId },
        'the row of a session is damaged: what waits in it is kept, and the client is told that no session was present',
      )
    }
  }

  private async loadSubscriptions(store: Store, byId: Map<number, Session>): Promise<void> {
    const { onDamaged, say } = this.incompletes(byId, 'subscriptions of a session are damaged')
    for await (const { key, value } of store.disk.scan(keys.subscriptions, { onDamaged })) {
      const { sessionId, filter } = keys.subscriptionFields(key)
      const session = byId.get(sessionId)
      if (session === undefined) continue
      const options = whole(store, key, () => readSubscriptionRecord(value))
      if (options === undefined) onDamaged({ key })
      else this.link(session, filter.toString(), options)
    }
    say()
  }

  private async loadInbound(store: Store, byId: Map<number, Session>): Promise<void> {
    const { onDamaged, say } = this.incompletes(
      byId,
      'identifiers of QoS 2 messages from a client are damaged: it may publish some twice',
    )
    for await (const row of store.disk.scan(keys.inbound, { onDamaged })) {
      const { sessionId, packetId } = keys.inboundFields(row.key)
      const session = byId.get(sessionId)
      if (session === undefined) continue
      if (session.inbound === null) session.inbound = new Set()
      session.inbound.add(packetId)
    }
    say()
    // Others take up what these say. A client that waits for a PUBREL of which nobody knows must begin anew.
    const pubrels = this.incompletes(byId, 'PUBRELs that are due to a client are damaged')
    for await (const _ of store.disk.scan(keys.pubrels, { onDamaged: pubrels.onDamaged }));
    pubrels.say()
  }

  /** Counts damaged rows of sessions; where it is not known of which, it may be any. */
  private incompletes(byId: Map<number, Session>, what: string): { onDamaged: (d: Damaged) => void; say: () => void } {
    const of = new Map<Session, number>()
    let unknown = false
    const onDamaged = ({ key, lt }: Damaged): void => {
      const session =
        lt === undefined && key.length >= SESSION_ID_END ? byId.get(keys.subscriptionFields(key).sessionId) : undefined
      if (session === undefined) unknown = true
      else of.set(session, (of.get(session) ?? 0) + 1)
    }
    const say = (): void => {
      for (const session of unknown ? byId.values() : of.keys()) session.incomplete = true
      const told = 'the client is told that no session was present'
      let said = 0
      for (const [{ clientId }, rows] of of)
        if (said++ < SESSIONS_SAID_MAX) this.log.error({ client: clientId, rows }, `${what}; ${told}`)
      if (of.size > SESSIONS_SAID_MAX)
        this.log.error({ sessions: of.size - SESSIONS_SAID_MAX }, `${what}: of further sessions, too; ${told}`)
      if (unknown) this.log.error({}, `${what}; of which, is not known: all clients are told that no session was present`)
    }
    return { onDamaged, say }
  }

  /**
   * The session for a CONNECT that was accepted; whoever held it before is gone already. One that does not outlive its connection is kept in memory
   * only, unless it is an older one that is taken up again.
   */
  open(connection: Connection, { clientId, clean, expiry_s, version }: SessionRequest): OpenedSession {
    const old = this.current(clientId)
    if (old !== undefined && !clean) {
      old.connection = connection
      old.expiry_s = expiry_s
      old.expiresAt = 0
      this.ends.delete(old)
      old.version = version
      old.maybeSent = connection.window
      this.write(old)
      this.watcher?.sessionResumed(clientId)
      const present = !old.incomplete
      if (!present) this.forgetDamage(old)
      return { session: old, present, resumed: true, stored: true }
    }
    if (old !== undefined) this.remove(old)
    const session = new Session(clientId, expiry_s === 0 ? null : this.mailboxes.create(clientId, true), this.makeVolatile)
    session.connection = connection
    session.expiry_s = expiry_s
    session.version = version
    session.maybeSent = connection.window
    this.byClient.set(clientId, session)
    if (session.durable) this.write(session)
    return { session, present: false, resumed: false, stored: session.durable || old !== undefined }
  }

  /** The client hears that no session was there: it begins with packet identifiers anew. */
  private forgetDamage(session: Session): void {
    session.incomplete = false
    for (const packetId of session.inbound ?? []) this.journal.del(keys.inboundKey(session.id, packetId))
    session.inbound = null
  }

  /** A session without connection, as Aedes's persistence contract and the importer make them: it lives as long as the setting says. */
  openOffline(clientId: string): Session {
    const old = this.current(clientId)
    if (old !== undefined) return old
    const session = new Session(clientId, this.mailboxes.create(clientId, true), this.makeVolatile)
    session.expiry_s = this.defaultExpiry
    this.byClient.set(clientId, session)
    this.left(session)
    return session
  }

  /** The connection is gone. The session ends with it, or lives for `expiry_s` from now. */
  detach(session: Session): void {
    session.connection = null
    if (!session.outlives) {
      this.remove(session)
      return
    }
    session.maybeSent = session.mailbox.detach()
    this.left(session)
  }

  /** Ends the session: subscriptions, messages and identifiers go in the open commit group. */
  remove(session: Session): void {
    if (session.filters !== null) {
      for (const filter of session.filters.keys()) {
        this.unlink(session, filter)
        if (session.durable) this.journal.del(keys.subscriptionKey(session.id, filter))
      }
      session.filters = null
    }
    if (session.durable) {
      this.journal.del(keys.sessionKey(session.clientId))
      for (const packetId of session.inbound ?? []) this.journal.del(keys.inboundKey(session.id, packetId))
    }
    const mailbox = session.mailboxIfAny
    if (mailbox !== null) this.mailboxes.remove(mailbox)
    this.ends.delete(session)
    if (this.byClient.get(session.clientId) !== session) return
    this.byClient.delete(session.clientId)
    if (session.durable) this.watcher?.sessionEnded(session.clientId)
  }

  /** Ends sessions whose time has come, the earliest first; a great many not in one turn. */
  expire(): void {
    const now = this.clock.now()
    for (let count = 0; count < ENDS_PER_TURN; count++) {
      const session = this.ends.firstDue(now)
      if (session === undefined) return
      this.end(session)
    }
  }

  /** True when the filter is new to the session, false when its options were replaced. */
  subscribe(session: Session, filter: string, options: SubscriptionOptions): boolean {
    const known = session.filters?.has(filter) === true
    this.link(session, filter, options)
    if (session.durable) this.journal.put(keys.subscriptionKey(session.id, filter), writeSubscriptionRecord(options))
    return !known
  }

  unsubscribe(session: Session, filter: string): boolean {
    if (session.filters === null || !session.filters.delete(filter)) return false
    this.unlink(session, filter)
    if (session.durable) this.journal.del(keys.subscriptionKey(session.id, filter))
    return true
  }

  /** Writes the session's record into the open commit group. */
  write(session: Session): void {
    const { id, version, maybeSent, expiresAt, expiry_s } = session
    this.journal.put(keys.sessionKey(session.clientId), writeSessionRecord({ id, expiresAt, version, maybeSent, expiry_s }))
  }

  /** The session of that client, unless it is over. */
  private current(clientId: string): Session | undefined {
    const session = this.byClient.get(clientId)
    if (session === undefined || session.expiresAt === 0 || session.expiresAt > this.clock.now()) return session
    this.end(session)
    return undefined
  }

  /** Its time has come. */
  private end(session: Session): void {
    this.remove(session)
    this.stats.sessionsExpired++
  }

  /** It has no connection from now on. */
  private left(session: Session): void {
    session.expiresAt = momentIn(session.expiry_s, this.clock.now())
    if (session.expiresAt !== 0) this.ends.place(session)
    this.write(session)
  }

  /** What a client gets that cannot say how long. */
  private get defaultExpiry(): number {
    return heldExpiry(NEVER_S, this.settings)
  }

  private link(session: Session, filter: string, options: SubscriptionOptions): void {
    if (session.filters === null) session.filters = new Map()
    session.filters.set(filter, options)
    const space = this.spaces.of(filter)
    if (space?.join !== undefined) space.join(session, filter, options)
    // One that nothing serves any more (the plugin that did is gone) is kept and gets nothing.
    else if (!isServedOnly(filter)) this.routes.subscribe(session, filter, options)
  }

  private unlink(session: Session, filter: string): void {
    const space = this.spaces.of(filter)
    if (space?.leave !== undefined) space.leave(session, filter)
    else this.routes.unsubscribe(session, filter)
  }
}

/** What `read` makes of a row; undefined, and counted, when it cannot be read. */
function whole<T>(store: Store, key: Buffer, read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!hasCode(error, 'store_damaged')) throw error
    store.damage.note({ key })
    return undefined
  }
}
