/** The HTTP API as functions: bridge rules, sessions, publishing, and where a message went. */
import { type Http, part } from './http.js'
import { allOf } from './lists.js'
import type { BoxedShape, BridgeShape, Payload, PropertiesShape, SessionDetail, SessionShape, TraceShape } from './shapes.js'

/** A trace reads the index of every queue. */
const SEARCH_MS = 600_000

export class BridgeApi {
  private readonly http: Http

  constructor(http: Http) {
    this.http = http
  }

  all(prefix?: string): Promise<BridgeShape[]> {
    return allOf<'bridges', BridgeShape>(this.http, 'bridges', prefix)
  }

  async get(name: string): Promise<BridgeShape> {
    return (await this.http.call<BridgeShape>('GET', `/v1/bridges/${part(name)}`)).body
  }

  /** Makes a rule, or replaces one. */
  async put(name: string, fields: object): Promise<{ readonly created: boolean; readonly bridge: BridgeShape }> {
    const { status, body } = await this.http.call<BridgeShape>('PUT', `/v1/bridges/${part(name)}`, { body: fields })
    return { created: status === 201, bridge: body }
  }

  async delete(name: string): Promise<void> {
    await this.http.call('DELETE', `/v1/bridges/${part(name)}`)
  }
}

export class SessionApi {
  private readonly http: Http

  constructor(http: Http) {
    this.http = http
  }

  all(prefix?: string): Promise<SessionShape[]> {
    return allOf<'sessions', SessionShape>(this.http, 'sessions', prefix)
  }

  async get(client: string): Promise<SessionDetail> {
    return (await this.http.call<SessionDetail>('GET', `/v1/sessions/${part(client)}`)).body
  }

  async delete(client: string): Promise<void> {
    await this.http.call('DELETE', `/v1/sessions/${part(client)}`)
  }

  /** What waits for a client, from behind the message `after` on. */
  async peek(client: string, o: { limit: number; after?: string | undefined }): Promise<readonly BoxedShape[]> {
    const path = `/v1/sessions/${part(client)}/peek`
    return (await this.http.call<{ messages: readonly BoxedShape[] }>('GET', path, { query: o })).body.messages
  }

  async purge(client: string): Promise<{ readonly purged: number }> {
    return (await this.http.call<{ purged: number }>('POST', `/v1/sessions/${part(client)}/purge`)).body
  }

  async redrive(client: string, o: { max?: number }): Promise<{ readonly moved: number; readonly full: boolean }> {
    const path = `/v1/sessions/${part(client)}/redrive`
    return (await this.http.call<{ moved: number; full: boolean }>('POST', path, { body: o })).body
  }
}

export interface Publication extends Payload {
  readonly topic: string
  readonly qos?: number
  readonly retain?: boolean
  readonly ttl_s?: number
  readonly properties?: PropertiesShape
}

export class MessageApi {
  private readonly http: Http

  constructor(http: Http) {
    this.http = http
  }

  /** Into MQTT. The id is null when no queue wanted it. */
  async publish(publication: Publication): Promise<{ readonly id: string | null }> {
    return (await this.http.call<{ id: string | null }>('POST', '/v1/publish', { body: publication })).body
  }

  /** Where a message is, or went. */
  async trace(id: string): Promise<TraceShape> {
    return (await this.http.call<TraceShape>('GET', `/v1/messages/${part(id)}`, { limit_ms: SEARCH_MS })).body
  }
}
