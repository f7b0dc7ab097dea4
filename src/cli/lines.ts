/** Lines of a stream of bytes, and messages put together into batches that a server takes. */
import type { NewMessage } from '../client/shapes.js'

/** Messages in a batch, and the size of its JSON: below what a server takes unless it was set lower. */
export const BATCH_MESSAGES = 256
export const BATCH_BYTES = 512 * 1024

const LINE_FEED = 10

/** Each line without its line feed; the last one may have none. */
export async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let parts: Uint8Array[] = []
  for await (const chunk of input) {
    let from = 0
    for (;;) {
      const at = chunk.indexOf(LINE_FEED, from)
      if (at < 0) break
      parts.push(chunk.subarray(from, at))
      yield Buffer.concat(parts)
      parts = []
      from = at + 1
    }
    if (from < chunk.length) parts.push(chunk.subarray(from))
  }
  if (parts.length > 0) yield Buffer.concat(parts)
}

export interface Batch {
  readonly messages: readonly NewMessage[]
  /** Items of the input up to here, those that gave no message among them. */
  readonly upTo: number
}

/** Groups of consecutive messages. `undefined` stands for an item that gives none. A message that is too large for company goes alone. */
export async function* batchesOf(messages: AsyncIterable<NewMessage | undefined>): AsyncGenerator<Batch> {
  let batch: NewMessage[] = []
  let bytes = 0
  let items = 0
  for await (const message of messages) {
    const size = message === undefined ? 0 : sizeOf(message)
    if (batch.length > 0 && (batch.length >= BATCH_MESSAGES || bytes + size > BATCH_BYTES)) {
      yield { messages: batch, upTo: items }
      batch = []
      bytes = 0
    }
    items++
    if (message === undefined) continue
    batch.push(message)
    bytes += size
  }
  yield { messages: batch, upTo: items }
}

/** Roughly, and rather too much: text may need escapes. */
export function sizeOf({ body, encoding, key = '', tag = '', topic = '', dedup_id = '', properties }: NewMessage): number {
  const text = encoding === 'base64' ? body.length : JSON.stringify(body).length * (isAscii(body) ? 1 : 3)
  return (
    text +
    (key.length + tag.length + topic.length + dedup_id.length) * 3 +
    160 +
    (properties === undefined ? 0 : JSON.stringify(properties).length * 3)
  )
}

const isAscii = (text: string): boolean => Buffer.byteLength(text) === text.length
