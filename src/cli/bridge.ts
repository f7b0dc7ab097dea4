/** `aqueduct bridge …`: which topics are copied into which queues. */
import type { Command } from 'commander'
import { BridgeApi } from '../client/admin-api.js'
import type { BridgeShape } from '../client/shapes.js'
import { parseAttributes } from './attributes.js'
import { Context, group, type ServerFlags, serverCommand, type World } from './context.js'
import { card, table } from './table.js'

const GUIDE = `
A rule copies what is published below a filter into a queue, in the moment in which the publisher is acknowledged:

  aqueduct bridge put telemetry 'devices/+/telemetry' readings key={1}
  aqueduct receive readings
`

const FIELDS = `
Fields:
  key=text            the message key; may hold {1}, {2}, … {#}, {topic}, {client}, as the queue's name may
  priority=n          1 goes first, 16 last
  delay_s=s           how long a copy waits before it can be received (the queue's)
  ttl_s=s             how long a copy is worth receiving
  qos0=true|false     QoS 0 messages, too (true)
  required=true|false no room in the queue refuses the whole message, not only this copy (false)
  tag=text            a word for consumers to choose by
  when=expression     which must be true for a message to be copied
`

/** Fields whose value is text, whatever it looks like. */
const TEXTS = new Set(['filter', 'queue', 'key', 'tag', 'when'])

export function addBridge(program: Command, world: World): void {
  const bridge = group(program, 'bridge', 'copy topics into queues').addHelpText('after', GUIDE)
  const apiOf = (c: Context): BridgeApi => new BridgeApi(c.http)

  serverCommand(bridge, 'list', 'list bridge rules').action(async (flags: ServerFlags) => {
    const c = new Context(world, flags)
    await c.showAll(await apiOf(c).all(), listTable, 'There is no bridge rule.')
  })

  serverCommand(bridge, 'show', 'show a rule and what it has done')
    .argument('<name>')
    .action(async (name: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      await c.show(await apiOf(c).get(name), bridgeCard)
    })

  serverCommand(bridge, 'put', 'make a rule, or replace one; at work from the next message on')
    .argument('<name>')
    .argument('<filter>', 'a topic filter, such as devices/+/telemetry')
    .argument('<queue>', 'the queue that takes the copies; it is made if it is not there')
    .argument('[fields...]', 'NAME=VALUE, see below')
    .addHelpText('after', FIELDS)
    .action(async (name: string, filter: string, queue: string, words: string[], flags: ServerFlags) => {
      const fields = parseAttributes(words, TEXTS)
      const c = new Context(world, flags)
      await c.show((await apiOf(c).put(name, { ...fields, filter, queue })).bridge, bridgeCard)
    })

  serverCommand(bridge, 'delete', 'end a rule; its queue stays')
    .argument('<name>')
    .action(async (name: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      await apiOf(c).delete(name)
      await c.show({ name, deleted: true }, () => `deleted ${name}\n`)
    })
}

function listTable(bridges: readonly BridgeShape[]): string {
  if (bridges.length === 0) return ''
  return table(
    [
      { title: 'BRIDGE', of: (b) => b.name },
      { title: 'FILTER', of: (b) => b.filter },
      { title: 'QUEUE', of: (b) => b.queue },
      { title: 'KEY', of: (b) => String(b.key ?? '') },
      { title: 'COPIED', of: (b) => b.counts.copied ?? 0 },
      { title: 'REFUSED', of: (b) => b.counts.refused ?? 0 },
      { title: 'FROM', of: (b) => b.source },
    ],
    bridges,
  )
}

function bridgeCard({ name, counts, ...fields }: BridgeShape): string {
  const shown = Object.entries(fields).map(([field, value]) => [`  ${field}`, String(value)] as const)
  return card([['bridge', name], ...Object.entries(counts), ...shown])
}
