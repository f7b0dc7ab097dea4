/**
 * SUBSCRIBE and UNSUBSCRIBE [MQTT-3.8.*, MQTT-3.10.*]: linear in the number of filters, one commit for all of them. Those of a packet with a great many are
 * read and made in several turns: then they may be in several commits, and the answer waits for the last.
 */
import { Reason } from '../mqtt/constants.js'
import { suback, unsuback } from '../mqtt/encode.js'
import { malformed } from '../mqtt/faults.js'
import { Frame } from '../mqtt/frame.js'
import type { Properties } from '../mqtt/properties.js'
import { SubscribeReader, type SubscriptionRequest, UnsubscribeReader } from '../mqtt/subscribe.js'
import { filterFault } from '../topics/names.js'
import type { Connection } from './connection.js'
import { isDeniedFilter } from './denied.js'
import { type HookProperties, seenProperties } from './five/hook-properties.js'
import { inTurns } from './in-turns.js'
import { askFor, type ReplayRequest } from './replay.js'
import { plainOptions, type Session, type SubscriptionOptions } from './session.js'
import { isServedOnly } from './spaces.js'
import type { Stored } from './state.js'

const FAILURE = 0x80

/** A filter as hooks see and may change it; null: refused. */
export interface AskedSubscription {
  topic: string
  qos: 0 | 1 | 2
  nl?: boolean
  rap?: boolean
  rh?: number
  /** Those of the whole SUBSCRIBE. */
  properties?: HookProperties
}

/** Filters of one packet that are read, or made subscriptions, before others have a turn. */
const READ_PER_TURN = 2_048
const APPLIED_PER_TURN = 512
/** What a filter costs, in the unit of `BrokerState.work`. */
const FILTER_WORK = 64
/** A packet up to this is read where it lies; of a larger one, which may be read in several turns, a copy. */
const READ_AT_ONCE_BYTES = 8_192
/** What an answer that waits for its commit holds besides its codes, roughly. */
const ANSWER_BYTES = 400

export function handleSubscribe(c: Connection, given: Buffer, at: Frame): void {
  const { buf, frame } = lasting(given, at)
  const reader = new SubscribeReader(buf, frame, c.version ?? 4)
  const { packetId } = reader
  const identifier = reader.properties?.subscriptionIdentifiers?.[0]
  const properties = seenOf(reader.properties)
  const asked: AskedSubscription[] = []
  const read = (): boolean => {
    for (let count = 0; count < READ_PER_TURN; count++) {
      const one = reader.next()
      if (one === undefined) return true
      const wrong = brokenFilter(one.filter, c.version)
      if (wrong !== undefined) throw malformed(`SUBSCRIBE: ${wrong}`)
      asked.push(c.version === 5 ? asked5(one, properties) : c.bridge ? askedByBridge(one) : asked4(one))
    }
    return false
  }
  inTurns(c, read, () => {
    if (!c.state.hooks.gatesSubscribe) {
      grant(c, packetId, identifier, asked, asked)
      return
    }
    c.suspend()
    c.state.hooks.authorizeSubscribe(c, asked, (error, allowed) => {
      if (c.phase !== 'connected') return
      if (error !== null) c.fault(Reason.not_authorised, 'subscription refused by a hook', error)
      else grant(c, packetId, identifier, asked, allowed)
      c.resume()
    })
  })
}

/** Bytes that are good for later turns, too, where there may be any. */
function lasting(buf: Buffer, frame: Frame): { buf: Buffer; frame: Frame } {
  const { bodyStart, bodyEnd } = frame
  if (bodyEnd - bodyStart <= READ_AT_ONCE_BYTES) return { buf, frame }
  const own = new Frame()
  own.type = frame.type
  own.flags = frame.flags
  own.bodyEnd = bodyEnd - bodyStart
  const copy = Buffer.allocUnsafeSlow(own.bodyEnd)
  buf.copy(copy, 0, bodyStart, bodyEnd)
  return { buf: copy, frame: own }
}

function seenOf(properties: Properties | undefined): HookProperties | undefined {
  return properties === undefined || Object.keys(properties).length === 0 ? undefined : seenProperties(properties)
}

/** The options of MQTT 5 are there for its clients only. */
function asked4(r: SubscriptionRequest): AskedSubscription {
  return { topic: r.filter, qos: r.qos }
}

function askedByBridge(r: SubscriptionRequest): AskedSubscription {
  return { topic: r.filter, qos: r.qos, nl: true, rap: true }
}

function asked5(r: SubscriptionRequest, properties: HookProperties | undefined): AskedSubscription {
  const asked = { topic: r.filter, qos: r.qos, nl: r.noLocal, rap: r.retainAsPublished, rh: r.retainHandling }
  return properties === undefined ? asked : { ...asked, properties }
}

function grant(
  c: Connection,
  packetId: number,
  identifier: number | undefined,
  asked: readonly AskedSubscription[],
  allowed: readonly (AskedSubscription | null)[],
): void {
  const stored = c.state.stored
  const session = c.session
  if (stored === null || session === null) return
  const applied = new Subscriptions(c, stored, session, allowed, identifier)
  const apply = (): boolean => applied.apply(APPLIED_PER_TURN)
  inTurns(c, apply, () => {
    const { codes, replay, rows } = applied
    const answer = (): void => {
      c.send(suback(c.version ?? 4, packetId, codes))
      c.startReplay(replay)
    }
    if (replay !== null) c.expectReplay(stored, replay)
    c.answerWith(answer, rows ? stored.store.journal.openGroup : 0, ANSWER_BYTES + codes.length * 8)
    c.state.hooks.subscribed(c, () => answered(asked, codes))
  })
}

/** What Aedes tells its listeners: what was asked for, with the QoS that was granted, 128 for none. */
export function answered(asked: readonly AskedSubscription[], codes: readonly number[]): object[] {
  return asked.map((one, i) => ({ ...one, qos: codes[i] }))
}

/** Makes the subscriptions that one request asks for. */
export class Subscriptions {
  /** One for each asked, in order [MQTT-3.9.3-1]. */
  readonly codes: number[] = []
  /** Retained messages to send; null: none. */
  replay: ReplayRequest | null = null
  /** Something may be stored in the open group. */
  rows: boolean
  private readonly c: Connection
  private readonly stored: Stored
  private readonly session: Session
  private readonly asked: readonly (AskedSubscription | null)[]
  private readonly identifier: number | undefined
  /** The options of the filter before: mostly those of the next are the same, and then they are one object. */
  private options: SubscriptionOptions | null = null

  constructor(
    c: Connection,
    stored: Stored,
    session: Session,
    asked: readonly (AskedSubscription | null)[],
    identifier?: number,
  ) {
    this.c = c
    this.stored = stored
    this.session = session
    this.asked = asked
    this.identifier = identifier
    this.rows = session.durable
  }

  /** Makes `count` more of them; true when all are made. */
  apply(count = Number.POSITIVE_INFINITY): boolean {
    const { codes, asked } = this
    const end = Math.min(asked.length, codes.length + count)
    this.c.state.work += (end - codes.length) * FILTER_WORK
    while (codes.length < end) codes.push(this.applyOne(asked[codes.length]))
    return end === asked.length
  }

  /** The code for SUBACK. */
  private applyOne(one: AskedSubscription | null): number {
    const { c, stored, session, identifier } = this
    const isFive = c.version === 5
    const refusal = one === null ? Reason.not_authorised : refusalOf(c, one.topic)
    if (one === null || refusal !== 0) return isFive ? refusal : FAILURE
    const limit = stored.sessions.refusesFilter(session, one.topic)
    if (limit !== undefined) {
      c.state.refusals.count(limit, { client: c.id.slice(0, 64) })
      return isFive ? Reason.quota_exceeded : FAILURE
    }
    const space = c.state.spaces.of(one.topic)
    const asks = space?.asks
    const code = asks === undefined ? one.qos : asks.call(space, session, one.topic, this.optionsOf(one, one.qos))
    if (code > 2) return isFive ? code : FAILURE
    const options = this.optionsOf(one, code as 0 | 1 | 2)
    const isNew = stored.sessions.subscribe(session, one.topic, options)
    // Queues and shared groups begin with what comes from now on.
    if (space !== undefined) {
      this.rows ||= space.stores === true
      return code
    }
    const handling = options.retainHandling ?? 0
    if (handling === 0 || (handling === 1 && isNew))
      this.replay = askFor(this.replay, stored.retained, one.topic, one.qos, identifier)
    return code
  }

  /** Retain handling and identifier are kept only where they were given: most subscriptions have neither. */
  private optionsOf({ nl, rap, rh = 0 }: AskedSubscription, qos: 0 | 1 | 2): SubscriptionOptions {
    const { identifier, options: last } = this
    if (rh === 0 && identifier === undefined) return plainOptions(qos, nl === true, rap === true)
    if (
      last?.qos === qos &&
      last.noLocal === (nl === true) &&
      last.retainAsPublished === (rap === true) &&
      last.retainHandling === rh
    )
      return last
    this.options = {
      qos,
      noLocal: nl === true,
      retainAsPublished: rap === true,
      ...(rh === 0 ? {} : { retainHandling: rh }),
      ...(identifier === undefined ? {} : { identifier }),
    }
    return this.options
  }
}

/** What ends the connection. Only MQTT 5 says what a broken `$share/…` is: before it that is refused, not a fault. */
function brokenFilter(filter: string, version: number | null): string | undefined {
  if (version !== 5 && filter.startsWith('$share/')) return undefined
  return filterFault(filter, Number.POSITIVE_INFINITY)
}

/** Why a valid filter is refused, 0 when it is not: named by a setting, too deep, or of a reserved space that nothing here serves. */
function refusalOf(c: Connection, filter: string): number {
  const { deny_subscribe, max_topic_levels } = c.state.settings
  if (isDeniedFilter(deny_subscribe, filter)) return Reason.unspecified_error
  if (isServedOnly(filter) && c.state.spaces.of(filter)?.asks === undefined)
    return filter.startsWith('$share/') ? Reason.shared_subscriptions_not_supported : Reason.topic_filter_invalid
  return filterFault(filter, max_topic_levels) === undefined ? 0 : Reason.topic_filter_invalid
}

export function handleUnsubscribe(c: Connection, given: Buffer, at: Frame): void {
  const { buf, frame } = lasting(given, at)
  const reader = new UnsubscribeReader(buf, frame, c.version ?? 4)
  const filters: string[] = []
  const read = (): boolean => {
    for (let count = 0; count < READ_PER_TURN; count++) {
      const filter = reader.next()
      if (filter === undefined) return true
      const wrong = brokenFilter(filter, c.version)
      if (wrong !== undefined) throw malformed(`UNSUBSCRIBE: ${wrong}`)
      filters.push(filter)
    }
    return false
  }
  inTurns(c, read, () => end(c, reader.packetId, filters))
}

function end(c: Connection, packetId: number, filters: string[]): void {
  const stored = c.state.stored
  const session = c.session
  if (stored === null || session === null) return
  const codes: number[] = []
  const apply = (): boolean => {
    const to = Math.min(filters.length, codes.length + APPLIED_PER_TURN)
    c.state.work += (to - codes.length) * FILTER_WORK
    while (codes.length < to)
      codes.push(stored.sessions.unsubscribe(session, filters[codes.length]) ? Reason.success : Reason.no_subscription_existed)
    return to === filters.length
  }
  inTurns(c, apply, () => {
    const answer = (): void => c.send(unsuback(c.version ?? 4, packetId, codes))
    c.answerWith(answer, session.durable ? stored.store.journal.openGroup : 0, ANSWER_BYTES + codes.length * 8)
    c.state.hooks.unsubscribed(c, filters)
  })
}
