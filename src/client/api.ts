/** The HTTP API as functions: one for each request, in the server's own shapes. */
import { RequestError } from './errors.js'
import { type Http, part } from './http.js'
import type { NewMessage, QueueShape, ReceivedShape, SentShape, SettledShape } from './shapes.js'

export const BATCH_TYPE = 'application/vnd.aqueduct+json'

/** What a long poll may take beyond its wait. */
const ANSWER_MS = 10_000
/** Things in one page of a list. */
const PAGE = 1000

export class QueueApi {
  private readonly http: Http

  constructor(http: Http) {
    this.http = http
  }

  /** All of them, or those whose name begins with `prefix`. */
  async all(prefix?: string): Promise<QueueShape[]> {
    const all: QueueShape[] = []
    let after: string | undefined
    do {
      const query = { after, prefix, limit: PAGE }
      const { body } = await this.http.call<{ queues: QueueShape[]; next: string | null }>('GET', '/v1/queues', { query })
      all.push(...body.queues)
      after = body.next ?? undefined
    } while (after !== undefined)
    return all
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
    query: Omit<NewMessage, 'body' | 'encoding'>,
    signal?: AbortSignal,
  ): Promise<SentShape> {
    const path = pathOf(queue, 'messages')
    return (await this.http.call<SentShape>('POST', path, { body: bytes, query: { ...query }, signal })).body
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

  async settle(
    queue: string,
    verb: 'ack' | 'nack' | 'extend',
    receipts: readonly string[],
    more: { delay_ms?: number | undefined; lease_ms?: number | undefined } = {},
    limit_ms = ANSWER_MS,
  ): Promise<SettledShape> {
    const body = { receipts, ...more }
    return (await this.http.call<SettledShape>('POST', pathOf(queue, verb), { body, limit_ms })).body
  }
}

function pathOf(queue: string, ...more: string[]): string {
  return `/v1/queues/${[part(queue), ...more].join('/')}`
}

function noneAt404(error: unknown): undefined {
  if (error instanceof RequestError && error.status === 404) return undefined
  throw error
}
