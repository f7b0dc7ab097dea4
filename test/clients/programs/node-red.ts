/** Node-RED with its own MQTT nodes: what it publishes and receives at QoS 2 goes over a broker that is killed. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { check, freePort, type Scenario, until } from './scenario.js'

const red = fileURLToPath(new URL('node_modules/node-red/red.js', import.meta.url))

export function nodeRed(short: boolean): Scenario {
  const kills = short ? 2 : 6
  return {
    name: `Node-RED at QoS 2 over ${kills} kills of the broker`,
    async play(scene) {
      const folder = join(scene.folder, 'red')
      mkdirSync(folder)
      const out = join(folder, 'received.txt')
      const sent = join(folder, 'acknowledged.txt')
      const toFile = {
        type: 'file',
        z: 't1',
        filenameType: 'str',
        appendNewline: true,
        overwriteFile: 'false',
        encoding: 'none',
        wires: [[]],
      }
      const broker = {
        id: 'b1',
        type: 'mqtt-broker',
        name: '',
        broker: '127.0.0.1',
        port: String(scene.broker.port),
        clientid: 'node-red',
        autoConnect: true,
        usetls: false,
        protocolVersion: '4',
        keepalive: '60',
        cleansession: false,
      }
      writeFileSync(
        join(folder, 'flows.json'),
        JSON.stringify([
          { id: 't1', type: 'tab', label: 'test' },
          broker,
          // A counter, twenty times a second.
          {
            id: 'i1',
            type: 'inject',
            z: 't1',
            props: [{ p: 'payload' }],
            repeat: '0.05',
            once: true,
            payload: '',
            payloadType: 'date',
            wires: [['f1']],
          },
          {
            id: 'f1',
            type: 'function',
            z: 't1',
            func: 'const n = (context.get("n") || 0); context.set("n", n + 1); return { payload: String(n) }',
            outputs: 1,
            wires: [['m1']],
          },
          { id: 'm1', type: 'mqtt out', z: 't1', topic: 'red/count', qos: '2', retain: '', broker: 'b1', wires: [] },
          { id: 'm2', type: 'mqtt in', z: 't1', topic: 'red/count', qos: '2', datatype: 'utf8', broker: 'b1', wires: [['w1']] },
          { id: 'w1', filename: out, ...toFile },
          // What its MQTT node says is done: without a connection it throws away what it is given, and says nothing.
          { id: 'c1', type: 'complete', z: 't1', scope: ['m1'], uncaught: false, wires: [['w2']] },
          { id: 'w2', filename: sent, ...toFile },
        ]),
      )
      writeFileSync(
        join(folder, 'settings.js'),
        `module.exports = { flowFile: 'flows.json', uiHost: '127.0.0.1', uiPort: ${await freePort()}, mqttReconnectTime: 200, logging: { console: { level: 'info' } }, telemetry: { enabled: false, updateNotification: false } }\n`,
      )
      scene.run(process.execPath, [red, '-u', folder, '-s', join(folder, 'settings.js')], { cwd: folder })
      const numbersIn = (file: string): number[] =>
        existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number) : []
      const received = (): number[] => numbersIn(out)
      await until('the first messages', () => received().length > 20, 60_000)
      for (let kill = 0; kill < kills; kill++) {
        await scene.broker.kill()
        await scene.restart()
        const before = received().length
        await until('messages after a kill', () => received().length > before + 10)
      }
      const acknowledged = numbersIn(sent)
      await until('what was acknowledged last', () => received().includes(acknowledged.at(-1) ?? 0))
      const got = received()
      const missing = acknowledged.filter((n) => !got.includes(n))
      check(acknowledged.length > 20, `only ${acknowledged.length} were acknowledged`)
      check(new Set(got).size === got.length, `${got.length - new Set(got).size} came twice`)
      check(missing.length === 0, `missing: ${missing.slice(0, 20).join(' ')}`)
    },
  }
}
