/**
 * One message lent out by a source, on its way to a member.
 *
 *   lent ─▶ with a member ─▶ done | refused | kept from it
 *     ▲          ├─ connection lost ─▶ back at its old place
 *     │          └─ overdue, and another can take ─▶ back; what is left here only waits for the late acknowledgement
 *     └─ not handed to anybody: back, and that hand-out does not count
 */
import { FLAG_QOS, FLAG_RETAIN } from '../../broker/ports.js'
import type { MessageView } from '../../store/message.js'
import type { Brought } from '../qos-retry/lane.js'
import type { Member } from './member.js'

/** `Item.hash` of a message without a key. */
export const NO_KEY = -1

export abstract class Item implements Brought {
  /** As it is delivered, set by `give`. */
  flags = 0
  extra: Buffer | undefined = undefined
  /** As it was published. */
  readonly published: number
  /** Of its key, 32 bits, or NO_KEY. */
  readonly hash: number
  protected member: Member | null = null
  private taken = false

  constructor(published: number, hash: number) {
    this.published = published
    this.hash = hash
  }

  /** Its message is in a queue on the disk. */
  abstract readonly durable: boolean
  abstract read(): MessageView | undefined
  /** Brings the message into memory. */
  abstract load(): Promise<void>
  /** It leaves its queue: acknowledged, or moved to where delivery goes on. */
  abstract done(): void
  /** The member will not have it, and nobody else gets it [MQTT-4.8.2-6]. */
  protected abstract refused(): void
  abstract expired(): void
  abstract kept(): void
  /** Its message cannot be read, and never will be. */
  abstract damaged(): void
  /** To its old place. `counted`: it had reached somebody. */
  abstract back(counted: boolean): void
  /** May it be taken from a live member that does not acknowledge? */
  protected abstract readonly movable: boolean

  /** It is for `member`, which gets it as this says. Returns the QoS. */
  give(member: Member): 0 | 1 | 2 {
    const published = this.published & FLAG_QOS
    const qos = (published < member.qos ? published : member.qos) as 0 | 1 | 2
    this.member = member
    this.flags = member.retainAsPublished ? qos | (this.published & FLAG_RETAIN) : qos
    this.extra = member.extra
    return qos
  }

  acked(refused: boolean): void {
    const { member } = this
    if (member?.stalled === true && !member.overfull) {
      member.stalled = false
      member.group.changed()
    }
    if (this.taken) return
    if (refused) this.refused()
    else this.done()
  }

  lost(): void {
    if (!this.taken) this.back(true)
  }

  overdue(): boolean {
    const { member } = this
    if (this.taken) return true
    if (!this.movable || member === null || !member.group.anotherThan(member)) return false
    this.taken = true
    member.stalled = true
    member.group.counts.taken_back++
    this.back(true)
    return true
  }
}

/** Where a group's messages come from. */
export interface Source {
  /** Lends the next message, which is in memory then; `want` says how many there is room for. Undefined: none now, and `onReady` follows. */
  next(want: number): Item | undefined
  /** Nobody can take now: what was brought into memory ahead goes back. `here`: somebody has a connection. */
  idle(here: boolean): void
  /** Called when `next` may have more; `inHand`: something was brought into memory for it. Set by the group. */
  onReady: (inHand: boolean) => void
}
