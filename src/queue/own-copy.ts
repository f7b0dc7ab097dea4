/**
 * Copies of messages for queues in memory, so that no read buffer is held by what waits there.
 *
 * Copies stand behind one another in slabs: a buffer object per message would cost as much again as a small message. A slab lives as long as
 * one of its messages, so what leaves soon and what waits in a long line are kept apart: a slow consumer holds slabs of what waits like its
 * own, and at most SHARED_WAITING_MAX of the others.
 */
import type { MessageView } from '../store/message.js'

/** So many may wait in a queue before the next counts as one that waits long. */
export const SHARED_WAITING_MAX = 32
const SOON_SLAB_BYTES = 16 * 1024
const LASTING_SLAB_BYTES = 64 * 1024
/** A message larger than this part of a slab has bytes of its own. */
const SLAB_PART = 8

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

export class SlabCopies {
  private slab = Buffer.alloc(0)
  private used = 0
  private readonly slabBytes: number

  private constructor(slabBytes: number) {
    this.slabBytes = slabBytes
  }

  /** For messages that leave soon. */
  static soon(): SlabCopies {
    return new SlabCopies(SOON_SLAB_BYTES)
  }

  /** For messages that wait in a long line. */
  static lasting(): SlabCopies {
    return new SlabCopies(LASTING_SLAB_BYTES)
  }

  copy(message: MessageView): MessageView {
    const bytes = message.end - message.bodyStart
    if (bytes * SLAB_PART > this.slabBytes) return new OwnMessage(message, Buffer.allocUnsafeSlow(bytes), 0)
    if (this.slab.length - this.used < bytes) {
      this.slab = Buffer.allocUnsafeSlow(this.slabBytes)
      this.used = 0
    }
    const at = this.used
    this.used += bytes
    return new OwnMessage(message, this.slab, at)
  }
}
