/** Looking into a queue without taking, emptying it, sending dead letters home, going back in time. */
import { payloadOf, topicOf } from '../broker/message.js'
import { AqueductError } from '../core/errors.js'
import { BATCH_MESSAGES_MAX, MOVES_MAX, READ_BYTES_MAX } from '../core/limits.js'
import type { EntryState, Peeked, PeekPlace } from '../queue/ordered-moves.js'
import type { OrderedQueue } from '../queue/ordered-queue.js'
import { deadNameOf } from '../queue/ordered-queues.js'
import { whole } from './checks.js'
import { type Ground, show } from './ground.js'
import { messageId, sequenceOf } from './ids.js'
import { type MessageProperties, shownProperties } from './properties.js'
import { QueueDefinitions } from './queues.js'
import { redriveSession, sessionOfDead } from './session-dead.js'

export type { EntryState }

export interface PeekOptions {
  /** 1 to 256; default 10. */
  readonly limit?: number
  /** Default: ready, behind, delayed. */
  readonly states?: readonly EntryState[]
  /** The `next` of the page before. */
  readonly after?: string
}

/** A page of what is in a queue. */
export interface Look {
  readonly messages: Seen[]
  /** Give it as `after` to see more; null at the end. */
  readonly next: string | null
}

/** A message as `peek` shows it. Moments are milliseconds since 1970; null for none. */
export interface Seen {
  readonly id: string
  /** `behind`: waits for an earlier message of its FIFO key. `retained`: acknowledged and kept for `seek`. */
  readonly state: EntryState
  readonly topic: string
  readonly body: Buffer
  readonly attempts: number
  /** Empty for none. */
  readonly key: string
  /** Empty for none. */
  readonly tag: string
  readonly priority: number
  readonly accepted_at: number
  readonly expires_at: number | null
  /** When a delayed message can be received, and when a lease ends. */
  readonly until: number | null
  /** A dead letter: the queue it died in, if that is still there, and when. */
  readonly origin: string | null
  readonly died_at: number | null
  readonly properties: MessageProperties | null
}

export interface RedriveOptions {
  /** 1 to 10,000; default 1,000. */
  readonly max?: number
  /** Only messages of this key. */
  readonly key?: string
  /** Into this queue, wherever they died; default home. */
  readonly to?: string
}

export interface Redriven {
  readonly moved: number
  /** Stayed, because the queue they died in is gone: `to` says where they shall go. */
  readonly homeless: number
  /** Stayed, because they died in other queues that share the dead-letter queue. */
  readonly others: number
  /** A queue that they belong to has no room: the rest stayed. */
  readonly full: boolean
}

export interface SeekOptions {
  /** Messages accepted at this moment (milliseconds since 1970) or later, */
  readonly time?: number
  /** or this message and those accepted after it. */
  readonly id?: string
}

export class QueueMoves extends QueueDefinitions {
  /** Messages in the order in which they would be handed out. Nothing is taken and nothing changes. */
  async peek(name: string, o: PeekOptions = {}): Promise<Seen[]> {
    return (await this.look(name, o)).messages
  }

  /** The same, a page at a time. What comes, goes or changes its state between two pages may be missing or come twice. */
  async look(name: string, o: PeekOptions = {}): Promise<Look> {
    whole('limit', o.limit, 1, BATCH_MESSAGES_MAX)
    const { ordered } = this.ground
    const queue = this.ground.queue(name)
    const limit = o.limit ?? 10
    // One more than asked for, to know whether there is more.
    const peeked = await ordered.peek(queue, {
      limit: limit + 1,
      ...(o.states === undefined ? {} : { states: o.states }),
      ...(o.after === undefined ? {} : { after: placeOf(o.after) }),
    })
    const messages: Seen[] = []
    let bytes = 0
    let last: Peeked | undefined
    for (const p of peeked.slice(0, limit)) {
      if (p.message !== undefined) {
        bytes += p.bytes
        if (bytes > READ_BYTES_MAX && messages.length > 0) return { messages, next: cursorOf(last) }
        messages.push(seenOf(p, this.ground, (id) => ordered.byId(id)?.name ?? null))
      }
      last = p
    }
    return { messages, next: peeked.length <= limit ? null : cursorOf(last) }
  }

  /** All that waits leaves; what is leased stays. Returns how many. */
  async purge(name: string): Promise<number> {
    const queue = this.ground.queue(name)
    const purged = queue.purge()
    await queue.committed()
    return purged
  }

  /**
   * Sends dead letters home, attempts 0, at once receivable: those that died in this queue, and those that it holds for others. At most `max`: call it
   * again for more, as fast as the queues shall take them.
   */
  async redrive(name: string, o: RedriveOptions = {}): Promise<Redriven> {
    whole('max', o.max, 1, MOVES_MAX)
    const { ordered } = this.ground
    const queue = this.ground.queue(name)
    const to = o.to === undefined ? undefined : this.open(o.to)
    if (to === queue)
      throw new AqueductError('attribute_invalid', 'to is another queue than the one that the dead letters are of.')
    const client = sessionOfDead(name)
    if (client !== undefined && to === undefined) return { ...(await redriveSession(this.ground, client, o)), others: 0 }
    const sum = { moved: 0, homeless: 0, others: 0, full: false }
    for (const [dead, of] of this.deadFor(queue)) {
      const left = (o.max ?? 1_000) - sum.moved
      if (left === 0) break
      // Another queue's messages are read whole only when nothing else was found.
      const found = sum.moved + sum.homeless + sum.others > 0
      if (dead === queue && found && queue.kind !== 'dead' && !this.isNamed(name)) break
      const { moved, homeless, others, full } = await ordered.redrive(dead, {
        max: left,
        ...(of === undefined ? {} : { of }),
        ...(o.key === undefined ? {} : { key: o.key }),
        ...(to === undefined ? {} : { to }),
      })
      sum.moved += moved
      sum.homeless += homeless
      sum.others += others
      sum.full ||= full
    }
    await ordered.committed()
    return sum
  }

  /** Makes acknowledged messages that the queue keeps (`retain_s`) receivable again, attempts 0, at their old places. Returns how many. */
  async seek(name: string, o: SeekOptions = {}): Promise<number> {
    const { ground } = this
    const { ordered } = ground
    const queue = ground.queue(name)
    if (o.time !== undefined && o.id !== undefined)
      throw new AqueductError('attribute_invalid', 'A seek goes to a time or to a message, not to both.')
    whole('time', o.time, 0, 2 ** 48 - 1)
    const seq = o.id === undefined ? undefined : sequenceOf(o.id)
    if (o.id !== undefined && seq === undefined)
      throw new AqueductError('attribute_invalid', `id is a message's id: got ${show(o.id)}.`)
    const replayed = await ordered.seek(queue, {
      ...(o.time === undefined ? {} : { time: ground.broker.state.clock.moment(o.time) }),
      ...(seq === undefined ? {} : { seq }),
    })
    await ordered.committed()
    return replayed
  }

  /**
   * Where dead letters of `queue` are, and what it holds for others itself: last, as that may have to be read whole to find that it holds none. No queue
   * need name it any more as its `dead_letter`.
   */
  private *deadFor(queue: OrderedQueue): Iterable<[OrderedQueue, OrderedQueue | undefined]> {
    const { ordered } = this.ground
    const holds = new Set([ordered.get(queue.attributes.dead_letter), ordered.get(deadNameOf(queue.name))])
    for (const dead of holds) if (dead !== undefined) yield [dead, queue]
    yield [queue, undefined]
  }

  /** Some queue has this one as its `dead_letter`. */
  private isNamed(name: string): boolean {
    for (const other of this.ground.ordered.all()) if (other.attributes.dead_letter === name) return true
    return false
  }
}

const CURSOR = /^(\d{1,3})\.(\d{1,15})\.(\d{1,14})$/

/** Opaque to callers. */
function cursorOf(last: Peeked | undefined): string | null {
  return last === undefined ? null : `${last.at.cls}.${last.at.rank}.${last.at.slot}`
}

/** Throws `attribute_invalid` for what no page ended with. */
function placeOf(cursor: string): PeekPlace {
  const [, cls, rank, slot] = CURSOR.exec(cursor) ?? []
  if (cls === undefined) throw new AqueductError('attribute_invalid', `after is the next of a page: got ${show(cursor)}.`)
  return { cls: Number(cls), rank: Number(rank), slot: Number(slot) }
}

function seenOf(p: Peeked, ground: Ground, nameOf: (id: number) => string | null): Seen {
  const message = p.message as NonNullable<Peeked['message']>
  return {
    id: messageId(p.seq),
    state: p.state,
    topic: topicOf(message),
    body: payloadOf(message),
    attempts: p.attempts,
    key: p.key,
    tag: p.tag,
    priority: p.priority,
    accepted_at: ground.calendar(p.acceptedAt),
    expires_at: ground.calendarOrNull(p.expiresAt),
    until: ground.calendarOrNull(p.until),
    origin: p.origin === 0 ? null : nameOf(p.origin),
    died_at: ground.calendarOrNull(p.diedAt),
    properties: shownProperties(message),
  }
}
