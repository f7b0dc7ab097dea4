/** Sends messages that were put together by `batchesOf`. */
import type { QueueApi } from '../client/api.js'
import { bytesOf, type NewMessage, type SentShape } from '../client/shapes.js'
import { BATCH_BYTES, sizeOf } from './lines.js'

export interface BatchSent {
  readonly dropped: number
  readonly duplicates: number
}

export async function sendBatch(
  api: QueueApi,
  queue: string,
  messages: readonly NewMessage[],
  signal?: AbortSignal,
): Promise<BatchSent> {
  const { messages: results } = await send(api, queue, messages, signal)
  return {
    dropped: results.filter((m) => m.dropped === true).length,
    duplicates: results.filter((m) => m.duplicate === true).length,
  }
}

/** A server reads an address and headers of 16 KiB together. */
const ADDRESS_CHARS_MAX = 12_000

function fitsIntoAddress({ body: _, encoding: __, ...attributes }: NewMessage): boolean {
  return encodeURIComponent(JSON.stringify(attributes)).length <= ADDRESS_CHARS_MAX
}

function send(api: QueueApi, queue: string, messages: readonly NewMessage[], signal?: AbortSignal): Promise<SentShape> {
  const [first] = messages
  // Too large for the JSON that a server reads, but perhaps not for the queue: raw bytes are bounded by the queue alone.
  if (messages.length === 1 && first !== undefined && sizeOf(first) > BATCH_BYTES && fitsIntoAddress(first)) {
    const { body: _, encoding: __, ...attributes } = first
    return api.sendBytes(queue, bytesOf(first), attributes, signal)
  }
  return api.send(queue, messages, signal)
}
