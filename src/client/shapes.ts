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

export interface NewMessage extends Payload {
  readonly key?: string
  readonly priority?: number
  readonly delay_ms?: number
  readonly dedup_id?: string
  readonly ttl_s?: number
  readonly topic?: string
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
