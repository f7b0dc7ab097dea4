/** mosquitto_pub and mosquitto_sub, unchanged, as their users run them. */
import { spawnSync } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp } from '../support/broker.js'
import { MqttClient, T } from '../support/mqtt-client.js'
import { Child, run } from '../support/processes.js'

const missing = spawnSync('mosquitto_pub', ['--help']).error !== undefined

// Where the package mosquitto-clients is not installed; CI installs it.
describe.skipIf(missing)('mosquitto clients', () => {
  let app: Awaited<ReturnType<typeof startTestApp>>
  const children: Child[] = []
  beforeAll(async () => {
    app = await startTestApp()
  })
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.stop()))
  })
  afterAll(() => app.close())

  const at = (): string[] => ['-h', '127.0.0.1', '-p', String(app.mqttPort)]
  const pub = (...args: string[]) => run('mosquitto_pub', [...at(), ...args])

  /** A subscriber whose subscriptions are in force. */
  async function sub(id: string, filters: number, ...args: string[]): Promise<Child> {
    const child = new Child('mosquitto_sub', [...at(), '-i', id, ...args])
    children.push(child)
    const ready = (): boolean => (app.broker.state.stored?.sessions.get(id)?.filters?.size ?? 0) >= filters
    while (!ready()) await new Promise((resolve) => setImmediate(resolve))
    return child
  }

  const isHere = (id: string): boolean => [...app.broker.state.connections].some((c) => c.id === id)

  test('a message arrives at each QoS, by MQTT 3.1.1 and 3.1', async () => {
    for (const version of ['mqttv311', 'mqttv31', 'mqttv5']) {
      for (const qos of ['0', '1', '2']) {
        const child = await sub(`s${version}${qos}`, 1, '-V', version, '-q', qos, '-t', `hello/${version}/+`, '-F', '%t %q %p')
        await pub('-V', version, '-q', qos, '-t', `hello/${version}/${qos}`, '-m', 'grüße')
        expect(await child.has(1)).toEqual([`hello/${version}/${qos} ${qos} grüße`])
        await child.stop()
      }
    }
  })

  test('--retained-only --remove-retained clears every topic, though its own clearing comes back to it', async () => {
    for (const qos of ['0', '1']) {
      const topics = Array.from({ length: 800 }, (_, n) => `clear${qos}/${n % 7}/${n}`)
      const publisher = await MqttClient.connect(app.mqttPort, { client_id: 'keeps' })
      for (const [n, topic] of topics.entries()) publisher.publish(topic, 'x', { qos: 1, id: 1 + n, retain: true })
      await publisher.expect(T.PUBACK, (p) => p.id === topics.length)
      await publisher.disconnect()
      const args = ['-q', qos, '-t', `clear${qos}/#`, '--retained-only', '--remove-retained', '-W', '15', '-F', '%t']
      const child = new Child('mosquitto_sub', [...at(), ...args])
      children.push(child)
      // It waits for what it has seen already, at any broker: it is ended here.
      await child.has(topics.length)
      const left = (): number => [...(app.broker.state.stored?.retained.match(`clear${qos}/#`) ?? [])].length
      while (left() > 0) await new Promise((resolve) => setImmediate(resolve))
      await child.stop()
      expect(new Set(child.lines).size).toBe(topics.length)
    }
  })

  test('lines of a file, each a message, in order', async () => {
    const child = await sub('lines', 1, '-q', '2', '-t', 'lines')
    const lines = Array.from({ length: 500 }, (_, n) => `line ${n}`)
    await run('mosquitto_pub', [...at(), '-q', '2', '-t', 'lines', '-l'], `${lines.join('\n')}\n`)
    expect(await child.has(500)).toEqual(lines)
  })

  test('-c: what came while it was away comes when it is back', async () => {
    for (const qos of ['1', '2']) {
      const id = `away-${qos}`
      const first = await sub(id, 1, '-c', '-q', qos, '-t', `away/${qos}`)
      await first.stop()
      while (isHere(id)) await new Promise((resolve) => setImmediate(resolve))
      for (let n = 0; n < 5; n++) await pub('-q', qos, '-t', `away/${qos}`, '-m', `m${n}`)
      const back = await sub(id, 1, '-c', '-q', qos, '-t', `away/${qos}`)
      expect(await back.has(5)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
      await back.stop()
    }
  })

  test('retained: set, shown, cleared', async () => {
    await pub('-r', '-q', '1', '-t', 'kept/a', '-m', 'one')
    await pub('-r', '-q', '1', '-t', 'kept/b', '-m', 'two')
    const child = await sub('keeper', 1, '-q', '1', '-t', 'kept/+', '-F', '%t %r %p')
    expect((await child.has(2)).sort()).toEqual(['kept/a 1 one', 'kept/b 1 two'])
    await pub('-r', '-n', '-q', '1', '-t', 'kept/a')
    expect((await child.has(3))[2]).toBe('kept/a 0 ')
    const late = await sub('late', 1, '-q', '1', '-t', 'kept/+', '-F', '%t %r %p')
    expect(await late.has(1)).toEqual(['kept/b 1 two'])
  })

  test('a killed client leaves its will, a stopped one does not', async () => {
    const watcher = await sub('watcher', 1, '-q', '1', '-t', 'wills/#', '-F', '%t %p')
    const will = (name: string) => ['-t', 'nothing', '--will-topic', `wills/${name}`, '--will-payload', 'gone', '--will-qos', '1']
    const polite = await sub('polite', 1, ...will('polite'))
    await polite.stop('SIGTERM')
    while (isHere('polite')) await new Promise((resolve) => setImmediate(resolve))
    const killed = await sub('killed', 1, ...will('killed'))
    await killed.stop('SIGKILL')
    expect(await watcher.has(1)).toEqual(['wills/killed gone'])
  })

  test('several filters, and a large payload', async () => {
    const child = await sub('several', 3, '-q', '1', '-t', 'several/#', '-t', '+/other', '-t', 'c', '-F', '%t %l')
    for (const topic of ['several/other', 'x/other', 'c', 'd']) await pub('-q', '1', '-t', topic, '-m', 'x')
    await run('mosquitto_pub', [...at(), '-q', '1', '-t', 'c', '-s'], 'y'.repeat(500_000))
    expect(await child.has(4)).toEqual(['several/other 1', 'x/other 1', 'c 1', 'c 500000'])
  })

  for (const version of ['mqttv311', 'mqttv5']) {
    test(`$share: each message to one member, by ${version}`, async () => {
      const topic = `shared/${version}`
      const members = [
        await sub(`m1${version}`, 1, '-V', version, '-q', '1', '-t', `$share/g/${topic}/#`),
        await sub(`m2${version}`, 1, '-V', version, '-q', '1', '-t', `$share/g/${topic}/#`),
      ]
      const lines = Array.from({ length: 20 }, (_, n) => `line ${n}`)
      await run('mosquitto_pub', [...at(), '-V', version, '-q', '1', '-t', `${topic}/x`, '-l'], `${lines.join('\n')}\n`)
      const got = await Promise.all(members.map((child) => child.has(10)))
      expect(got.flat().sort()).toEqual([...lines].sort())
    })

    test(`$share -c: a group waits for its members, by ${version}`, async () => {
      const topic = `waits/${version}`
      const id = `worker${version}`
      const args = ['-V', version, '-c', '-q', '1', '-t', `$share/g/${topic}`, ...(version === 'mqttv5' ? ['-x', '1000'] : [])]
      const first = await sub(id, 1, ...args)
      await first.stop()
      while (isHere(id)) await new Promise((resolve) => setImmediate(resolve))
      for (let n = 0; n < 5; n++) await pub('-q', '1', '-t', topic, '-m', `m${n}`)
      const other = await sub(`other${version}`, 1, '-V', version, '-q', '1', '-t', `$share/g/${topic}`)
      expect(await other.has(5)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
    })

    test(`$queue: made by the first subscription, consumed once, by ${version}`, async () => {
      const name = `q${version}`
      const first = await sub(`q1${version}`, 1, '-V', version, '-q', '1', '-t', `$queue/${name}/work/${version}/#`)
      await first.stop()
      for (let n = 0; n < 3; n++) await pub('-t', `work/${version}/x`, '-m', `m${n}`)
      const back = await sub(`q2${version}`, 1, '-V', version, '-q', '1', '-t', `$queue/${name}`, '-F', '%t %p')
      expect(await back.has(3)).toEqual(['m0', 'm1', 'm2'].map((m) => `work/${version}/x ${m}`))
    })
  }

  test('MQTT 5: properties there and back, what is left of an expiry, a subscription identifier', async () => {
    const format = '%t %q %p %C %R %D %F %E %P %S'
    const wants = ['-D', 'subscribe', 'subscription-identifier', '77']
    for (const qos of ['0', '1', '2']) {
      const child = await sub(`five${qos}`, 1, '-V', '5', '-q', qos, '-t', 'five/+', '-F', format, ...wants)
      const properties = [
        ['content-type', 'text/plain'],
        ['response-topic', 'answers'],
        ['correlation-data', 'cd'],
        ['payload-format-indicator', '1'],
        ['message-expiry-interval', '3600'],
        ['user-property', 'a', 'b'],
      ].flatMap((property) => ['-D', 'publish', ...property])
      for (const text of ['grüße', 'again']) {
        await pub('-V', '5', '-q', qos, '-t', 'five/x', '-m', text, ...properties)
      }
      const lines = (await child.has(2)).map((line) => line.replace(/ 3(600|59\d) /, ' left '))
      const rest = 'text/plain answers cd 1 left a:b 77'
      expect(lines).toEqual([`five/x ${qos} grüße ${rest}`, `five/x ${qos} again ${rest}`])
      await child.stop()
    }
  })

  test('MQTT 5: a session that stays, and one that does not', async () => {
    for (const [expiry_s, stays] of [
      ['3600', true],
      ['0', false],
    ] as const) {
      const id = `stay-${expiry_s}`
      const args = ['-V', '5', '-c', '-x', expiry_s, '-q', '1', '-t', id]
      await (await sub(id, 1, ...args)).stop()
      while (isHere(id)) await new Promise((resolve) => setImmediate(resolve))
      await pub('-V', '5', '-q', '1', '-t', id, '-m', 'meanwhile')
      const back = await sub(id, 1, ...args)
      await pub('-V', '5', '-q', '1', '-t', id, '-m', 'now')
      expect(await back.has(stays ? 2 : 1)).toEqual(stays ? ['meanwhile', 'now'] : ['now'])
      await back.stop()
    }
  })
})
