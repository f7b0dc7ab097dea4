/** Thousands of filters that all match, with identifiers and without, and messages to ever new topics that they match. */
import { packet, type QoS } from '../../support/mqtt-client.js'
import { type Attack, each, type Ground } from './attack.js'

const LEVELS = 14

function filterOf(n: number): string {
  return Array.from({ length: LEVELS }, (_, level): string => ((n >> level) & 1 ? 'o' : '+'))
    .concat('#')
    .join('/')
}

const topicOf = (n: number): string => `${Array<string>(LEVELS).fill('o').join('/')}/${n}`

function subscribe(ground: Ground, count: number, protocol?: 5): void {
  const socket = ground.client({ client_id: `overlapping-${protocol ?? 4}`, ...(protocol === 5 ? { protocol } : {}) }, true)
  for (let from = 0; from < count; from += 256) {
    const filters = Array.from({ length: 256 }, (_, n): [string, QoS] => [filterOf(from + n), 0])
    socket.write(packet.subscribe(1, filters, protocol === 5 ? { subscriptionIdentifiers: [1 + from] } : undefined))
  }
}

export const overlapping: Attack = {
  name: '16,384 overlapping filters with identifiers',
  // What so many take, at the reckoned price.
  settings: ['session.max_memory_bytes=160000000', 'session.max_subscriptions=16384'],
  counted: /^aqueduct_input_rests/,
  async run(ground) {
    subscribe(ground, 16_384, 5)
    subscribe(ground, 16_384)
    await ground.pause(300)
    await ground.flood(ground.client({ client_id: 'over' }, true), () => each(500, () => packet.publish(topicOf(0), 'x')))
  },
}

export const everNewTopics: Attack = {
  name: 'ever new topics with many matches',
  counted: /^aqueduct_input_rests/,
  async run(ground) {
    subscribe(ground, 1_024, 5)
    await ground.pause(300)
    let n = 0
    const publisher = ground.client({ client_id: 'news' }, true)
    await ground.flood(publisher, () => each(100, () => packet.publish(topicOf(n++), 'x')))
  },
}
