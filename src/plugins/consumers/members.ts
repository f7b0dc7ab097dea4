/** Who is where: one member per session and group, and the lanes that lead to them. */
import type { Session, SubscriptionOptions } from '../../broker/session.js'
import type { QosRetry } from '../qos-retry/index.js'
import type { Lane } from '../qos-retry/lane.js'
import type { ConsumerGroup } from './consumer-group.js'
import { Member, Seats } from './member.js'

export class Members {
  private readonly delivery: QosRetry

  constructor(delivery: QosRetry) {
    this.delivery = delivery
  }

  /** New, or with other options than before. */
  join(group: ConsumerGroup, session: Session, filter: string, options: SubscriptionOptions): void {
    const known = group.members.find((member) => member.session === session)
    if (known !== undefined) {
      known.filters.add(filter)
      known.set(options)
      group.changed()
      return
    }
    const lane: Lane = this.delivery.laneOf(session.mailbox)
    const member = new Member(session, lane, group)
    member.filters.add(filter)
    member.set(options)
    Seats.of(lane).add(member)
    group.join(member)
  }

  leave(group: ConsumerGroup, session: Session, filter: string): void {
    const member = group.members.find((one) => one.session === session)
    if (member === undefined) return
    member.filters.delete(filter)
    if (member.filters.size > 0) return
    Seats.of(member.lane).remove(member)
    group.leave(member)
  }
}
