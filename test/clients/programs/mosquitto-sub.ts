/** Clearing what is retained with the tool that people use for it. */
import { check, type Scenario } from './scenario.js'

const TOPICS = 800

export const removeRetained: Scenario = {
  name: `mosquitto_sub --retained-only --remove-retained on ${TOPICS} topics`,
  async play(scene) {
    const at = ['-h', '127.0.0.1', '-p', String(scene.broker.port)]
    for (const qos of ['0', '1', '2']) {
      const lines = Array.from({ length: TOPICS }, (_, n) => `clear/${n % 7}/${n}`)
      const mqtt = (await import('mqtt')).default
      const writer = await mqtt.connectAsync(`mqtt://127.0.0.1:${scene.broker.port}`)
      await Promise.all(lines.map((topic) => writer.publishAsync(topic, 'x', { qos: 1, retain: true })))
      await writer.endAsync()
      const remove = scene.run('mosquitto_sub', [
        ...at,
        '-q',
        qos,
        '-t',
        'clear/#',
        '--retained-only',
        '--remove-retained',
        '-W',
        '3',
      ])
      await remove.ended
      const look = scene.run('mosquitto_sub', [...at, '-q', '1', '-t', 'clear/#', '--retained-only', '-W', '1', '-v'])
      await look.ended
      const left = look
        .said()
        .split('\n')
        .filter((line) => line.startsWith('clear/')).length
      check(left === 0, `at QoS ${qos}, ${left} of ${TOPICS} are still there`)
    }
  },
}
