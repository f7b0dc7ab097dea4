/** `aqueduct queue peek|purge|redrive|seek`, `bridge`, `session` and `publish` against the whole program, over HTTP and MQTT. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { arrived, MqttClient, startTestApp } from './support/broker.js'
import { cli, runOn } from './support/cli.js'
import { TestTerminal, type TestTerminalOptions } from './support/terminal.js'

let app: Awaited<ReturnType<typeof startTestApp>>
beforeAll(async () => {
  app = await startTestApp({ retry: { interval_ms: 0 } })
})
afterAll(() => app.close())

const words = (...all: string[]) => cli(app.httpPort, all)
const aqueduct = (line: string, o?: TestTerminalOptions) => cli(app.httpPort, line.split(' '), o)

async function filled(name: string, count: number, attributes = {}): Promise<void> {
  await app.queues.put(name, attributes)
  for (let i = 0; i < count; i += 256) {
    const n = Math.min(256, count - i)
    await app.queues.send(
      name,
      Array.from({ length: n }, (_, k) => ({ body: String(i + k), key: `k${(i + k) % 2}` })),
    )
  }
}

/** Every message of the queue dies. */
async function die(name: string): Promise<void> {
  for (;;) {
    const got = await app.queues.receive(name, { max: 256 })
    if (got.length === 0) return
    await app.queues.nack(
      name,
      got.map((m) => m.receipt),
    )
  }
}

describe('aqueduct queue peek', () => {
  it('shows ten messages, or as many as are asked for, and takes none', async () => {
    await filled('peeked', 600)
    const table = (await aqueduct('queue peek peeked')).out.trimEnd().split('\n')
    expect(table).toHaveLength(11)
    expect(table[1]).toMatch(/ready .* 0$/)
    const lines = (await aqueduct('queue peek peeked --max 550 --json')).json
    expect(lines.map((m) => m.body)).toEqual(Array.from({ length: 550 }, (_, i) => String(i)))
    expect(app.queues.get('peeked').counts).toMatchObject({ ready: 600, leased: 0 })
    expect(await aqueduct('queue peek peeked --states leased')).toMatchObject({ code: 3, out: '' })
    expect(await aqueduct('queue peek peeked --states nowhere')).toMatchObject({ code: 1, out: '' })
  })
})

describe('aqueduct queue purge', () => {
  it('says how many left', async () => {
    await filled('purged', 1234)
    expect(await aqueduct('queue purge purged')).toMatchObject({ code: 0, out: 'purged 1,234 messages\n' })
    expect((await aqueduct('queue purge purged --json')).json).toEqual([{ purged: 0 }])
    expect(await aqueduct('queue purge nobody')).toMatchObject({ code: 3 })
  })
})

describe('aqueduct queue redrive', () => {
  it('sends all dead letters home, in steps, with a line of progress for a person', async () => {
    await filled('dying', 2500, { max_attempts: 1 })
    await die('dying')
    expect(app.queues.get('dying').counts.dead).toBe(2500)
    const ran = await aqueduct('queue redrive dying', { isTerminal: { err: true } })
    expect(ran).toMatchObject({ code: 0, out: 'redrove 2,500 messages\n' })
    expect(ran.err).toMatch(/\rredriven █+░* \d+ % · 1,000 of 2,500/)
    // The line is gone when the work is done.
    expect(ran.err).toMatch(/\r +\r$/)
    expect(app.queues.get('dying').counts).toMatchObject({ dead: 0, ready: 2500 })
  })

  it('sends as many as are asked for, of one key, not faster than told', async () => {
    await filled('slow', 100, { max_attempts: 1 })
    await die('slow')
    const began = performance.now()
    const ran = await aqueduct('queue redrive slow --max 40 --key k1 --rate 100 --json')
    expect(ran.code).toBe(0)
    expect(ran.json).toEqual([{ moved: 40, homeless: 0, others: 0, full: false }])
    // 40 at 100 a second: four steps of ten, with a pause behind each but the last.
    expect(performance.now() - began).toBeGreaterThan(290)
    expect(app.queues.get('slow').counts).toMatchObject({ dead: 60, ready: 40 })
    expect((await app.queues.receive('slow', { max: 40 })).every((m) => m.key === 'k1')).toBe(true)
    expect((await aqueduct('queue redrive $dead/queue/slow --json')).json).toEqual([
      { moved: 60, homeless: 0, others: 0, full: false },
    ])
  })

  it('says what stayed', async () => {
    await filled('full', 10, { max_attempts: 1, max_messages: 10 })
    await die('full')
    await filled('full', 8)
    const ran = await aqueduct('queue redrive full')
    expect(ran).toMatchObject({ code: 1, out: 'redrove 2 messages\n' })
    expect(ran.err).toContain('no room')
  })

  it('ends when it is interrupted', async () => {
    await filled('interrupted', 500, { max_attempts: 1 })
    await die('interrupted')
    const terminal = new TestTerminal()
    const ran = runOn(terminal, app.httpPort, ['queue', 'redrive', 'interrupted', '--rate', '10'])
    while (app.queues.get('interrupted').counts.ready === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    terminal.interrupt()
    expect(await ran).toMatchObject({ code: 1, err: 'aqueduct: Interrupted; the rest stayed.\n' })
    expect(app.queues.get('interrupted').counts.dead).toBeGreaterThan(400)
  })
})

describe('aqueduct queue seek', () => {
  it('brings acknowledged messages back: all, from a time, from a message', async () => {
    await filled('kept', 10, { retain_s: 600 })
    const got = await app.queues.receive('kept', { max: 10 })
    const ack = async () => {
      const again = await app.queues.receive('kept', { max: 10 })
      await app.queues.ack(
        'kept',
        (again.length > 0 ? again : got).map((m) => m.receipt),
      )
    }
    await ack()
    expect(await aqueduct('queue seek kept')).toMatchObject({ code: 0, out: '10 messages wait again\n' })
    await ack()
    expect((await aqueduct(`queue seek kept --id ${got[7]?.id} --json`)).json).toEqual([{ replayed: 3 }])
    expect((await aqueduct('queue seek kept --time 2100-01-01T00:00:00Z --json')).json).toEqual([{ replayed: 0 }])
    expect((await aqueduct('queue seek kept --time 0 --json')).json).toEqual([{ replayed: 7 }])
    expect(await aqueduct('queue seek kept --time yesterday')).toMatchObject({ code: 2 })
    expect(await aqueduct('queue seek kept --id nonsense')).toMatchObject({ code: 1 })
  })
})

describe('aqueduct bridge', () => {
  it('makes, shows, lists, replaces and deletes a rule', async () => {
    const put = await words(
      'bridge',
      'put',
      'readings',
      'devices/+/telemetry',
      'readings',
      'key={1}',
      'priority=3',
      'qos0=false',
      '--json',
    )
    expect(put.code, put.err).toBe(0)
    expect(put.json[0]).toMatchObject({ name: 'readings', key: '{1}', priority: 3, qos0: false, source: 'stored' })
    await aqueduct('publish devices/d1/telemetry 21.5')
    expect((await aqueduct('queue receive readings --json')).json[0]).toMatchObject({ body: '21.5', key: 'd1', priority: 3 })
    expect((await aqueduct('bridge list')).out).toMatch(/^readings +devices\/\+\/telemetry +readings +\{1\} +1 +0 +stored$/m)
    expect((await aqueduct('bridge show readings')).out).toMatch(/^copied +1$/m)
    expect((await aqueduct('bridge put readings a/# readings --json')).json[0]).toMatchObject({ filter: 'a/#', qos0: true })
    expect(await aqueduct('bridge delete readings')).toMatchObject({ code: 0, out: 'deleted readings\n' })
    expect(await aqueduct('bridge show readings')).toMatchObject({ code: 3, out: '' })
    expect(await aqueduct('bridge delete readings')).toMatchObject({ code: 3, out: '' })
    expect(await aqueduct('bridge list')).toMatchObject({ code: 0, out: '' })
  })

  it.each([
    ['bridge put x a/#/b q', 1],
    ['bridge put x a/# q priority=99', 1],
    ['bridge put x a/# q colour=blue', 1],
    ['bridge put x a/#', 2],
  ])('%s is refused and makes nothing', async (line, code) => {
    const ran = await aqueduct(line)
    expect(ran.code, ran.err).toBe(code)
    expect(ran.err).toMatch(code === 1 ? /^aqueduct: [^\n]+\.\n$/ : /argument/)
    expect(await aqueduct('bridge show x')).toMatchObject({ code: 3 })
  })
})

describe('aqueduct publish', () => {
  it('reaches subscribers and what is retained', async () => {
    const client = await MqttClient.connect(app.mqttPort, { client_id: 'listener' })
    await client.subscribe(['p/#', 1])
    const sent = await aqueduct('publish p/a hello --qos 2 --retain')
    expect(sent.code, sent.err).toBe(0)
    const [got] = (await arrived(client)).filter((p) => p.topic === 'p/a')
    expect(got?.payload.toString()).toBe('hello')
    client.destroy()
    const nobody = await aqueduct('publish nobody/wants this')
    expect(nobody).toMatchObject({ code: 0, out: 'published; no queue wanted it\n' })
    expect((await aqueduct('publish nobody/wants this --json')).json).toEqual([{ id: null }])
    expect(await aqueduct('publish a/# x')).toMatchObject({ code: 1, out: '' })
    expect(await aqueduct('publish a x --qos 3')).toMatchObject({ code: 1, out: '' })
  })

  it('gives MQTT properties along', async () => {
    await app.queues.put('propertied')
    const options = '--content-type a/b --response-topic re/1 --correlation-data é --property unit=C --property eq=a=b'
    expect(await aqueduct(`publish $queue/propertied x ${options}`)).toMatchObject({ code: 0, err: '' })
    const [kept] = await app.queues.receive('propertied')
    expect(kept?.properties).toEqual({
      content_type: 'a/b',
      response_topic: 're/1',
      correlation_data: Buffer.from('é'),
      user_properties: [
        ['unit', 'C'],
        ['eq', 'a=b'],
      ],
    })
    expect(await aqueduct('publish a x --property unit')).toMatchObject({ code: 2, out: '' })
    expect(await aqueduct('publish a x --response-topic a/#')).toMatchObject({ code: 1, out: '' })
  })
})

describe('aqueduct session', () => {
  it('shows what waits for a client, and since when', async () => {
    const client = await MqttClient.connect(app.mqttPort, { client_id: 'kit chen/1', clean: false })
    await client.subscribe(['home/#', 1])
    client.destroy()
    for (let i = 0; i < 300; i++) await app.publish({ topic: `home/${i}`, body: String(i), qos: 1 })
    const list = await aqueduct('session list')
    expect(list.out).toMatch(/^kit chen\/1 +(no|127\S+) +3\.1\.1 +300 +0 +0 /m)
    const [shown] = (await words('session', 'show', 'kit chen/1', '--json')).json
    expect(shown).toMatchObject({ client: 'kit chen/1', waiting: 300, filters: [{ filter: 'home/#', qos: 1 }] })
    expect((await words('session', 'show', 'kit chen/1')).out).toMatch(/^ +filter +home\/# \(QoS 1\)$/m)
    const peeked = await words('session', 'peek', 'kit chen/1', '--max', '290', '--json')
    expect(peeked.json.map((m) => m.body)).toEqual(Array.from({ length: 290 }, (_, i) => String(i)))
    expect((await words('session', 'peek', 'kit chen/1')).out.trimEnd().split('\n')).toHaveLength(11)
    expect(await words('session', 'purge', 'kit chen/1')).toMatchObject({ code: 0, out: 'purged 300 messages\n' })
    expect(await words('session', 'peek', 'kit chen/1')).toMatchObject({
      code: 3,
      out: '',
      err: 'Nothing waits for kit chen/1.\n',
    })
    expect(await words('session', 'redrive', 'kit chen/1')).toMatchObject({ code: 0, out: 'redrove 0 messages\n' })
    expect(await words('session', 'delete', 'kit chen/1')).toMatchObject({ code: 0, out: 'deleted kit chen/1\n' })
    expect(await words('session', 'show', 'kit chen/1')).toMatchObject({ code: 3, out: '' })
    expect(await words('session', 'delete', 'kit chen/1')).toMatchObject({ code: 3, out: '' })
  })

  it('shows names from the other end of the world without obeying them', async () => {
    const names = ['温度計-1', 'a\u001b[2J', '\u202eevil', 'ü', '👩‍🚀', '%2e%2e', '?x=1#y', '$x']
    const clients = await Promise.all(names.map((client_id) => MqttClient.connect(app.mqttPort, { client_id, clean: false })))
    const { out } = await aqueduct('session list')
    expect(out).not.toContain('\u001b')
    expect(out).not.toContain('\u202e')
    expect(out).toContain('a\\x1b[2J')
    expect(out).toMatch(/^温度計-1 /m)
    for (const name of names) {
      expect((await words('session', 'show', name, '--json')).json[0]).toMatchObject({ client: name })
      expect(await words('session', 'delete', name)).toMatchObject({ code: 0 })
    }
    for (const client of clients) client.destroy()
    for (const name of ['.', '..', '']) expect(await words('session', 'show', name)).toMatchObject({ code: 1, out: '' })
  })
})

describe('aqueduct trace', () => {
  it('tells which queues hold a message, and who', async () => {
    await app.queues.put('traced')
    const client = await MqttClient.connect(app.mqttPort, { client_id: 'tracer', clean: false })
    await client.subscribe(['traced/#', 1])
    client.destroy()
    await words('bridge', 'put', 'traced', 'traced/#', 'traced')
    const [{ id }] = (await aqueduct('publish traced/a x --json')).json
    const [found] = (await aqueduct(`trace ${id} --json`)).json
    expect(found).toMatchObject({ id, topic: 'traced/a', complete: true })
    expect(found.queues.map((q: { queue: string }) => q.queue).sort()).toEqual(['traced', 'tracer'])
    const { out, code } = await aqueduct(`trace ${id}`)
    expect(code).toBe(0)
    expect(out).toMatch(/^topic +traced\/a$/m)
    expect(out).toMatch(/^traced +pull +ready +0/m)
    expect(await aqueduct('trace ffffffffffff')).toMatchObject({ code: 3, out: '' })
    expect(await aqueduct('trace nonsense')).toMatchObject({ out: '' })
  })
})
