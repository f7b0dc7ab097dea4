/** `/v1/sessions`: what waits for each MQTT client. */
import { BATCH_MESSAGES_MAX, MOVES_MAX } from '../../core/limits.js'
import type { Operations } from '../../operations/operations.js'
import type { Boxed } from '../../operations/sessions.js'
import { object, text, whole, wholeText, z } from './fields.js'
import { purged } from './moves.js'
import { encode } from './payload.js'
import { properties, show } from './properties.js'
import { type Route, route } from './route.js'
import { count, encoding, moment, pageQuery } from './shapes.js'

const info = {
  client: z.string().describe('The client identifier.'),
  user: z.string().nullable().describe("Whose it is: nobody else may connect with its client identifier. Null: nobody's."),
  connected: z.boolean(),
  remote: z.string().nullable().describe('The address of its connection.'),
  version: z.enum(['3.1', '3.1.1', '5.0']).describe('MQTT version of its last connection.'),
  durable: z.boolean().describe('It outlives its connection, and the broker.'),
  subscriptions: count('How many filters it is subscribed to.'),
  waiting: count('Messages that wait for it.'),
  in_flight: count('Messages that it was sent and has not acknowledged.'),
  bytes: count('Bytes of both.'),
  dead: count('Messages in its dead-letter queue, `$dead/session/{client}`.'),
  expires_at: moment('When it ends if nobody connects').nullable(),
}
const session = z.strictObject(info).meta({ id: 'Session' })
const detail = z
  .strictObject({
    ...info,
    filters: z.array(
      z.strictObject({ filter: z.string(), qos: z.int().min(0).max(2), no_local: z.boolean(), retain_as_published: z.boolean() }),
    ),
    oldest_at: moment('When the oldest message that it has not acknowledged was accepted').nullable(),
  })
  .meta({ id: 'SessionDetail' })

const boxed = z
  .strictObject({
    id: z.string(),
    topic: z.string(),
    body: z.string(),
    encoding,
    qos: z.int().min(0).max(2),
    retain: z.boolean(),
    accepted_at: moment('When it was stored'),
    expires_at: moment('When it is thrown away').optional(),
    properties: properties.optional(),
  })
  .meta({ id: 'Boxed' })

const params = z.strictObject({ client: z.string().describe('A client identifier, percent-encoded.') })

const peekQuery = object({
  limit: wholeText(1, BATCH_MESSAGES_MAX, 'How many at most; default 10.').exactOptional(),
  after: text(64, 'Only messages accepted after this one: its `id`.').exactOptional(),
})

const redriveBody = object({ max: whole(1, MOVES_MAX, 'How many at most; default 1,000.').exactOptional() })

export function sessionRoutes({ sessions }: Operations): Route[] {
  const common = { tag: 'Sessions', params, errors: ['session_not_found'] } as const
  return [
    route({
      method: 'GET',
      path: '/v1/sessions',
      id: 'listSessions',
      tag: 'Sessions',
      summary: 'List sessions',
      text: 'In the order of their client identifiers.',
      query: pageQuery,
      answers: {
        200: {
          text: 'A page of them.',
          schema: z.strictObject({
            sessions: z.array(session),
            next: z.string().nullable().describe('Give it as `after` to see more; null at the end.'),
          }),
        },
      },
      errors: [],
      run({ query }) {
        const { items, next } = sessions.list(query)
        return { status: 200, body: { sessions: items, next } }
      },
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/sessions/{client}',
      id: 'getSession',
      summary: 'Look at one session',
      answers: { 200: { text: 'How it is doing.', schema: detail } },
      run: async ({ params: { client } }) => ({ status: 200, body: await sessions.get(client) }),
    }),
    route({
      ...common,
      method: 'DELETE',
      path: '/v1/sessions/{client}',
      id: 'deleteSession',
      summary: 'Close the connection and end the session',
      text: 'All that waits in it is gone; its dead letters stay.',
      answers: { 204: { text: 'It is over.' } },
      async run({ params: { client } }) {
        await sessions.end(client)
        return { status: 204 }
      },
    }),
    route({
      ...common,
      method: 'GET',
      path: '/v1/sessions/{client}/peek',
      id: 'peekSession',
      summary: 'Look at what waits for a client',
      text: 'What is in flight first. Messages of a session that is in memory only are not shown.',
      query: peekQuery,
      answers: {
        200: {
          text: 'A page of messages.',
          schema: z.strictObject({
            messages: z.array(boxed),
            next: z.string().nullable().describe('Give it as `after` to see more; null at the end.'),
          }),
        },
      },
      async run({ params: { client }, query }) {
        const { messages, next } = await sessions.look(client, query)
        return { status: 200, body: { messages: messages.map(showBoxed), next } }
      },
    }),
    route({
      ...common,
      method: 'POST',
      path: '/v1/sessions/{client}/purge',
      id: 'purgeSession',
      summary: 'Throw away what waits for a client',
      text: 'What is in flight stays.',
      answers: { 200: { text: 'Nothing waits.', schema: purged } },
      run: async ({ params: { client } }) => ({ status: 200, body: { purged: await sessions.purge(client) } }),
    }),
    route({
      ...common,
      method: 'POST',
      path: '/v1/sessions/{client}/redrive',
      id: 'redriveSession',
      summary: 'Send dead letters back to a client',
      text: 'They go to the end of its queue, at QoS 1.',
      body: { kind: 'json', schema: redriveBody, optional: true },
      answers: {
        200: {
          text: 'What went back.',
          schema: z.strictObject({
            moved: count('How many went back.'),
            full: z.boolean().describe('The session has no room; the rest stayed.'),
          }),
        },
      },
      run: async ({ params: { client }, body }) => ({ status: 200, body: await sessions.redrive(client, body) }),
    }),
  ]
}

function showBoxed({ body, expires_at, properties: given, ...m }: Boxed): object {
  return { ...m, ...encode(body), ...(expires_at === null ? {} : { expires_at }), ...show(given) }
}
