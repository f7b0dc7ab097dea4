/** `lease_ms=60000 fifo=true`: queue attributes as words of a command line. What may be in them, the server says. */
import { UsageError } from './exit.js'

interface Attribute {
  readonly value: string
  readonly text: string
}

/** What `--help` teaches. A test holds it against the queue room's own table. */
export const QUEUE_ATTRIBUTES: Readonly<Record<string, Attribute>> = {
  lease_ms: { value: 'ms', text: 'how long a received message is yours alone (30000)' },
  delay_ms: { value: 'ms', text: 'how long a new message waits before it can be received (0)' },
  retention_s: { value: 's', text: 'how long a message is kept; 0 for ever (345600)' },
  max_attempts: { value: 'n', text: 'hand-outs after which a message goes to the dead-letter queue; 0 never (0)' },
  dead_letter: { value: 'queue', text: 'the queue that takes dead messages (one of its own)' },
  wait_ms: { value: 'ms', text: 'how long a receive waits when it does not say so itself (0)' },
  fifo: { value: 'true|false', text: 'messages of one key one at a time and in order (false)' },
  last_value: { value: 'true|false', text: 'a newer message replaces the waiting one of the same key (false)' },
  dedup_window_s: { value: 's', text: 'how long a de-duplication id is remembered (300)' },
  max_messages: { value: 'n', text: 'messages it holds at most (1000000)' },
  max_bytes: { value: 'bytes', text: 'bytes it holds at most (1073741824)' },
  max_message_bytes: { value: 'bytes', text: 'bytes of one message at most (2097152)' },
  overflow: { value: 'reject|drop_oldest|drop_newest', text: 'what happens to a message that finds it full (reject)' },
  retain_s: { value: 's', text: 'how long acknowledged messages stay for a seek (0)' },
}

/** The table above as part of a command's help. */
export function attributeHelp(): string {
  const rows = Object.entries(QUEUE_ATTRIBUTES).map(([name, { value, text }]) => `  ${`${name}=${value}`.padEnd(44)}${text}`)
  return `\nAttributes:\n${rows.join('\n')}\n`
}

/** Values of attributes whose value is text, whatever it looks like. */
const TEXTS = new Set(['dead_letter', 'overflow'])

/** Throws a `UsageError` for a word that is no pair, or a name that comes twice. */
export function parseAttributes(
  words: readonly string[],
  texts: ReadonlySet<string> = TEXTS,
): Record<string, string | number | boolean> {
  const out = new Map<string, string | number | boolean>()
  for (const word of words) {
    const at = word.indexOf('=')
    if (at < 1) throw new UsageError(`${JSON.stringify(word)} is no attribute. Allowed is NAME=VALUE, such as lease_ms=60000.`)
    const name = word.slice(0, at)
    if (out.has(name)) throw new UsageError(`${name} is given twice.`)
    const value = word.slice(at + 1)
    out.set(name, texts.has(name) ? value : typed(value))
  }
  return Object.fromEntries(out)
}

/** `true`, `false` and numbers as JSON has them; anything else is text. */
function typed(value: string): string | number | boolean {
  if (value === 'true' || value === 'false') return value === 'true'
  return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
}
