/**
 * Members that compete for what one source has: a shared group, or the consumers of a queue. One machine for both.
 *
 * Always true:
 * - a message is with one member at a time, or with none;
 * - nothing is lent while nobody can take, so that what waits is in its queue, bounded and counted there;
 * - a member that cannot take holds up nobody: another gets the next message, or, where a key belongs to it, what is for it is parked, up to
 *   PARKED_MAX messages; beyond that its keys go to others until it takes again;
 * - first deliveries to a member are in the order of the queue as long as the members stay the same;
 * - messages are handed out in a microtask, never in the middle of an admission.
 */
import type { Inbound } from '../../broker/message.js'
import type { Mailboxes } from '../../broker/ports.js'
import { FLAG_QOS } from '../../broker/ports.js'
import type { Clock } from '../../core/clock.js'
import type { Log } from '../../core/log.js'
import { READ_AGAIN_MS } from '../../queue/reading.js'
import { isLost } from '../../store/log.js'
import type { Store } from '../../store/store.js'
import { Chooser, type Distribution, isHash, keyHash, ownerOf } from './distribution.js'
import { type Item, NO_KEY, type Source } from './item.js'
import type { Member } from './member.js'

/** Messages of its keys that may wait for one member. */
export const PARKED_MAX = 1_000
/** Messages that one turn hands out at most; a member at QoS 0 takes as fast as its socket does. */
const TURN_MAX = 4_096
/** Messages to have at hand for a member at QoS 0. */
const EAGER = 32

/** What all groups count together. */
export interface ConsumerCounts {
  /** QoS 0 messages that no member could take. */
  dropped_qos0: number
  /** Messages taken back from a live member that did not acknowledge. */
  taken_back: number
}

export interface GroupRules {
  readonly store: Store
  readonly mailboxes: Mailboxes
  readonly clock: Clock
  readonly log: Log
  readonly counts: ConsumerCounts
  readonly distribution: Distribution
}

export class ConsumerGroup {
  readonly members: Member[] = []
  readonly counts: ConsumerCounts
  private readonly source: Source
  private readonly rules: GroupRules
  private readonly chooser: Chooser
  private readonly hashes: boolean
  /** Nobody could take at the last look. */
  private blocked = true
  private armed = false
  private ended = false

  constructor(source: Source, rules: GroupRules) {
    this.source = source
    this.rules = rules
    this.counts = rules.counts
    this.chooser = new Chooser(rules.distribution)
    this.hashes = isHash(rules.distribution)
    source.onReady = (inHand) => {
      if (inHand || !this.blocked) this.wake()
    }
  }

  join(member: Member): void {
    this.members.push(member)
    this.changed()
  }

  /** What is on its way to the member stays so; the rest is for the others. */
  leave(member: Member): void {
    const at = this.members.indexOf(member)
    if (at < 0) return
    this.members.splice(at, 1)
    this.chooser.removed(at)
    unpark(member)
    this.changed()
  }

  /** Nothing is handed out any more. */
  end(): void {
    this.ended = true
    for (const member of this.members) unpark(member)
    this.source.idle(false)
  }

  /** Members came, went or are to be taken for what they were: keys may belong to others now. */
  changed(): void {
    if (this.hashes) for (const member of this.members) unpark(member)
    this.blocked = false
    this.wake()
  }

  roomFor(member: Member): void {
    if (member.overfull && member.lane.inFlight === 0 && member.canTake) {
      member.overfull = false
      member.stalled = false
      this.changed()
      return
    }
    if (!this.blocked && member.parked.length === 0) return
    if (!member.canTake) return
    this.blocked = false
    this.wake()
  }

  /** Could another member take what this one does not acknowledge? */
  anotherThan(member: Member): boolean {
    return this.members.some((other) => other !== member && !other.stalled && other.canTake)
  }

  /** Something may be handed out: at the end of this turn. */
  wake(): void {
    if (this.armed || this.ended) return
    this.armed = true
    queueMicrotask(this.run)
  }

  /** A message of QoS 0, in the middle of its admission: one member that can take it gets it. */
  pass(m: Inbound): void {
    const member = this.hashes
      ? ownerOf(this.members, keyHash(this.rules.distribution, m))
      : this.chooser.choose(this.members, true)
    const connection = member?.session.connection
    if (member === undefined || connection === null || connection === undefined || !member.lane.open) {
      this.counts.dropped_qos0++
      return
    }
    this.chooser.took()
    connection.sendQos0(m, member.retainAsPublished && m.retain, member.extra)
  }

  private readonly run = (): void => {
    this.armed = false
    if (this.ended || this.rules.store.journal.failed) return
    if (this.hashes) for (const member of this.members) this.serveParked(member)
    for (let n = 0; n < TURN_MAX; n++) {
      const member = this.hashes ? this.anyone() : this.chooser.choose(this.members)
      if (member === undefined) {
        this.block()
        return
      }
      const item = this.source.next(this.rooms())
      if (item === undefined) return
      if (this.hashes ? this.place(item) : this.send(member, item)) {
        this.chooser.took()
        continue
      }
      item.back(false)
      this.block()
      return
    }
    setImmediate(() => this.wake())
  }

  private block(): void {
    this.blocked = true
    this.source.idle(this.members.some((member) => member.lane.connected))
  }

  private anyone(): Member | undefined {
    return this.members.find((member) => member.canTake)
  }

  private rooms(): number {
    let room = 0
    for (const member of this.members) room += member.qos === 0 ? EAGER : Math.max(0, member.lane.room)
    return room
  }

  /* ---- by key ---- */

  /** False when it goes back and nothing more can be handed out now. */
  private place(item: Item): boolean {
    const owner = item.hash === NO_KEY ? this.chooser.choose(this.members) : ownerOf(this.members, item.hash)
    if (owner === undefined) return false
    if (owner.parked.length === 0 && owner.canTake && this.send(owner, item)) return true
    if (owner.parked.length < PARKED_MAX) {
      owner.parked.push(item)
      return true
    }
    if (owner.stalled) return false
    // Too far behind: others take over its keys until it has done with what it holds.
    item.back(false)
    owner.stalled = true
    owner.overfull = true
    this.changed()
    return true
  }

  private serveParked(member: Member): void {
    const { parked } = member
    let sent = 0
    while (sent < parked.length && !member.loading && member.canTake) {
      const item = parked[sent]
      if (item.read() === undefined) {
        this.loadParked(member, item)
        break
      }
      if (!this.send(member, item)) break
      sent++
    }
    if (sent > 0) parked.splice(0, sent)
  }

  private loadParked(member: Member, item: Item): void {
    member.loading = true
    const loaded = (): void => {
      member.loading = false
      this.wake()
    }
    item.load().then(loaded, (error: unknown) => {
      if (isLost(error)) {
        const at = member.parked.indexOf(item)
        // It may have gone back meanwhile: then whoever gets it next finds out.
        if (at >= 0) {
          member.parked.splice(at, 1)
          item.damaged()
        }
        loaded()
        return
      }
      this.rules.log.error({ err: error, client: member.session.clientId }, 'a waiting message cannot be read; it is tried again')
      this.rules.clock.after(READ_AGAIN_MS, loaded)
    })
  }

  /* ---- to one member ---- */

  /** False when it is not with the member: its bytes are not at hand, or its queue has no room. */
  private send(member: Member, item: Item): boolean {
    const view = item.read()
    if (view === undefined) return false
    if (view.expiresAt !== 0 && view.expiresAt <= this.rules.clock.now()) {
      item.expired()
      return true
    }
    const qos = item.give(member)
    if (qos === 1) member.lane.bring(view, item)
    else if (qos === 0) {
      member.lane.once(view, item.flags & ~FLAG_QOS, item.extra)
      item.done()
    } else {
      // From here on it is the session's: what was sent once is completed with that client and no other [MQTT-4.8.2-4] [MQTT-4.8.2-5].
      const { mailboxes } = this.rules
      mailboxes.begin(view)
      if (!mailboxes.append(member.session.mailbox, item.flags, item.durable, item.extra)) return false
      item.done()
    }
    return true
  }
}

/** What waits for this member goes back to its queue: nobody has seen it. */
function unpark(member: Member): void {
  for (const item of member.parked.splice(0)) item.back(false)
}
