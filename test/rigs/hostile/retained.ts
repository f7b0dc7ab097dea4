/** Retained messages, beforehand and without end. */
import { MqttClient, packet, T } from '../../support/mqtt-client.js'
import { type Attack, each, type Ground } from './attack.js'

/** Puts `count` of them below `name`, and waits until they are there. */
export async function retain(ground: Ground, name: string, count: number): Promise<void> {
  const client = await MqttClient.connect(ground.port, { client_id: `retains-${name}`, timeout_ms: 60_000 })
  const total = ground.scaled(count)
  for (let from = 0; from < total; from += 1_000) {
    client.send(each(Math.min(1_000, total - from), (n) => packet.publish(`${name}/${from + n}`, 'x', { retain: true })))
    await client.ping()
  }
  client.publish(`${name}/last`, 'x', { qos: 1, retain: true })
  await client.expect(T.PUBACK)
  await client.disconnect()
}

export const everNewRetained: Attack = {
  name: 'ever new retained topics',
  counted: /^aqueduct_refused_total\{limit="retained.max_/,
  async run(ground) {
    let n = 0
    const tail = 'r'.repeat(100)
    await ground.flood(ground.client({ client_id: 'retainer' }, true), () =>
      each(300, () => packet.publish(`kept/${n++}/${tail}`, tail, { retain: true })),
    )
  },
}
