/**
 * Aedes's persistence contract (`aedes-persistence` 11) on our store: the same sessions, queues, retained messages and wills that the broker
 * works with, not a second set. In the running broker Aedes itself calls only `setup` and `streamWill`; programs and plug-ins may call the rest.
 *
 * Always true:
 * - a method that changes something resolves when the change is committed, and rejects with an `AqueductError` otherwise;
 * - a client that is named here and has no session gets a stored one, which expires like any other;
 * - `streamWill` yields nothing while the broker publishes wills itself (`wills.ts`), or they would go out twice.
 */
import { Readable } from 'node:stream'
import { AqueductError } from '../core/errors.js'
import type { CountedLimit } from '../core/refusals.js'
import type { Row } from '../store/disk.js'
import { inboundKey, willFields, willKey, wills, willsOf } from '../store/keys.js'
import { filterFault, matches } from '../topics/names.js'
import { inboundOf, viewOf } from './message.js'
import {
  clear,
  enqueue,
  noSuchPacket,
  outgoing,
  type PacketName,
  type Recipient,
  type StoredPubrel,
  update,
} from './persistence-outgoing.js'
import { otherFields, packetOf, payloadBytes, qosOf, queuedFields, readFields, type StoredPacket } from './persistence-packets.js'
import { readMessageRecord, readWillRecord, writeMessageRecord, writeWillRecord } from './records.js'
import type { Session, SubscriptionOptions } from './session.js'
import type { BrokerState, Stored } from './state.js'

/** A client, as far as the contract looks at one. */
export interface ClientName {
  readonly id: string
}

/** A subscription as Aedes writes it: no local, retain as published, retain handling. */
export interface StoredSubscription {
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly rh?: number
  readonly rap?: boolean
  readonly nl?: boolean
  readonly subscriptionIdentifier?: number
}

export interface PersistenceOptions {
  /** True outside a running broker: then `streamWill` hands out the wills, as a plain Aedes would want them. */
  readonly streamsWills?: boolean
  /** What `destroy` ends. */
  readonly onDestroy?: () => Promise<void>
}

const WILL_FIELDS = ['clientId']
const RETAINED_FIELDS = ['cmd']

export class AedesPersistence {
  private readonly state: BrokerState
  private readonly options: PersistenceOptions
  private holder: { id: string } | undefined
  private destroyed = false

  constructor(state: BrokerState, options: PersistenceOptions = {}) {
    this.state = state
    this.options = options
  }

  /** Whoever called `setup`. */
  get broker(): { id: string } | undefined {
    return this.holder
  }

  /** Aedes asks for an async function by its constructor's name. */
  async setup(broker: { id: string }): Promise<void> {
    this.holder = broker
  }

  async destroy(): Promise<void> {
    if (this.destroyed) throw new AqueductError('internal', 'destroy called twice')
    this.destroyed = true
    await this.options.onDestroy?.()
  }

  /* ---- retained messages ---- */

  /** The last message of its topic; an empty payload removes it. */
  async storeRetained(packet: StoredPacket): Promise<void> {
    const stored = await this.change()
    const topic = this.state.routes.topics.internName(packet.topic)
    if (topic === undefined) throw new AqueductError('topic_invalid', 'not a topic name')
    const payload = payloadBytes(packet)
    if (stored.store.full && payload.length > 0) throw new AqueductError('store_full', 'The disk is nearly full.')
    const m = inboundOf(topic, payload, qosOf(packet), true, this.state.clock.now())
    if (payload.length > 0) this.refuse(stored.retained.refuses(m))
    stored.retained.set(m, otherFields(packet, RETAINED_FIELDS))
    await stored.store.journal.flush()
  }

  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern])
  }

  /** Those of each pattern in turn; a message that two patterns match comes twice. */
  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    return Readable.from(this.retained(patterns))
  }

  private async *retained(patterns: readonly string[]): AsyncGenerator<StoredPacket> {
    const stored = this.stored()
    for (const pattern of patterns) {
      if (filterFault(pattern, Number.POSITIVE_INFINITY) !== undefined) continue
      for (const [, kept] of stored.retained.match(pattern)) {
        const view = stored.retained.read(kept)
        if (view === undefined) continue
        const fields = readFields(kept.fields) ?? { dup: false }
        yield { cmd: 'publish', ...packetOf(view, kept.qos, true, fields) }
      }
    }
  }

  /* ---- subscriptions ---- */

  async addSubscriptions(client: ClientName, subscriptions: readonly StoredSubscription[]): Promise<void> {
    const stored = await this.change()
    const wrong = subscriptions
      .map(({ topic }) => filterFault(topic, this.state.settings.max_topic_levels))
      .find((fault) => fault !== undefined)
    if (wrong !== undefined) throw new AqueductError('filter_invalid', wrong)
    const session = this.open(stored, client.id)
    try {
      for (const one of subscriptions) {
        this.refuse(stored.sessions.refusesFilter(session, one.topic))
        stored.sessions.subscribe(session, one.topic, optionsOf(one))
      }
    } catch (error) {
      await stored.store.journal.flush()
      throw error
    }
    await stored.store.journal.flush()
  }

  async removeSubscriptions(client: ClientName, filters: readonly string[]): Promise<void> {
    const stored = await this.change()
    const session = stored.sessions.get(client.id)
    if (session === undefined) return
    for (const filter of filters) stored.sessions.unsubscribe(session, filter)
    await stored.store.journal.flush()
  }

  async cleanSubscriptions(client: ClientName): Promise<void> {
    const filters = this.stored().sessions.get(client.id)?.filters
    await this.removeSubscriptions(client, [...(filters?.keys() ?? [])])
  }

  async subscriptionsByClient(client: ClientName): Promise<StoredSubscription[]> {
    const session = this.stored().sessions.get(client.id)
    return [...(session?.filters ?? [])].map(([topic, options]) => subscriptionOf(topic, options))
  }

  /**
   * Stored sessions that queue a message of `topic`, one row for each filter that matches, wildcards first. QoS 0 is not queued, so such
   * filters are left out.
   */
  async subscriptionsByTopic(topic: string): Promise<(StoredSubscription & { clientId: string })[]> {
    this.stored()
    const known = this.state.routes.topics.internName(topic)
    if (known === undefined) return []
    return this.state.routes
      .of(known)
      .sessions.filter(({ durable }) => durable)
      .flatMap((session) => matching(session, topic))
  }

  /** Sessions with subscriptions, and how many of those queue messages (QoS 1 and 2). */
  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    let subsCount = 0
    let clientsCount = 0
    for (const { durable, filters } of this.stored().sessions.all()) {
      if (!durable || filters === null || filters.size === 0) continue
      clientsCount++
      for (const { qos } of filters.values()) if (qos > 0) subsCount++
    }
    return { subsCount, clientsCount }
  }

  /** Ids of clients that are subscribed to exactly this filter. */
  getClientList(filter: string): Readable {
    const { sessions } = this.stored()
    const found: string[] = []
    for (const { durable, filters, clientId } of sessions.all())
      if (durable && filters?.has(filter) === true) found.push(clientId)
    return Readable.from(found)
  }

  /* ---- messages on their way to a client ---- */

  async outgoingEnqueue(to: Recipient, packet: StoredPacket): Promise<void> {
    await this.outgoingEnqueueCombi([to], packet)
  }

  /** One commit for all of them. */
  async outgoingEnqueueCombi(to: readonly Recipient[], packet: StoredPacket): Promise<void> {
    const stored = await this.change()
    try {
      enqueue(this.state, stored, (id) => this.open(stored, id), to, packet)
    } finally {
      await stored.store.journal.flush()
    }
  }

  async outgoingUpdate(client: ClientName, packet: PacketName): Promise<void> {
    const stored = await this.change()
    const session = stored.sessions.get(client.id)
    if (session === undefined) throw noSuchPacket()
    await update(session, this.id, packet)
    await stored.store.journal.flush()
  }

  async outgoingClearMessageId(client: ClientName, packet: PacketName): Promise<StoredPacket | StoredPubrel | undefined> {
    const stored = await this.change()
    const session = stored.sessions.get(client.id)
    if (session === undefined || packet.messageId === undefined) return undefined
    const cleared = await clear(session, this.id, packet.messageId)
    await stored.store.journal.flush()
    return cleared
  }

  /** What waits for the client, in order, as it is while it is read. */
  outgoingStream(client: ClientName): Readable {
    const session = this.stored().sessions.get(client.id)
    return Readable.from(session === undefined ? [] : outgoing(session, this.id))
  }

  /* ---- QoS 2 from a client, between PUBLISH and PUBREL ---- */

  async incomingStorePacket(client: ClientName, packet: StoredPacket): Promise<void> {
    const stored = await this.change()
    const { messageId } = packet
    if (messageId === undefined) throw new AqueductError('internal', 'a QoS 2 packet without identifier')
    const session = this.open(stored, client.id)
    if (session.inbound?.has(messageId) !== true) {
      if (!stored.sessions.mayClaim(session)) this.refuse('session.max_memory_bytes')
      session.claim(messageId)
      stored.sessions.claimed(session, true)
    }
    if (!session.durable) return
    const view = viewOf(Buffer.from(packet.topic), payloadBytes(packet), this.state.clock.now())
    const record = writeMessageRecord(view, qosOf(packet), packet.retain === true, queuedFields(packet))
    stored.store.journal.put(inboundKey(session.id, messageId), record)
    await stored.store.journal.flush()
  }

  /** Of a message that came in over MQTT only the identifier is kept: topic and payload are empty then. */
  async incomingGetPacket(client: ClientName, { messageId }: PacketName): Promise<StoredPacket> {
    const stored = this.stored()
    const session = stored.sessions.get(client.id)
    if (messageId === undefined || session?.inbound?.has(messageId) !== true) throw noSuchPacket()
    const row = session.durable ? await stored.store.disk.get(inboundKey(session.id, messageId)) : undefined
    const shared = { cmd: 'publish', dup: false, messageId }
    if (row === undefined || row.length === 1) return { ...shared, topic: '', payload: Buffer.alloc(0), qos: 2, retain: false }
    const { view, qos, retain, fields } = readMessageRecord(row)
    return { ...packetOf(view, qos, retain, readFields(fields)), ...shared }
  }

  async incomingDelPacket(client: ClientName, { messageId }: PacketName): Promise<void> {
    const stored = await this.change()
    const session = stored.sessions.get(client.id)
    if (messageId === undefined || session?.inbound?.delete(messageId) !== true) throw noSuchPacket()
    stored.sessions.claimed(session, false)
    if (session.durable) stored.store.journal.del(inboundKey(session.id, messageId))
    await stored.store.journal.flush()
  }

  async cleanIncoming(client: ClientName): Promise<void> {
    const stored = await this.change()
    const session = stored.sessions.get(client.id)
    if (session === undefined || session.inbound === null) return
    for (const messageId of session.inbound) {
      if (session.durable) stored.store.journal.del(inboundKey(session.id, messageId))
      session.inbound.delete(messageId)
      stored.sessions.claimed(session, false)
    }
    session.inbound = null
    await stored.store.journal.flush()
  }

  /* ---- wills ---- */

  /** Stores a will. One that is still there when the broker starts is published then. */
  async putWill(client: ClientName, packet: StoredPacket): Promise<void> {
    const stored = await this.change()
    this.refuse(stored.wills.refuses(client.id, packet.topic, payloadBytes(packet)))
    // Callers rely on it: the packet they gave says whose it is.
    packet.brokerId = this.id
    packet.clientId = client.id
    const view = viewOf(Buffer.from(packet.topic), payloadBytes(packet), this.state.clock.now())
    const message = { view, qos: qosOf(packet), retain: packet.retain === true, fields: otherFields(packet, WILL_FIELDS) }
    const record = writeWillRecord({ message, delay_s: 0, dueAt: 0, expiry_s: undefined, judged: false })
    stored.store.journal.put(willKey(client.id), record)
    await stored.store.journal.flush()
  }

  /** The last one that was stored for the client, by its connection or by `putWill`. */
  async getWill(client: ClientName): Promise<StoredPacket | undefined> {
    const row = await this.willRow(client)
    return row === undefined ? undefined : this.willIn(client.id, row.value)
  }

  async delWill(client: ClientName): Promise<StoredPacket | undefined> {
    const row = await this.willRow(client)
    if (row === undefined) return undefined
    const stored = await this.change()
    stored.store.journal.del(row.key)
    await stored.store.journal.flush()
    return this.willIn(client.id, row.value)
  }

  private async willRow(client: ClientName): Promise<Row | undefined> {
    const stored = this.stored()
    await stored.store.journal.flush()
    let last: Row | undefined
    for await (const row of stored.store.disk.scan(willsOf(client.id)))
      if (willFields(row.key).clientId.toString() === client.id) last = row
    return last
  }

  /** Wills of brokers that `brokers` does not name: nothing in a running broker. */
  streamWill(brokers: Readonly<Record<string, unknown>> = {}): Readable {
    return Readable.from(this.options.streamsWills === true ? this.willsExcept(brokers) : [])
  }

  private async *willsExcept(brokers: Readonly<Record<string, unknown>>): AsyncGenerator<StoredPacket> {
    for await (const { key, value } of this.stored().store.disk.scan(wills)) {
      const will = this.willIn(willFields(key).clientId.toString(), value)
      if (will.brokerId === undefined || !brokers[will.brokerId]) yield will
    }
  }

  private willIn(clientId: string, row: Buffer): StoredPacket {
    const { view, qos, retain, fields } = readWillRecord(row).message
    return { clientId, brokerId: this.id, ...packetOf(view, qos, retain, readFields(fields)) }
  }

  /* ---- what stands behind it ---- */

  private get id(): string {
    return this.holder?.id ?? ''
  }

  private stored(): Stored {
    const { stored } = this.state
    if (stored === null || this.destroyed) throw new AqueductError('store_failed', 'The store is not open.')
    return stored
  }

  /** Async on purpose: called from a hook in the middle of an admission, a change waits until that has ended, in the order of the calls. */
  private async change(): Promise<Stored> {
    return this.stored()
  }

  private refuse(limit: CountedLimit | undefined): void {
    if (limit === undefined) return
    this.state.refusals.count(limit)
    throw new AqueductError('limit_reached', `There are as many as ${limit} allows.`)
  }

  private open(stored: Stored, clientId: string): Session {
    this.refuse(stored.sessions.refuses(clientId, true))
    return stored.sessions.openOffline(clientId)
  }
}

function optionsOf({ qos, nl, rap, rh, subscriptionIdentifier }: StoredSubscription): SubscriptionOptions {
  const options = { qos: qosOf({ qos }), noLocal: nl === true, retainAsPublished: rap === true }
  const handling = rh === undefined || rh === 0 ? {} : { retainHandling: rh }
  return { ...options, ...handling, ...(subscriptionIdentifier === undefined ? {} : { identifier: subscriptionIdentifier }) }
}

function subscriptionOf(topic: string, o: SubscriptionOptions): StoredSubscription {
  const subscription = { topic, qos: o.qos, rh: o.retainHandling ?? 0, rap: o.retainAsPublished, nl: o.noLocal }
  return o.identifier === undefined ? subscription : { ...subscription, subscriptionIdentifier: o.identifier }
}

/** The session's filters that match and queue, the most general first: the order that Aedes's own table has. */
function matching(session: Session, topic: string): (StoredSubscription & { clientId: string })[] {
  const found = [...(session.filters ?? [])].filter(([filter, { qos }]) => qos > 0 && matches(filter, topic))
  found.sort(([a], [b]) => generality(b) - generality(a))
  return found.map(([filter, o]) => ({
    clientId: session.clientId,
    topic: filter,
    qos: o.qos,
    rh: o.retainHandling ?? 0,
    rap: o.retainAsPublished,
    nl: o.noLocal,
  }))
}

function generality(filter: string): number {
  return filter.endsWith('#') ? 2 : filter.includes('+') ? 1 : 0
}
