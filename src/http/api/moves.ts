/** `/v1/queues/{queue}/…`: peek, purge, redrive, seek. */
import { BATCH_MESSAGES_MAX, KEY_BYTES_MAX, MOVES_MAX, PRIORITY_MAX, PRIORITY_MIN } from '../../core/limits.js'
import type { EntryState, Seen } from '../../operations/moves.js'
import type { Operations } from '../../operations/operations.js'
import { object, text, whole, wholeText, z } from './fields.js'
import { encode } from './payload.js'
import { properties, show } from './properties.js'
import { type Route, route } from './route.js'
import { count, encoding, moment, queueParams } from './shapes.js'

const STATES = ['ready', 'behind', 'delayed', 'leased', 'retained'] as const
const statesError = `is a list, parted by commas, of ${STATES.join(', ')}`

const peekQuery = object({
  limit: wholeText(1, BATCH_MESSAGES_MAX, 'How many at most; default 10.').exactOptional(),
  states: z
    .pipe(
      z.transform((given: unknown) => (typeof given === 'string' ? given.split(',') : given)),
      z.array(z.enum(STATES, { error: statesError }), { error: statesError }),
    )
    .describe('Parted by commas; default `ready,behind,delayed`. `behind` waits for an earlier message of its FIFO key.')
    .exactOptional(),
  after: text(64, 'The `next` of the page before.').exactOptional(),
})

const seen = z
  .strictObject({
    id: z.string(),
    state: z.enum(STATES),
    topic: z.string(),
    body: z.string(),
    encoding,
    attempts: count('Hand-outs so far.'),
    key: z.string().optional(),
    tag: z.string().optional(),
    priority: z.int().min(PRIORITY_MIN).max(PRIORITY_MAX),
    accepted_at: moment('When it was stored'),
    expires_at: moment('When it is thrown away').optional(),
    until: moment('When a delayed message can be received, and when a lease ends').optional(),
    origin: z.string().optional().describe('A dead letter: the queue it died in, if that is still there.'),
    died_at: moment('When it died').optional(),
    properties: properties.optional(),
  })
  .meta({ id: 'Seen' })

const redriveBody = object({
  max: whole(1, MOVES_MAX, 'How many at most; default 1,000. Ask again for more, as fast as they shall come.').exactOptional(),
  key: text(KEY_BYTES_MAX, 'Only messages of this key.').exactOptional(),
  to: text(256, 'Into this queue, wherever they died; default home.').exactOptional(),
})

const seekBody = object({
  time: whole(0, 2 ** 48 - 1, 'Messages accepted then or later: milliseconds since 1970, UTC.').exactOptional(),
  id: text(64, 'This message and those accepted after it.').exactOptional(),
})

export const purged = z.strictObject({ purged: count('How many messages left.') })

export const redriven = z.strictObject({
  moved: count('How many went home.'),
  homeless: count('How many stayed because the queue they died in is gone: `to` says where they shall go.'),
  others: count('How many stayed because they died in other queues that share the dead-letter queue.'),
  full: z.boolean().describe('A queue that they belong to has no room; the rest stayed.'),
})

export function moveRoutes({ queues }: Operations): Route[] {
  const common = { tag: 'Queues', params: queueParams, errors: ['queue_not_found'] } as const
  return [
    route({
      ...common,
      method: 'GET',
      path: '/v1/queues/{queue}/peek',
      id: 'peek',
      summary: 'Look into a queue without taking anything',
      text: 'In the order in which they would be received. What moves between two pages may be missing or come twice.',
      query: peekQuery,
      answers: {
        200: {
          text: 'A page of messages.',
          schema: z.strictObject({
            messages: z.array(seen),
            next: z.string().nullable().describe('Give it as `after` to see more; null at the end.'),
          }),
        },
      },
      async run({ params, query }) {
        const { messages, next } = await queues.look(
          params.queue,
          query as { limit?: number; states?: EntryState[]; after?: string },
        )
        return { status: 200, body: { messages: messages.map(showSeen), next } }
      },
    }),
    route({
      ...common,
      method: 'POST',
      path: '/v1/queues/{queue}/purge',
      id: 'purge',
      summary: 'Throw away all that waits',
      text: 'What is leased stays.',
      answers: { 200: { text: 'It is empty.', schema: purged } },
      run: async ({ params }) => ({ status: 200, body: { purged: await queues.purge(params.queue) } }),
    }),
    route({
      ...common,
      method: 'POST',
      path: '/v1/queues/{queue}/redrive',
      id: 'redrive',
      summary: 'Send dead letters home',
      text:
        'Those that died in this queue, and those that it holds for others, go back to the queue they died in: attempts 0, at once receivable. ' +
        'Dead letters of a session (`$dead/session/{client}`) go to the end of its queue.',
      body: { kind: 'json', schema: redriveBody, optional: true },
      answers: { 200: { text: 'What went home.', schema: redriven } },
      errors: ['queue_not_found', 'session_not_found'],
      run: async ({ params, body }) => ({ status: 200, body: await queues.redrive(params.queue, body) }),
    }),
    route({
      ...common,
      method: 'POST',
      path: '/v1/queues/{queue}/seek',
      id: 'seek',
      summary: 'Receive acknowledged messages again',
      text: 'Messages that the queue keeps (`retain_s`) are receivable again, at their old places, attempts 0: all, or those from a time or a message on.',
      body: { kind: 'json', schema: seekBody, optional: true },
      answers: { 200: { text: 'They wait again.', schema: z.strictObject({ replayed: count('How many.') }) } },
      run: async ({ params, body }) => ({ status: 200, body: { replayed: await queues.seek(params.queue, body) } }),
    }),
  ]
}

function showSeen({ body, key, tag, expires_at, until, origin, died_at, properties: given, ...m }: Seen): object {
  return {
    ...m,
    ...encode(body),
    ...(key === '' ? {} : { key }),
    ...(tag === '' ? {} : { tag }),
    ...(expires_at === null ? {} : { expires_at }),
    ...(until === null ? {} : { until }),
    ...(origin === null ? {} : { origin }),
    ...(died_at === null ? {} : { died_at }),
    ...show(given),
  }
}
