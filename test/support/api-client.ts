/**
 * Speaks to the JSON API as any HTTP client would, and holds each answer, and each request that was taken, against the server's own OpenAPI document.
 */
import { expect } from 'vitest'
import { OpenApi } from './openapi.js'

export interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect to be there.
  readonly body: any
  readonly headers: Headers
}

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

export const BATCH = 'application/vnd.aqueduct+json'

export class ApiClient {
  readonly base: string
  private api: Promise<OpenApi> | undefined

  /** `document`: of an earlier server of the same kind. */
  constructor(port: number, document?: OpenApi) {
    this.base = `http://127.0.0.1:${port}`
    if (document !== undefined) this.api = Promise.resolve(document)
  }

  openApi(): Promise<OpenApi> {
    this.api ??= fetch(`${this.base}/openapi.json`).then(
      async (response) => new OpenApi((await response.json()) as OpenApi['document']),
    )
    return this.api
  }

  /** `body`: bytes and texts go as they are (`type` says as what), anything else as JSON. */
  async call(method: string, path: string, body?: unknown, type?: string, more: RequestInit = {}): Promise<Answer> {
    const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array
    const contentType = type ?? (raw ? undefined : 'application/json')
    const response = await fetch(this.base + path, {
      method,
      ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
      ...more,
      headers: { ...(contentType === undefined ? {} : { 'content-type': contentType }), ...(more.headers as object) },
    } as RequestInit)
    const text = await response.text()
    const answered = (response.headers.get('content-type') ?? '').split(';', 1)[0] as string
    const { status } = response
    const answer = { status, body: answered === 'application/json' ? JSON.parse(text) : text, headers: response.headers }
    const sentType = contentType?.split(';', 1)[0]
    const sent = raw ? undefined : body
    const fault = (await this.openApi()).fault({ method, path, status, type: answered, body: answer.body, sent, sentType })
    expect(fault).toBeUndefined()
    return answer
  }

  /** A request that is refused: the error in the one form that all errors have. */
  async refused(method: string, path: string, body?: unknown, type?: string, more?: RequestInit): Promise<Refusal> {
    const answer = await this.call(method, path, body, type, more)
    expect(answer.status, JSON.stringify(answer.body)).toBeGreaterThanOrEqual(400)
    expect(Object.keys(answer.body)).toEqual(['error'])
    const { code, message } = answer.body.error
    expect(message).toMatch(/^[A-Za-z$`"].*\.$/s)
    return { status: answer.status, code, message }
  }

  put(queue: string, attributes: object = {}): Promise<Answer> {
    return this.call('PUT', `/v1/queues/${encodeURIComponent(queue)}`, attributes)
  }

  /** Sends a batch; returns the ids. */
  async send(queue: string, ...messages: (string | object)[]): Promise<string[]> {
    const list = messages.map((m) => (typeof m === 'string' ? { body: m } : m))
    const answer = await this.call('POST', `/v1/queues/${encodeURIComponent(queue)}/messages`, { messages: list }, BATCH)
    expect(answer.status, JSON.stringify(answer.body)).toBe(201)
    return answer.body.messages.map((m: { id: string }) => m.id)
  }

  async receive(queue: string, o: object = {}, more: RequestInit = {}): Promise<ReceivedMessage[]> {
    const answer = await this.call('POST', `/v1/queues/${encodeURIComponent(queue)}/receive`, o, undefined, more)
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    return answer.body.messages
  }

  /** Per receipt `ok` or the code. */
  async settle(queue: string, verb: 'ack' | 'nack' | 'extend', receipts: string[], more: object = {}): Promise<string[]> {
    const answer = await this.call('POST', `/v1/queues/${encodeURIComponent(queue)}/${verb}`, { receipts, ...more })
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    return answer.body.results.map((r: { receipt: string; ok: boolean; code?: string }, i: number) => {
      expect(r.receipt).toBe(receipts[i])
      return r.ok ? 'ok' : r.code
    })
  }

  async counts(queue: string): Promise<Record<string, number>> {
    const answer = await this.call('GET', `/v1/queues/${encodeURIComponent(queue)}`)
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    return answer.body.counts
  }
}

export interface ReceivedMessage {
  readonly id: string
  readonly receipt: string
  readonly topic: string
  readonly body: string
  readonly encoding: 'text' | 'base64'
  readonly attempts: number
  readonly key?: string
  readonly priority: number
  readonly accepted_at: number
  readonly first_leased_at: number
  readonly leased_until: number
  readonly expires_at?: number
  readonly properties?: object
}
