/** `aqueduct publish TOPIC [PAYLOAD]`: into MQTT, over HTTP. */
import type { Command } from 'commander'
import { MessageApi } from '../client/admin-api.js'
import { type PropertiesShape, payloadOf } from '../client/shapes.js'
import { Context, type ServerFlags, serverCommand, type World, whole } from './context.js'
import { UsageError } from './exit.js'
import { PAYLOAD_HELP, readPayload } from './payload.js'

interface Flags extends ServerFlags {
  readonly qos?: number
  readonly retain?: true
  readonly ttlS?: number
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: string
  readonly property?: readonly string[]
}

export function addPublish(program: Command, world: World): void {
  serverCommand(program, 'publish', 'publish a message into MQTT; what is stored of it is on the disk when the command ends')
    .argument('<topic>')
    .argument('[payload]', PAYLOAD_HELP)
    .option('--qos <n>', '0, 1 or 2 (default: 1)', whole)
    .option('--retain', 'also keep it for later subscribers; with an empty payload, forget what was kept')
    .option('--ttl-s <s>', 'how long it is worth delivering', whole)
    .option(
      '--content-type <type>',
      'what the payload is; this and what follows is for receivers that know MQTT 5, and for queues',
    )
    .option('--response-topic <topic>', 'where an answer is awaited')
    .option('--correlation-data <text>', 'what the answer shall carry')
    .option('--property <name=value>', 'a user property; may be given more than once', collected)
    .action(async (topic: string, word: string | undefined, { qos, retain, ttlS, ...flags }: Flags) => {
      const properties = propertiesOf(flags)
      const c = new Context(world, flags)
      const payload = payloadOf(await readPayload(word, world.terminal))
      const sent = await new MessageApi(c.http).publish({
        topic,
        ...payload,
        ...(qos === undefined ? {} : { qos }),
        ...(retain === undefined ? {} : { retain }),
        ...(ttlS === undefined ? {} : { ttl_s: ttlS }),
        ...(properties === undefined ? {} : { properties }),
      })
      await c.show(sent, ({ id }) => (id === null ? 'published; no queue wanted it\n' : `${id}\n`))
    })
}

const collected = (word: string, before: readonly string[] = []): readonly string[] => [...before, word]

function propertiesOf({ contentType, responseTopic, correlationData, property }: Flags): PropertiesShape | undefined {
  const properties = {
    ...(contentType === undefined ? {} : { content_type: contentType }),
    ...(responseTopic === undefined ? {} : { response_topic: responseTopic }),
    ...(correlationData === undefined ? {} : { correlation_data: Buffer.from(correlationData).toString('base64') }),
    ...(property === undefined ? {} : { user_properties: property.map(pairOf) }),
  }
  return Object.keys(properties).length === 0 ? undefined : properties
}

function pairOf(word: string): [string, string] {
  const at = word.indexOf('=')
  if (at < 1) throw new UsageError(`${JSON.stringify(word)} is no property. Allowed is NAME=VALUE, such as unit=Celsius.`)
  return [word.slice(0, at), word.slice(at + 1)]
}
