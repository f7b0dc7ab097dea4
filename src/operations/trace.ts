/** "Where did my message go?": which queues hold it, in which state, and how it left the others. */
import { topicOf } from '../broker/message.js'
import { AqueductError } from '../core/errors.js'
import { TRACE_ROWS_MAX } from '../core/limits.js'
import type { EntryState } from '../queue/ordered-moves.js'
import type { PlainQueue } from '../queue/plain.js'
import type { Departure, QueueKind } from '../queue/queue.js'
import { type Ground, show } from './ground.js'
import { sequenceOf } from './ids.js'

/** A queue that holds the message. */
export interface Holding {
  /** A queue's name; for a session its client identifier. */
  readonly queue: string
  readonly kind: QueueKind
  readonly state: EntryState
  /** Hand-outs so far. */
  readonly attempts: number
  /** When a delayed message can be received, when a lease ends, when a retained message was acknowledged: milliseconds since 1970; else null. */
  readonly until: number | null
  /** Who has it, where that is known: the client of a session. */
  readonly holder: string | null
}

/** How it left a queue. */
export interface Departed {
  readonly queue: string
  readonly kind: QueueKind
  readonly reason: Departure
  /** Milliseconds since 1970. */
  readonly at: number
  readonly attempts: number
}

export interface MessageTrace {
  readonly id: string
  /** Null when the message itself is not in the store any more. */
  readonly topic: string | null
  readonly accepted_at: number | null
  readonly queues: readonly Holding[]
  /** Empty when departures are not remembered (`trace.retain_s` is 0). */
  readonly left: readonly Departed[]
  /** False when the queues hold so much that not all of it was searched. */
  readonly complete: boolean
}

/**
 * Throws `message_not_found` when nothing is known of it. Clean sessions are in memory and not searched. Costs a read for queues of sessions and
 * groups; for pull queues their index is read, about a second per million messages that wait.
 */
export type TraceMessage = (id: string) => Promise<MessageTrace>

export function tracer(ground: Ground): TraceMessage {
  return (id) => ground.searches.run(() => find(ground, id))
}

async function find(ground: Ground, id: string): Promise<MessageTrace> {
  const seq = sequenceOf(id)
  const { stored, engine, ordered, trace } = ground
  const log = stored.store.messages
  if (seq === undefined || seq === 0 || seq > log.committedSeq) throw notFound(id)
  const message = await log.fetch(seq)
  const queues: Holding[] = []
  for (const queueId of new Set(await log.reader.queuesOf(seq))) {
    const held = holdingOf(engine.queue(queueId) as PlainQueue | undefined, seq)
    if (held !== undefined) queues.push(held)
  }
  const { entries, complete } = await ordered.find(seq, TRACE_ROWS_MAX)
  for (const { queue, state, attempts, until } of entries) {
    const { name, kind } = queue
    queues.push({ queue: name, kind, state, attempts, until: ground.calendarOrNull(until), holder: null })
  }
  const left = ((await trace?.find(seq)) ?? []).map(({ queue, kind, why, at, attempts }) => ({
    queue,
    kind,
    reason: why,
    at: ground.calendar(at),
    attempts,
  }))
  if (message === undefined && queues.length === 0 && left.length === 0) throw notFound(id)
  return {
    id,
    topic: message === undefined ? null : topicOf(message),
    accepted_at: message === undefined ? null : ground.calendar(message.acceptedAt),
    queues,
    left,
    complete,
  }
}

function holdingOf(queue: PlainQueue | undefined, seq: number): Holding | undefined {
  const found = queue?.find(seq)
  if (queue === undefined || found === undefined) return undefined
  const holder = found.state === 'leased' && queue.kind === 'session' ? queue.name : null
  return { queue: queue.name, kind: queue.kind, state: found.state, attempts: found.attempts, until: null, holder }
}

function notFound(id: string): AqueductError {
  return new AqueductError('message_not_found', `Nothing is known of a message ${show(id)}.`)
}
