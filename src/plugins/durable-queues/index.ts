/**
 * Plugin: every session has a queue of its own. A persistent session's is durable and lives in the store's packed log; a clean one's lives in
 * memory. Delivery is leased from it by a driver that another plugin brings (`qos-retry`).
 */
import type { BrokerApi, Plugin } from '../../broker/plugin.js'
import type { Mailbox } from '../../broker/ports.js'
import type { QueueAttributes } from '../../queue/attributes.js'
import { addDepartures, type Departures, newDepartures } from '../../queue/departures.js'
import { type Engine, openEngine } from '../../queue/engine.js'
import { type OrderedQueues, openOrderedQueues } from '../../queue/ordered-queues.js'
import type { Entry, QueueLimits, SessionQueue } from '../../queue/queue.js'
import { Trace, type TraceOptions } from '../../queue/trace.js'
import type { MessageView } from '../../store/message.js'
import type { Store } from '../../store/store.js'
import type { CommitPoint } from '../../store/waiter.js'
import { SessionMailboxes } from './mailboxes.js'
import { sessionQueues } from './redefine.js'

export interface DurableQueuesOptions {
  /** Bounds of one session's queue. `reject` is not for sessions: a full one never holds up a publisher. */
  readonly limits: QueueLimits & { overflow: 'drop_oldest' | 'drop_newest' }
  /** What a new pull queue has where nothing is said; default what the table of attributes says. */
  readonly queue: Partial<QueueAttributes>
  /** How long departures are remembered, and in how many bytes; default not at all. */
  readonly trace: TraceOptions
}

export const defaultSessionLimits: DurableQueuesOptions['limits'] = {
  max_messages: 100_000,
  max_bytes: 256 * 1024 * 1024,
  overflow: 'drop_oldest',
}

/** What a driver gets for each session. */
export interface SessionStorage {
  readonly store: Store
  readonly commit: CommitPoint
  /** A message of its own for one queue. */
  append(queue: SessionQueue, message: MessageView, flags: number, extra?: Buffer): boolean
  /** Moves a leased entry's message to the session's dead-letter queue `$dead/session/{client}`, in the group in which the entry leaves. */
  bury(queue: SessionQueue, clientId: string, entry: Entry, message: MessageView): void
}

/** A mailbox whose copies can be held back until a commit. */
export interface DrivenMailbox extends Mailbox {
  readonly queue: SessionQueue
  /** Keeps a copy of `message` until the open group is committed, then appends it to the (volatile) queue. */
  hold(message: MessageView, flags: number, extra: Buffer | undefined): void
  /** True while held copies wait: later ones of QoS 2 must wait behind them. */
  readonly holding: boolean
  /** The session is over: deletes what the driver stored for it, in the open group. */
  forget(): void
}

export interface Driver {
  mailbox(queue: SessionQueue, clientId: string, storage: SessionStorage, maybeSent: number): DrivenMailbox
  /** Reads what was under way in durable sessions; after this `mailbox` is called for each. */
  load(store: Store): Promise<void>
}

/** What this plugin offers to those that need it. */
export interface DurableQueues {
  /** Says how messages go out. Exactly one plugin does. */
  deliverWith(driver: Driver): void
  /** The engine on the store that is open now; undefined before the first. */
  readonly engine: Engine | undefined
  /** Pull and dead-letter queues on the same store; undefined before the first. */
  readonly ordered: OrderedQueues | undefined
  /** How messages left their queues, where that is remembered. */
  readonly trace: Trace | undefined
  /** Entries that left since the process started, by kind of queue and reason. */
  departures(): Departures
}

export function durableQueues(options: Partial<DurableQueuesOptions> = {}): Plugin {
  const limits = options.limits ?? defaultSessionLimits
  const standard = options.queue ?? {}
  let driver: Driver | undefined
  let engine: Engine | undefined
  let ordered: OrderedQueues | undefined
  let trace: Trace | undefined
  /** What left the engines of stores that failed since. */
  let gone = newDepartures()
  const left = (): Departures =>
    engine === undefined || ordered === undefined ? newDepartures() : addDepartures(engine.departures, ordered.departures)
  return {
    name: 'durable-queues',
    setup(api: BrokerApi) {
      const offer: DurableQueues = {
        deliverWith(d) {
          driver = d
        },
        get engine() {
          return engine
        },
        get ordered() {
          return ordered
        },
        get trace() {
          return trace
        },
        departures: () => addDepartures(gone, left()),
      }
      api.share('durable-queues', offer)
      api.keepMessages(async (store) => {
        if (driver === undefined) throw new Error('durable-queues has nothing that delivers: add the qos-retry plugin')
        gone = addDepartures(gone, left())
        ordered?.close()
        engine?.close()
        trace?.close()
        engine = ordered = trace = undefined
        const { clock, log, random } = api
        const remembered = options.trace ?? { retain_s: 0, max_bytes: 0 }
        trace = remembered.retain_s > 0 ? new Trace(remembered, store, clock, log) : undefined
        const traced = { trace: trace ?? null }
        const others: OrderedQueues[] = []
        const recoverOthers = async (e: Engine): Promise<void> => {
          others.push(await openOrderedQueues({ store, clock, random, log, standard, ...traced, takeId: () => e.takeQueueId() }))
        }
        const define = (ids: ReadonlySet<number>) => sessionQueues(store, ids, limits)
        engine = await openEngine({ store, clock, log, recoverOthers, define, ...traced })
        ordered = others[0] as OrderedQueues
        await driver.load(store)
        return new SessionMailboxes(engine, ordered, store, driver, limits)
      })
      api.onClose(() => {
        ordered?.close()
        trace?.close()
        return engine?.close()
      })
    },
  }
}
