/** `/v1/queues`: making, changing, listing and ending queues. */
import type { Operations } from '../../operations/operations.js'
import { attributeSchemas } from './attributes.js'
import { z } from './fields.js'
import { type Route, route } from './route.js'
import { count, pageQuery, queueParams } from './shapes.js'

export function queueRoutes({ queues }: Operations): Route[] {
  const { given, complete } = attributeSchemas(queues.attributes)
  const queue = z
    .strictObject({
      name: z.string(),
      kind: z.enum(['pull', 'dead']).describe('`dead`: made by the engine for dead letters.'),
      attributes: complete,
      counts: z.strictObject({
        ready: count('Can be received, now or when an earlier message of the same FIFO key is done.'),
        leased: count('Handed out and not acknowledged yet.'),
        delayed: count('Wait for their time.'),
        dead: count('Wait in its dead-letter queue.'),
        retained: count('Acknowledged and kept for `seek`.'),
        bytes: count('Bytes of what is ready, leased or delayed.'),
      }),
      receivers: count('Receivers that wait for a message now.'),
    })
    .meta({ id: 'Queue' })
  return [
    route({
      method: 'PUT',
      path: '/v1/queues/{queue}',
      id: 'putQueue',
      tag: 'Queues',
      summary: 'Make a queue, or change one',
      text: 'Attributes that are not named keep their value, or have their default in a new queue. The answer is the queue as it is now.',
      params: queueParams,
      body: { kind: 'json', schema: given, optional: true },
      answers: { 200: { text: 'It was there and has changed.', schema: queue }, 201: { text: 'It was made.', schema: queue } },
      errors: ['name_invalid'],
      async run({ params, body }) {
        const { queue, created } = await queues.put(params.queue, body)
        return { status: created ? 201 : 200, body: queue }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/queues',
      id: 'listQueues',
      tag: 'Queues',
      summary: 'List queues',
      text: 'In the order of their names, dead-letter queues among them.',
      query: pageQuery,
      answers: {
        200: {
          text: 'A page of them.',
          schema: z.strictObject({
            queues: z.array(queue),
            next: z.string().nullable().describe('Give it as `after` to see more; null at the end.'),
          }),
        },
      },
      errors: [],
      run({ query }) {
        const { items, next } = queues.list(query)
        return { status: 200, body: { queues: items, next } }
      },
    }),
    route({
      method: 'GET',
      path: '/v1/queues/{queue}',
      id: 'getQueue',
      tag: 'Queues',
      summary: 'Look at one queue',
      params: queueParams,
      answers: { 200: { text: 'Its attributes and counts.', schema: queue } },
      errors: ['queue_not_found'],
      run: ({ params }) => ({ status: 200, body: queues.get(params.queue) }),
    }),
    route({
      method: 'DELETE',
      path: '/v1/queues/{queue}',
      id: 'deleteQueue',
      tag: 'Queues',
      summary: 'Delete a queue and all that is in it',
      params: queueParams,
      answers: { 204: { text: 'It is gone.' } },
      errors: ['queue_not_found'],
      async run({ params }) {
        await queues.delete(params.queue)
        return { status: 204 }
      },
    }),
  ]
}
