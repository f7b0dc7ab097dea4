/** `aqueduct trace ID`: where a message is, or how it left. */
import type { Command } from 'commander'
import { MessageApi } from '../client/admin-api.js'
import { Context, type ServerFlags, serverCommand, type World } from './context.js'

export function addTrace(program: Command, world: World): void {
  serverCommand(
    program,
    'trace',
    'tell where a message is: which queues hold it, and who; or how it left. Exit code 3: nothing is known of it',
  )
    .argument('<id>')
    .action(async (id: string, flags: ServerFlags) => {
      const c = new Context(world, flags)
      await c.show(await new MessageApi(c.http).trace(id), (found) => `${JSON.stringify(found, null, 2)}\n`)
    })
}
