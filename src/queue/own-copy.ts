/**
 * Copies of messages for queues in memory, so that no read buffer is held by what waits there.
 *
 * A copy that will leave at once is put behind others in a slab: cheap, but it keeps the slab alive. One that joins a long line gets
 * bytes of its own, so that a slow consumer holds what waits for it and no more: at most SLAB_BYTES × SHARED_WAITING_MAX per queue are
 * held by copies of the first kind.
 */
import type { MessageView } from '../store/message.js'

const SLAB_BYTES = 16 * 1024
/** A larger message is not worth sharing a slab for. */
const SLAB_MESSAGE_BYTES_MAX = 2 * 1024
/** So many may wait in a queue before the next gets bytes of its own. */
export const SHARED_WAITING_MAX = 32

class OwnMessage implements MessageView {
  readonly buffer: Buffer
  readonly bodyStart: number
  readonly payloadStart: number
  readonly end: number
  readonly properties: Buffer | undefined
  readonly acceptedAt: number
  readonly expiresAt: number

  constructor(m: MessageView, buffer: Buffer, at: number) {
    m.buffer.copy(buffer, at, m.bodyStart, m.end)
    this.buffer = buffer
    this.bodyStart = at
    this.payloadStart = at + m.payloadStart - m.bodyStart
    this.end = at + m.end - m.bodyStart
    this.properties = m.properties === undefined ? undefined : Buffer.from(m.properties)
    this.acceptedAt = m.acceptedAt
    this.expiresAt = m.expiresAt
  }
}

/** A copy with bytes of its own (small ones share Node's pool of 8 KiB with what waits beside them). */
export function ownCopy(message: MessageView): MessageView {
  return new OwnMessage(message, Buffer.allocUnsafe(message.end - message.bodyStart), 0)
}

export class SlabCopies {
  private slab = Buffer.alloc(0)
  private used = 0

  /** A copy that shares its bytes' slab with its neighbours. */
  copy(message: MessageView): MessageView {
    const bytes = message.end - message.bodyStart
    if (bytes > SLAB_MESSAGE_BYTES_MAX) return ownCopy(message)
    if (this.slab.length - this.used < bytes) {
      this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.used = 0
    }
    const at = this.used
    this.used += bytes
    return new OwnMessage(message, this.slab, at)
  }
}
