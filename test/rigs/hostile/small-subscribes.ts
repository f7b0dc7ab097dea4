/** SUBSCRIBEs of a few bytes, as many as the line carries, each for everything that is retained. */
import { packet } from '../../support/mqtt-client.js'
import { type Attack, each, idOf } from './attack.js'
import { retain } from './retained.js'

export const smallSubscribes: Attack = {
  name: 'a flood of small SUBSCRIBEs',
  counted: /^aqueduct_input_(stalls|rests)/,
  prepare: (ground) => retain(ground, 'small', 20_000),
  async run(ground) {
    const filters = ['#', '+/#', 'small/#', 'small/+', '+/+', 'small/1', 'none/+/+']
    const bytes = each(5_000, (n) => packet.subscribe(idOf(n), [[filters[n % filters.length] as string, 0]]))
    await Promise.all(
      [true, false].map((reads) => ground.flood(ground.client({ client_id: `small-${reads}` }, reads), () => bytes)),
    )
  },
}
