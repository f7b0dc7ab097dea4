/** A session in a group, or at a queue: what it was granted, and what it may take now. */
import { writeIdentifiers } from '../../broker/five/identifiers.js'
import type { Session, SubscriptionOptions } from '../../broker/session.js'
import type { Feeder, Lane } from '../qos-retry/lane.js'
import type { ConsumerGroup } from './consumer-group.js'
import { hashOf } from './distribution.js'
import type { Item } from './item.js'

export class Member {
  readonly session: Session
  readonly lane: Lane
  readonly group: ConsumerGroup
  /** Of its client id. */
  readonly hash: number
  /** The session may consume one queue under several names. */
  readonly filters = new Set<string>()
  qos: 0 | 1 | 2 = 0
  retainAsPublished = false
  /** Its subscription identifier, in the form of an entry's extra bytes: the chosen member's goes with the message. */
  extra: Buffer | undefined = undefined
  /** It let a message run out, or too many wait for it: it comes last until it acknowledges one, takes again or comes back. */
  stalled = false
  /** Stalled because too many waited for it: until it has nothing under way. */
  overfull = false
  /** Messages that are for it by their key and wait for room, in order. */
  readonly parked: Item[] = []
  /** The first of them is being read from the disk. */
  loading = false

  constructor(session: Session, lane: Lane, group: ConsumerGroup) {
    this.session = session
    this.lane = lane
    this.group = group
    this.hash = hashOf(session.clientId)
  }

  /** Takes over the options of a subscription. */
  set(options: SubscriptionOptions): void {
    this.qos = options.qos
    this.retainAsPublished = options.retainAsPublished
    this.extra = options.identifier === undefined ? undefined : writeIdentifiers([options.identifier])
  }

  get canTake(): boolean {
    return this.qos === 0 ? this.lane.open : this.lane.room > 0
  }
}

/** All memberships of one session: tells each group when its lane has room. */
export class Seats implements Feeder {
  private readonly members: Member[] = []

  /** The feeder of a lane; made when it has none. */
  static of(lane: Lane): Seats {
    if (lane.feeder instanceof Seats) return lane.feeder
    const seats = new Seats()
    lane.feeder = seats
    return seats
  }

  add(member: Member): void {
    this.members.push(member)
  }

  remove(member: Member): void {
    const at = this.members.indexOf(member)
    if (at >= 0) this.members.splice(at, 1)
    if (this.members.length === 0) member.lane.feeder = null
  }

  arrived(): void {
    for (const member of this.members) {
      member.stalled = false
      member.overfull = false
      member.group.changed()
    }
  }

  room(): void {
    for (const member of this.members) member.group.roomFor(member)
  }
}
