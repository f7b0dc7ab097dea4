/** Names without end: client ids of stored sessions, subscriptions of one, queues and rules by subscribing. */
import { packet, type QoS } from '../../support/mqtt-client.js'
import { type Attack, each, idOf } from './attack.js'

export const everNewClients: Attack = {
  name: 'ever new client ids',
  settings: ['session.max_sessions=2000'],
  counted: /^aqueduct_refused_total\{limit="session.max_(sessions|memory_bytes)/,
  async run(ground) {
    const tail = 'i'.repeat(10_000)
    let n = 0
    const one = async (): Promise<void> => {
      while (!ground.over) {
        const socket = ground.client({ client_id: `${n++}-${tail}`, clean: false }, true)
        socket.write(packet.subscribe(1, [['ever/new', 1]]))
        await Promise.race([new Promise((resolve) => socket.once('data', resolve)), ground.pause(500)])
        socket.destroy()
      }
    }
    await Promise.all(Array.from({ length: 8 }, one))
  },
}

export const everNewSubscriptions: Attack = {
  name: 'ever new subscriptions',
  counted: /^aqueduct_refused_total\{limit="session.max_/,
  async run(ground) {
    const tail = 's'.repeat(50)
    const flood = (clean: boolean): Promise<void> => {
      let n = 0
      const next = (): Buffer => each(500, () => packet.subscribe(idOf(n), [[`${n % 2 ? '+' : 'e'}/${tail}/${n++}`, 1]]))
      return ground.flood(ground.client({ client_id: `subscribes-${clean}`, clean }, true), next)
    }
    await Promise.all([flood(true), flood(false)])
  },
}

export const queueFilters: Attack = {
  name: 'queues and rules made by SUBSCRIBE',
  counted: /^aqueduct_refused_total\{limit="bridge.max_/,
  async run(ground) {
    let n = 0
    const next = (): Buffer => {
      const filters = Array.from({ length: 3_000 }, (): [string, QoS] => [`$queue/q${n}/x/${n++}`, 1])
      return Buffer.concat([packet.subscribe(1, filters), packet.publish(`x/${n - 1}`, 'x')])
    }
    await ground.flood(ground.client({ client_id: 'makes queues' }, true), next)
  },
}
