/** `/v1/publish`: into MQTT. */
import { RETENTION_S_MAX } from '../../core/limits.js'
import type { Operations } from '../../operations/operations.js'
import type { Publication } from '../../operations/publish.js'
import { flag, object, oneOf, text, whole, z } from './fields.js'
import { decode } from './payload.js'
import { properties, readShown } from './properties.js'
import { type Route, route } from './route.js'

const publication = object({
  topic: text(65_535, 'A topic name.'),
  body: z.string({ error: 'is a text' }).describe('The payload, as `encoding` says; default empty.').exactOptional(),
  encoding: oneOf(['text', 'base64'], 'Default `text`.').exactOptional(),
  qos: whole(0, 2, 'Default 1.').exactOptional(),
  retain: flag(
    'Also kept for later subscribers; with an empty payload, what was kept is removed. Default false.',
  ).exactOptional(),
  ttl_s: whole(1, RETENTION_S_MAX, 'How long it is worth delivering, in seconds.').exactOptional(),
  properties: properties.exactOptional(),
}).meta({ id: 'Publication' })

const published = z.strictObject({ id: z.string().nullable().describe('Null when no queue wanted it.') })

export function publishRoutes({ publish }: Operations): Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/publish',
      id: 'publish',
      tag: 'Publish',
      summary: 'Publish a message as an MQTT client would',
      text: 'To subscribers, bridge rules and retained. The answer comes when all that is stored of it is on the disk.',
      body: { kind: 'json', schema: publication },
      answers: {
        200: { text: 'No queue wanted it.', schema: published },
        201: { text: 'It is in at least one queue.', schema: published },
      },
      errors: ['topic_invalid', 'queue_not_found', 'queue_full', 'limit_reached', 'store_full'],
      async run({ body: { encoding = 'text', body = '', properties: shown, ...message } }) {
        const given = shown === undefined ? {} : { properties: readShown(shown, 'properties') }
        const { id } = await publish({ ...message, ...given, body: decode(body, encoding, 'body') } as Publication)
        return { status: id === null ? 200 : 201, body: { id } }
      },
    }),
  ]
}
