/** `/v1/bridges`: which topics are copied into which queues. What a rule may say is judged by the plugin that carries it out. */
import { DELAY_MS_MAX, PRIORITY_MAX, PRIORITY_MIN, RETENTION_S_MAX } from '../../core/limits.js'
import type { RuleFields } from '../../operations/bridges.js'
import type { Operations } from '../../operations/operations.js'
import { flag, object, text, whole, z } from './fields.js'
import { type Route, route } from './route.js'
import { count, pageQuery } from './shapes.js'

const holes = 'may hold what the filter’s wildcards matched: `{1}`, `{#}`, `{topic}`, `{client}`.'

const fields = {
  filter: text(65_535, 'A topic filter: which messages are copied.'),
  queue: text(256, `The queue that takes the copies; ${holes}`),
  qos0: flag('QoS 0 messages, too; default true.').exactOptional(),
  required: flag('No room in the queue refuses the whole message, not only this copy; default false.').exactOptional(),
  key: text(255, `The message key; ${holes}`).exactOptional(),
  priority: whole(PRIORITY_MIN, PRIORITY_MAX, '1 goes first, 16 last.').exactOptional(),
  delay_s: whole(0, DELAY_MS_MAX / 1000, 'How long a copy waits before it can be received; default the queue’s.').exactOptional(),
  ttl_s: whole(1, RETENTION_S_MAX, 'How long a copy is worth receiving.').exactOptional(),
  tag: text(255, `A word for consumers to choose by; ${holes}`).exactOptional(),
  when: text(4_096, 'An expression that must be true.').exactOptional(),
}
const given = object(fields).meta({ id: 'BridgeFields' })

const rule = z
  .strictObject({
    name: z.string(),
    ...fields,
    qos0: z.boolean(),
    required: z.boolean(),
    source: z.enum(['settings', 'stored']).describe('`settings`: only to be changed there.'),
    counts: z.strictObject({
      copied: count('Copies made.'),
      refused: count('Copies for which the queue had no room, or that could not be named.'),
      unmatched: count('Messages for which `when` was not true.'),
      errors: count('Messages for which `when` could not be answered.'),
    }),
  })
  .meta({ id: 'Bridge' })

const params = z.strictObject({ bridge: z.string().describe('The name of a rule.') })

export function bridgeRoutes({ bridges }: Operations): Route[] {
  const tag = 'Bridges'
  return [
    route({
      method: 'PUT',
      path: '/v1/bridges/{bridge}',
      id: 'putBridge',
      tag,
      summary: 'Make a bridge rule, or replace one',
      text: 'At work from the next message on, also after a restart. A queue that is not there is made.',
      params,
      body: { kind: 'json', schema: given as unknown as z.ZodType<RuleFields> },
      answers: { 200: { text: 'It was replaced.', schema: rule }, 201: { text: 'It was made.', schema: rule } },
      errors: ['name_invalid', 'filter_invalid', 'read_only', 'limit_reached'],
      async run({ params: { bridge }, body }) {
        const put = await bridges.put(bridge, body)
        return { status: put.created ? 201 : 200, body: put.rule }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/bridges',
      id: 'listBridges',
      tag,
      summary: 'List bridge rules',
      query: pageQuery,
      answers: {
        200: {
          text: 'A page of them.',
          schema: z.strictObject({
            bridges: z.array(rule),
            next: z.string().nullable().describe('Give it as `after` to see more; null at the end.'),
          }),
        },
      },
      errors: [],
      run({ query }) {
        const { items, next } = bridges.list(query)
        return { status: 200, body: { bridges: items, next } }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/bridges/{bridge}',
      id: 'getBridge',
      tag,
      summary: 'Look at one bridge rule',
      params,
      answers: { 200: { text: 'What it says, and what it has done.', schema: rule } },
      errors: ['bridge_not_found'],
      run: ({ params: { bridge } }) => ({ status: 200, body: bridges.get(bridge) }),
    }),
    route({
      method: 'DELETE',
      path: '/v1/bridges/{bridge}',
      id: 'deleteBridge',
      tag,
      summary: 'End a bridge rule',
      text: 'Its queue stays.',
      params,
      answers: { 204: { text: 'It is gone.' } },
      errors: ['bridge_not_found', 'read_only'],
      async run({ params: { bridge } }) {
        await bridges.delete(bridge)
        return { status: 204 }
      },
    }),
  ]
}
