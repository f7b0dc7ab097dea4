/**
 * Two publishers and two subscribers that keep to a fixed rate at QoS 1, in a process of their own, so that what they see is the broker's doing. It
 * prints one line of JSON for each line that it is sent: what happened since the last.
 */
import { createInterface } from 'node:readline'
import { MqttClient, packet, T } from '../../support/mqtt-client.js'

/** What two pairs saw together. */
export interface Seen {
  due: number
  arrived: number
  /** Longest time between a message's moment and its arrival, and without any arrival at all. */
  slowest_ms: number
  longest_gap_ms: number
  /** Lateness of this process itself, which is not the broker's. */
  own_lag_ms: number
  closed: number
}

const EVERY_MS = 10
const fresh = (): Seen => ({ due: 0, arrived: 0, slowest_ms: 0, longest_gap_ms: 0, own_lag_ms: 0, closed: 0 })

async function main(): Promise<void> {
  const port = Number(process.argv[2])
  let seen = fresh()
  let lastArrival = performance.now()
  const publishers: MqttClient[] = []
  for (const n of [0, 1]) {
    const topic = `honest/${n}`
    const subscriber = await MqttClient.connect(port, {
      client_id: `honest-sub-${n}`,
      timeout_ms: 10_000,
      onPacket: (p) => {
        if (p.type !== T.PUBLISH) return
        const now = performance.now()
        seen.arrived++
        seen.slowest_ms = Math.max(seen.slowest_ms, now - Number(p.payload.toString()))
        seen.longest_gap_ms = Math.max(seen.longest_gap_ms, now - lastArrival)
        lastArrival = now
      },
    })
    subscriber.send(packet.subscribe(1, [[topic, 1]]))
    const publisher = await MqttClient.connect(port, { client_id: `honest-pub-${n}`, timeout_ms: 10_000, onPacket: () => {} })
    publishers.push(publisher)
    for (const client of [subscriber, publisher]) void client.closed.then(() => seen.closed++)
  }
  let ticked = performance.now()
  let id = 0
  setInterval(() => {
    const now = performance.now()
    seen.own_lag_ms = Math.max(seen.own_lag_ms, now - ticked - EVERY_MS)
    ticked = now
    for (const [n, publisher] of publishers.entries()) {
      seen.due++
      publisher.publish(`honest/${n}`, String(now), { qos: 1, id: 1 + (id++ % 60_000) })
    }
  }, EVERY_MS)
  createInterface({ input: process.stdin }).on('line', () => {
    seen.longest_gap_ms = Math.max(seen.longest_gap_ms, performance.now() - lastArrival)
    console.log(JSON.stringify(seen))
    seen = fresh()
  })
  console.log('ready')
}

process.stdin.on('end', () => process.exit(0))
main().catch((error: unknown) => {
  console.log(`cannot begin: ${error}`)
  process.exit(1)
})
