/**
 * The routing table seen from a topic: who gets a message, kept on the interned topic and thrown away when any
 * subscription changes. One table serves live and stored delivery, so that they can never disagree.
 */
import type { Topic, TopicTable } from '../topics/interned.js'
import { Router } from '../topics/router.js'
import { isDeniedTopic } from './denied.js'
import { writeIdentifiers } from './five/identifiers.js'
import { identifiersOf, Listener, mergeOptions, type Session, type Subscriber, type SubscriptionOptions } from './session.js'
import { Taker } from './taker.js'

export interface Route {
  /** Durable sessions first: whether a message has stored copies is known before any volatile copy is made. */
  readonly sessions: Session[]
  readonly options: SubscriptionOptions[]
  /** For each of `sessions` what goes with its entries: its subscription identifiers. Null when nobody has any. */
  readonly extras: (Buffer | undefined)[] | null
  /** How many of `sessions` are durable. */
  readonly durable: number
  readonly listeners: Listener[]
  readonly takers: Taker[]
  /** Copies that a message has by it. */
  readonly cost: number
}

/** A route without any subscriber: itself and its lists. A place in a list. Options that overlap. A buffer beside its bytes. */
const ROUTE_BYTES = 200
const PLACE_BYTES = 8
const OPTIONS_BYTES = 160
const EXTRA_BYTES = 200

/** Subscriptions that may end before routes that still name them are looked for. */
const ENDS_KEPT = 4_096

const listenerOptions: SubscriptionOptions = { qos: 0, noLocal: false, retainAsPublished: true }

export class Routes {
  readonly topics: TopicTable
  private router = new Router<Subscriber, SubscriptionOptions>(mergeOptions)
  private versionBase = 0
  private ends = 0
  /** What the last route that had to be found cost, in the unit of `BrokerState.work`; 0 when that was counted. */
  matched = 0
  private readonly listeners = new Set<Listener>()
  private readonly takers = new Set<Taker>()

  /** Topics that no client gets by subscribing. */
  private readonly denied: readonly string[]

  constructor(topics: TopicTable, denied: readonly string[] = []) {
    this.topics = topics
    this.denied = denied
  }

  /** True for a topic that goes to no subscriber, whatever matches it. */
  denies(topic: string): boolean {
    return isDeniedTopic(this.denied, topic)
  }

  private get version(): number {
    return this.versionBase + this.router.version
  }

  of(topic: Topic): Route {
    if (topic.routeVersion === this.version && topic.route !== undefined) return topic.route as Route
    return this.find(topic)
  }

  subscribe(session: Session, filter: string, options: SubscriptionOptions): void {
    this.router.add(filter, session, options)
  }

  unsubscribe(session: Session, filter: string): void {
    if (!this.router.remove(filter, session)) return
    // A route that nobody asks for again would keep a session that is over.
    if (++this.ends < ENDS_KEPT) return
    this.ends = 0
    this.topics.dropRoutes(this.version)
  }

  listen(listener: Listener): void {
    this.listeners.add(listener)
    this.router.add(listener.filter, listener, listenerOptions)
  }

  unlisten(listener: Listener): void {
    this.listeners.delete(listener)
    this.router.remove(listener.filter, listener)
  }

  /** From the next message on, `taker` gets what matches its filter; what was admitted before it never does. */
  addTaker(taker: Taker): void {
    this.takers.add(taker)
    this.router.add(taker.filter, taker, listenerOptions)
  }

  removeTaker(taker: Taker): void {
    if (this.takers.delete(taker)) this.router.remove(taker.filter, taker)
  }

  /** Subscriptions of sessions. */
  get subscriptions(): number {
    return this.router.subscriptions - this.listeners.size - this.takers.size
  }

  /** Forgets every session and taker, as after a store that failed; listeners of this process stay. */
  forgetSessions(): void {
    // A new table has a version of its own: routes kept on topics must not be taken for fresh.
    this.versionBase = this.version + 1
    this.router = new Router<Subscriber, SubscriptionOptions>(mergeOptions)
    this.takers.clear()
    for (const listener of this.listeners) this.router.add(listener.filter, listener, listenerOptions)
  }

  private find(topic: Topic): Route {
    const sessions: Session[] = []
    const options: SubscriptionOptions[] = []
    const volatile: Session[] = []
    const volatileOptions: SubscriptionOptions[] = []
    const listeners: Listener[] = []
    const takers: Taker[] = []
    const denied = this.denies(topic.name)
    for (const match of this.router.match(topic.name)) {
      const subscriber = match.subscriber
      if (subscriber instanceof Listener) listeners.push(subscriber)
      else if (subscriber instanceof Taker) {
        if (!denied || !subscriber.ofSubscribers) takers.push(subscriber)
      } else if (denied) continue
      else if (subscriber.durable) {
        sessions.push(subscriber)
        options.push(match.options)
      } else {
        volatile.push(subscriber)
        volatileOptions.push(match.options)
      }
    }
    const durable = sessions.length
    for (let i = 0; i < volatile.length; i++) {
      sessions.push(volatile[i] as Session)
      options.push(volatileOptions[i] as SubscriptionOptions)
    }
    const cost = sessions.length + takers.length + listeners.length
    // Cut to size: a list that grew has room for more, and there are as many as topics.
    const route: Route = {
      sessions: sessions.slice(),
      options: options.slice(),
      extras: extrasOf(options),
      durable,
      listeners,
      takers,
      cost,
    }
    this.matched = this.router.looked + cost
    // The table is bounded by bytes, too; a route is part of what a topic costs.
    this.topics.hang(topic, route, this.version, bytesOf(route))
    return route
  }
}

/** What a route holds in memory: of what it shares with the table of subscriptions, the places only. */
function bytesOf({ sessions, options, extras, listeners, takers }: Route): number {
  let bytes = ROUTE_BYTES + (listeners.length + takers.length + 2 * sessions.length) * PLACE_BYTES
  for (const o of options) bytes += optionsBytes(o)
  if (extras !== null) for (const extra of extras) bytes += PLACE_BYTES + (extra === undefined ? 0 : EXTRA_BYTES + extra.length)
  return bytes
}

function optionsBytes({ identifiers, own }: SubscriptionOptions): number {
  if (identifiers === undefined && own === undefined) return 0
  return OPTIONS_BYTES + (identifiers?.length ?? 0) * PLACE_BYTES + (own === undefined ? 0 : optionsBytes(own))
}

function extrasOf(options: readonly SubscriptionOptions[]): (Buffer | undefined)[] | null {
  const hasAny = (o: SubscriptionOptions): boolean => o.identifier !== undefined || o.identifiers !== undefined
  return options.some(hasAny) ? options.map((o) => writeIdentifiers(identifiersOf(o))) : null
}
