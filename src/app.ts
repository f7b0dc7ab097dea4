/**
 * The composition root: builds the rooms, hands them to each other, and keeps them standing on a store that may fail and be opened again.
 * The only file that imports every room.
 */

import { metricsOf } from './app-metrics.js'
import { type Broker, createBroker } from './broker/broker.js'
import type { Settings } from './config/schema.js'
import { systemClock } from './core/clock.js'
import { type Log, silentLog } from './core/log.js'
import { type HttpListener, startHttp } from './http/server.js'
import { Closing } from './listeners/closing.js'
import { acceptStream } from './listeners/stream.js'
import { listenTcp, type TcpListener } from './listeners/tcp.js'
import { createWebSocketListener } from './listeners/websocket.js'
import { durableQueues } from './plugins/durable-queues/index.js'
import { qosRetry } from './plugins/qos-retry/index.js'
import { Standing } from './standing.js'

export interface AppOptions {
  readonly log?: Log
  /** Told once per open listener: `mqtt listening on 127.0.0.1:1883`. Default: a line on stdout. */
  readonly announce?: (line: string) => void
}

export interface App {
  readonly broker: Broker
  /** Ports that are open; undefined for a listener that is off. */
  readonly mqttPort: number | undefined
  readonly httpPort: number | undefined
  /** Closes listeners, ends clients, commits what is under way and closes the store. */
  close(): Promise<void>
}

/** Starts everything: store first, listeners last. Rejects with an `AqueductError` and leaves nothing half started. */
export async function startApp(settings: Settings, o: AppOptions = {}): Promise<App> {
  const log = o.log ?? silentLog
  const clock = systemClock
  const announce = o.announce ?? ((line: string) => void process.stdout.write(`${line}\n`))
  const broker = await makeBroker(settings, log)
  const standing = new Standing(broker, storeOptions(settings, log), log)
  let mqtt: TcpListener | undefined
  let http: HttpListener | undefined
  const webSockets = createWebSocketListener({
    accept: broker.accept,
    clock,
    log,
    max_message_bytes: settings.mqtt.max_packet_bytes + 5,
  })
  const stop = async (): Promise<void> => {
    // No new work first; then the clients, whose wills still go into the store; then the store.
    const closed = [mqtt?.close(), http?.close()]
    webSockets.close()
    await broker.close()
    await standing.close()
    mqtt?.destroyAll()
    webSockets.destroyAll()
    await Promise.all(closed)
  }
  try {
    await standing.open()
    if (settings.mqtt.port !== 'off') {
      mqtt = await listenTcp({
        host: settings.mqtt.host,
        port: settings.mqtt.port,
        setting: 'mqtt.port',
        accept: broker.accept,
        clock,
        log,
      })
    }
    if (settings.http.port !== 'off') {
      const metrics = metricsOf(broker, standing, clock)
      const readiness = () => standing.readiness()
      http = await startHttp({
        host: settings.http.host,
        port: settings.http.port,
        readiness,
        metrics,
        upgrade: webSockets.upgrade,
        clock,
        log,
      })
    }
  } catch (error) {
    await stop()
    throw error
  }
  if (mqtt !== undefined) announce(`mqtt listening on ${mqtt.address}`)
  if (http !== undefined) announce(`http listening on ${http.address}`)
  return { broker, mqttPort: mqtt?.port, httpPort: http?.port, close: stop }
}

function makeBroker(settings: Settings, log: Log): Promise<Broker> {
  const { mqtt, session, retry } = settings
  const closing = new Closing(systemClock)
  return createBroker({
    plugins: [
      durableQueues({ limits: { max_messages: session.max_messages, max_bytes: session.max_bytes, overflow: session.overflow } }),
      qosRetry({ interval_ms: retry.interval_ms, max_attempts: retry.max_attempts }),
    ],
    attachStream: (stream, request, accept) => void acceptStream(stream, request, { accept, closing, log }),
    settings: {
      window: mqtt.window,
      max_inbound_qos2: mqtt.max_inbound_qos2,
      max_packet_bytes: mqtt.max_packet_bytes,
      max_topic_levels: mqtt.max_topic_levels,
      max_output_bytes: mqtt.max_output_bytes,
      max_keepalive_s: mqtt.max_keepalive_s,
      connect_timeout_s: mqtt.connect_timeout_s,
      deny_subscribe: mqtt.deny_subscribe,
      session_expiry_s: session.expiry_s,
    },
    log,
  })
}

function storeOptions(settings: Settings, log: Log): ConstructorParameters<typeof Standing>[1] {
  const { path, durability, min_free_bytes, max_bytes } = settings.store
  return { path, durability, min_free_bytes, max_bytes: Number.isFinite(max_bytes) ? max_bytes : 0, clock: systemClock, log }
}
