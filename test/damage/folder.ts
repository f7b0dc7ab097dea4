/** A store with rows of every kind, a way to damage it, and what comes out of it. */
import type { Log } from '../../src/core/log.js'
import type { Disk, Row } from '../../src/store/disk.js'
import { everything } from '../../src/store/keys.js'
import { MemoryDisk } from '../../src/store/memory.js'
import { type ClockedBroker, delivered, MqttClient, packet, startClocked, T } from '../support/broker.js'
import { ManualClock } from '../support/clock.js'
import { CutDisk } from '../support/cut-disk.js'
import { message } from '../support/store.js'

const TRACE = { retain_s: 10_000, max_bytes: 1_000_000 }
export const SETTINGS = { settings: { session_expiry_s: 100_000 }, retry: { interval_ms: 0 }, trace: TRACE } as const

export interface Folder {
  readonly rows: readonly Row[]
  /** When the machine stopped. */
  readonly now: number
}

/** What comes out: by place, a line per message. */
export type Outcome = Record<string, string[]>

/** A line of the log. */
export interface Line {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: object
  readonly text: string
}

export function listen(): { log: Log; lines: Line[] } {
  const lines: Line[] = []
  const at =
    (level: Line['level']) =>
    (fields: object, text: string): void =>
      void lines.push({ level, fields, text })
  return { log: { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') }, lines }
}

async function checkpoint(b: ClockedBroker): Promise<void> {
  const { store } = b.broker.state.stored as { store: { journal: { flush(): Promise<void> } } }
  b.queues.engine?.log.checkpoint.request()
  await store.journal.flush()
}

/** Runs a broker through all that it stores, and ends it in the middle. */
export async function build(): Promise<Folder> {
  const b = await startClocked(SETTINGS)
  const pub = await MqttClient.connect(b.port, { client_id: 'pub' })
  const dev = await MqttClient.connect(b.port, { client_id: 'dev', clean: false, auto_ack: false })
  await dev.subscribe(['m/#', 2], ['other/+', 1])
  const five = { protocol: 5, clean: false, properties: { sessionExpiryInterval: 50_000 } } as const
  const shared = await MqttClient.connect(b.port, { client_id: 'shared', ...five })
  await shared.subscribe(['$share/group/m/#', 1])
  shared.destroy()
  await shared.closed
  while ([...b.broker.state.connections].some((c) => c.id === 'shared')) await pub.ping()
  b.bridges.put('rule', { filter: 'm/#', queue: 'keyed', key: '{topic}' })
  for (let i = 0; i < 5; i++) await pub.publishAndWait(`r/${i}`, `retained ${i}`, { qos: 1, retain: true })
  for (let i = 0; i < 24; i++) await pub.publishAndWait(`m/${i % 3}`, `message ${i}`, { qos: i % 4 === 3 ? 2 : 1 })
  const first = (await delivering(dev, 24)).slice(0, 8)
  for (const p of first) dev.send(p.qos === 1 ? packet.puback(p.id) : packet.pubrec(p.id))
  while (dev.inbox.filter((p) => p.type === T.PUBREL).length < 2) await dev.ping()
  dev.send(packet.pubcomp(dev.inbox.filter((p) => p.type === T.PUBREL)[0].id))
  await dev.ping()
  await checkpoint(b)
  for (let i = 24; i < 40; i++) await pub.publishAndWait(`m/${i % 3}`, `message ${i}`, { qos: 1 })
  for (const p of (await delivering(dev, 8)).slice(0, 2)) dev.send(packet.puback(p.id))
  await dev.ping()
  await fillPull(b)
  const will = { topic: 'w/will', payload: 'the will', qos: 1, properties: { willDelayInterval: 500 } } as const
  await MqttClient.connect(b.port, { client_id: 'willed', ...five, will })
  const half = await MqttClient.connect(b.port, { client_id: 'half', clean: false })
  half.publish('m/0', 'half', { qos: 2, id: 77 })
  await half.expect(T.PUBREC)
  await b.queues.ordered?.committed()
  const { clock, disk } = b
  const now = clock.now()
  await b.die(true)
  const rows: Row[] = []
  for await (const { key, value } of disk.rows.scan(everything)) rows.push({ key, value: Buffer.from(value) })
  return { rows, now }
}

/** The PUBLISH packets that have come, once there are `count` more. */
async function delivering(client: MqttClient, count: number): Promise<{ id: number; qos: number }[]> {
  const got: { id: number; qos: number }[] = []
  while (got.length < Math.min(count, 24)) got.push(await client.expect(T.PUBLISH))
  return got
}

async function fillPull(b: ClockedBroker): Promise<void> {
  const { ordered } = b.queues
  if (ordered === undefined) throw new Error('no queues')
  const pull = ordered.create('pull', 'pull', { retain_s: 10_000, lease_ms: 5_000 })
  for (let i = 0; i < 12; i++) {
    const more = { priority: 1 + (i % 3), dedup_id: `id ${i}`, ...(i % 4 === 3 ? { delay_ms: 60_000 } : {}) }
    pull.send([{ view: message(`pulled ${i}`), ...more }])
    await ordered.committed()
  }
  const got = await pull.receive({ max: 4 })
  pull.ack(got.slice(0, 2).map((d) => d.receipt))
  const last = ordered.create('latest', 'pull', { last_value: true, fifo: true })
  for (let i = 0; i < 6; i++) last.send([{ view: message(`latest ${i}`), key: `k${i % 2}` }])
  await ordered.committed()
}

export function diskOf(rows: readonly Row[]): MemoryDisk {
  const disk = new MemoryDisk()
  void disk.write(
    rows.map(({ key, value }) => ({ type: 'put', key, value })),
    false,
  )
  return disk
}

export interface Served {
  readonly outcome: Outcome
  readonly lines: Line[]
  /** Messages that left as damaged, by kind of queue. */
  readonly damaged: Record<string, number>
  readonly damagedRows: ReadonlyMap<string, number>
  readonly present: Record<string, boolean>
  readonly disk: Disk
}

/** Starts on `rows` and takes everything out. Rejects when the start is refused. */
export async function serve(folder: Folder, rows: readonly Row[]): Promise<Served> {
  const { log, lines } = listen()
  const disk = diskOf(rows)
  const b = await startClocked({ ...SETTINGS, clock: new ManualClock(folder.now), after: new CutDisk(disk), log })
  try {
    const outcome: Outcome = {}
    const present: Record<string, boolean> = {}
    for (const id of ['dev', 'shared', 'half']) {
      const more = id === 'shared' ? ({ protocol: 5, properties: { sessionExpiryInterval: 50_000 } } as const) : {}
      const client = await MqttClient.connect(b.port, { client_id: id, clean: false, ...more })
      present[id] = client.connack?.present === true
      outcome[id] = await all(client)
      client.destroy()
      await client.closed
    }
    const reader = await MqttClient.connect(b.port, { client_id: 'reader' })
    await reader.subscribe(['r/#', 1], ['w/#', 1])
    outcome.retained = (await all(reader)).sort()
    b.clock.advance(60_000)
    for (const name of ['keyed', 'pull', 'latest']) outcome[name] = await drain(b, name)
    b.clock.advance(440_250)
    outcome.will = await all(reader)
    b.clock.advance(1_000)
    const left = b.queues.departures()
    const damaged = Object.fromEntries(Object.entries(left).map(([kind, tally]) => [kind, tally.damaged]))
    const damagedRows = b.broker.state.stored?.store.damage.byKind ?? new Map()
    return { outcome, lines, damaged, damagedRows, present, disk }
  } finally {
    await b.close()
  }
}

async function all(client: MqttClient): Promise<string[]> {
  const lines: string[] = []
  for (let quiet = 0; quiet < 3; ) {
    const got = await delivered(client)
    quiet = got.length === 0 ? quiet + 1 : 0
    lines.push(...got)
  }
  return lines.map((line) => line.replace(/ q\d.*/, ''))
}

async function drain(b: ClockedBroker, name: string): Promise<string[]> {
  const queue = b.queues.ordered?.get(name)
  const texts: string[] = []
  for (let empty = 0; queue !== undefined && empty < 3; ) {
    const got = await queue.receive({ max: 256 })
    empty = got.length === 0 ? empty + 1 : 0
    for (const { message: m } of got) if (m !== undefined) texts.push(m.buffer.toString('utf8', m.payloadStart, m.end))
    queue.ack(got.map((d) => d.receipt))
    await queue.committed()
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  return texts
}
