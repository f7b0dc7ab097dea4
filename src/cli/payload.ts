/** `[PAYLOAD|-|@FILE]`: where the bytes of a message come from, and how bytes that came are shown. */
import { readFile } from 'node:fs/promises'
import type { Payload } from '../client/shapes.js'
import { bytesOf } from '../client/shapes.js'
import { UsageError } from './exit.js'
import type { Terminal } from './terminal.js'
import { printable } from './text.js'

export const PAYLOAD_HELP =
  'the payload; @FILE for what is in a file, - or nothing for standard input, @@… for a text that begins with @'

/** More than any server takes. */
const BYTES_MAX = 268_435_455

export async function readPayload(word: string | undefined, terminal: Terminal): Promise<Buffer> {
  if (word === undefined || word === '-') {
    if (word === undefined && terminal.isTerminal.input)
      throw new UsageError('There is no payload. Give it as an argument, as @FILE, or on standard input.')
    return readAll(terminal.input())
  }
  if (word.startsWith('@@')) return Buffer.from(word.slice(1))
  return word.startsWith('@') ? readFile(word.slice(1)) : Buffer.from(word)
}

async function readAll(input: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of input) {
    bytes += part.length
    if (bytes > BYTES_MAX) throw new UsageError(`A payload has at most ${BYTES_MAX} bytes.`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** A payload and a line end: as it is for a program that reads it, without anything to obey for a terminal. */
export function payloadLine(payload: Payload, terminal: Terminal): Buffer {
  if (!terminal.isTerminal.out) return Buffer.concat([bytesOf(payload), Buffer.from('\n')])
  const text = payload.encoding === 'base64' ? `base64:${payload.body}` : printable(payload.body)
  return Buffer.from(`${text}\n`)
}

/** In a table. */
export function payloadText(payload: Payload): string {
  return payload.encoding === 'base64' ? `base64:${payload.body.slice(0, 200)}` : payload.body.slice(0, 200)
}
