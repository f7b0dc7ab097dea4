/** `aqueduct.consume(…)`: the consumer of `@aqueduct-mq/aqueduct/client` on the queues of this process, without HTTP between them. */
import type { ConsumeOptions } from './client/consume-options.js'
import { type Consumer, type Handler, startConsumer } from './client/consumer.js'
import type { Source } from './client/source.js'
import { systemClock } from './core/clock.js'
import { AqueductError } from './core/errors.js'
import { systemRandom } from './core/random.js'
import type { Queues } from './operations/messages.js'

/** Calls `handler` for each message of `queue`, from now on. Throws a `RangeError` for an option that cannot be. */
export type Consume = (queue: string, handler: Handler, options?: ConsumeOptions) => Consumer

export class Consumers {
  private readonly queues: Queues
  private readonly running = new Set<Consumer>()

  constructor(queues: Queues) {
    this.queues = queues
  }

  readonly consume: Consume = (queue, handler, options = {}) => {
    const onEnded = (): void => void this.running.delete(consumer)
    const needs = { clock: systemClock, random: systemRandom, onEnded }
    const consumer = startConsumer(this.sourceOf(queue), handler, options, needs)
    this.running.add(consumer)
    return consumer
  }

  async stop(within_ms: number): Promise<void> {
    await Promise.all([...this.running].map((consumer) => consumer.stop({ within_ms })))
  }

  private sourceOf(queue: string): Source {
    const { queues } = this
    return {
      receive: (o) => queues.receive(queue, o),
      ack: (receipts) => queues.ack(queue, receipts),
      nack: (receipts, delay_ms, count) => queues.nack(queue, receipts, delay_ms, count),
      extend: (receipts, lease_ms) => queues.extend(queue, receipts, lease_ms),
      // A receive that is left gives nothing away.
      answers_within_ms: 0,
      // A store that failed is opened again; anything else is wrong with the request itself.
      passing: (error) => !(error instanceof AqueductError) || error.code === 'store_failed' || error.code === 'internal',
    }
  }
}
