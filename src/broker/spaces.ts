/**
 * Reserved name spaces: topics and filters whose first level is `$SYS`, `$dead`, `$share`, `$queue` or `$delayed`. A plugin serves one; what nobody
 * serves may be neither published to nor subscribed (design §7).
 */
import { AqueductError } from '../core/errors.js'
import type { Inbound } from './message.js'
import type { Session, SubscriptionOptions } from './session.js'

/** First levels that are reserved, whether or not anything serves them. */
const RESERVED: ReadonlySet<string> = new Set(['$SYS', '$dead', '$share', '$queue', '$delayed'])

/** What a reserved name means beside itself, so that hooks can be asked about that, too: the filter of a shared group, the topic of a delayed message. */
export interface Meant {
  readonly name: string
  /** The whole name with another one of these in it, when a hook has changed it. Without this a hook that changes it refuses it. */
  renamed?(name: string): string
}

export interface Space {
  /**
   * A message for a topic of this space, from whomever, after every hook has agreed. Returns what `admit` returns: the commit group to wait for,
   * `ADMITTED`, or a refusal. Without it nothing may be published here.
   */
  publish?(m: Inbound): number
  /** What it means to publish to `topic` of this space; undefined for nothing beside its name. */
  meansToPublish?(topic: string): Meant | undefined
  /** What it means to subscribe to `filter` of this space. */
  meansToSubscribe?(filter: string): readonly Meant[]
  /**
   * A SUBSCRIBE to a valid filter of this space. Returns the granted QoS (0 to 2) or an MQTT 5 reason code from 0x80 on. When granted, `join`
   * follows in the same turn. Without it nothing may be subscribed here.
   */
  asks?(session: Session, filter: string, options: SubscriptionOptions): number
  /** A granted subscription may have put rows into the open group, for a session in memory, too: SUBACK waits for it. */
  readonly stores?: boolean
  /** The session has the subscription now: just granted, renewed with other options, or found in the store at a start. */
  join?(session: Session, filter: string, options: SubscriptionOptions): void
  /** The subscription ended, by UNSUBSCRIBE or with its session. */
  leave?(session: Session, filter: string): void
}

export class Spaces {
  private readonly served = new Map<string, Space>()

  /** `level` is one of the reserved first levels. One plugin may serve what is published there and another who subscribes. */
  serve(level: string, space: Space): void {
    const other = this.served.get(level)
    this.served.set(level, other === undefined ? space : both(level, other, space))
  }

  /** Who serves the reserved space that `name` (a topic or a filter) is in. */
  of(name: string): Space | undefined {
    return name.charCodeAt(0) === DOLLAR ? this.served.get(firstLevel(name)) : undefined
  }

  meansToPublish(topic: string): Meant | undefined {
    return this.of(topic)?.meansToPublish?.(topic)
  }

  meansToSubscribe(filter: string): readonly Meant[] {
    return this.of(filter)?.meansToSubscribe?.(filter) ?? []
  }

  /** True for a topic or filter in a reserved space, served or not. */
  isReserved(name: string): boolean {
    return name.charCodeAt(0) === DOLLAR && RESERVED.has(firstLevel(name))
  }

  /** True for a topic that clients may not publish to. */
  isClosed(topic: string): boolean {
    return this.isReserved(topic) && this.of(topic)?.publish === undefined
  }
}

/** Two halves of one level as one. */
function both(level: string, a: Space, b: Space): Space {
  if (a.publish !== undefined && b.publish !== undefined) {
    throw new AqueductError('internal', `two plugins want what is published to ${level}`)
  }
  if (a.asks !== undefined && b.asks !== undefined)
    throw new AqueductError('internal', `two plugins want who subscribes ${level}`)
  const taker = a.publish === undefined ? b : a
  const giver = a.asks === undefined ? b : a
  return {
    ...(taker.publish === undefined ? {} : { publish: taker.publish.bind(taker) }),
    ...(taker.meansToPublish === undefined ? {} : { meansToPublish: taker.meansToPublish.bind(taker) }),
    ...(giver.meansToSubscribe === undefined ? {} : { meansToSubscribe: giver.meansToSubscribe.bind(giver) }),
    ...(giver.asks === undefined ? {} : { asks: giver.asks.bind(giver) }),
    stores: giver.stores === true,
    ...(giver.join === undefined ? {} : { join: giver.join.bind(giver) }),
    ...(giver.leave === undefined ? {} : { leave: giver.leave.bind(giver) }),
  }
}

/** True for a filter that only a space can serve: the routing table knows no such topics. `$SYS` is an ordinary one to subscribers. */
export function isServedOnly(filter: string): boolean {
  return filter.charCodeAt(0) === DOLLAR && SERVED_ONLY.has(firstLevel(filter))
}

const DOLLAR = 0x24
const SERVED_ONLY: ReadonlySet<string> = new Set([...RESERVED].filter((level) => level !== '$SYS'))

function firstLevel(name: string): string {
  const slash = name.indexOf('/')
  return slash < 0 ? name : name.slice(0, slash)
}
