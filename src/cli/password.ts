/** A password from whoever runs the command: typed twice without being shown, or all that a pipe or file has. */

import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { AqueductError } from '../core/errors.js'

/** Bytes that are read of a pipe; nobody's password is longer. */
export const PASSWORD_BYTES_MAX = 4096

export interface Keyboard {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  /** Where questions go: not where the result does. */
  readonly output: NodeJS.WritableStream
}

/** Throws `bad_setting` when there is none, it is no UTF-8 or too long, or was typed differently the second time. */
export async function readPassword({ input, output }: Keyboard): Promise<string> {
  return input.isTTY === true ? typed(input, output) : piped(input)
}

async function piped(input: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of input) {
    const part = Buffer.from(chunk)
    chunks.push(part)
    bytes += part.length
    if (bytes > PASSWORD_BYTES_MAX) throw refusal(`A password has at most ${PASSWORD_BYTES_MAX} bytes.`)
  }
  try {
    // Of `echo`, or of an editor.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks)).replace(/\r?\n$/, '')
  } catch (error) {
    throw new AqueductError('bad_setting', 'The password is not UTF-8.', { cause: error })
  }
}

async function typed(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): Promise<string> {
  // What the line editor would show goes nowhere. It is there before the first question and until after the last answer, or the terminal itself
  // would show what is typed quickly.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input, output: nowhere, terminal: true, historySize: 0 })
  const answers = lines[Symbol.asyncIterator]()
  const ask = async (question: string): Promise<string> => {
    output.write(question)
    const answer = await answers.next()
    output.write('\n')
    if (answer.done === true) throw refusal('No password was given.')
    return answer.value
  }
  try {
    const first = await ask('Password: ')
    if (first !== (await ask('Once more: '))) throw refusal('The two passwords differ.')
    return first
  } finally {
    lines.close()
  }
}

function refusal(sentence: string): AqueductError {
  return new AqueductError('bad_setting', sentence)
}
