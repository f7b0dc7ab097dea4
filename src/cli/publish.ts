/** `aqueduct publish TOPIC [PAYLOAD]`: into MQTT, over HTTP. */
import type { Command } from 'commander'
import { MessageApi } from '../client/admin-api.js'
import { payloadOf } from '../client/shapes.js'
import { Context, type ServerFlags, serverCommand, type World, whole } from './context.js'
import { PAYLOAD_HELP, readPayload } from './payload.js'

interface Flags extends ServerFlags {
  readonly qos?: number
  readonly retain?: true
  readonly ttlS?: number
}

export function addPublish(program: Command, world: World): void {
  serverCommand(program, 'publish', 'publish a message into MQTT; what is stored of it is on the disk when the command ends')
    .argument('<topic>')
    .argument('[payload]', PAYLOAD_HELP)
    .option('--qos <n>', '0, 1 or 2 (default: 1)', whole)
    .option('--retain', 'also keep it for later subscribers; with an empty payload, forget what was kept')
    .option('--ttl-s <s>', 'how long it is worth delivering', whole)
    .action(async (topic: string, word: string | undefined, { qos, retain, ttlS, ...flags }: Flags) => {
      const c = new Context(world, flags)
      const payload = payloadOf(await readPayload(word, world.terminal))
      const sent = await new MessageApi(c.http).publish({
        topic,
        ...payload,
        ...(qos === undefined ? {} : { qos }),
        ...(retain === undefined ? {} : { retain }),
        ...(ttlS === undefined ? {} : { ttl_s: ttlS }),
      })
      await c.show(sent, ({ id }) => (id === null ? 'published; no queue wanted it\n' : `${id}\n`))
    })
}
