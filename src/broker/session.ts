/**
 * What the broker keeps for one client: its subscriptions, the QoS 2 identifiers it has received, and its mailbox. A durable
 * session is in the store; a volatile one is in memory only and ends with its connection.
 */
import type { Moment } from '../core/moments.js'
import type { Connection } from './connection.js'
import { PacketIds } from './packet-ids.js'
import type { Mailbox } from './ports.js'
import type { Taker } from './taker.js'

export interface SubscriptionOptions {
  readonly qos: 0 | 1 | 2
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  /** MQTT 5: which retained messages the SUBSCRIBE got, kept for whoever asks; and the subscription identifier. */
  readonly retainHandling?: number
  readonly identifier?: number
  /** Where filters overlap: all their identifiers, and what holds for the subscriber's own messages when only some filters say No Local. */
  readonly identifiers?: readonly number[]
  readonly own?: SubscriptionOptions
}

/** Subscription identifiers that one PUBLISH carries at most. Filters beyond that bring further copies of the message. */
export const IDENTIFIERS_PER_COPY = 64

/**
 * Overlapping filters deliver once, at the highest QoS that matches [MQTT-3.3.5-1], with every subscription identifier [MQTT-3.3.4-4]; where those are too
 * many for one PUBLISH, in several copies, each with the identifiers of the subscriptions that it is for [MQTT-3.3.4-5]. Linear in the number of filters.
 */
export function mergeOptions(all: readonly SubscriptionOptions[]): SubscriptionOptions[] {
  const named = all.filter(hasIdentifier)
  if (named.length <= IDENTIFIERS_PER_COPY) return [mergedOf(all)]
  const copies: SubscriptionOptions[] = []
  const others = all.filter((o) => !hasIdentifier(o))
  for (let at = 0; at < named.length; at += IDENTIFIERS_PER_COPY) {
    const part = named.slice(at, at + IDENTIFIERS_PER_COPY)
    copies.push(mergedOf(at === 0 ? others.concat(part) : part))
  }
  return copies
}

function hasIdentifier(o: SubscriptionOptions): boolean {
  return o.identifier !== undefined
}

function mergedOf(all: readonly SubscriptionOptions[]): SubscriptionOptions {
  let qos: 0 | 1 | 2 = 0
  let noLocal = false
  let retainAsPublished = false
  let anyOwn = false
  const identifiers: number[] = []
  for (const o of all) {
    if (o.qos > qos) qos = o.qos
    if (o.noLocal) noLocal = true
    else anyOwn = true
    if (o.retainAsPublished) retainAsPublished = true
    if (o.identifier !== undefined) identifiers.push(o.identifier)
  }
  // With No Local on some of the filters only, a subscriber's own messages come by the others.
  const own = noLocal && anyOwn ? mergedOf(all.filter((o) => !o.noLocal)) : undefined
  if (identifiers.length === 0 && own === undefined) return plainOptions(qos, noLocal, retainAsPublished)
  return {
    qos,
    noLocal,
    retainAsPublished,
    ...(identifiers.length === 0 ? {} : { identifiers }),
    ...(own === undefined ? {} : { own }),
  }
}

const plain: SubscriptionOptions[] = []

/** Options that say no more than these three: one object for all who have them. */
export function plainOptions(qos: 0 | 1 | 2, noLocal: boolean, retainAsPublished: boolean): SubscriptionOptions {
  const at = qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0)
  plain[at] ??= { qos, noLocal, retainAsPublished }
  return plain[at]
}

export function identifiersOf(o: SubscriptionOptions): readonly number[] {
  return o.identifiers ?? (o.identifier === undefined ? [] : [o.identifier])
}

export class Session implements Moment {
  readonly clientId: string
  readonly durable: boolean
  /** The session's number in the store; 0 for a volatile one. */
  readonly id: number
  /** Exact filter → options. Null until the first subscription: most connections of a fleet have none or one. */
  filters: Map<string, SubscriptionOptions> | null = null
  /** QoS 2 identifiers of this client's own messages. Null until the first. */
  inbound: PacketIds | null = null
  /** It was there when the store was opened: which identifiers were completed before is not known. */
  readonly recovered: boolean
  connection: Connection | null = null
  /** Seconds that it outlives its connection: 0, it ends with it; `NEVER_S`, for ever. MQTT 5 may change it in DISCONNECT. */
  expiry_s = 0
  /** When a session without connection ends: milliseconds since 1970, 0 for never or while connected. */
  expiresAt = 0
  /** Place among those that will end (`Sessions`). */
  slot = -1
  /** MQTT level of the last connection: 3, 4 or 5. */
  version = 4
  /** Messages that may have been sent and are not acknowledged: the window while connected, the exact number afterwards. */
  maybeSent = 0
  /** A part of it is damaged: what is there is served, but the client hears that no session was present and subscribes again. */
  incomplete = false
  /** Whose it is: nobody else may take it up, end it or take over its connection. Undefined: nobody's yet. */
  user: string | undefined = undefined
  /** What it is charged with, all that is its own included (`footprint.ts`). */
  charged = 0

  private box: Mailbox | null
  private readonly makeBox: (clientId: string) => Mailbox

  /** `box`: what a durable session always has. A volatile one makes it with `makeBox` when it first needs one: most of a fleet never does. */
  constructor(clientId: string, box: Mailbox | null, makeBox: (clientId: string) => Mailbox, recovered = false) {
    this.clientId = clientId
    this.recovered = recovered
    this.durable = box !== null
    this.id = box === null ? 0 : box.id
    this.box = box
    this.makeBox = makeBox
  }

  get dueAt(): number {
    return this.expiresAt
  }

  /** It outlives the connection that it has. */
  get outlives(): boolean {
    return this.durable && this.expiry_s > 0
  }

  /** QoS 2 identifier `id` of this client's is open from here on. */
  claim(id: number): void {
    if (this.inbound === null) this.inbound = new PacketIds()
    this.inbound.add(id)
  }

  get mailbox(): Mailbox {
    return this.box ?? this.openBox()
  }

  /** The mailbox if there is one: nothing waits for a session that has none. */
  get mailboxIfAny(): Mailbox | null {
    return this.box
  }

  private openBox(): Mailbox {
    const box = this.makeBox(this.clientId)
    this.box = box
    if (this.connection?.phase === 'connected') box.attach(this.connection)
    return box
  }
}

/** A function inside this process that gets matching messages: what `aedes.subscribe` registers. */
export class Listener {
  readonly filter: string
  readonly deliver: (packet: object, done: () => void) => void
  constructor(filter: string, deliver: (packet: object, done: () => void) => void) {
    this.filter = filter
    this.deliver = deliver
  }
}

/** Whoever the routing table knows. */
export type Subscriber = Session | Listener | Taker
