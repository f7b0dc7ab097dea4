/**
 * A broker inside a Node program: a listener of one's own, a rule for who may publish what, a plugin, a message from the program itself, and a
 * subscriber whose queue outlives the broker.
 *
 *     node examples/library.mjs [FOLDER]
 */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createAqueduct, durableQueues, qosRetry } from '@aqueduct-mq/aqueduct'
import mqtt from 'mqtt'

const given = process.argv[2]
const folder = given ?? (await mkdtemp(join(tmpdir(), 'aqueduct-example-')))

/** A plugin: what it needs comes with `api`; what it leaves open is closed with the broker. */
function audit() {
  let messages = 0
  return {
    name: 'audit',
    setup(api) {
      api.aedes.on('publish', (packet) => {
        if (!packet.topic.startsWith('$SYS/')) messages++
      })
      api.onClose(() => console.log(`audit: ${messages} messages`))
    },
  }
}

async function start() {
  const aqueduct = await createAqueduct({
    store: { path: folder, durability: 'fsync' },
    plugins: [
      durableQueues({ limits: { max_messages: 10_000, max_bytes: 64 * 1024 * 1024, overflow: 'drop_oldest' } }),
      qosRetry({ interval_ms: 10_000, max_attempts: 5 }),
      audit(),
    ],
    aedes: {
      // A device may publish below its own name only. An error closes its connection.
      authorizePublish(client, packet, done) {
        const own = client === null || packet.topic.startsWith(`devices/${client.id}/`)
        done(own ? null : new Error(`${client.id} may not publish to ${packet.topic}`))
      },
    },
  })
  aqueduct.aedes.on('clientError', (client, error) => console.log(`closed ${client.id}: ${error.message}`))
  const server = createServer({ noDelay: true }, aqueduct.aedes.handle)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    aedes: aqueduct.aedes,
    port: server.address().port,
    async stop() {
      server.close()
      await aqueduct.close()
    },
  }
}

/** A connected client. `onMessage` is there before CONNECT is answered: what waited comes right behind the answer. */
async function connect(port, clientId, { onMessage, ...more } = {}) {
  const client = mqtt.connect({ host: '127.0.0.1', port, clientId, reconnectPeriod: 0, ...more })
  if (onMessage !== undefined) client.on('message', (topic, payload) => onMessage(topic, payload.toString()))
  await once(client, 'connect')
  return client
}

// The station subscribes once and leaves: from now on it has a queue.
let broker = await start()
const station = await connect(broker.port, 'station', { clean: false })
await station.subscribeAsync('devices/#', { qos: 2 })
await station.endAsync()

// Each of these returns when the message is on the disk.
const lamp = await connect(broker.port, 'lamp')
for (const state of ['on', 'dim', 'off']) await lamp.publishAsync('devices/lamp/state', state, { qos: 2 })
await promisify(broker.aedes.publish)({
  cmd: 'publish',
  topic: 'devices/all',
  payload: 'checked',
  qos: 2,
  retain: false,
  dup: false,
})

// The rule refuses this one: the connection is closed, the reason is told on our side.
const closed = once(lamp, 'close')
lamp.publish('devices/door/state', 'open', { qos: 0 })
await closed
await broker.stop()

// Another process, another day: the queue is there, in order.
broker = await start()
const got = []
await new Promise((resolve, reject) => {
  const onMessage = (topic, text) => {
    got.push(`${topic} ${text}`)
    if (got.length === 4) resolve()
  }
  connect(broker.port, 'station', { clean: false, onMessage }).catch(reject)
})
await broker.stop()
if (given === undefined) await rm(folder, { recursive: true })

for (const line of got) console.log(line)
console.log(`the station got ${got.length} messages`)
