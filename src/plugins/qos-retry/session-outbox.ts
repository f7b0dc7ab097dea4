/**
 * A session's outbox as the rest of the program sees it: what waits can be listed, settled and forgotten without a connection. Delivery itself is in
 * outbox.ts.
 */
import { type Boxed, FLAG_EXPIRES, type ReadBudget } from '../../broker/ports.js'
import { PACKET_ID_MAX } from '../../core/limits.js'
import { browse } from '../../queue/browse.js'
import { PlainQueue } from '../../queue/plain.js'
import type { Entry, SessionQueue } from '../../queue/queue.js'
import { pubrelKey } from '../../store/keys.js'
import { isLost } from '../../store/log.js'
import type { MessageView } from '../../store/message.js'
import type { DrivenMailbox } from '../durable-queues/index.js'
import { AssignedIds, type AssignedRow } from './assigned.js'
import { FedOutbox } from './fed-outbox.js'
import { take } from './in-flight.js'

/** Expired messages that leave in one look at a queue. */
const EXPIRED_PER_LOOK = 256

export class SessionOutbox extends FedOutbox implements DrivenMailbox {
  /** The message at the front when its expiry was last read, so that the disk is not asked for it again and again. */
  private frontSeq = -1
  private frontExpiresAt = 0

  async *browse(): AsyncGenerator<Boxed> {
    const { queue } = this
    if (!(queue instanceof PlainQueue)) return
    for await (const entry of browse(queue, this.storage.store.messages)) {
      yield {
        seq: entry.seq,
        flags: entry.flags,
        extra: entry.extra,
        packetId: this.knownId(entry),
        read: () => bring(queue, entry),
      }
    }
  }

  private knownId(entry: Entry): number | undefined {
    const given = this.assigned?.get(entry.seq)
    if (given !== undefined) return given
    const id = 1 + (entry.index % PACKET_ID_MAX)
    return this.window?.get(id)?.entry?.seq === entry.seq ? id : undefined
  }

  *released(): Generator<number> {
    if (this.window !== null) for (const [packetId, flight] of this.window) if (flight.released) yield packetId
  }

  assign(seq: number, packetId: number): void {
    if (!this.queue.durable) return
    if (this.assigned === null) this.assigned = new AssignedIds(this.queue.id, this.storage.store.journal)
    this.assigned.set(seq, packetId)
  }

  settle(seq: number, received?: number): boolean {
    const entry = this.leaseAt(seq)
    if (entry === undefined) return false
    this.leave(entry)
    if (received !== undefined && this.queue.durable) {
      const flight = take(null, seq, 0)
      flight.released = true
      this.flights().set(received, flight)
      this.storeReceived(received, seq)
    }
    this.pump()
    return true
  }

  /** The leased entry `seq`: in flight already, or leased over those before it, which go back to their places at once. */
  private leaseAt(seq: number): Entry | undefined {
    for (const [packetId, { entry }] of this.window ?? []) {
      if (entry?.seq !== seq) continue
      this.window?.delete(packetId)
      return entry
    }
    const { queue } = this
    const before: Entry[] = []
    let entry = queue.lease()
    while (entry !== undefined && entry.seq < seq) {
      before.push(entry)
      entry = queue.lease()
    }
    for (const other of before) queue.release(other, false)
    if (entry === undefined || entry.seq === seq) return entry
    queue.release(entry, false)
    return undefined
  }

  expire(now: number, reads: ReadBudget): number {
    const { queue } = this
    let count = 0
    if (!(queue instanceof PlainQueue)) return count
    while (count < EXPIRED_PER_LOOK && (queue.frontFlags & FLAG_EXPIRES) !== 0) {
      const { frontSeq } = queue
      if (this.frontSeq !== frontSeq) {
        const expiresAt = this.expiryOf(frontSeq, reads)
        if (expiresAt === undefined) break
        this.frontSeq = frontSeq
        this.frontExpiresAt = expiresAt
      }
      if (this.frontExpiresAt > now) break
      // What the client may have is sent again when it comes, and its handshake ends then.
      if (this.maybeSent > 0 || queue.frontAttempts > 0) break
      const entry = queue.lease()
      if (entry === undefined) break
      this.leave(entry, 'expired')
      count++
    }
    return count
  }

  /** When the message expires; undefined while that is being read. */
  private expiryOf(seq: number, reads: ReadBudget): number | undefined {
    const { messages } = this.storage.store
    try {
      const message = messages.read(seq)
      if (message !== undefined) return message.expiresAt
    } catch (error) {
      if (isLost(error)) return Number.POSITIVE_INFINITY
      throw error
    }
    if (reads.take()) {
      messages.load(seq).then(
        () => reads.done(this.clientId),
        (error: unknown) => {
          // One that is damaged leaves when it would be delivered.
          if (!isLost(error)) return
          this.frontSeq = seq
          this.frontExpiresAt = Number.POSITIVE_INFINITY
        },
      )
    }
    return undefined
  }

  /** What the start found for this session. */
  restoreAssigned(rows: readonly AssignedRow[]): void {
    this.assigned = new AssignedIds(this.queue.id, this.storage.store.journal)
    for (const { seq, packetId } of rows) this.assigned.restore(seq, packetId)
  }

  forget(): void {
    this.assigned?.clear()
    if (this.window === null || !this.queue.durable) return
    const { journal } = this.storage.store
    for (const flight of this.window.values()) if (flight.released) journal.del(pubrelKey(this.queue.id, flight.seq))
  }
}

/** The message of an entry that nobody leased; undefined when it is gone. */
async function bring(queue: SessionQueue, entry: Entry): Promise<MessageView | undefined> {
  try {
    let message = queue.read(entry)
    while (message === undefined) {
      await queue.load(entry)
      message = queue.read(entry)
    }
    return message
  } catch (error) {
    if (isLost(error)) return undefined
    throw error
  }
}
