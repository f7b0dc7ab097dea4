/** A queue of a server as a source of messages for a consumer. */
import type { MessageProperties } from '../core/message-properties.js'
import type { QueueApi } from './api.js'
import { RequestError } from './errors.js'
import { bytesOf, type PropertiesShape, type ReceivedShape, type SettledShape } from './shapes.js'
import type { ReceiptResult, Received, Source } from './source.js'

const SETTLE_LIMIT_MS = 10_000
const ANSWERS_WITHIN_MS = 1_000

export function remoteSource(api: QueueApi, queue: string): Source {
  const results = ({ results: all }: SettledShape): ReceiptResult[] => all.map(({ ok }) => (ok ? 'ok' : 'receipt_invalid'))
  return {
    async receive({ signal, ...o }) {
      return (await api.receive(queue, o, signal)).map(received)
    },
    ack: async (receipts) => results(await api.settle(queue, 'ack', receipts, {}, SETTLE_LIMIT_MS)),
    nack: async (receipts, delay_ms, count) =>
      results(await api.settle(queue, 'nack', receipts, { delay_ms, ...(count ? {} : { count }) }, SETTLE_LIMIT_MS)),
    async extend(receipts, lease_ms) {
      // An answer that comes when the lease is nearly over is too late to be asked for again.
      const limit_ms = Math.min(SETTLE_LIMIT_MS, lease_ms / 4)
      return results(await api.settle(queue, 'extend', receipts, { lease_ms }, limit_ms))
    },
    answers_within_ms: ANSWERS_WITHIN_MS,
    passing: (error) => error instanceof RequestError && error.passing,
  }
}

function received(m: ReceivedShape): Received {
  const { encoding: _, key = '', expires_at = null, properties, ...rest } = m
  return { ...rest, key, expires_at, body: bytesOf(m), properties: properties === undefined ? null : propertiesOf(properties) }
}

function propertiesOf({ correlation_data, ...rest }: PropertiesShape): MessageProperties {
  return { ...rest, ...(correlation_data === undefined ? {} : { correlation_data: Buffer.from(correlation_data, 'base64') }) }
}
