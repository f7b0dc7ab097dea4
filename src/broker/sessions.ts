/**
 * All sessions, by client id. Durable ones are in the store with their subscriptions; volatile ones exist only with their connection.
 *
 * A session's end is a stored moment (`expiresAt`), counted from when its connection went; a crash counts as going.
 */
import type { Journal } from '../store/journal.js'
import * as keys from '../store/keys.js'
import type { Store } from '../store/store.js'
import type { Connection } from './connection.js'
import type { Mailboxes } from './ports.js'
import { readSessionRecord, readSubscriptionRecord, writeSessionRecord, writeSubscriptionRecord } from './records.js'
import type { Routes } from './routes.js'
import { Session, type SubscriptionOptions } from './session.js'
import { isServedOnly, type Spaces } from './spaces.js'

export interface OpenedSession {
  readonly session: Session
  /** A stored session was there [MQTT-3.2.2-2]. */
  readonly present: boolean
  /** Something changed in the store: CONNACK waits for the commit. */
  readonly stored: boolean
}

export class Sessions {
  private readonly byClient = new Map<string, Session>()
  private readonly journal: Journal
  private readonly mailboxes: Mailboxes
  private readonly routes: Routes
  private readonly spaces: Spaces
  /** Shared by all sessions. */
  private readonly makeVolatile = (clientId: string) => this.mailboxes.create(clientId, false)

  constructor(journal: Journal, mailboxes: Mailboxes, routes: Routes, spaces: Spaces) {
    this.journal = journal
    this.mailboxes = mailboxes
    this.routes = routes
    this.spaces = spaces
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

  /** Reads sessions, subscriptions and received QoS 2 identifiers; those that were connected end `expiry_s` from `now`. */
  async load(store: Store, now: number, expiry_s: number): Promise<void> {
    const byId = new Map<number, Session>()
    for await (const row of store.disk.scan(keys.sessions)) {
      const record = readSessionRecord(row.value)
      const clientId = keys.textOf(row.key).toString()
      const mailbox = this.mailboxes.restore(clientId, record.id, record.maybeSent)
      if (mailbox === undefined) continue
      const session = new Session(clientId, mailbox, this.makeVolatile)
      session.version = record.version
      session.maybeSent = record.maybeSent
      session.expiresAt = record.expiresAt !== 0 ? record.expiresAt : expiry_s === 0 ? 0 : now + expiry_s * 1000
      if (session.expiresAt !== record.expiresAt) this.write(session)
      this.byClient.set(clientId, session)
      byId.set(record.id, session)
    }
    for await (const row of store.disk.scan(keys.subscriptions)) {
      const { sessionId, filter } = keys.subscriptionFields(row.key)
      const session = byId.get(sessionId)
      if (session !== undefined) this.link(session, filter.toString(), readSubscriptionRecord(row.value))
    }
    for await (const row of store.disk.scan(keys.inbound)) {
      const { sessionId, packetId } = keys.inboundFields(row.key)
      const session = byId.get(sessionId)
      if (session === undefined) continue
      if (session.inbound === null) session.inbound = new Set()
      session.inbound.add(packetId)
    }
  }

  /** The session for a CONNECT that was accepted; whoever held it before is gone already. */
  open(clientId: string, clean: boolean, connection: Connection, version: number): OpenedSession {
    const old = this.byClient.get(clientId)
    if (old !== undefined && !clean) {
      old.connection = connection
      old.expiresAt = 0
      old.version = version
      old.maybeSent = connection.window
      this.write(old)
      return { session: old, present: true, stored: true }
    }
    if (old !== undefined) this.remove(old)
    const session = new Session(clientId, clean ? null : this.mailboxes.create(clientId, true), this.makeVolatile)
    session.connection = connection
    session.version = version
    session.maybeSent = connection.window
    this.byClient.set(clientId, session)
    if (session.durable) this.write(session)
    return { session, present: false, stored: session.durable || old !== undefined }
  }

  /** A session without connection, as Aedes's persistence contract and the importer make them. */
  openOffline(clientId: string, expiresAt = 0): Session {
    const old = this.byClient.get(clientId)
    if (old !== undefined) return old
    const session = new Session(clientId, this.mailboxes.create(clientId, true), this.makeVolatile)
    session.expiresAt = expiresAt
    this.byClient.set(clientId, session)
    this.write(session)
    return session
  }

  /** The connection is gone. A volatile session ends with it; a durable one lives until `expiresAt`. */
  detach(session: Session, expiresAt = 0): void {
    session.connection = null
    if (!session.durable) {
      this.remove(session)
      return
    }
    session.maybeSent = session.mailbox.detach()
    session.expiresAt = expiresAt
    this.write(session)
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
    if (this.byClient.get(session.clientId) === session) this.byClient.delete(session.clientId)
  }

  /** Ends sessions whose time has come. Returns how many. */
  expire(now: number): number {
    let count = 0
    for (const session of this.byClient.values()) {
      if (session.expiresAt === 0 || session.connection !== null || session.expiresAt > now) continue
      this.remove(session)
      count++
    }
    return count
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
    const { version, maybeSent, expiresAt } = session
    this.journal.put(keys.sessionKey(session.clientId), writeSessionRecord({ id: session.id, expiresAt, version, maybeSent }))
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
