/** `aqueduct queue peek|purge|redrive|seek`: looking without taking, emptying, sending dead letters home, going back in time. */
import type { Command } from 'commander'
import type { SeenShape } from '../client/shapes.js'
import { Context, type ServerFlags, serverCommand, type World, whole } from './context.js'
import { UsageError } from './exit.js'
import { payloadText } from './payload.js'
import { type RedriveFlags, redriveAll } from './redrive.js'
import { table } from './table.js'
import { counted, momentText, printable } from './text.js'

interface PeekFlags extends ServerFlags {
  readonly max: number
  readonly states?: string
}

interface SeekFlags extends ServerFlags {
  readonly time?: string
  readonly id?: string
}

const PAGE = 256
const PEEK_STANDARD = 10

export function addQueueMoves(queue: Command, world: World): void {
  serverCommand(queue, 'peek', 'look into a queue without taking anything. Exit code 3: it is empty')
    .argument('<queue>')
    .option('--max <n>', 'how many at most', whole, PEEK_STANDARD)
    .option(
      '--states <list>',
      'of ready, behind (an earlier message of the same FIFO key), delayed, leased, retained (default: the first three)',
    )
    .action(async (name: string, flags: PeekFlags) => {
      const c = new Context(world, flags)
      const seen: SeenShape[] = []
      let after: string | undefined
      do {
        const page = await c.queues.peek(name, { limit: Math.min(PAGE, flags.max - seen.length), states: flags.states, after })
        seen.push(...page.messages)
        after = page.next ?? undefined
      } while (after !== undefined && seen.length < flags.max)
      await c.showAll(seen, seenTable)
      if (seen.length === 0) c.nothing(`${printable(name)} has no such message.`)
    })

  serverCommand(queue, 'purge', 'throw away all messages that wait; what is leased stays')
    .argument('<queue>')
    .action(async (name: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      await c.show(await c.queues.purge(name), ({ purged }) => `purged ${counted(purged, 'message')}\n`)
    })

  serverCommand(
    queue,
    'redrive',
    'send dead letters back to the queue they died in: those of this queue, and those that it holds',
  )
    .argument('<queue>')
    .option('--max <n>', 'how many at most (default: all)', whole)
    .option('--key <text>', 'only messages of this key')
    .option('--to <queue>', 'into this queue, wherever they died (default: home)')
    .option('--rate <n>', 'messages a second (default: as fast as it goes)', whole)
    .action(async (name: string, flags: ServerFlags & RedriveFlags & { key?: string; to?: string }) => {
      const c = new Context(world, flags)
      const { counts, kind } = await c.queues.get(name)
      const total = kind === 'dead' ? counts.ready + counts.delayed : counts.dead
      await redriveAll(c, flags, total, (max) => c.queues.redrive(name, { max, key: flags.key, to: flags.to }))
    })

  serverCommand(
    queue,
    'seek',
    'receive again what was acknowledged: all that the queue keeps (retain_s), or from a time or a message on',
  )
    .argument('<queue>')
    .option('--time <time>', 'messages accepted then or later: 2026-11-25T10:00:00Z, or milliseconds since 1970')
    .option('--id <id>', 'this message and those accepted after it')
    .action(async (name: string, flags: SeekFlags) => {
      const time = flags.time === undefined ? undefined : momentOf(flags.time)
      const c = new Context(world, flags)
      await c.show(
        await c.queues.seek(name, { time, id: flags.id }),
        ({ replayed }) => `${counted(replayed, 'message')} wait again\n`,
      )
    })
}

/** Throws a `UsageError` for what is no moment. */
function momentOf(text: string): number {
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isNaN(ms))
    throw new UsageError(
      `--time ${JSON.stringify(text)} is no time. Allowed is 2026-11-25T10:00:00Z, or milliseconds since 1970.`,
    )
  return ms
}

function seenTable(messages: readonly SeenShape[]): string {
  if (messages.length === 0) return ''
  return table(
    [
      { title: 'ID', of: (m) => m.id },
      { title: 'STATE', of: (m) => m.state },
      { title: 'ATTEMPTS', of: (m) => m.attempts },
      { title: 'ACCEPTED', of: (m) => momentText(m.accepted_at) },
      { title: 'KEY', of: (m) => m.key ?? '', most: 20 },
      { title: 'TOPIC', of: (m) => m.topic, most: 40 },
      { title: 'BODY', of: payloadText },
    ],
    messages,
  )
}
