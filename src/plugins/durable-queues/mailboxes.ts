/** Joins sessions of the broker with queues of the engine: one queue each, one append per copy. */
import type { Mailbox, Mailboxes } from '../../broker/ports.js'
import { FLAG_QOS } from '../../broker/ports.js'
import type { Engine } from '../../queue/engine.js'
import type { QueueLimits, SessionQueue } from '../../queue/queue.js'
import type { MessageView } from '../../store/message.js'
import type { Store } from '../../store/store.js'
import type { DrivenMailbox, Driver, SessionStorage } from './index.js'

/** Bounds of a session's dead-letter queue. */
const DEAD_LIMITS: QueueLimits = { max_messages: 10_000, max_bytes: 64 * 1024 * 1024, overflow: 'drop_oldest' }

export class SessionMailboxes implements Mailboxes {
  private readonly engine: Engine
  private readonly driver: Driver
  private readonly limits: QueueLimits
  private readonly storage: SessionStorage
  private open: MessageView | undefined

  constructor(engine: Engine, store: Store, driver: Driver, limits: QueueLimits) {
    this.engine = engine
    this.driver = driver
    this.limits = limits
    this.storage = {
      store,
      commit: store.journal,
      append(queue, message, flags) {
        engine.begin(message)
        return engine.append(queue, flags)
      },
      bury: (queue, clientId, message, flags) => this.bury(queue, clientId, message, flags),
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
    return this.driver.mailbox(queue, clientId, this.storage, maybeSent)
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

  append(to: Mailbox, flags: number, held: boolean, extra?: Buffer): boolean {
    const mailbox = to as DrivenMailbox
    if (!mailbox.queue.durable && (flags & FLAG_QOS) === 2 && (held || mailbox.holding)) {
      mailbox.hold(this.open as MessageView, flags)
      return true
    }
    return this.engine.append(mailbox.queue, flags, extra)
  }

  /** One commit group holds the copy in the dead-letter queue and the end of the entry. */
  private bury(queue: SessionQueue, clientId: string, message: MessageView, flags: number): void {
    const name = `session/${clientId}`
    const dead =
      this.engine.byName('dead', name) ??
      this.engine.createQueue({ name, kind: 'dead', limits: { ...DEAD_LIMITS }, durable: queue.durable })
    this.engine.begin(message)
    this.engine.append(dead, flags)
  }
}
