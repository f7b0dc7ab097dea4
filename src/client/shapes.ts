/** What the HTTP API takes and answers, as far as this side looks at it. A server may send more. Moments are milliseconds since 1970. */
import { isUtf8 } from 'node:buffer'

export interface QueueShape {
  readonly name: string
  readonly kind: string
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  readonly counts: Readonly<Record<'ready' | 'leased' | 'delayed' | 'dead' | 'retained' | 'bytes', number>>
  readonly receivers: number
}

/** A payload is bytes: as text where they are UTF-8, as base64 otherwise. */
export interface Payload {
  readonly body: string
  readonly encoding?: 'text' | 'base64'
}

/** `correlation_data` is base64. */
export interface PropertiesShape {
  readonly payload_format_indicator?: 0 | 1
  readonly content_type?: string
  readonly response_topic?: string
  readonly correlation_data?: string
  readonly user_properties?: readonly (readonly [name: string, value: string])[]
}

export interface NewMessage extends Payload {
  readonly key?: string
  readonly tag?: string
  readonly priority?: number
  readonly delay_ms?: number
  readonly dedup_id?: string
  readonly ttl_s?: number
  readonly topic?: string
  readonly properties?: PropertiesShape
}

export interface SentShape {
  readonly messages: readonly { readonly id: string | null; readonly duplicate?: true; readonly dropped?: true }[]
}

export interface ReceivedShape extends Payload {
  readonly id: string
  readonly receipt: string
  readonly topic: string
  readonly attempts: number
  readonly key?: string
  readonly priority: number
  readonly accepted_at: number
  readonly first_leased_at: number
  readonly leased_until: number
  readonly expires_at?: number
  readonly properties?: PropertiesShape
}

export interface PeekQuery {
  readonly limit: number
  /** Parted by commas. */
  readonly states?: string | undefined
  /** The `next` of the page before. */
  readonly after?: string | undefined
}

export interface SeenShape extends Payload {
  readonly id: string
  readonly state: string
  readonly topic: string
  readonly attempts: number
  readonly key?: string
  readonly priority: number
  readonly accepted_at: number
  readonly expires_at?: number
  readonly until?: number
  readonly origin?: string
  readonly died_at?: number
  readonly properties?: PropertiesShape
}

export interface Peeked {
  readonly messages: readonly SeenShape[]
  readonly next: string | null
}

export interface RedrivenShape {
  readonly moved: number
  readonly homeless: number
  readonly others: number
  readonly full: boolean
}

export interface BridgeShape {
  readonly name: string
  readonly filter: string
  readonly queue: string
  readonly source: string
  readonly counts: Readonly<Record<string, number>>
  readonly [field: string]: unknown
}

export interface SessionShape {
  readonly client: string
  readonly user: string | null
  readonly connected: boolean
  readonly remote: string | null
  readonly version: string
  readonly durable: boolean
  readonly subscriptions: number
  readonly waiting: number
  readonly in_flight: number
  readonly bytes: number
  readonly dead: number
  readonly expires_at: number | null
}

export interface SessionDetail extends SessionShape {
  readonly filters: readonly { readonly filter: string; readonly qos: number }[]
  /** When the oldest message that it has not acknowledged was accepted. */
  readonly oldest_at: number | null
}

export interface BoxedShape extends Payload {
  readonly id: string
  readonly topic: string
  readonly qos: number
  readonly retain: boolean
  readonly accepted_at: number
  readonly expires_at?: number
  readonly properties?: PropertiesShape
}

export interface TraceShape {
  readonly id: string
  readonly topic: string | null
  readonly accepted_at: number | null
  /** Queues that hold it now. */
  readonly queues: readonly {
    readonly queue: string
    readonly kind: string
    readonly state: string
    readonly attempts: number
    readonly until: number | null
    readonly holder: string | null
  }[]
  /** How it left others. */
  readonly left: readonly {
    readonly queue: string
    readonly kind: string
    readonly reason: string
    readonly at: number
    readonly attempts: number
  }[]
  /** False when not all of the queues were searched. */
  readonly complete: boolean
}

export interface SettledShape {
  readonly results: readonly { readonly receipt: string; readonly ok: boolean; readonly code?: string }[]
}

export function bytesOf({ body, encoding }: Payload): Buffer {
  return Buffer.from(body, encoding === 'base64' ? 'base64' : 'utf8')
}

export function payloadOf(bytes: Buffer): Payload & { readonly encoding: 'text' | 'base64' } {
  return isUtf8(bytes) ? { body: bytes.toString(), encoding: 'text' } : { body: bytes.toString('base64'), encoding: 'base64' }
}
