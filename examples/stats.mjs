/**
 * A plug-in that was written for Aedes and knows nothing of Aqueduct: aedes-stats counts clients and messages and publishes its figures as
 * retained messages below $SYS. (`npm install aedes-stats` in a project of your own.)
 *
 *     node examples/stats.mjs
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createAqueduct } from '@aqueduct-mq/aqueduct'
import stats from 'aedes-stats'
import mqtt from 'mqtt'

const { aedes, close } = await createAqueduct({ store: { durability: 'memory' } })
stats(aedes, { interval: 50 })
const server = createServer(aedes.handle)
server.listen(0, '127.0.0.1')
await once(server, 'listening')

const watcher = await mqtt.connectAsync({ host: '127.0.0.1', port: server.address().port, clientId: 'watcher' })
await watcher.subscribeAsync(`$SYS/${aedes.id}/messages/publish/sent`)
const said = new Promise((resolve) => {
  watcher.on('message', (_topic, payload) => {
    if (payload.toString() === '3') resolve(payload.toString())
  })
})
for (const text of ['one', 'two', 'three']) await watcher.publishAsync('greetings', text, { qos: 1 })

console.log(`published so far: ${await said}`)
await watcher.endAsync()
server.close()
await close()
console.log(`at most ${aedes.stats.maxConnectedClients} client`)
