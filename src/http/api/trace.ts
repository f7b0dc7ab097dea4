/** `/v1/messages/{id}`: where a message is, and how it left. */
import { DEPARTURES, QUEUE_KINDS } from '../../core/queue-words.js'
import type { Operations } from '../../operations/operations.js'
import { z } from './fields.js'
import { type Route, route } from './route.js'
import { count, moment } from './shapes.js'

const queue = z.string().describe('The name of a queue; for a session its client identifier.')

const trace = z
  .strictObject({
    id: z.string(),
    topic: z.string().nullable().describe('Null when the message itself is not in the store any more.'),
    accepted_at: moment('When it was stored').nullable(),
    queues: z
      .array(
        z.strictObject({
          queue,
          kind: z.enum(QUEUE_KINDS).describe('`internal`: it waits for its moment under `$delayed`.'),
          state: z.enum(['ready', 'behind', 'delayed', 'leased', 'retained']),
          attempts: count('Hand-outs so far.'),
          until: moment('When it can be received, its lease ends, or it was acknowledged').nullable(),
          holder: z.string().nullable().describe('Who has it, where that is known: the client of a session.'),
        }),
      )
      .describe('Queues that hold it now. Clean sessions are in memory and not searched.'),
    left: z
      .array(
        z.strictObject({
          queue,
          kind: z.enum(QUEUE_KINDS),
          reason: z.enum(DEPARTURES),
          at: moment('When'),
          attempts: count('Hand-outs until then.'),
        }),
      )
      .describe('How it left others, if `trace.retain_s` is above 0.'),
    complete: z.boolean().describe('False when the queues hold so much that not all of it was searched.'),
  })
  .meta({ id: 'Trace' })

export function traceRoutes({ trace: find }: Operations): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/messages/{id}',
      id: 'trace',
      tag: 'Messages',
      summary: 'Where did my message go?',
      text: 'About a second per million messages that wait in pull queues: their index is read.',
      params: z.strictObject({ id: z.string().describe('As send, publish and receive tell it.') }),
      answers: { 200: { text: 'What is known of it.', schema: trace } },
      errors: ['message_not_found'],
      run: async ({ params: { id } }) => ({ status: 200, body: await find(id) }),
    }),
  ]
}
