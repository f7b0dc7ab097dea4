/**
 * `$queue/{name}` and `$dead/…`: sessions that consume a pull or dead-letter queue. The queue is not theirs: it is there before the first and after the
 * last of them.
 */
import type { Session, SubscriptionOptions } from '../../broker/session.js'
import type { Meant, Space } from '../../broker/spaces.js'
import { queueNameValid } from '../../queue/attributes.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import { sharedFilter } from '../../topics/names.js'
import type { AutoBridge } from './auto-bridge.js'
import { ConsumerGroup, type GroupRules } from './consumer-group.js'
import type { Distribution } from './distribution.js'
import type { Members } from './members.js'
import { PullQueue } from './pull-queue.js'
import { refusal } from './refusals.js'

export interface PullParts {
  readonly ordered: OrderedQueues
  readonly rules: Omit<GroupRules, 'distribution'>
  distributionOf(name: string): Distribution
}

interface Consumed {
  readonly queue: PullQueue
  readonly consumers: ConsumerGroup
}

export class PullConsumers {
  private readonly consumed = new Map<string, Consumed>()
  private readonly members: Members
  private parts: PullParts | null = null

  constructor(members: Members) {
    this.members = members
  }

  open(parts: PullParts): void {
    this.close()
    this.consumed.clear()
    this.parts = parts
  }

  /** Before the store is closed: what was leased and not handed out goes back. */
  close(): void {
    for (const one of this.consumed.values()) end(one)
  }

  /** Called about once a second. */
  tick(): void {
    for (const { queue } of this.consumed.values()) queue.tick()
  }

  exists(name: string): boolean {
    return this.parts?.ordered.get(name) !== undefined
  }

  join(name: string, session: Session, filter: string, options: SubscriptionOptions): void {
    const { parts } = this
    if (parts === null) return
    const { consumers } = this.consumed.get(name) ?? this.make(parts, name)
    this.members.join(consumers, session, filter, options)
  }

  leave(name: string, session: Session, filter: string): void {
    const one = this.consumed.get(name)
    if (one === undefined) return
    this.members.leave(one.consumers, session, filter)
    if (one.consumers.members.length > 0) return
    this.consumed.delete(name)
    end(one)
  }

  private make(parts: PullParts, name: string): Consumed {
    const distribution = parts.distributionOf(name.startsWith('$dead/') ? name : `$queue/${name}`)
    const queue = new PullQueue(name, { ...parts.rules, ordered: parts.ordered, distribution })
    const made = { queue, consumers: new ConsumerGroup(queue, { ...parts.rules, distribution }) }
    this.consumed.set(name, made)
    return made
  }
}

function end({ queue, consumers }: Consumed): void {
  consumers.end()
  queue.end()
}

/** `$queue/{name}` and `$queue/{name}/{filter}`. */
export class QueueSpace implements Space {
  /** A queue and a rule may be made for a subscription. */
  readonly stores = true
  private readonly consumers: PullConsumers
  private readonly bridge: AutoBridge

  constructor(consumers: PullConsumers, bridge: AutoBridge) {
    this.consumers = consumers
    this.bridge = bridge
  }

  /** With a filter behind it: the queue that is consumed, and what fills it. */
  meansToSubscribe(filter: string): Meant[] {
    const { name, rest } = partsOf(filter)
    if (rest === undefined) return []
    return [{ name: `$queue/${name}` }, { name: rest, renamed: (inner) => `$queue/${name}/${inner}` }]
  }

  asks(session: Session, filter: string, options: SubscriptionOptions): number {
    const { name, rest } = partsOf(filter)
    if (!queueNameValid(name)) return refusal('no_such')
    if (rest !== undefined) {
      const why = this.bridge(name, rest, session.clientId)
      if (why !== undefined) return refusal(why)
    }
    return this.consumers.exists(name) ? atMost1(options) : refusal('no_such')
  }

  join(session: Session, filter: string, options: SubscriptionOptions): void {
    this.consumers.join(partsOf(filter).name, session, filter, options)
  }

  leave(session: Session, filter: string): void {
    this.consumers.leave(partsOf(filter).name, session, filter)
  }
}

const DEAD_SHARE = '$dead/share/'

/** `$dead/session/{client}`, `$dead/queue/{name}`, `$dead/share/{group}/{filter}`: the whole filter is the queue's name. */
export class DeadSpace implements Space {
  private readonly consumers: PullConsumers

  constructor(consumers: PullConsumers) {
    this.consumers = consumers
  }

  /** The dead letters of a group were published to what it shares. */
  meansToSubscribe(filter: string): Meant[] {
    const shared = filter.startsWith(DEAD_SHARE) ? sharedFilter(`$${filter.slice('$dead/'.length)}`) : undefined
    return shared === undefined ? [] : [{ name: shared.filter }]
  }

  asks(_session: Session, filter: string, options: SubscriptionOptions): number {
    return this.consumers.exists(filter) ? atMost1(options) : refusal('no_such')
  }

  join(session: Session, filter: string, options: SubscriptionOptions): void {
    this.consumers.join(filter, session, filter, options)
  }

  leave(session: Session, filter: string): void {
    this.consumers.leave(filter, session, filter)
  }
}

/** PUBACK is the acknowledgement: at QoS 2 it would mean something else. */
function atMost1(options: SubscriptionOptions): number {
  return Math.min(options.qos, 1)
}

function partsOf(filter: string): { name: string; rest: string | undefined } {
  const inner = filter.slice('$queue/'.length)
  const slash = inner.indexOf('/')
  return slash < 0 ? { name: inner, rest: undefined } : { name: inner.slice(0, slash), rest: inner.slice(slash + 1) }
}
