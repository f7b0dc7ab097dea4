/** `aqueduct session …`: what waits for each MQTT client. */
import type { Command } from 'commander'
import { SessionApi } from '../client/admin-api.js'
import type { BoxedShape, SessionDetail, SessionShape } from '../client/shapes.js'
import { Context, group, type ServerFlags, serverCommand, type World, whole } from './context.js'
import { payloadText } from './payload.js'
import { type RedriveFlags, redriveAll } from './redrive.js'
import { card, table } from './table.js'
import { bytesText, counted, momentText, printable } from './text.js'

const PAGE = 256
const PEEK_STANDARD = 10

export function addSession(program: Command, world: World): void {
  const session = group(program, 'session', 'look at and operate what waits for MQTT clients')
  const apiOf = (c: Context): SessionApi => new SessionApi(c.http)

  serverCommand(session, 'list', 'list sessions')
    .option('--prefix <text>', 'only clients whose identifier begins like this')
    .action(async (flags: ServerFlags & { prefix?: string }) => {
      const c = new Context(world, flags)
      await c.showAll(await apiOf(c).all(flags.prefix), listTable, 'There is no such session.')
    })

  serverCommand(session, 'show', 'show a session: its subscriptions, what waits and since when')
    .argument('<client>')
    .action(async (client: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      await c.show(await apiOf(c).get(client), sessionCard)
    })

  serverCommand(session, 'peek', 'look at what waits for a client. Exit code 3: nothing')
    .argument('<client>')
    .option('--max <n>', 'how many at most', whole, PEEK_STANDARD)
    .action(async (client: string, flags: ServerFlags & { max: number }) => {
      const c = new Context(world, flags)
      const seen: BoxedShape[] = []
      for (;;) {
        const limit = Math.min(PAGE, flags.max - seen.length)
        const page = await apiOf(c).peek(client, { limit, after: seen.at(-1)?.id })
        seen.push(...page)
        if (page.length === 0 || seen.length >= flags.max) break
      }
      await c.showAll(seen, boxedTable)
      if (seen.length === 0) c.nothing(`Nothing waits for ${printable(client)}.`)
    })

  serverCommand(session, 'purge', 'throw away what waits for a client; what is in flight stays')
    .argument('<client>')
    .action(async (client: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      await c.show(await apiOf(c).purge(client), ({ purged }) => `purged ${counted(purged, 'message')}\n`)
    })

  serverCommand(session, 'redrive', "send a client's dead letters back to the end of its queue")
    .argument('<client>')
    .option('--max <n>', 'how many at most (default: all)', whole)
    .option('--rate <n>', 'messages a second (default: as fast as it goes)', whole)
    .action(async (client: string, flags: ServerFlags & RedriveFlags) => {
      const c = new Context(world, flags)
      const { dead } = await apiOf(c).get(client)
      await redriveAll(c, flags, dead, (max) => apiOf(c).redrive(client, { max }))
    })

  serverCommand(session, 'delete', 'close the connection of a client and end its session; all that waits for it is gone')
    .argument('<client>')
    .action(async (client: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      await apiOf(c).delete(client)
      await c.show({ client, deleted: true }, () => `deleted ${printable(client)}\n`)
    })
}

function listTable(sessions: readonly SessionShape[]): string {
  if (sessions.length === 0) return ''
  return table(
    [
      { title: 'CLIENT', of: (s) => s.client },
      { title: 'USER', of: (s) => s.user ?? '' },
      { title: 'CONNECTED', of: (s) => s.remote ?? (s.connected ? 'yes' : 'no') },
      { title: 'MQTT', of: (s) => s.version },
      { title: 'WAITING', of: (s) => s.waiting },
      { title: 'IN FLIGHT', of: (s) => s.in_flight },
      { title: 'DEAD', of: (s) => s.dead },
      { title: 'SIZE', of: (s) => bytesText(s.bytes) },
      { title: 'EXPIRES', of: (s) => (s.durable ? momentText(s.expires_at) : 'with its connection') },
    ],
    sessions,
  )
}

function sessionCard(s: SessionDetail): string {
  return card([
    ['client', s.client],
    ['connected', s.remote ?? (s.connected ? 'yes' : 'no')],
    ['mqtt', s.version],
    ['waiting', s.waiting],
    ['in flight', s.in_flight],
    ['oldest', momentText(s.oldest_at)],
    ['dead', s.dead],
    ['size', bytesText(s.bytes)],
    ['expires', s.durable ? momentText(s.expires_at) : 'with its connection'],
    ...s.filters.map(({ filter, qos }) => ['  filter', `${filter} (QoS ${qos})`] as const),
  ])
}

function boxedTable(messages: readonly BoxedShape[]): string {
  if (messages.length === 0) return ''
  return table(
    [
      { title: 'ID', of: (m) => m.id },
      { title: 'ACCEPTED', of: (m) => momentText(m.accepted_at) },
      { title: 'QOS', of: (m) => m.qos },
      { title: 'TOPIC', of: (m) => m.topic, most: 40 },
      { title: 'BODY', of: payloadText },
    ],
    messages,
  )
}
