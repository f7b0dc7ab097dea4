/**
 * The retained messages of one connection's new subscriptions, in the order SUBACK, retained messages, live messages.
 *
 * However many filters were subscribed, there are two walks at most: the one under way and, behind it, one for all that came since. A topic that several
 * of a walk's filters match comes once, at the highest QoS of them and with all their identifiers.
 *
 * Always true:
 * - what changed since a SUBSCRIBE is skipped for it: the subscription was in force, so the newer one is delivered live, and an older one behind it
 *   would be wrong;
 * - nothing comes of a filter after its UNSUBSCRIBE: QoS 1 and 2 copies go to the mailbox one by one as the window takes them, not before;
 * - QoS 0 copies, and of a session in memory all, of live messages that match wait behind it (`Behind`): a client that looks for the first message without
 *   RETAIN knows then that it has had the others. When they are too many they go out all the same: waiting must not lose any.
 */
import type { MessageView } from '../store/message.js'
import { collect } from '../topics/matching.js'
import { hasWildcard } from '../topics/names.js'
import { Trie } from '../topics/trie.js'
import type { Budget, TreeWalk } from '../topics/walk.js'
import { Behind } from './behind.js'
import type { Connection } from './connection.js'
import { sendRetainedQos0 } from './copies.js'
import { writeIdentifiers } from './five/identifiers.js'
import type { Inbound } from './message.js'
import { FLAG_RETAIN } from './ports.js'
import type { RetainedMessage, RetainedMessages } from './retained.js'
import { IDENTIFIERS_PER_COPY, type Session } from './session.js'
import type { Stored } from './state.js'

/** Besides the place in the tree: a message that is sent, and one that is read from the disk for it. */
const SEND_PLACES = 2
const READ_PLACES = 16

/** What one new subscription asks for. */
interface Asked {
  readonly filter: string
  readonly qos: 0 | 1 | 2
  readonly identifier: number | undefined
  /** Of the retained messages when it was made. */
  readonly serial: number
}

/** Filters that are served together. */
class Batch {
  private readonly byFilter = new Map<string, Asked>()
  readonly filters = new Trie<Asked>()

  get empty(): boolean {
    return this.byFilter.size === 0
  }

  add(asked: Asked): void {
    this.delete(asked.filter)
    this.byFilter.set(asked.filter, asked)
    this.filters.insert(asked.filter, asked)
  }

  delete(filter: string): void {
    if (this.byFilter.delete(filter)) this.filters.delete(filter)
  }

  addAll(other: Batch): void {
    for (const asked of other.byFilter.values()) this.add(asked)
  }

  all(): Iterable<Asked> {
    return this.byFilter.values()
  }

  matches(topic: string): boolean {
    const cost = collect(this.filters, topic, found)
    const any = cost > 0 && found.length > 0
    found.length = 0
    return any
  }
}

/** Filters of one SUBSCRIBE, until its SUBACK is out. */
export type ReplayRequest = Batch

/** What matched the topic that was looked at last. */
const found: Asked[] = []

/** Puts `filter` into what one SUBSCRIBE asks for. Most name one topic, which has nothing retained. */
export function askFor(
  request: ReplayRequest | null,
  retained: RetainedMessages,
  filter: string,
  qos: 0 | 1 | 2,
  identifier: number | undefined,
): ReplayRequest | null {
  if (hasWildcard(filter) ? retained.size === 0 : retained.get(filter) === undefined) return request
  const batch = request ?? new Batch()
  batch.add({ filter, qos, identifier, serial: retained.serial })
  return batch
}

export class RetainedReplay {
  private readonly stored: Stored
  private readonly to: Connection
  /** Subscribed, and not answered yet. */
  private readonly coming: Batch[] = []
  private walked: Batch | null = null
  private walk: TreeWalk<RetainedMessage, Asked> | null = null
  private next: Batch | null = null
  /** Found, while as much waits for acknowledgements as the client may have. */
  private postponed: RetainedMessage | null = null
  private acked = false
  private readonly behind: Behind

  constructor(stored: Stored, to: Connection) {
    this.stored = stored
    this.to = to
    this.behind = new Behind(to.state.settings.max_output_bytes)
  }

  /** The subscriptions are in force: live messages that match wait from now on. */
  expect(request: ReplayRequest): void {
    this.coming.push(request)
  }

  /** Their SUBACK is out. */
  answered(request: ReplayRequest): void {
    const at = this.coming.indexOf(request)
    if (at < 0) return
    this.coming.splice(at, 1)
    // What was not sent yet for an earlier SUBSCRIBE of the same filter comes for this one.
    for (const { filter } of request.all()) this.walked?.delete(filter)
    if (this.next === null) this.next = request
    else this.next.addAll(request)
  }

  /** The client has acknowledged something. */
  hasAcked(): void {
    this.acked = true
    this.to.state.replays.wake(this.to)
  }

  /** UNSUBSCRIBE: nothing more of it [MQTT-3.10.4-2]. What waits behind it leaves before UNSUBACK. */
  drop(filter: string): void {
    this.walked?.delete(filter)
    this.next?.delete(filter)
    for (const request of this.coming) request.delete(filter)
    this.behind.letGo(this.to, this.stored)
    this.to.state.replays.wake(this.to)
  }

  /** True when a live message that is for this connection waits here for its turn. */
  keeps(m: Inbound, view: MessageView, flags: number, held: boolean, extra: Buffer | undefined): boolean {
    // Behind those that wait already goes everything, so that what follows on one topic stays in order.
    if (this.behind.empty && (this.behind.over || !this.awaits(m.topic.name))) return false
    this.behind.keep(m, view, flags, held, extra)
    if (this.behind.over) this.to.state.replays.wake(this.to)
    return true
  }

  /** The same for a copy at QoS 0; also true when a hook keeps it from the client. */
  keepsQos0(m: Inbound, retain: boolean, extra: Buffer | undefined): boolean {
    const { hooks } = this.to.state
    const allowed = hooks.gatesForward ? hooks.forward(this.to, m, 0, retain) : m
    return allowed === null || this.keeps(m, allowed, retain ? FLAG_RETAIN : 0, false, extra)
  }

  private awaits(topic: string): boolean {
    if (this.walked?.matches(topic) === true || this.next?.matches(topic) === true) return true
    return this.coming.some((request) => request.matches(topic))
  }

  /**
   * Sends what it can. `more`: go on when others had their turn. `waits`: when the connection takes more. `done`: nothing is left.
   */
  run(budget: Budget): 'more' | 'waits' | 'done' {
    const { to } = this
    this.behind.settle(to, this.stored)
    for (;;) {
      if (to.session === null) return 'done'
      if (this.walk === null && !this.begin()) return this.behind.leave(to, this.stored, budget, this.coming.length > 0)
      const outcome = this.step(to, budget)
      if (outcome !== undefined) return outcome
    }
  }

  /** Begins the next walk, if there is one. */
  private begin(): boolean {
    this.walked = this.next
    this.next = null
    if (this.walked === null) return false
    this.walk = this.stored.retained.walk(this.walked.filters)
    return true
  }

  /** Goes on with the walk; undefined when it has ended. */
  private step(to: Connection, budget: Budget): 'more' | 'waits' | undefined {
    const { walk, walked } = this
    if (walk === null || walked === null) return undefined
    while (!walked.empty && (!walk.done || this.postponed !== null)) {
      if (!to.writable) return 'waits'
      if (budget.left <= 0) return 'more'
      const kept = this.postponed ?? walk.next(budget)?.value
      this.postponed = null
      if (kept !== undefined && !this.offer(to, kept, walked, budget)) {
        this.postponed = kept
        return 'waits'
      }
    }
    this.postponed = null
    this.walk = null
    this.walked = null
    return undefined
  }

  /** Sends the message if any filter of the walk matches it that was there before it. False when it must be tried again after an acknowledgement. */
  private offer(to: Connection, kept: RetainedMessage, walked: Batch, budget: Budget): boolean {
    if (to.state.routes.denies(kept.topic)) return true
    budget.left -= collect(walked.filters, kept.topic, found) >>> 2
    let granted = -1
    const identifiers: number[] = []
    for (const asked of found) {
      if (asked.serial < kept.serial) continue
      if (asked.qos > granted) granted = asked.qos
      if (asked.identifier !== undefined) identifiers.push(asked.identifier)
    }
    found.length = 0
    if (granted < 0) return true
    const qos = kept.qos < granted ? kept.qos : granted
    if (qos > 0 && isFull(to)) {
      // One, each time that the client has acknowledged any: live messages alone must not keep the window full.
      if (!this.acked) return false
      this.acked = false
    }
    budget.left -= kept.view === null ? READ_PLACES : SEND_PLACES
    const view = this.stored.retained.read(kept)
    const { session } = to
    if (view === undefined || session === null) return true
    let at = 0
    do {
      const extra = writeIdentifiers(identifiers.slice(at, at + IDENTIFIERS_PER_COPY))
      at += IDENTIFIERS_PER_COPY
      if (qos === 0) sendRetainedQos0(to, view, extra)
      else this.append(session, view, qos, extra)
    } while (at < identifiers.length)
    return true
  }

  private append(session: Session, view: MessageView, qos: number, extra: Buffer | undefined): void {
    const { mailboxes } = this.stored
    mailboxes.begin(view)
    mailboxes.append(session.mailbox, qos | FLAG_RETAIN, false, extra)
  }
}

/** As much waits for acknowledgements as the client may have: what is added now would still come after an UNSUBSCRIBE. */
function isFull({ session, window }: Connection): boolean {
  return (session?.mailboxIfAny?.waiting ?? 0) >= window
}
