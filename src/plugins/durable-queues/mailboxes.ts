/** Joins sessions of the broker with queues of the engine: one queue each, one append per copy. */
import type { Mailbox, Mailboxes } from '../../broker/ports.js'
import { FLAG_EXPIRES, FLAG_QOS } from '../../broker/ports.js'
import { PACKET_ID_MAX } from '../../core/limits.js'
import type { Engine } from '../../queue/engine.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import type { Entry, QueueLimits, SessionQueue } from '../../queue/queue.js'
import type { MessageView } from '../../store/message.js'
import type { Store } from '../../store/store.js'
import type { DrivenMailbox, Driver, SessionStorage } from './index.js'

/** Bounds of a session's dead-letter queue: full, it loses its oldest, so that a message that died never stays in the way. */
const DEAD_LIMITS = { max_messages: 10_000, max_bytes: 64 * 1024 * 1024, overflow: 'drop_oldest' } as const

export class SessionMailboxes implements Mailboxes {
  private readonly engine: Engine
  private readonly ordered: OrderedQueues
  private readonly driver: Driver
  private readonly limits: QueueLimits
  private readonly storage: SessionStorage
  private open: MessageView | undefined
  /** Queues of sessions that the start found and nobody restored so far: client ids by queue id. */
  private readonly unclaimed = new Map<number, string>()

  constructor(engine: Engine, ordered: OrderedQueues, store: Store, driver: Driver, limits: QueueLimits) {
    this.engine = engine
    this.ordered = ordered
    this.driver = driver
    this.limits = limits
    for (const { id, kind, name } of engine.queues()) if (kind === 'session') this.unclaimed.set(id, name)
    this.storage = {
      store,
      commit: store.journal,
      append(queue, message, flags, extra) {
        engine.begin(message)
        return engine.append(queue, flags, extra)
      },
      bury: (queue, clientId, entry, message) => this.bury(queue, clientId, entry, message),
    }
  }

  get durable(): boolean {
    return this.engine.durable
  }

  create(clientId: string, durable: boolean): Mailbox {
    const queue = this.engine.createQueue({ name: clientId, kind: 'session', limits: this.limits, durable })
    return this.driver.mailbox(queue, clientId, this.storage, 0)
  }

  restore(clientId: string, id: number, maybeSent: number): Mailbox | undefined {
    const queue = this.engine.queue(id)
    if (queue === undefined) return undefined
    queue.limits = this.limits
    this.unclaimed.delete(id)
    // Any of them may be one that was acknowledged in a commit that is missing.
    const sent = this.storage.store.messages.acksLost ? PACKET_ID_MAX : maybeSent
    return this.driver.mailbox(queue, clientId, this.storage, sent)
  }

  unclaimedQueues(): { clientId: string; id: number }[] {
    return [...this.unclaimed].map(([id, clientId]) => ({ clientId, id }))
  }

  remove(mailbox: Mailbox): void {
    mailbox.detach()
    ;(mailbox as DrivenMailbox).forget()
    this.engine.deleteQueue((mailbox as DrivenMailbox).queue)
  }

  begin(message: MessageView): void {
    this.open = message
    this.engine.begin(message)
  }

  append(to: Mailbox, given: number, held: boolean, extra?: Buffer): boolean {
    const mailbox = to as DrivenMailbox
    const flags = this.open !== undefined && this.open.expiresAt !== 0 ? given | FLAG_EXPIRES : given
    if (!mailbox.queue.durable && (flags & FLAG_QOS) === 2 && (held || mailbox.holding)) {
      mailbox.hold(this.open as MessageView, flags, extra)
      return true
    }
    return this.engine.append(mailbox.queue, flags, extra)
  }

  /** One commit group holds the entry in the dead-letter queue and its end here. A durable message is not stored again. */
  private bury(queue: SessionQueue, clientId: string, entry: Entry, message: MessageView): void {
    const dead = this.ordered.dead(deadNameOfSession(clientId), DEAD_LIMITS)
    if (queue.durable) {
      dead.bring({ seq: entry.seq, bytes: entry.bytes, acceptedAt: message.acceptedAt })
      return
    }
    this.engine.begin(message)
    dead.offer({ view: message, expires_at: 0 })
  }
}

/** The queue that takes a session's dead letters. */
export function deadNameOfSession(clientId: string): string {
  return `$dead/session/${clientId}`
}
