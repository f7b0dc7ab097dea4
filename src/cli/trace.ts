/** `aqueduct trace ID`: where a message is, or how it left. */
import type { Command } from 'commander'
import { MessageApi } from '../client/admin-api.js'
import type { TraceShape } from '../client/shapes.js'
import { Context, type ServerFlags, serverCommand, type World } from './context.js'
import { card, table } from './table.js'
import { momentText } from './text.js'

const GUIDE = `
How a message left is remembered for as long as the broker's setting trace.retain_s says (0: not at all). Queues of clean sessions are in memory and not searched.
`

export function addTrace(program: Command, world: World): void {
  serverCommand(
    program,
    'trace',
    'where did my message go? Which queues hold it, and who; how it left others. Exit code 3: nothing is known of it',
  )
    .argument('<id>', 'as send, publish, peek and receive tell it')
    .addHelpText('after', GUIDE)
    .action(async (id: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      const found = await new MessageApi(c.http).trace(id)
      await c.show(found, traceText)
      if (!found.complete) world.terminal.err('aqueduct: The queues hold so much that not all of it was searched.\n')
    })
}

function traceText({ id, topic, accepted_at, queues, left }: TraceShape): string {
  const head = card([
    ['message', id],
    ['topic', topic ?? 'not stored any more'],
    ['accepted', momentText(accepted_at)],
  ])
  const held = table(
    [
      { title: 'HELD BY', of: (q) => q.queue },
      { title: 'KIND', of: (q) => q.kind },
      { title: 'STATE', of: (q) => q.state },
      { title: 'ATTEMPTS', of: (q) => q.attempts },
      { title: 'UNTIL', of: (q) => momentText(q.until) },
      { title: 'HOLDER', of: (q) => q.holder ?? '' },
    ],
    queues,
  )
  const gone = table(
    [
      { title: 'LEFT', of: (q) => q.queue },
      { title: 'KIND', of: (q) => q.kind },
      { title: 'HOW', of: (q) => q.reason },
      { title: 'ATTEMPTS', of: (q) => q.attempts },
      { title: 'AT', of: (q) => momentText(q.at) },
    ],
    left,
  )
  return `${head}${queues.length > 0 ? `\n${held}` : ''}${left.length > 0 ? `\n${gone}` : ''}`
}
