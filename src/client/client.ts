/**
 * The door for programs that use an Aqueduct of another process: light, nothing of the broker is loaded.
 *
 *     import { consume } from '@aqueduct-mq/aqueduct/client'
 *     const consumer = consume('orders', async ({ body }) => ship(JSON.parse(body)), { url: 'http://127.0.0.1:8080', concurrency: 8 })
 *     process.once('SIGTERM', () => consumer.stop())
 *     await consumer.ended
 */
import { holdingClock } from '../core/clock.js'
import { systemRandom } from '../core/random.js'
import { QueueApi } from './api.js'
import type { ConsumeOptions } from './consume-options.js'
import { type Consumer, type Handler, startConsumer } from './consumer.js'
import { Http } from './http.js'
import { remoteSource } from './remote.js'

export type { ConsumeOptions } from './consume-options.js'
export type { Consumer, ConsumerCounts, Handler, Handling } from './consumer.js'
export { RequestError } from './errors.js'
export { Stopped } from './job.js'
export type { Received } from './source.js'

export interface ClientOptions {
  /** Of the server; default `http://127.0.0.1:8080`. May carry a name and a password. */
  readonly url?: string
}

export const STANDARD_URL = 'http://127.0.0.1:8080'

/** Starts at once: receives from `queue` of a server and calls `handler` for each message. Throws for an option that cannot be. */
export function consume(queue: string, handler: Handler, options: ConsumeOptions & ClientOptions = {}): Consumer {
  const http = new Http(options.url ?? STANDARD_URL, holdingClock)
  const source = remoteSource(new QueueApi(http), queue)
  return startConsumer(source, handler, options, { clock: holdingClock, random: systemRandom })
}
