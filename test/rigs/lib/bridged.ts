/**
 * A pull queue that a bridge rule fills, emptied over HTTP by a consumer that acknowledges what it was given: one more ledger beside those of the
 * subscribers.
 */
import { keyIn } from './message.js'
import { Ledger } from './oracle.js'

const FILTER = 'k/#'
const QUEUE = 'bridged'
const BATCH = 256

interface Received {
  messages: { receipt: string; body: string; encoding: 'text' | 'base64' }[]
}

export class Bridged {
  /** Order and QoS 2 hold as for a subscriber: one entry each, in order of acceptance. */
  readonly ledger = new Ledger('bridged', [[FILTER, 2]])

  /** Makes queue and rule. */
  async begin(http_port: number): Promise<void> {
    await call(http_port, 'PUT', `/v1/queues/${QUEUE}`, {})
    await call(http_port, 'PUT', '/v1/bridges/rig', { filter: FILTER, queue: QUEUE })
  }

  /** Takes all that is there. */
  async drain(http_port: number): Promise<void> {
    for (;;) {
      const { messages } = (await call(http_port, 'POST', `/v1/queues/${QUEUE}/receive`, {
        max: BATCH,
        lease_ms: 60_000,
      })) as Received
      if (messages.length === 0) return
      for (const { body, encoding } of messages)
        this.ledger.deliver(keyIn(Buffer.from(body, encoding === 'base64' ? 'base64' : 'utf8')))
      const receipts = messages.map(({ receipt }) => receipt)
      const { results } = (await call(http_port, 'POST', `/v1/queues/${QUEUE}/ack`, { receipts })) as {
        results: { ok: boolean }[]
      }
      if (results.some(({ ok }) => !ok)) throw new Error('a receipt of a live lease was refused')
    }
  }
}

async function call(port: number, method: string, path: string, body: object): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return JSON.parse(text)
}
