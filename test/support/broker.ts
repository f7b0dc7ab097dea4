/**
 * Brokers for tests over real sockets: the whole program on free ports, or the broker alone on a clock that a test moves.
 */
import { type App, startApp } from '../../src/app.js'
import { type Broker, createBroker } from '../../src/broker/broker.js'
import type { Plugin } from '../../src/broker/plugin.js'
import type { UserOptions } from '../../src/broker/seams.js'
import type { BrokerSettings } from '../../src/broker/settings.js'
import { makeSettings } from '../../src/config/load.js'
import type { SettingsInput } from '../../src/config/schema.js'
import { systemClock } from '../../src/core/clock.js'
import { type Log, silentLog } from '../../src/core/log.js'
import { listenTcp } from '../../src/listeners/tcp.js'
import { type BridgeOptions, type Bridges, bridge, type DelayedLimits } from '../../src/plugins/bridge/index.js'
import { type ConsumersOptions, consumers } from '../../src/plugins/consumers/index.js'
import { type DurableQueues, type DurableQueuesOptions, durableQueues } from '../../src/plugins/durable-queues/index.js'
import { type QosRetryOptions, qosRetry } from '../../src/plugins/qos-retry/index.js'
import { openStore, type Store } from '../../src/store/store.js'
import { ManualClock } from './clock.js'
import { CutDisk } from './cut-disk.js'
import { type ClientOptions, MqttClient, type Packet, packet, type QoS, T } from './mqtt-client.js'

/** The whole program, in memory unless `given` says otherwise. */
export function startTestApp(given: SettingsInput = {}): Promise<App & { readonly mqttPort: number; readonly httpPort: number }> {
  const settings = makeSettings({
    ...given,
    store: { durability: 'memory', ...given.store },
    mqtt: { port: 0, ...given.mqtt },
    http: { port: 0, ...given.http },
  })
  return startApp(settings, { announce: () => {} }) as Promise<App & { readonly mqttPort: number; readonly httpPort: number }>
}

export interface ClockedOptions {
  settings?: Partial<BrokerSettings>
  retry?: Partial<QosRetryOptions>
  limits?: DurableQueuesOptions['limits']
  share?: Partial<ConsumersOptions>
  trace?: DurableQueuesOptions['trace']
  aedes?: UserOptions
  /** Beside those that every broker has. */
  plugins?: readonly Plugin[]
  bridge?: Partial<BridgeOptions>
  delayed?: Partial<DelayedLimits>
  /** An earlier broker's disk: what it committed is there. */
  after?: CutDisk
  /** Instead: the disk itself. */
  disk?: CutDisk
  clock?: ManualClock
  log?: Log
}

export interface ClockedBroker {
  readonly broker: Broker
  readonly clock: ManualClock
  readonly queues: DurableQueues
  readonly bridges: Bridges
  /** The one it stands on now. */
  disk: CutDisk
  readonly port: number
  /** Does what is done when the store failed: connections close, what is committed is opened anew, on a disk that works. */
  reopen(): Promise<void>
  close(): Promise<void>
  /**
   * The process dies: what is not on the disk is lost, and nobody hears a word. Writes that the disk holds are lost or (`applied`) got through unseen.
   * Start another with `after` and `clock`.
   */
  die(applied?: boolean): Promise<void>
}

/** A broker on its listener whose time stands still until `clock.advance`. */
export async function startClocked(o: ClockedOptions = {}): Promise<ClockedBroker> {
  const clock = o.clock ?? new ManualClock()
  const disk = o.disk ?? new CutDisk(o.after?.rows)
  let queues: DurableQueues | undefined
  const probe: Plugin = {
    name: 'probe',
    needs: ['durable-queues'],
    setup(api) {
      queues = api.use<DurableQueues>('durable-queues')
    },
  }
  const broker = await createBroker({
    plugins: [
      durableQueues({
        ...(o.limits === undefined ? {} : { limits: o.limits }),
        ...(o.trace === undefined ? {} : { trace: o.trace }),
      }),
      qosRetry(o.retry ?? {}),
      bridge(o.bridge ?? {}, o.delayed ?? {}),
      ...(o.plugins ?? []),
      consumers({ ...(o.limits === undefined ? {} : { limits: o.limits }), ...o.share }),
      probe,
    ],
    attachStream: () => {},
    settings: o.settings ?? {},
    aedes: o.aedes ?? {},
    clock,
    ...(o.log === undefined ? {} : { log: o.log }),
  })
  const openOn = async (on: CutDisk): Promise<Store> => {
    const options = { path: '', durability: 'fsync', min_free_bytes: 0, max_bytes: 0 } as const
    const opened = await openStore({ ...options, clock, log: o.log ?? silentLog, disk: on })
    await broker.open(opened)
    return opened
  }
  let store = await openOn(disk)
  const listener = await listenTcp({ host: '127.0.0.1', port: 0, accept: broker.accept, clock: systemClock, log: silentLog })
  const started: ClockedBroker = {
    broker,
    clock,
    queues: queues as DurableQueues,
    bridges: broker.offer<Bridges>('bridge') as Bridges,
    disk,
    port: listener.port,
    async reopen() {
      broker.suspend()
      await store.close().catch(() => {})
      started.disk = new CutDisk(started.disk.rows)
      store = await openOn(started.disk)
    },
    async close() {
      await listener.close()
      await broker.close()
      await store.close()
      listener.destroyAll()
    },
    async die(applied = false) {
      disk.cut(applied)
      broker.suspend()
      // They stop what runs by time at once, and wait for the disk for ever.
      void broker.close()
      void store.close()
      const closed = listener.close()
      listener.destroyAll()
      await closed
    },
  }
  return started
}

/** A connection that sent `bytes` and nothing else. */
export async function openWith(port: number, bytes: Buffer, o: ClientOptions = {}): Promise<MqttClient> {
  const client = await MqttClient.open(port, { auto_ack: false, ...o })
  client.send(bytes)
  return client
}

/** Waits for the broker to close; returns what it had sent before, or fails after `limit_ms`. */
export async function untilClosed(client: MqttClient, limit_ms = 10_000): Promise<Packet[]> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the broker did not close within ${limit_ms} ms`)), limit_ms)
  })
  try {
    await Promise.race([client.closed, late])
  } finally {
    clearTimeout(timer)
    client.destroy()
  }
  return client.inbox
}

/** What had arrived, in order, when the broker answered a PINGREQ; the answer itself is left out. */
export async function arrived(client: MqttClient): Promise<Packet[]> {
  await client.ping()
  return client.inbox.splice(0)
}

/** The next `count` packets, in order. */
export async function take(client: MqttClient, count: number): Promise<Packet[]> {
  const all: Packet[] = []
  while (all.length < count) all.push(await client.next())
  return all
}

/** Drops the connection of `client`; resolves when the broker has seen it, too. `other`: a client whose answers give it the time. */
export async function drop(b: ClockedBroker, client: MqttClient, other: MqttClient): Promise<void> {
  const port = `:${client.socket.localPort}`
  client.destroy()
  while ([...b.broker.state.connections].some((c) => c.transport.remote.endsWith(port))) await other.ping()
}

/** The same for deliveries: `topic payload qos retain dup`. */
export async function delivered(client: MqttClient): Promise<string[]> {
  return (await arrived(client)).filter((p) => p.type === T.PUBLISH).map(describe)
}

export function describe(p: Packet): string {
  return `${p.topic} ${p.payload.toString()} q${p.qos}${p.retain ? ' retain' : ''}${p.dup ? ' dup' : ''}`
}

/** Sends `wrong` on a connection that was accepted, and waits for the broker to close it. */
export async function closesOn(port: number, wrong: Buffer, o: ClientOptions = {}): Promise<Packet[]> {
  const client = await MqttClient.connect(port, { auto_ack: false, ...o })
  client.send(wrong)
  return untilClosed(client)
}

export { type ClientOptions, MqttClient, type Packet, packet, type QoS, T }
