/**
 * `$share/{group}/{filter}`: a group, told by its name and its filter together, is one queue with competing members.
 *
 * Always true: a group is there from the first membership of a session, stored or live, to the end of the last one; its queue is durable from the first
 * durable member on.
 */
import type { Inbound } from '../../broker/message.js'
import type { BrokerApi } from '../../broker/plugin.js'
import type { Session, SubscriptionOptions } from '../../broker/session.js'
import type { Space } from '../../broker/spaces.js'
import { Taker } from '../../broker/taker.js'
import { sharedFilter } from '../../topics/names.js'
import { ConsumerGroup, type GroupRules } from './consumer-group.js'
import { type Distribution, isHash, keyHash } from './distribution.js'
import { GroupQueue, type GroupQueueOptions } from './group-queue.js'
import { NO_KEY } from './item.js'
import type { Members } from './members.js'
import { refusal } from './refusals.js'

/** What the groups of one open store are made of. */
export interface ShareParts {
  readonly api: BrokerApi
  readonly queue: GroupQueueOptions
  readonly rules: Omit<GroupRules, 'distribution'>
  distributionOf(name: string): Distribution
  readonly max_groups: number
}

/** Feeds a group's queue. */
class GroupTaker extends Taker {
  readonly consumers: ConsumerGroup
  readonly queue: GroupQueue
  private readonly distribution: Distribution | null

  constructor(filter: string, consumers: ConsumerGroup, queue: GroupQueue, distribution: Distribution) {
    super(filter)
    this.consumers = consumers
    this.queue = queue
    this.distribution = isHash(distribution) ? distribution : null
  }

  take(m: Inbound, held: boolean): boolean {
    if (m.qos === 0) {
      this.consumers.pass(m)
      return false
    }
    const hash = this.distribution === null ? NO_KEY : keyHash(this.distribution, m)
    return this.queue.put(m, m.qos, m.retain, held, hash)
  }
}

export class SharedGroups implements Space {
  private readonly groups = new Map<string, GroupTaker>()
  private readonly members: Members
  private parts: ShareParts | null = null
  private tidied = false

  constructor(members: Members) {
    this.members = members
  }

  get size(): number {
    return this.groups.size
  }

  /** A store was opened: its sessions join next. */
  open(parts: ShareParts): void {
    this.close()
    this.groups.clear()
    this.parts = parts
    this.tidied = false
  }

  /** Called about once a second. */
  tick(now: number): void {
    for (const { queue } of this.groups.values()) queue.expire(now)
  }

  /** Before the store is closed: what was lent and not handed out goes back. */
  close(): void {
    for (const { consumers } of this.groups.values()) consumers.end()
  }

  asks(_session: Session, filter: string, options: SubscriptionOptions): number {
    const { parts } = this
    const shared = sharedFilter(filter)
    if (parts === null || shared === undefined || isReserved(shared.filter)) return refusal('no_such')
    this.tidy(parts)
    if (!this.groups.has(nameOf(filter)) && this.groups.size >= parts.max_groups) return refusal('quota')
    return options.qos
  }

  join(session: Session, filter: string, options: SubscriptionOptions): void {
    const { parts } = this
    const shared = sharedFilter(filter)
    if (parts === null || shared === undefined) return
    const group = this.groups.get(nameOf(filter)) ?? this.make(parts, nameOf(filter), shared, session.durable)
    if (session.durable) group.queue.makeDurable()
    this.members.join(group.consumers, session, filter, options)
  }

  leave(session: Session, filter: string): void {
    const name = nameOf(filter)
    const group = this.groups.get(name)
    if (group === undefined) return
    this.members.leave(group.consumers, session, filter)
    if (group.consumers.members.length > 0) return
    this.groups.delete(name)
    this.parts?.api.removeTaker(group)
    group.consumers.end()
    group.queue.end()
  }

  private make(
    parts: ShareParts,
    name: string,
    { group, filter }: { group: string; filter: string },
    durable: boolean,
  ): GroupTaker {
    const distribution = parts.distributionOf(group)
    const queue = new GroupQueue(name, durable, parts.queue)
    const consumers = new ConsumerGroup(queue, { ...parts.rules, distribution })
    const made = new GroupTaker(filter, consumers, queue, distribution)
    this.groups.set(name, made)
    parts.api.addTaker(made)
    return made
  }

  /** Once the broker serves, all stored members have joined: a stored group without any lost them while this plugin was not there. */
  private tidy({ queue: { engine, store } }: ShareParts): void {
    if (this.tidied) return
    this.tidied = true
    // Or their memberships are damaged: then they come again with the clients, who are told that no session was present.
    if (store.damage.byKind.has('subscription') || store.damage.byKind.has('session')) return
    for (const queue of [...engine.queues()]) {
      if (queue.kind === 'group' && !this.groups.has(queue.name)) engine.deleteQueue(queue)
    }
  }
}

/** `{group}/{filter}`: a group's name holds no `/`, so this tells them apart. */
function nameOf(filter: string): string {
  return filter.slice('$share/'.length)
}

/** Reserved topics are no ordinary topics that a group could share; `$SYS` is. */
function isReserved(filter: string): boolean {
  return ['$queue', '$share', '$delayed', '$dead'].some((level) => filter === level || filter.startsWith(`${level}/`))
}
