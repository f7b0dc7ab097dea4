/** `aqueduct queue send|receive|ack|nack|extend`: one request each, for people who look and scripts that go step by step. */
import type { Command } from 'commander'
import type { NewMessage, ReceivedShape, SettledShape } from '../client/shapes.js'
import { Context, type ServerFlags, serverCommand, type World, whole } from './context.js'
import { FAILED } from './exit.js'
import { PAYLOAD_HELP, payloadText, readPayload } from './payload.js'
import { sendLines } from './send-lines.js'
import { table } from './table.js'
import { printable } from './text.js'

interface SendFlags extends ServerFlags {
  readonly key?: string
  readonly tag?: string
  readonly priority?: number
  readonly delayMs?: number
  readonly dedupId?: string
  readonly ttlS?: number
  readonly topic?: string
  readonly lines?: true
}

interface ReceiveFlags extends ServerFlags {
  readonly max?: number
  readonly waitMs?: number
  readonly leaseMs?: number
  readonly ack?: true
}

export function addQueueMessages(queue: Command, world: World): void {
  serverCommand(queue, 'send', 'send a message; it is on the disk when the command ends')
    .argument('<queue>')
    .argument('[payload]', PAYLOAD_HELP)
    .option('--key <text>', 'which messages belong together in fifo and last_value queues')
    .option('--tag <text>', 'a word that receivers may choose by')
    .option('--priority <n>', '1 goes first, 16 last (default: 8)', whole)
    .option('--delay-ms <ms>', 'how long it waits before it can be received', whole)
    .option('--dedup-id <text>', 'an id that was sent a short time ago is not stored again')
    .option('--ttl-s <s>', 'how long it is worth receiving', whole)
    .option('--topic <topic>', 'the topic that it carries (default: $queue/ and the name of the queue)')
    .option('--lines', 'each line of the payload is a message')
    .action(async (name: string, word: string | undefined, flags: SendFlags) => {
      const c = new Context(world, flags)
      const attributes = attributesOf(flags)
      if (flags.lines === true) return sendLines(c, name, word, attributes)
      const { messages } = await c.queues.sendBytes(name, await readPayload(word, world.terminal), attributes)
      const [sent = { id: null }] = messages
      await c.show(sent, ({ id, duplicate, dropped }) =>
        dropped === true ? 'dropped: the queue is full\n' : `${id}${duplicate === true ? ' was sent before' : ''}\n`,
      )
      if (sent.dropped === true) world.ends(FAILED)
    })

  serverCommand(queue, 'receive', 'receive messages; each is yours until its lease ends. Exit code 3: there was none')
    .argument('<queue>')
    .option('--max <n>', 'how many at most (default: 1)', whole)
    .option('--wait-ms <ms>', 'how long to wait when there is none', whole)
    .option('--lease-ms <ms>', 'how long they are yours alone', whole)
    .option('--ack', 'acknowledge what was printed')
    .action(async (name: string, { max, waitMs: wait_ms, leaseMs: lease_ms, ...flags }: ReceiveFlags) => {
      const c = new Context(world, flags)
      const messages = await c.queues.receive(name, { max, wait_ms, lease_ms })
      if (messages.length === 0) return c.nothing(`${printable(name)} has no message that can be received now.`)
      const receipts = messages.map(({ receipt }) => receipt)
      try {
        await c.showAll(messages, receivedTable)
      } catch (error) {
        // Nobody has seen them: somebody else can have them at once.
        await c.queues.settle(name, 'nack', receipts, { count: false })
        throw error
      }
      if (flags.ack === true) await settled(c, await c.queues.settle(name, 'ack', receipts), false)
    })

  const settle = (verb: 'ack' | 'nack' | 'extend', text: string): Command =>
    serverCommand(queue, verb, `${text}. Exit code 1: a receipt was no longer valid`)
      .argument('<queue>')
      .argument('<receipts...>')

  settle('ack', 'say that messages are done').action(async (name: string, receipts: string[], flags: ServerFlags) => {
    const c = new Context(world, flags)
    await settled(c, await c.queues.settle(name, 'ack', receipts), true)
  })
  settle('nack', 'give messages back, to be received again')
    .option('--delay-ms <ms>', 'when (default: at once)', whole)
    .option('--no-count', 'nobody worked on them: it was no attempt')
    .action(async (name: string, receipts: string[], flags: ServerFlags & { delayMs?: number; count: boolean }) => {
      const c = new Context(world, flags)
      const how = { delay_ms: flags.delayMs, ...(flags.count ? {} : { count: false }) }
      await settled(c, await c.queues.settle(name, 'nack', receipts, how), true)
    })
  settle('extend', 'keep messages longer')
    .option('--lease-ms <ms>', "the leases end so long from now (default: the queue's)", whole)
    .action(async (name: string, receipts: string[], flags: ServerFlags & { leaseMs?: number }) => {
      const c = new Context(world, flags)
      await settled(c, await c.queues.settle(name, 'extend', receipts, { lease_ms: flags.leaseMs }), true)
    })
}

function attributesOf({ key, tag, priority, delayMs, dedupId, ttlS, topic }: SendFlags): Omit<NewMessage, 'body' | 'encoding'> {
  return {
    ...(key === undefined ? {} : { key }),
    ...(tag === undefined ? {} : { tag }),
    ...(priority === undefined ? {} : { priority }),
    ...(delayMs === undefined ? {} : { delay_ms: delayMs }),
    ...(dedupId === undefined ? {} : { dedup_id: dedupId }),
    ...(ttlS === undefined ? {} : { ttl_s: ttlS }),
    ...(topic === undefined ? {} : { topic }),
  }
}

function receivedTable(messages: readonly ReceivedShape[]): string {
  return table(
    [
      { title: 'ID', of: (m) => m.id },
      { title: 'TOPIC', of: (m) => m.topic, most: 40 },
      { title: 'KEY', of: (m) => m.key ?? '', most: 20 },
      { title: 'ATTEMPTS', of: (m) => m.attempts },
      { title: 'RECEIPT', of: (m) => m.receipt, most: 200 },
      { title: 'BODY', of: payloadText },
    ],
    messages,
  )
}

/** Says what became of each receipt. */
async function settled(c: Context, { results }: SettledShape, say: boolean): Promise<void> {
  const people = (all: SettledShape['results']): string =>
    all.map(({ receipt, ok, code }) => `${ok ? 'ok' : code}  ${printable(receipt)}\n`).join('')
  if (say) await c.showAll(results, people)
  const refused = results.filter(({ ok }) => !ok)
  if (refused.length === 0) return
  if (!say) c.terminal.err(`aqueduct: ${refused.length} of ${results.length} could not be acknowledged: the lease was over.\n`)
  c.ends(FAILED)
}
