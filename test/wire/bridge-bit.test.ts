/** A bridge of mosquitto's kind before MQTT 5: bit 0x80 of the protocol level means No Local and Retain As Published for all that it subscribes. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ClockedBroker, delivered, MqttClient, openWith, packet, startClocked, T } from '../support/broker.js'

let b: ClockedBroker
let publisher: MqttClient
beforeAll(async () => {
  b = await startClocked()
  publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
})
afterAll(async () => {
  await publisher.disconnect()
  await b.close()
})

/** The level stands behind the fixed header and the protocol's name. */
function bridged(protocol: 3 | 4, client_id: string): Buffer {
  const bytes = packet.connect({ protocol, client_id, clean: false })
  const at = 2 + 2 + (protocol === 3 ? 6 : 4)
  bytes[at] |= 0x80
  return bytes
}

test.each([3, 4] as const)(
  'level %i with the bit: no echo, and RETAIN as it was published, also after a reconnect',
  async (protocol) => {
    const topic = `both/${protocol}`
    let bridge = await openWith(b.port, bridged(protocol, `bridge-${protocol}`), { auto_ack: true })
    expect(await bridge.expect(T.CONNACK)).toMatchObject({ code: 0 })
    await bridge.subscribe([topic, 2])
    for (const again of [false, true]) {
      if (again) {
        await bridge.disconnect()
        await b.reopen()
        publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
        bridge = await openWith(b.port, bridged(protocol, `bridge-${protocol}`), { auto_ack: true })
        await bridge.expect(T.CONNACK)
      }
      for (const qos of [0, 1, 2] as const) await bridge.publishAndWait(topic, 'own', { qos })
      await publisher.publishAndWait(topic, 'kept', { qos: 1, retain: true })
      await publisher.publishAndWait(topic, 'live', { qos: 1 })
      expect(await delivered(bridge)).toEqual([`${topic} kept q1 retain`, `${topic} live q1`])
      // Its acknowledgements are in.
      await bridge.ping()
    }
    await bridge.disconnect()
  },
)

test('without the bit: the echo, and RETAIN only for what was there before', async () => {
  const client = await MqttClient.connect(b.port, { client_id: 'plain' })
  await client.subscribe(['plain', 1])
  await client.publishAndWait('plain', 'own', { qos: 1, retain: true })
  expect(await delivered(client)).toEqual(['plain own q1'])
  await client.disconnect()
})

test('what a bridge of mosquitto says of itself below $SYS is acknowledged and goes nowhere', async () => {
  const reader = await MqttClient.connect(b.port, { client_id: 'reader' })
  await reader.subscribe(['$SYS/broker/connection/#', 1])
  const bridge = await openWith(b.port, bridged(4, 'stating'), { auto_ack: true })
  await bridge.expect(T.CONNACK)
  for (const qos of [0, 1, 2] as const)
    await bridge.publishAndWait('$SYS/broker/connection/box.stating/state', '1', { qos, retain: true })
  await bridge.ping()
  expect(await delivered(reader)).toEqual([])
  await Promise.all([bridge.disconnect(), reader.disconnect()])
})
