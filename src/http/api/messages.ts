/** `/v1/queues/{queue}/…`: sending, receiving and acknowledging messages. */
import { AqueductError } from '../../core/errors.js'
import {
  BATCH_MESSAGES_MAX,
  DELAY_MS_MAX,
  KEY_BYTES_MAX,
  LEASE_MS_MAX,
  PRIORITY_MAX,
  PRIORITY_MIN,
  RETENTION_S_MAX,
  WAIT_MS_MAX,
} from '../../core/limits.js'
import type { NewMessage, Received, Sent } from '../../operations/messages.js'
import type { Operations } from '../../operations/operations.js'
import { flag, list, object, oneOf, text, whole, wholeText, z } from './fields.js'
import { decode, encode } from './payload.js'
import { properties, propertiesText, readShown, show } from './properties.js'
import { messageRoute, type Route, route } from './route.js'
import { encoding, moment, queueParams } from './shapes.js'

const key = text(KEY_BYTES_MAX, 'Which messages belong together in `fifo` and `last_value` queues: up to 255 bytes.')
const tag = text(KEY_BYTES_MAX, 'A word that receivers may choose by: up to 255 bytes.')
const dedup_id = text(KEY_BYTES_MAX, 'Up to 255 bytes. An id that was sent within `dedup_window_s` is not stored again.')
const topic = text(65_535, 'The topic that the message carries; default `$queue/` and the name of the queue.')
const delayText = 'How long it waits before it can be received, in milliseconds; default the queue’s.'
const ttlText = 'How long it is worth receiving, in seconds; the queue’s `retention_s` bounds it.'
const priorityText = '1 goes first, 16 last; default 8.'

const sendQuery = object({
  key: key.exactOptional(),
  tag: tag.exactOptional(),
  priority: wholeText(PRIORITY_MIN, PRIORITY_MAX, priorityText).exactOptional(),
  delay_ms: wholeText(0, DELAY_MS_MAX, delayText).exactOptional(),
  dedup_id: dedup_id.exactOptional(),
  ttl_s: wholeText(1, RETENTION_S_MAX, ttlText).exactOptional(),
  topic: topic.exactOptional(),
  properties: propertiesText.exactOptional(),
})

const newMessage = object({
  body: z.string({ error: 'is a text' }).describe('The payload, as `encoding` says.'),
  encoding: oneOf(['text', 'base64'], 'Default `text`.').exactOptional(),
  key: key.exactOptional(),
  tag: tag.exactOptional(),
  priority: whole(PRIORITY_MIN, PRIORITY_MAX, priorityText).exactOptional(),
  delay_ms: whole(0, DELAY_MS_MAX, delayText).exactOptional(),
  dedup_id: dedup_id.exactOptional(),
  ttl_s: whole(1, RETENTION_S_MAX, ttlText).exactOptional(),
  topic: topic.exactOptional(),
  properties: properties.exactOptional(),
}).meta({ id: 'NewMessage' })

const batch = object({ messages: list(newMessage, BATCH_MESSAGES_MAX, 'Stored in this order, all of them or none.') })

const sent = z
  .strictObject({
    messages: z.array(
      z
        .strictObject({
          id: z.string().nullable().describe('Null when it was dropped.'),
          duplicate: z.literal(true).exactOptional().describe('Its `dedup_id` was known: `id` is the earlier message’s.'),
          dropped: z.literal(true).exactOptional().describe('The queue was full and its `overflow` is `drop_newest`.'),
        })
        .describe('In the order in which they were given.'),
    ),
  })
  .meta({ id: 'Sent' })

const received = z
  .strictObject({
    id: z.string().describe('The same in every queue that holds the message.'),
    receipt: z.string().describe('Names this delivery in ack, nack and extend.'),
    topic: z.string(),
    body: z.string(),
    encoding,
    attempts: z.int().min(1).describe('Hand-outs so far, this one included.'),
    key: z.string().exactOptional(),
    tag: z.string().exactOptional(),
    priority: z.int().min(PRIORITY_MIN).max(PRIORITY_MAX),
    accepted_at: moment('When it was stored'),
    first_leased_at: moment('When it was first handed out'),
    leased_until: moment('When the lease ends'),
    expires_at: moment('When it is thrown away').exactOptional(),
    properties: properties.exactOptional(),
  })
  .meta({ id: 'Received' })

const receiveBody = object({
  max: whole(1, BATCH_MESSAGES_MAX, 'How many messages at most; default 1.').exactOptional(),
  wait_ms: whole(0, WAIT_MS_MAX, 'How long to wait when there is none; default the queue’s.').exactOptional(),
  lease_ms: whole(0, LEASE_MS_MAX, 'How long they are yours alone; default the queue’s.').exactOptional(),
})

const receipts = list(text(1_024, 'A receipt.'), BATCH_MESSAGES_MAX, 'Receipts of deliveries.')

const settled = z
  .strictObject({
    results: z
      .array(z.strictObject({ receipt: z.string(), ok: z.boolean(), code: z.literal('receipt_invalid').exactOptional() }))
      .describe('One for each receipt, in the same order. An expired or foreign one is `receipt_invalid`.'),
  })
  .meta({ id: 'Settled' })

export function messageRoutes({ queues }: Operations): Route[] {
  const tag = 'Messages'
  const settle = <B extends { receipts: string[] }>(
    id: 'ack' | 'nack' | 'extend',
    schema: z.ZodType<B>,
    summary: string,
    act: (queue: string, body: B) => Promise<readonly string[]>,
  ): Route =>
    route({
      method: 'POST',
      path: `/v1/queues/{queue}/${id}`,
      id,
      tag,
      summary,
      params: queueParams,
      body: { kind: 'json', schema },
      answers: { 200: { text: 'What became of each receipt.', schema: settled } },
      errors: ['queue_not_found'],
      async run({ params, body }) {
        const results = await act(params.queue, body)
        const shown = body.receipts.map((receipt, i) =>
          results[i] === 'ok' ? { receipt, ok: true } : { receipt, ok: false, code: results[i] },
        )
        return { status: 200, body: { results: shown } }
      },
    })
  return [
    messageRoute({
      method: 'POST',
      path: '/v1/queues/{queue}/messages',
      id: 'send',
      tag,
      summary: 'Send one message as it is, or several as JSON',
      text:
        'With any content type the body is the payload of one message, whose attributes are in the query. With ' +
        '`application/vnd.aqueduct+json` the body is a batch and the query is empty. All messages of a batch are stored, or none.',
      params: queueParams,
      query: sendQuery,
      body: { kind: 'messages', batch, rawMax: ({ queue }) => queues.messageBytesMax(queue) },
      answers: { 201: { text: 'They are on the disk.', schema: sent } },
      errors: ['queue_not_found', 'queue_full', 'store_full', 'message_too_large', 'topic_invalid', 'not_authorised'],
      async run({ params, query, body }) {
        const messages = 'raw' in body ? [fromQuery(body.raw, query)] : fromBatch(body.batch.messages, query)
        const results = await queues.send(params.queue, messages as NewMessage[])
        return { status: 201, body: { messages: results.map(showSent) } }
      },
    }),
    route({
      method: 'POST',
      path: '/v1/queues/{queue}/receive',
      id: 'receive',
      tag,
      summary: 'Receive messages',
      text: 'Each is yours alone until its lease ends; acknowledge it before. Nothing there in `wait_ms`: an empty list.',
      params: queueParams,
      body: { kind: 'json', schema: receiveBody, optional: true },
      answers: {
        200: { text: 'Messages, or none.', schema: z.strictObject({ messages: z.array(received) }) },
      },
      errors: ['queue_not_found'],
      waits: true,
      async run({ params: { queue }, body, signal, leave }) {
        const messages = await queues.receive(queue, { ...body, signal, leave } as object)
        const receipts = messages.map(({ receipt }) => receipt)
        return {
          status: 200,
          body: { messages: messages.map(showReceived) },
          // Nobody has seen them. What fails here ends with their leases.
          undelivered: () => void (receipts.length > 0 && queues.nack(queue, receipts, 0, false).catch(() => {})),
        }
      },
    }),
    settle('ack', object({ receipts }), 'Acknowledge: the messages are done', (queue, body) => queues.ack(queue, body.receipts)),
    settle(
      'nack',
      object({
        receipts,
        delay_ms: whole(0, DELAY_MS_MAX, 'When they can be received again; default at once.').exactOptional(),
        count: flag('False: nobody worked on them, so this was no attempt; default true.').exactOptional(),
      }),
      'Give messages back',
      (queue, body) => queues.nack(queue, body.receipts, body.delay_ms, body.count),
    ),
    settle(
      'extend',
      object({
        receipts,
        lease_ms: whole(0, LEASE_MS_MAX, 'The leases end so long from now; default the queue’s.').exactOptional(),
      }),
      'Keep messages longer',
      (queue, body) => queues.extend(queue, body.receipts, body.lease_ms),
    ),
  ]
}

function fromQuery(body: Buffer, { properties: shown, ...m }: z.infer<typeof sendQuery>): object {
  return { ...m, body, ...(shown === undefined ? {} : { properties: readShown(shown, 'properties') }) }
}

type BatchItem = z.infer<typeof newMessage>

function fromBatch(messages: readonly BatchItem[], query: object): object[] {
  const [stray] = Object.keys(query)
  if (stray !== undefined)
    throw new AqueductError('attribute_invalid', `A batch says ${stray} for each of its messages, not in the query.`)
  return messages.map(({ encoding: given = 'text', properties: shown, ...m }, i) => ({
    ...m,
    body: decode(m.body, given, `messages[${i}].body`),
    ...(shown === undefined ? {} : { properties: readShown(shown, `messages[${i}].properties`) }),
  }))
}

function showSent({ id, outcome }: Sent): object {
  return outcome === 'stored' ? { id } : outcome === 'duplicate' ? { id, duplicate: true } : { id, dropped: true }
}

function showReceived(m: Received): object {
  const { id, receipt, topic: on, attempts, priority, accepted_at, first_leased_at, leased_until, expires_at } = m
  return {
    id,
    receipt,
    topic: on,
    ...encode(m.body),
    attempts,
    ...(m.key === '' ? {} : { key: m.key }),
    ...(m.tag === '' ? {} : { tag: m.tag }),
    priority,
    accepted_at,
    first_leased_at,
    leased_until,
    ...(expires_at === null ? {} : { expires_at }),
    ...show(m.properties),
  }
}
