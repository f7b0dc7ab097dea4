/**
 * Devices publish over MQTT; a program takes their messages from a queue, as many at a time as it likes, and each is its own until it says that it is
 * done. Three rules: telemetry in order for each device, alarms that are hot, and everything of a device in a queue of the device's own.
 *
 *     node examples/bridge.mjs
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAqueduct } from '@aqueduct-mq/aqueduct'
import mqtt from 'mqtt'

const folder = await mkdtemp(join(tmpdir(), 'aqueduct-example-'))
const aqueduct = await createAqueduct({ store: { path: folder, durability: 'fsync' } })
const server = createServer({ noDelay: true }, aqueduct.aedes.handle)
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))

// Rules are at work from the next message on, and there again after a restart.
const bridges = aqueduct.broker.offer('bridge')
bridges.put('telemetry', { filter: 'devices/+/telemetry', queue: 'telemetry', key: '{1}' })
bridges.put('hot', { filter: 'devices/+/telemetry', queue: 'alarms', when: 'payload.celsius > 80', priority: 1 })
bridges.put('each', { filter: 'devices/+/#', queue: 'device-{1}' })
await bridges.committed()

try {
  bridges.put('typo', { filter: 'devices/+/telemetry', queue: 'telemetry', key: '{2}' })
} catch (error) {
  console.log(error.message)
}

const devices = await Promise.all(
  ['boiler', 'pump'].map((clientId) =>
    mqtt.connectAsync({ host: '127.0.0.1', port: server.address().port, clientId, reconnectPeriod: 0 }),
  ),
)
for (const celsius of [70, 90]) {
  for (const device of devices) {
    // Returns when the message is on the disk, in every queue that it belongs into.
    await device.publishAsync(`devices/${device.options.clientId}/telemetry`, JSON.stringify({ celsius }), { qos: 1 })
  }
}
for (const device of devices) await device.endAsync()

/** Takes all that is ready, and says that it is done. */
async function work(name) {
  const queue = aqueduct.broker.offer('durable-queues').ordered.get(name)
  let done = 0
  for (;;) {
    // Of one device one message at a time, in order: the next comes when this one is acknowledged.
    const messages = await queue.receive({ max: 10, lease_ms: 30_000 })
    if (messages.length === 0) return done
    for (const { key, attempts, message } of messages) {
      const { celsius } = JSON.parse(message.buffer.toString('utf8', message.payloadStart, message.end))
      console.log(`${name}: ${key || '-'} ${celsius} °C, attempt ${attempts}`)
    }
    queue.ack(messages.map((m) => m.receipt))
    await queue.committed()
    done += messages.length
  }
}

const counts = []
for (const name of ['telemetry', 'alarms', 'device-boiler', 'device-pump']) counts.push(await work(name))
for (const { name, counts: c } of bridges.list()) console.log(`rule ${name}: ${c.copied} copied, ${c.unmatched} not matched`)

server.close()
await aqueduct.close()
await rm(folder, { recursive: true })
console.log(`received ${counts.join(' ')}`)
