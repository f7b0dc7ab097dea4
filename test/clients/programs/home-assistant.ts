/** What Home Assistant does when it starts: a thousand retained discovery topics, a birth message, a will, and states that arrive meanwhile. */
import mqtt from 'mqtt'
import { check, type Scenario, until } from './scenario.js'

const DEVICES = 1_000

export const homeAssistant: Scenario = {
  name: `a start like Home Assistant's: ${DEVICES} retained, birth, will`,
  async play({ broker }) {
    const url = `mqtt://127.0.0.1:${broker.port}`
    const device = await mqtt.connectAsync(url, { clientId: 'zigbee2mqtt' })
    const config = JSON.stringify({ name: 'x'.repeat(600) })
    await Promise.all(
      Array.from({ length: DEVICES }, (_, n) =>
        device.publishAsync(`homeassistant/sensor/d${n}/config`, config, { qos: 1, retain: true }),
      ),
    )
    let births = 0
    device.on('message', (topic, payload) => {
      if (topic === 'homeassistant/status') births += payload.toString() === 'online' ? 1 : 1000
    })
    await device.subscribeAsync('homeassistant/status', { qos: 1 })
    const will = { topic: 'homeassistant/status', payload: Buffer.from('offline'), qos: 1, retain: true } as const
    const home = mqtt.connect(url, { clientId: 'home', will, protocolVersion: 5, reconnectPeriod: 0 })
    const configs = new Set<string>()
    const states: string[] = []
    home.on('message', (topic, payload) => {
      if (topic.endsWith('/config')) configs.add(topic)
      else if (topic.startsWith('state/')) states.push(payload.toString())
    })
    await new Promise((resolve) => home.once('connect', resolve))
    // As it does: one SUBSCRIBE a filter, all at once, states of devices that it is just learning about in between.
    const filters = [
      'homeassistant/+/+/config',
      'homeassistant/+/+/+/config',
      ...Array.from({ length: 200 }, (_, n) => `state/${n}`),
    ]
    await Promise.all(filters.map((filter) => home.subscribeAsync(filter, { qos: 0 })))
    await home.publishAsync('homeassistant/status', 'online', { qos: 1, retain: true })
    for (let n = 0; n < 200; n++) await device.publishAsync(`state/${n}`, `${n}`, { qos: 1 })
    await until(`${DEVICES} configurations (${configs.size} came)`, () => configs.size === DEVICES)
    await until('the states', () => states.length === 200)
    check(births === 1, 'the birth message did not arrive once')
    home.stream.destroy()
    await until('the will', () => births === 1001)
    await device.endAsync()
  },
}
