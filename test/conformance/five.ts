/** What the tests of MQTT 5 share. They are written from the standard and speak in bytes over real sockets (mqtt-packets.ts). */
import { type ClientOptions, closesOn, MqttClient, openWith, type Packet, packet, T, untilClosed } from '../support/broker.js'
import { field, properties } from '../support/mqtt-properties.js'

export { field, type Props, properties, varint } from '../support/mqtt-properties.js'

/** An MQTT 5 client that is connected; Clean Start unless `clean` is false. */
export function join(port: number, client_id: string, o: ClientOptions = {}): Promise<MqttClient> {
  return MqttClient.connect(port, { protocol: 5, client_id, ...o })
}

const NAMES = new Map(Object.entries(T).map(([name, type]) => [type as number, name]))

/** `DISCONNECT 81`, `CONNACK 0`: name and reason code of each packet. */
export function said(packets: readonly Packet[]): string[] {
  return packets.map((p) => `${NAMES.get(p.type)} ${p.code.toString(16)}`)
}

/** What the broker says to `bytes`, the first of a connection, before it closes. */
export async function answerTo(port: number, bytes: Buffer): Promise<string[]> {
  return said(await untilClosed(await openWith(port, bytes, { protocol: 5 })))
}

/** What the broker says to `wrong` on a connection that is up, before it closes. */
export async function endOf(port: number, wrong: Buffer, o: ClientOptions = {}): Promise<string[]> {
  return said(await closesOn(port, wrong, { protocol: 5, client_id: 'wrong', ...o }))
}

/** A CONNECT put together by hand: anything may be wrong in it. `fields` is the payload, client identifier included. */
export function connectBy(o: { name?: string; level?: number; flags?: number; props?: Buffer; fields?: Buffer[] }): Buffer {
  const head = Buffer.from([o.level ?? 5, o.flags ?? 2, 0, 0])
  return packet.frame(0x10, field(o.name ?? 'MQTT'), head, o.props ?? properties(), ...(o.fields ?? [field('by-hand')]))
}

/** Every class of bytes that is not UTF-8 [Unicode table 3-7], and U+0000. */
export const ILL_FORMED: readonly Buffer[] = [
  [0x61, 0x00],
  [0x80],
  [0xc0, 0x80],
  [0xc0, 0xaf],
  [0xe0, 0x9f, 0xbf],
  [0xed, 0xa0, 0x80],
  [0xed, 0xbf, 0xbf],
  [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80],
  [0xf0, 0x8f, 0xbf, 0xbf],
  [0xf4, 0x90, 0x80, 0x80],
  [0xff],
  [0xc3],
  [0xe2, 0x28, 0xa1],
].map((bytes) => Buffer.from(bytes))

/** The options byte of a subscription. */
export function options(o: { qos?: number; noLocal?: boolean; asPublished?: boolean; handling?: number }): number {
  return (o.qos ?? 0) | (o.noLocal === true ? 4 : 0) | (o.asPublished === true ? 8 : 0) | ((o.handling ?? 0) << 4)
}
