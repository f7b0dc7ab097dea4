/** `aqueduct queue send QUEUE --lines`: each line a message, many in a request. */
import { createReadStream } from 'node:fs'
import { type NewMessage, payloadOf } from '../client/shapes.js'
import type { Context } from './context.js'
import { Ending, FAILED } from './exit.js'
import { batchesOf, linesOf } from './lines.js'
import { sendBatch } from './send-batch.js'
import { counted } from './text.js'

export async function sendLines(
  c: Context,
  queue: string,
  word: string | undefined,
  attributes: Omit<NewMessage, 'body' | 'encoding'>,
): Promise<void> {
  const progress = c.progress('sent')
  let sent = 0
  let dropped = 0
  let duplicates = 0
  try {
    for await (const { messages } of batchesOf(messagesOf(inputOf(c, word), attributes))) {
      if (messages.length === 0) continue
      const result = await sendBatch(c.queues, queue, messages)
      sent += messages.length - result.dropped - result.duplicates
      dropped += result.dropped
      duplicates += result.duplicates
      progress.show(sent)
    }
  } catch (error) {
    progress.end()
    c.terminal.err(`aqueduct: ${counted(sent, 'message')} were sent before this:\n`)
    throw error
  }
  progress.end()
  await c.show(
    { sent, duplicates, dropped },
    () => `sent ${counted(sent, 'message')}${duplicates > 0 ? `, ${duplicates} were sent before` : ''}\n`,
  )
  if (dropped > 0) throw new Ending(FAILED, `${counted(dropped, 'message')} were dropped: the queue is full.`)
}

function inputOf(c: Context, word: string | undefined): AsyncIterable<Uint8Array> {
  if (word === undefined || word === '-') return c.terminal.input()
  if (word.startsWith('@@')) return once(Buffer.from(word.slice(1)))
  return word.startsWith('@') ? createReadStream(word.slice(1)) : once(Buffer.from(word))
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function* messagesOf(input: AsyncIterable<Uint8Array>, attributes: object): AsyncGenerator<NewMessage> {
  for await (const line of linesOf(input)) yield { ...payloadOf(line), ...attributes }
}
