/** What a consumer takes messages from: a server far away or the broker in this process. */

import type { MessageProperties } from '../core/message-properties.js'

/** A message that was handed out. Moments are milliseconds since 1970. */
export interface Received {
  readonly id: string
  /** Names this delivery in `ack`, `nack` and `extend`. */
  readonly receipt: string
  readonly topic: string
  readonly body: Buffer
  /** Hand-outs so far, this one included. */
  readonly attempts: number
  /** Empty for none. */
  readonly key: string
  readonly priority: number
  readonly accepted_at: number
  readonly first_leased_at: number
  readonly leased_until: number
  /** Null for never. */
  readonly expires_at: number | null
  /** What an MQTT 5 publisher, or a sender, gave it along; null for nothing. */
  readonly properties: MessageProperties | null
}

export interface ReceiveOptions {
  readonly max?: number
  readonly wait_ms?: number
  readonly lease_ms?: number
  readonly signal?: AbortSignal
}

/** What became of a receipt. */
export type ReceiptResult = 'ok' | 'receipt_invalid'

export interface Source {
  receive(o: ReceiveOptions): Promise<readonly Received[]>
  ack(receipts: readonly string[]): Promise<readonly ReceiptResult[]>
  /** `count` false: nobody worked on them, so it was no attempt. */
  nack(receipts: readonly string[], delay_ms: number, count: boolean): Promise<readonly ReceiptResult[]>
  extend(receipts: readonly string[], lease_ms: number): Promise<readonly ReceiptResult[]>
  /**
   * How long after its beginning a receive may still be about to answer with messages. One that is older waits for some, and can be left without leaving a
   * message behind.
   */
  readonly answers_within_ms: number
  /** True when the same call may work later. */
  passing(error: unknown): boolean
}

/** Receipts in one call at most. */
export const BATCH_MAX = 256
