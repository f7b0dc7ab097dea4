/**
 * Live messages that wait behind the retained ones of a new subscription, in order.
 *
 * Always true: when their bytes are more than the connection may have in its output, they leave in the next turn though the retained ones have not all been
 * sent, and those that come after them do not wait any more (`over`). Until then QoS 0 copies beyond twice that are dropped and counted.
 */
import { type MessageView, messageBytes } from '../store/message.js'
import type { Budget } from '../topics/walk.js'
import type { Connection } from './connection.js'
import { writeQos0 } from './copies.js'
import { copyOf, type Inbound } from './message.js'
import { FLAG_QOS, FLAG_RETAIN } from './ports.js'
import type { Stored } from './state.js'

interface Waiting {
  readonly view: MessageView
  readonly flags: number
  /** A copy of QoS 2 that must wait for a commit. */
  readonly held: boolean
  readonly extra: Buffer | undefined
}

/** What one holds beside the bytes of its message. */
const WAITING_BYTES = 300

export class Behind {
  /** Too many came: whatever comes now goes its usual way. */
  over = false
  private readonly bytesMax: number
  private waiting: Waiting[] = []
  private from = 0
  private bytes = 0
  private dropped = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get empty(): boolean {
    return this.from === this.waiting.length
  }

  /** Keeps a copy of `view` (of `m` when it is that). Only keeps it: this is called in the middle of an admission. */
  keep(m: Inbound, view: MessageView, flags: number, held: boolean, extra: Buffer | undefined): void {
    if (this.bytes > 2 * this.bytesMax && (flags & FLAG_QOS) === 0) {
      this.dropped++
      return
    }
    const own = view === m ? copyOf(m) : view
    this.bytes += messageBytes(own) + WAITING_BYTES
    if (this.bytes > this.bytesMax) this.over = true
    this.waiting.push({ view: own, flags, held, extra })
  }

  /** A turn begins: when they are too many, they go. */
  settle(to: Connection, stored: Stored): void {
    to.state.stats.droppedQos0 += this.dropped
    this.dropped = 0
    if (this.over) this.letGo(to, stored)
  }

  /** All retained messages are out: these follow, as fast as the client takes them. `stays`: more retained ones may come. */
  leave(to: Connection, stored: Stored, budget: Budget, stays: boolean): 'more' | 'waits' | 'done' {
    while (!this.empty) {
      if (!to.writable) return 'waits'
      if (budget.left-- <= 0) return 'more'
      this.send(this.waiting[this.from++], to, stored)
    }
    this.clear()
    return stays ? 'waits' : 'done'
  }

  /** They leave now. A copy at QoS 0 for which the client has no room is dropped and counted, as ever. */
  letGo(to: Connection, stored: Stored): void {
    while (!this.empty) this.send(this.waiting[this.from++], to, stored)
    this.clear()
  }

  private clear(): void {
    this.waiting = []
    this.from = 0
    this.bytes = 0
  }

  private send({ view, flags, held, extra }: Waiting, to: Connection, stored: Stored): void {
    const { session } = to
    if ((flags & FLAG_QOS) === 0) {
      if (to.writable) writeQos0(to, view, (flags & FLAG_RETAIN) !== 0, extra)
      else to.state.stats.droppedQos0++
    } else if (session !== null) {
      stored.mailboxes.begin(view)
      stored.mailboxes.append(session.mailbox, flags, held, extra)
    }
  }
}
