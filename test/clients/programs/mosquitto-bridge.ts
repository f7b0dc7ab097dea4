/** Debian's mosquitto as a bridge to us, with its default settings, in both directions. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import mqtt, { type MqttClient } from 'mqtt'
import { check, freePort, type Program, type Scenario, type Scene, until } from './scenario.js'

/** Messages that wait for the bridge while it is away; the second for us while we are: more than a thousand mosquitto itself would drop. */
const BACKLOG_IN = 3_000
const BACKLOG_OUT = 900

export function bridges(short: boolean): Scenario[] {
  return (short ? (['mqttv311'] as const) : (['mqttv311', 'mqttv31', 'mqttv50'] as const)).map((version) => ({
    name: `mosquitto as a bridge, ${version}: both ways, retained, no echo, backlogs at QoS 2`,
    play: (scene) => bridge(scene, version),
  }))
}

interface Side {
  readonly client: MqttClient
  readonly got: string[]
}

/** A client that notes what comes, `topic payload` with ` retained` behind what says so. */
async function side(port: number, filters: string[]): Promise<Side> {
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 200 })
  const got: string[] = []
  client.on(
    'message',
    (topic, payload, { retain }) => void got.push(`${topic} ${payload.toString()}${retain ? ' retained' : ''}`),
  )
  await new Promise((resolve) => client.once('connect', resolve))
  await client.subscribeAsync(filters, { qos: 2 })
  return { client, got }
}

async function bridge(scene: Scene, version: string): Promise<void> {
  const port = await freePort()
  const file = join(scene.folder, 'mosquitto.conf')
  writeFileSync(
    file,
    [
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'user root',
      'connection aqueduct',
      `address 127.0.0.1:${scene.broker.port}`,
      `bridge_protocol_version ${version}`,
      'restart_timeout 1',
      'topic out/# out 2',
      'topic in/# in 2',
      'topic both/# both 2',
      '',
    ].join('\n'),
  )
  const mosquitto = (): Program => scene.run('mosquitto', ['-c', file, '-v'], { env: { PATH: `${process.env.PATH}:/usr/sbin` } })
  let running = mosquitto()
  await until('mosquitto listens', () => running.said().includes('running'))
  let there = await side(port, ['in/#', 'both/#'])
  let here = await side(scene.broker.port, ['out/#', 'both/#'])
  await until('the bridge is there', async () => {
    await there.client.publishAsync('out/hello', 'hello', { qos: 1 })
    await here.client.publishAsync('in/hello', 'hello', { qos: 1 })
    return here.got.includes('out/hello hello') && there.got.includes('in/hello hello')
  })

  await there.client.publishAsync('out/kept', 'x', { qos: 2, retain: true })
  await here.client.publishAsync('in/kept', 'x', { qos: 2, retain: true })
  const kept = async (where: number, filter: string): Promise<boolean> => {
    const late = await side(where, [filter])
    await new Promise((resolve) => setTimeout(resolve, 100))
    await late.client.endAsync(true)
    return late.got.includes(`${filter} x retained`)
  }
  await until('a retained message that goes out is retained here', () => kept(scene.broker.port, 'out/kept'))
  await until('a retained message that comes in is retained there', () => kept(port, 'in/kept'))

  for (let n = 0; n < 20; n++) {
    await there.client.publishAsync('both/there', `${n}`, { qos: 2 })
    await here.client.publishAsync('both/here', `${n}`, { qos: 2 })
  }
  const both = ({ got }: Side): number => got.filter((line) => line.startsWith('both/')).length
  await until('what is published on either side, on both', () => both(here) >= 40 && both(there) >= 40)
  await new Promise((resolve) => setTimeout(resolve, 500))
  check(both(here) === 40 && both(there) === 40, `echoes: ${both(here)} here, ${both(there)} there, of 40`)

  // The bridge is away.
  await there.client.endAsync(true)
  running.child.kill('SIGTERM')
  await running.ended
  await Promise.all(Array.from({ length: BACKLOG_IN }, (_, n) => here.client.publishAsync('in/backlog', `${n}`, { qos: 2 })))
  running = mosquitto()
  await until('mosquitto listens again', () => running.said().includes('running'))
  there = await side(port, ['in/#'])
  const backlogIn = (): string[] => there.got.filter((line) => line.startsWith('in/backlog '))
  // What the bridge took before somebody listened there is gone there: it is asked from its log.
  const taken = (): number => running.said().split('Received PUBLISH from').length - 1
  await until(`${BACKLOG_IN} messages inwards (${backlogIn().length} seen)`, () => taken() >= BACKLOG_IN, 60_000)
  const connects = running.said().split('Connecting bridge (step 1)').length - 1
  check(connects === 1, `the bridge connected ${connects} times while it took its backlog`)
  check(new Set(backlogIn()).size === backlogIn().length, 'some came twice')

  // We are away.
  await here.client.endAsync(true)
  await scene.broker.kill()
  for (let n = 0; n < BACKLOG_OUT; n++) there.client.publish('out/backlog', `${n}`, { qos: 2 })
  await until(
    'mosquitto took the backlog',
    () => there.client.queue.length === 0 && Object.keys(there.client.outgoing).length === 0,
  )
  await scene.restart()
  here = await side(scene.broker.port, ['out/#'])
  const backlogOut = (): string[] => here.got.filter((line) => line.startsWith('out/backlog '))
  // The session of this client is new: what the bridge sent before it subscribed it does not see. So ask the last.
  await until('the last message of the backlog outwards', async () => {
    await there.client.publishAsync('out/end', 'end', { qos: 2 })
    return here.got.includes('out/end end')
  })
  check(new Set(backlogOut()).size === backlogOut().length, 'some came twice')
  await Promise.all([here.client.endAsync(true), there.client.endAsync(true)])
}
