/** `aqueduct queue …`: queues as things. What goes through them is in `queue-messages.ts`. */
import type { Command } from 'commander'
import type { QueueShape } from '../client/shapes.js'
import { attributeHelp, parseAttributes } from './attributes.js'
import { Context, group, type ServerFlags, serverCommand, type World } from './context.js'
import { DONE, Ending, FAILED, NOTHING } from './exit.js'
import { addQueueMessages } from './queue-messages.js'
import { addQueueMoves } from './queue-moves.js'
import { card, table } from './table.js'
import { bytesText } from './text.js'

const GUIDE = `
A queue holds messages until somebody receives and acknowledges them:

  aqueduct queue create orders lease_ms=60000 max_attempts=5
  aqueduct queue send orders '{"order": 1}'
  aqueduct queue receive orders --json            one message, with its receipt
  aqueduct queue ack orders RECEIPT               it is done
  aqueduct queue show orders

What was received and is not acknowledged is handed out again when its lease is over.
\`aqueduct receive orders\` does all of it in one: it prints and acknowledges what comes.
`

export function addQueue(program: Command, world: World): void {
  const queue = group(program, 'queue', 'make, change, look at and use queues').addHelpText('after', GUIDE)

  serverCommand(queue, 'list', 'list queues, dead-letter queues among them')
    .option('--prefix <text>', 'only those whose name begins like this')
    .action(async (flags: ServerFlags & { prefix?: string }) => {
      const c = new Context(world, flags)
      await c.showAll(await c.queues.all(flags.prefix), listTable, 'There is no such queue.')
    })

  serverCommand(queue, 'show', 'show a queue: how many messages wait in it, and its attributes')
    .argument('<queue>')
    .action(async (name: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      await c.show(await c.queues.get(name), queueCard)
    })

  serverCommand(queue, 'create', 'make a queue')
    .argument('<queue>')
    .argument('[attributes...]', 'NAME=VALUE, see below')
    .option('--if-missing', 'leave a queue that is there already as it is')
    .addHelpText('after', attributeHelp())
    .action(async (name: string, words: string[], flags: ServerFlags & { ifMissing?: true }) => {
      const attributes = parseAttributes(words)
      const c = new Context(world, flags)
      const known = await c.queues.find(name)
      if (known !== undefined && flags.ifMissing !== true)
        throw new Ending(FAILED, `There is a queue ${JSON.stringify(name)} already; "aqueduct queue update" changes it.`)
      await c.show(known ?? (await c.queues.put(name, attributes)).queue, queueCard)
    })

  serverCommand(queue, 'update', 'change attributes of a queue; those that are not named stay as they are')
    .argument('<queue>')
    .argument('<attributes...>', 'NAME=VALUE, see below')
    .addHelpText('after', attributeHelp())
    .action(async (name: string, words: string[], flags: ServerFlags) => {
      const attributes = parseAttributes(words)
      const c = new Context(world, flags)
      // A name that is mistyped is told, not made.
      await c.queues.get(name)
      await c.show((await c.queues.put(name, attributes)).queue, queueCard)
    })

  serverCommand(queue, 'delete', 'delete queues and all that is in them')
    .argument('<queues...>')
    .option('--if-exists', 'a queue that is not there is no error')
    .action(async (names: string[], flags: ServerFlags & { ifExists?: true }) => {
      const c = new Context(world, flags)
      let exit = DONE
      for (const name of names) {
        const there = await c.queues.delete(name)
        if (!there && flags.ifExists !== true) {
          world.terminal.err(`aqueduct: There is no queue ${JSON.stringify(name)}.\n`)
          exit = NOTHING
        }
        if (there) await c.show({ name, deleted: true }, () => `deleted ${name}\n`)
      }
      world.ends(exit)
    })

  addQueueMessages(queue, world)
  addQueueMoves(queue, world)
}

function listTable(queues: readonly QueueShape[]): string {
  if (queues.length === 0) return ''
  return table(
    [
      { title: 'QUEUE', of: (q) => q.name },
      { title: 'READY', of: (q) => q.counts.ready },
      { title: 'LEASED', of: (q) => q.counts.leased },
      { title: 'DELAYED', of: (q) => q.counts.delayed },
      { title: 'DEAD', of: (q) => q.counts.dead },
      { title: 'SIZE', of: (q) => bytesText(q.counts.bytes) },
      { title: 'RECEIVERS', of: (q) => q.receivers },
    ],
    queues,
  )
}

function queueCard(q: QueueShape): string {
  const { bytes, ...counts } = q.counts
  return card([
    ['queue', q.name],
    ['kind', q.kind],
    ...Object.entries(counts),
    ['size', bytesText(bytes)],
    ['receivers', q.receivers],
    ...Object.entries(q.attributes).map(([name, value]) => [`  ${name}`, String(value)] as const),
  ])
}
