/** The HTTP API as functions: one for each request, in the server's own shapes. */
import { type Http, part } from './http.js'
import { allOf, noneAt404 } from './lists.js'
import type {
  NewMessage,
  Peeked,
  PeekQuery,
  QueueShape,
  ReceivedShape,
  RedrivenShape,
  SentShape,
  SettledShape,
} from './shapes.js'

export const BATCH_TYPE = 'application/vnd.aqueduct+json'

/** What walks over a whole queue may take this long. */
const LONG_MS = 600_000
/** What a long poll may take beyond its wait. */
const ANSWER_MS = 10_000

export class QueueApi {
  private readonly http: Http

  constructor(http: Http) {
    this.http = http
  }

  /** All of them, or those whose name begins with `prefix`. */
  all(prefix?: string): Promise<QueueShape[]> {
    return allOf<'queues', QueueShape>(this.http, 'queues', prefix)
  }

  async get(queue: string): Promise<QueueShape> {
    return (await this.http.call<QueueShape>('GET', pathOf(queue))).body
  }

  /** Undefined when it is not there. */
  find(queue: string): Promise<QueueShape | undefined> {
    return this.get(queue).catch(noneAt404)
  }

  /** Makes the queue, or lays `attributes` over those that it has. */
  async put(queue: string, attributes: object): Promise<{ created: boolean; queue: QueueShape }> {
    const { status, body } = await this.http.call<QueueShape>('PUT', pathOf(queue), { body: attributes })
    return { created: status === 201, queue: body }
  }

  /** False when it was not there. */
  delete(queue: string): Promise<boolean> {
    return this.http
      .call('DELETE', pathOf(queue))
      .then(() => true)
      .catch((error) => noneAt404(error) ?? false)
  }

  /** Stores all of them or none. */
  async send(queue: string, messages: readonly NewMessage[], signal?: AbortSignal): Promise<SentShape> {
    const body = { messages }
    return (await this.http.call<SentShape>('POST', pathOf(queue, 'messages'), { body, type: BATCH_TYPE, signal })).body
  }

  /** One message whose payload is these bytes. */
  async sendBytes(
    queue: string,
    bytes: Uint8Array,
    { properties, ...attributes }: Omit<NewMessage, 'body' | 'encoding'>,
    signal?: AbortSignal,
  ): Promise<SentShape> {
    const path = pathOf(queue, 'messages')
    const query = { ...attributes, ...(properties === undefined ? {} : { properties: JSON.stringify(properties) }) }
    return (await this.http.call<SentShape>('POST', path, { body: bytes, query, signal })).body
  }

  async receive(
    queue: string,
    o: { max?: number | undefined; wait_ms?: number | undefined; lease_ms?: number | undefined },
    signal?: AbortSignal,
  ): Promise<readonly ReceivedShape[]> {
    const limit_ms = (o.wait_ms ?? 30_000) + ANSWER_MS
    const { body } = await this.http.call<{ messages: readonly ReceivedShape[] }>('POST', pathOf(queue, 'receive'), {
      body: o,
      signal,
      limit_ms,
    })
    return body.messages
  }

  /** A page of what is in it, in the order in which it would be received. Takes nothing. */
  async peek(queue: string, o: PeekQuery): Promise<Peeked> {
    return (await this.http.call<Peeked>('GET', pathOf(queue, 'peek'), { query: { ...o } })).body
  }

  async purge(queue: string): Promise<{ readonly purged: number }> {
    return (await this.http.call<{ purged: number }>('POST', pathOf(queue, 'purge'), { limit_ms: LONG_MS })).body
  }

  /** Sends dead letters home, at most `max`. */
  async redrive(queue: string, o: { max?: number; key?: string | undefined; to?: string | undefined }): Promise<RedrivenShape> {
    return (await this.http.call<RedrivenShape>('POST', pathOf(queue, 'redrive'), { body: o, limit_ms: LONG_MS })).body
  }

  /** Makes messages that were acknowledged and kept receivable again. */
  async seek(queue: string, o: { time?: number | undefined; id?: string | undefined }): Promise<{ readonly replayed: number }> {
    return (await this.http.call<{ replayed: number }>('POST', pathOf(queue, 'seek'), { body: o, limit_ms: LONG_MS })).body
  }

  async settle(
    queue: string,
    verb: 'ack' | 'nack' | 'extend',
    receipts: readonly string[],
    more: { delay_ms?: number | undefined; count?: boolean; lease_ms?: number | undefined } = {},
    limit_ms = ANSWER_MS,
  ): Promise<SettledShape> {
    const body = { receipts, ...more }
    return (await this.http.call<SettledShape>('POST', pathOf(queue, verb), { body, limit_ms })).body
  }
}

function pathOf(queue: string, ...more: string[]): string {
  return `/v1/queues/${[part(queue), ...more].join('/')}`
}
