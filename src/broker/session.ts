/**
 * What the broker keeps for one client: its subscriptions, the QoS 2 identifiers it has received, and its mailbox. A durable
 * session is in the store; a volatile one is in memory only and ends with its connection.
 */
import type { Moment } from '../core/moments.js'
import type { Connection } from './connection.js'
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

/** Overlapping filters deliver once, at the highest QoS that matches [MQTT-3.3.5-1], with every subscription identifier [MQTT-3.3.4-4]. */
export function mergeOptions(a: SubscriptionOptions, b: SubscriptionOptions): SubscriptionOptions {
  const identifiers = [...identifiersOf(a), ...identifiersOf(b)]
  if (identifiers.length === 0 && a.qos >= b.qos && a.noLocal === b.noLocal && a.retainAsPublished === b.retainAsPublished)
    return a
  return {
    qos: a.qos >= b.qos ? a.qos : b.qos,
    noLocal: a.noLocal || b.noLocal,
    retainAsPublished: a.retainAsPublished || b.retainAsPublished,
    ...(identifiers.length === 0 ? {} : { identifiers }),
    ...ownOptions(a, b),
  }
}

/** With No Local on some of the filters only, a subscriber's own messages come by the others. */
function ownOptions(a: SubscriptionOptions, b: SubscriptionOptions): { own?: SubscriptionOptions } {
  if (!a.noLocal && !b.noLocal) return {}
  const ownA = a.noLocal ? a.own : a
  const ownB = b.noLocal ? b.own : b
  if (ownA === undefined) return ownB === undefined ? {} : { own: ownB }
  return { own: ownB === undefined ? ownA : mergeOptions(ownA, ownB) }
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
  /** QoS 2 identifiers received and not released yet. */
  inbound: Set<number> | null = null
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

  private box: Mailbox | null
  private readonly makeBox: (clientId: string) => Mailbox

  /** `box`: what a durable session always has. A volatile one makes it with `makeBox` when it first needs one: most of a fleet never does. */
  constructor(clientId: string, box: Mailbox | null, makeBox: (clientId: string) => Mailbox) {
    this.clientId = clientId
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
