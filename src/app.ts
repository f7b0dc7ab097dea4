/**
 * The composition root: builds the rooms, hands them to each other, and keeps them standing on a store that may fail and be opened again.
 * The only file that imports every room.
 */

import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { getHeapStatistics } from 'node:v8'
import { metricsOf } from './app-metrics.js'
import { scram } from './auth/index.js'
import { type Aedes, type Broker, createBroker } from './broker/broker.js'
import { refuseOverlap } from './broker/import/folder.js'
import { type Imported, importAedes as importInto } from './broker/import/import.js'
import { openSource } from './broker/import/source.js'
import type { Plugin } from './broker/plugin.js'
import type { UserOptions } from './broker/seams.js'
import type { BrokerSettings } from './broker/settings.js'
import type { Settings } from './config/schema.js'
import { type Consume, Consumers } from './consumers.js'
import { systemClock } from './core/clock.js'
import { AqueductError } from './core/errors.js'
import { type Log, silentLog } from './core/log.js'
import { version } from './core/version.js'
import { socketPlaces } from './descriptors.js'
import { apiDoor } from './http/api/index.js'
import { type HttpListener, startHttp } from './http/server.js'
import { Closing } from './listeners/closing.js'
import { hostRule, originRule } from './listeners/origins.js'
import { Places } from './listeners/places.js'
import { acceptStream } from './listeners/stream.js'
import { listenTcp, type TcpListener } from './listeners/tcp.js'
import { createWebSocketListener } from './listeners/websocket.js'
import { createOperations, type Operations } from './operations/operations.js'
import { bridge } from './plugins/bridge/index.js'
import { consumers as competingConsumers } from './plugins/consumers/index.js'
import { durableQueues } from './plugins/durable-queues/index.js'
import { qosRetry } from './plugins/qos-retry/index.js'
import { Standing } from './standing.js'
import type { StoreOptions } from './store/store.js'

/** What handlers of `consume` get to finish when the broker closes. */
const CONSUMERS_STOP_MS = 2_000

/** A broker on its store, without listeners: what a program builds on. */
export interface AqueductOptions {
  /** Where and how firmly messages are kept. Default: `./data`, flushed before each acknowledgement. */
  readonly store?: Partial<Omit<StoreOptions, 'clock' | 'log' | 'disk'>>
  /** Default: `durableQueues()`, `qosRetry()`, `bridge()` and `consumers()`. Given, it must bring something that keeps messages and something that delivers them. */
  readonly plugins?: readonly Plugin[]
  readonly broker?: Partial<BrokerSettings>
  /** Hooks and other options of Aedes (`authenticate`, `authorizePublish`, …). */
  readonly aedes?: UserOptions
  readonly log?: Log
}

export interface Aqueduct extends Operations {
  readonly broker: Broker
  /** An `Aedes` instance: hooks, events, `handle(stream)`, `publish`, `subscribe`. */
  readonly aedes: Aedes
  readonly standing: Standing
  /** Calls a function for each message of a queue, several at a time; acknowledges what it did. */
  readonly consume: Consume
  /** Stops consumers, ends clients (their wills go out), commits what is under way, closes the store. */
  close(): Promise<void>
}

/** Opens the store and builds the broker on it. Rejects with an `AqueductError`, and leaves nothing open then. */
export async function createAqueduct(o: AqueductOptions = {}): Promise<Aqueduct> {
  const log = o.log ?? silentLog
  const closing = new Closing(systemClock)
  const broker = await createBroker({
    plugins: o.plugins ?? [durableQueues(), qosRetry(), bridge(), competingConsumers()],
    attachStream: (stream, request, accept) => void acceptStream(stream, request, { accept, closing, log }),
    settings: withMemory(o.broker ?? {}),
    aedes: o.aedes ?? {},
    log,
  })
  const store = { path: './data', durability: 'fsync', min_free_bytes: 128 * 1024 * 1024, max_bytes: 0, ...o.store } as const
  const standing = new Standing(broker, { ...store, clock: systemClock, log }, log)
  const operations = createOperations(broker)
  const consumers = new Consumers(operations.queues)
  const close = async (): Promise<void> => {
    await consumers.stop(CONSUMERS_STOP_MS)
    await broker.close()
    await standing.close()
  }
  try {
    await standing.open()
  } catch (error) {
    await close()
    throw error
  }
  return { broker, aedes: broker.aedes as unknown as Aedes, standing, ...operations, consume: consumers.consume, close }
}

/** Shares of the heap for what a start must hold; what is said by hand stands. The rest is for messages on their way, and for work. */
function withMemory(given: Partial<BrokerSettings>): Partial<BrokerSettings> {
  const heap_bytes = getHeapStatistics().heap_size_limit
  return {
    ...given,
    session_memory_bytes: given.session_memory_bytes || Math.floor(heap_bytes / 4),
    retained_memory_bytes: given.retained_memory_bytes || Math.floor(heap_bytes / 8),
  }
}

export interface AppOptions {
  readonly log?: Log
  /** Told once per open listener: `mqtt listening on 127.0.0.1:1883`. Default: a line on stdout. */
  readonly announce?: (line: string) => void
}

export interface App extends Aqueduct {
  /** Ports that are open; undefined for a listener that is off. */
  readonly mqttPort: number | undefined
  readonly httpPort: number | undefined
}

/** Starts the whole program: store first, listeners last. Rejects with an `AqueductError` and leaves nothing half started. */
export async function startApp(settings: Settings, o: AppOptions = {}): Promise<App> {
  const log = o.log ?? silentLog
  const clock = systemClock
  const announce = o.announce ?? ((line: string) => void process.stdout.write(`${line}\n`))
  const sockets = socketPlaces()
  const aqueduct = await createAqueduct({ ...optionsOf(settings, sockets), log })
  const { broker, standing } = aqueduct
  const { accept, state } = broker
  const { refusals } = state
  const places = new Places(sockets, () => refusals.count('file_descriptors'))
  places.makeRoom = () => state.knocking.makeRoom()
  let mqtt: TcpListener | undefined
  let http: HttpListener | undefined
  const { allow_origins } = settings.http
  const isOurs = hostRule(settings.http.host, allow_origins)
  const guard = { mayAsk: originRule(allow_origins, isOurs) }
  const webSockets = createWebSocketListener({
    accept,
    clock,
    log,
    paths: settings.http.websocket_paths,
    mayConnect: guard.mayAsk,
  })
  const close = async (): Promise<void> => {
    // No new work first; then the clients, whose wills still go into the store; then the store.
    const closed = [mqtt?.close(), http?.close()]
    webSockets.close()
    await aqueduct.close()
    mqtt?.destroyAll()
    webSockets.destroyAll()
    await Promise.all(closed)
  }
  try {
    const { host, port } = settings.mqtt
    if (port !== 'off') mqtt = await listenTcp({ host, port, setting: 'mqtt.port', accept, places, clock, log })
    if (settings.http.port !== 'off') {
      http = await startHttp({
        host: settings.http.host,
        port: settings.http.port,
        readiness: () => standing.readiness(),
        metrics: metricsOf(broker, standing, clock),
        doors: [apiDoor({ ...settings.http, operations: aqueduct, refusals, guard, version: version() })],
        isOurs,
        // So that HTTP leaves most sockets to MQTT.
        max_connections: Math.min(settings.http.max_connections, Math.ceil(sockets / 4)),
        max_sending_bytes: settings.http.max_sending_bytes,
        places,
        refusals,
        upgrade: webSockets.upgrade,
        mayAsk: guard.mayAsk,
        clock,
        log,
      })
    }
  } catch (error) {
    await close()
    throw error
  }
  if (mqtt !== undefined) announce(`mqtt listening on ${mqtt.address}`)
  if (http !== undefined) announce(`http listening on ${http.address}`)
  return { ...aqueduct, mqttPort: mqtt?.port, httpPort: http?.port, close }
}

/** `sockets`: as many as the system allows. Some are left for those who knock, and for HTTP. */
function optionsOf(
  { store, mqtt, session, queue, trace, retry, bridge: rules, delayed, auth, share, retained }: Settings,
  sockets = Number.POSITIVE_INFINITY,
): AqueductOptions {
  const limits = { max_messages: session.max_messages, max_bytes: session.max_bytes, overflow: session.overflow }
  return {
    store: { ...store, max_bytes: Number.isFinite(store.max_bytes) ? store.max_bytes : 0 },
    plugins: [
      durableQueues({ limits, queue, trace }),
      qosRetry(retry),
      bridge(rules, delayed),
      ...(auth.scram_file === null ? [] : [scram({ file: auth.scram_file, required: auth.scram_required })]),
      competingConsumers({ ...share, limits, auto_queues: rules.max_auto_queues > 0 ? rules.auto_rules : 'no' }),
    ],
    broker: {
      ...mqtt,
      max_connections: Math.min(mqtt.max_connections, Math.max(1, Math.floor((sockets * 3) / 4))),
      session_expiry_s: session.expiry_s,
      max_sessions: session.max_sessions,
      max_subscriptions: session.max_subscriptions,
      max_all_subscriptions: session.max_all_subscriptions,
      session_memory_bytes: session.max_memory_bytes,
      retained_memory_bytes: retained.max_memory_bytes,
      retained_max_messages: retained.max_messages,
      retained_max_bytes: retained.max_bytes,
    },
  }
}

/**
 * Reads a folder of aedes-persistence-level 9.2 into the store of `settings`, which must be empty. The folder is copied, not opened: nothing in it
 * changes; a broker that still uses it must be stopped. Throws `store_damaged`, `store_locked`, `store_full` or `bad_setting`. `warn`: told what was
 * left behind, a line each.
 */
export async function importAedes(
  folder: string,
  settings: Settings,
  warn: (line: string) => void = (line) => console.warn(line),
): Promise<Imported> {
  const { path, durability } = settings.store
  if (durability === 'memory')
    throw new AqueductError(
      'bad_setting',
      'store.durability is "memory": an import would be gone at once. Allowed here: fsync, os.',
    )
  await refuseOverlap(folder, path)
  await mkdir(path, { recursive: true, mode: 0o700 })
  const source = await openSource(folder, await mkdtemp(join(path, 'import-')))
  try {
    const aqueduct = await createAqueduct(optionsOf(settings))
    try {
      const imported = await importInto(aqueduct.broker.state, source, path)
      for (const line of imported.warnings) warn(line)
      return imported
    } finally {
      await aqueduct.close()
    }
  } finally {
    await source.close()
  }
}
