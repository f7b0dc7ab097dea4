/** A broker with bridge rules on a clock that a test moves, and looks into its queues. */
import type { OrderedQueue } from '../../src/queue/ordered-queue.js'
import { type ClockedBroker, MqttClient } from '../support/broker.js'

export function queueOf(b: ClockedBroker, name: string): OrderedQueue {
  const queue = b.queues.ordered?.get(name)
  if (queue === undefined) throw new Error(`there is no queue ${name}`)
  return queue
}

/** Names of the queues there are, dead-letter queues left out. */
export function names(b: ClockedBroker): string[] {
  return [...(b.queues.ordered?.all() ?? [])]
    .filter((q) => q.kind === 'pull')
    .map((q) => q.name)
    .sort()
}

/** Receives and acknowledges all that is ready: `topic payload`, with the key in front when there is one. */
export async function drained(b: ClockedBroker, name: string): Promise<string[]> {
  const queue = queueOf(b, name)
  const texts: string[] = []
  for (;;) {
    const got = await queue.receive({ max: 256 })
    if (got.length === 0) return texts
    for (const { message, key } of got) {
      if (message === undefined) throw new Error('a message without its bytes')
      const { buffer, bodyStart, payloadStart, end } = message
      const topic = buffer.toString('utf8', bodyStart + 2, bodyStart + 2 + buffer.readUInt16BE(bodyStart))
      texts.push(`${key === '' ? '' : `[${key}] `}${topic} ${buffer.toString('utf8', payloadStart, end)}`)
    }
    queue.ack(got.map((d) => d.receipt))
    await queue.committed()
  }
}

export function connect(b: ClockedBroker, client_id = 'dev'): Promise<MqttClient> {
  return MqttClient.connect(b.port, { client_id })
}
