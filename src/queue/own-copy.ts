/** A message that owns its bytes: shared by all volatile queues that took it, so that no read buffer is held by what waits in memory. */
import type { MessageView } from '../store/message.js'

class OwnMessage implements MessageView {
  readonly buffer: Buffer
  readonly bodyStart = 0
  readonly payloadStart: number
  readonly end: number
  readonly properties: Buffer | undefined
  readonly acceptedAt: number
  readonly expiresAt: number

  constructor(m: MessageView) {
    const length = m.end - m.bodyStart
    const buffer = Buffer.allocUnsafe(length)
    m.buffer.copy(buffer, 0, m.bodyStart, m.end)
    this.buffer = buffer
    this.payloadStart = m.payloadStart - m.bodyStart
    this.end = length
    this.properties = m.properties === undefined ? undefined : Buffer.from(m.properties)
    this.acceptedAt = m.acceptedAt
    this.expiresAt = m.expiresAt
  }
}

export function ownCopy(message: MessageView): MessageView {
  return new OwnMessage(message)
}
