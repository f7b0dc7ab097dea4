/**
 * A worker: takes orders from a queue of a running Aqueduct, eight at a time, and says what it did. Kill it at any moment: what it had not done goes to
 * the next worker. Without a URL it starts a server of its own to work for.
 *
 *     node examples/worker.mjs [URL]
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { consume } from '@aqueduct-mq/aqueduct/client'

const given = process.argv[2]
const server = given === undefined ? await demonstration() : undefined
const url = given ?? `http://127.0.0.1:${server.httpPort}`

let shipped = 0
const consumer = consume(
  'orders',
  async (message, { signal }) => {
    const { order } = JSON.parse(message.body.toString())
    // The first try of each tenth order fails. It comes again, a little later.
    if (order % 10 === 0 && message.attempts === 1) throw new Error(`order ${order}: the printer is out of paper`)
    // As long as it takes: the lease is extended meanwhile. `signal` is aborted if the message is somebody else's after all.
    await sleep(5, undefined, { signal })
    shipped++
  },
  {
    url,
    concurrency: 8,
    retry_ms: 50,
    on_trouble: (error, message) =>
      console.log(`${message === undefined ? 'server' : `attempt ${message.attempts}`}: ${error.message}`),
    // A worker has no end of its own. This one goes home when there has been nothing to do for a while.
    ...(given === undefined ? { idle_ms: 500 } : {}),
  },
)
// Messages in hand are finished, or given back at once.
process.once('SIGTERM', () => consumer.stop({ within_ms: 5_000 }))
process.once('SIGINT', () => consumer.stop({ within_ms: 5_000 }))

await consumer.ended
const { failed, lost } = consumer.counts
await server?.close()
console.log(`shipped ${shipped} orders; ${failed} tries failed, ${lost} were lost`)

/** A server with a hundred orders. A worker needs nothing of this. */
async function demonstration() {
  const { makeSettings, startApp } = await import('@aqueduct-mq/aqueduct')
  const app = await startApp(makeSettings({ store: { durability: 'memory' }, mqtt: { port: 'off' }, http: { port: 0 } }), {
    announce: () => {},
  })
  await app.queues.put('orders', { lease_ms: 10_000, max_attempts: 5 })
  await app.queues.send(
    'orders',
    Array.from({ length: 100 }, (_, i) => ({ body: JSON.stringify({ order: i + 1 }) })),
  )
  return app
}
