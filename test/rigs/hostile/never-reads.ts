/** Clients that ask and ask and never take an answer: every packet that has one. */
import { packet } from '../../support/mqtt-client.js'
import { type Attack, each, type Ground, idOf, repeated } from './attack.js'

const asks: readonly Buffer[] = [
  repeated(Buffer.from([0xc0, 0]), 30_000),
  each(3_000, (n) => packet.subscribe(idOf(n), [[`never/read/${n % 50}`, 1]])),
  each(3_000, (n) => packet.unsubscribe(idOf(n), ['never/read'])),
  each(3_000, (n) => packet.publish('never/read', 'x', { qos: 1, id: idOf(n) })),
  each(900, (n) => Buffer.concat([packet.publish('never/read', '', { qos: 2, id: idOf(n) }), packet.pubrel(idOf(n))])),
  each(10_000, (n) => packet.pubrel(idOf(n))),
]

export const neverReads: Attack = {
  name: 'answers that nobody reads',
  counted: /^aqueduct_input_stalls_total/,
  async run(ground: Ground): Promise<void> {
    await Promise.all(
      asks.flatMap((bytes, n) =>
        [true, false].map((clean) =>
          ground.flood(ground.client({ client_id: `unread-${n}-${clean}`, clean }, false), () => bytes),
        ),
      ),
    )
  },
}
