/**
 * QoS 2 copies for a session in memory that may not leave yet: their publisher's PUBREC waits for a commit, and a broker that dies before
 * it would get the message again. In order, each with the group it waits for.
 */
import type { SessionQueue } from '../../queue/queue.js'
import type { MessageView } from '../../store/message.js'
import type { Waiter } from '../../store/waiter.js'
import type { SessionStorage } from '../durable-queues/index.js'

/** Where held copies go, and what they wait for. */
export type HeldTo = Pick<SessionStorage, 'append' | 'commit'>

export class Held implements Waiter {
  private readonly copies: { message: MessageView; flags: number; extra: Buffer | undefined }[] = []
  private readonly queue: SessionQueue
  private readonly storage: HeldTo

  constructor(queue: SessionQueue, storage: HeldTo) {
    this.queue = queue
    this.storage = storage
  }

  get empty(): boolean {
    return this.copies.length === 0
  }

  get size(): number {
    return this.copies.length
  }

  add(message: MessageView, flags: number, extra: Buffer | undefined): void {
    // A copy of its own: the original is a read buffer. Bounded by the group, which is bounded by COMMIT_BYTES_MAX.
    const start = message.bodyStart
    const buffer = Buffer.from(message.buffer.subarray(start, message.end))
    const properties = message.properties === undefined ? undefined : Buffer.from(message.properties)
    const { acceptedAt, expiresAt } = message
    const own = {
      buffer,
      bodyStart: 0,
      payloadStart: message.payloadStart - start,
      end: buffer.length,
      properties,
      acceptedAt,
      expiresAt,
    }
    this.copies.push({ message: own, flags, extra })
    this.storage.commit.wait(this, 0, this.storage.commit.openGroup)
  }

  committed(): void {
    const first = this.copies.shift()
    if (first !== undefined) this.storage.append(this.queue, first.message, first.flags, first.extra)
  }

  commitFailed(): void {
    this.copies.length = 0
  }
}
