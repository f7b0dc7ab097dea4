/** One SUBSCRIBE of 600 filters over a great many retained topics, again and again. */
import { packet, type QoS } from '../../support/mqtt-client.js'
import type { Attack } from './attack.js'
import { retain } from './retained.js'

export const filtersOverRetained: Attack = {
  name: '600 filters over 200,000 retained topics',
  // Twice what they take at the default share of this small heap.
  settings: ['retained.max_memory_bytes=268435456', 'retained.max_messages=300000'],
  counted: /^aqueduct_input_(stalls|rests)/,
  prepare: (ground) => retain(ground, 'many', 200_000),
  async run(ground) {
    const filters = Array.from({ length: 600 }, (_, n): [string, QoS] => {
      const deep = Array.from({ length: n % 7 }, (_, level): string => ((n >> level) & 1 ? '+' : 'many')).concat('#')
      return n % 2 === 0 ? [deep.join('/'), 0] : [`+/+/none${n}`, 0]
    })
    const bytes = packet.subscribe(1, filters)
    const clients = [true, false].map((reads) => ground.client({ client_id: `filters-${reads}` }, reads))
    await Promise.all(clients.map((socket) => ground.flood(socket, () => bytes)))
  },
}
