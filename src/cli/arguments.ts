/**
 * Arguments are bytes of the shell and texts here: bytes that are no UTF-8 come as U+FFFD, all of them the same, and would be sent as that. They are refused
 * where the system tells what they were.
 */
import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'

/** Why these words cannot be taken for what was typed, or undefined. */
export function argumentFault(words: readonly string[], typed: () => Uint8Array = commandLine): string | undefined {
  const word = words.find((text) => text.includes('\ufffd'))
  if (word === undefined || isUtf8(typed())) return undefined
  return `The argument ${JSON.stringify(word)} is not UTF-8. Bytes go on standard input, or as @FILE.`
}

function commandLine(): Uint8Array {
  try {
    return readFileSync('/proc/self/cmdline')
  } catch {
    // Not on this system: nobody can tell.
    return new Uint8Array()
  }
}
