/** What the byte-level suites of MQTT 5 share: one clocked broker per test, ended after it, and clients that acknowledge nothing by themselves. */
import { afterEach, expect } from 'vitest'
import type { BrokerSettings } from '../../src/broker/settings.js'
import {
  arrived,
  type ClientOptions,
  type ClockedBroker,
  type ClockedOptions,
  MqttClient,
  type Packet,
  startClocked,
  T,
  untilClosed,
} from './broker.js'

let running: ClockedBroker | undefined

/** Ends the test's broker, if it has one. What it stored is in the `disk` of what `broker` returned before. */
export async function stop(): Promise<void> {
  await running?.close()
  running = undefined
}
afterEach(stop)

/** Starts the test's broker and returns its port. */
export async function start(settings: Partial<BrokerSettings> = {}, o: ClockedOptions = {}): Promise<number> {
  running = await startClocked({ ...o, settings })
  return running.port
}

/** The broker that `start` started. */
export function broker(): ClockedBroker {
  if (running === undefined) throw new Error('no broker was started')
  return running
}

export const connect = (port: number, o: ClientOptions = {}): Promise<MqttClient> =>
  MqttClient.connect(port, { protocol: 5, auto_ack: false, ...o })

/** The deliveries that had arrived when the broker answered a PINGREQ. */
export const publishes = async (client: MqttClient): Promise<Packet[]> =>
  (await arrived(client)).filter((p) => p.type === T.PUBLISH)

/** The reason of the DISCONNECT that ends a connection which was accepted. */
export async function disconnectReason(client: MqttClient): Promise<number> {
  const last = (await untilClosed(client)).at(-1)
  expect(last?.type).toBe(T.DISCONNECT)
  return last?.code ?? -1
}
