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
}

/** What one subscriber adds to a route, and a route without any. */
const ROUTE_BYTES = 32

const listenerOptions: SubscriptionOptions = { qos: 0, noLocal: false, retainAsPublished: true }

export class Routes {
  readonly topics: TopicTable
  private router = new Router<Subscriber, SubscriptionOptions>(mergeOptions)
  private versionBase = 0
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
    if (topic.routeVersion === this.version) return topic.route as Route
    return this.find(topic)
  }

  subscribe(session: Session, filter: string, options: SubscriptionOptions): void {
    this.router.add(filter, session, options)
  }

  unsubscribe(session: Session, filter: string): void {
    this.router.remove(filter, session)
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
    const route: Route = { sessions, options, extras: extrasOf(options), durable, listeners, takers }
    // The table is bounded by bytes, too; a route is part of what a topic costs. Only growth is charged: topics are matched again and again.
    const before = (topic.route as Route | undefined)?.sessions.length ?? -1
    if (sessions.length > before) this.topics.charge(ROUTE_BYTES * (sessions.length - before))
    topic.route = route
    topic.routeVersion = this.version
    return route
  }
}

function extrasOf(options: readonly SubscriptionOptions[]): (Buffer | undefined)[] | null {
  const hasAny = (o: SubscriptionOptions): boolean => o.identifier !== undefined || o.identifiers !== undefined
  return options.some(hasAny) ? options.map((o) => writeIdentifiers(identifiersOf(o))) : null
}
