/**
 * Hostile clients: seeded streams of packets of every version, right, wrong and mutated, cut anywhere, against a live broker, while good clients
 * of both versions check that the broker still does its work.
 */
import * as net from 'node:net'
import { MqttClient, packet, type QoS, T } from '../../support/mqtt-client.js'
import type { Props } from '../../support/mqtt-properties.js'
import { Seeded } from './seeded.js'

export interface FuzzCounts {
  streams: number
  packets: number
  bytes: number
  /** Messages that the good clients have passed on. */
  checked: number
}

const TOPICS = [
  'f/a',
  'f/a/b',
  '',
  '/',
  'f//',
  '#',
  '+',
  'f/#',
  'f/+',
  '$SYS/x',
  '$share/g/f',
  '$queue/q',
  'f/\u00fc',
  '\ufeff',
  'x'.repeat(300),
]
const IDS = [0, 1, 2, 3, 7, 255, 256, 65_535]
const CLIENTS = ['f1', 'f2', 'f3', '', '__proto__', 'constructor', 'f/+/#', 'y'.repeat(100)]

function qosOf(r: Seeded): QoS {
  return r.pick([0, 1, 2] as const)
}

function anyBytes(r: Seeded, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => r.below(256)))
}

const NUMBERS = [0, 1, 2, 5, 32, 33, 65_535, 0xffff_ffff]

/** Properties of MQTT 5, where they belong and where they do not. */
function anyProperties(r: Seeded): Props {
  if (r.chance(0.4)) return {}
  const n = (max = 0xffff_ffff): number => Math.min(r.pick(NUMBERS), max)
  const one = (): Props =>
    r.pick([
      () => ({ topicAlias: n(65_535) }),
      () => ({ topicAlias: 1 + r.below(3) }),
      () => ({ messageExpiryInterval: n() }),
      () => ({ payloadFormatIndicator: r.below(3) }),
      () => ({ contentType: r.pick(TOPICS) }),
      () => ({ responseTopic: r.pick(TOPICS) }),
      () => ({ correlationData: anyBytes(r, r.below(30)) }),
      () => ({ subscriptionIdentifiers: [r.pick([0, 1, 127, 128, 268_435_455])] }),
      () => ({ userProperties: [[r.pick(TOPICS), '__proto__']] as [string, string][] }),
      () => ({ sessionExpiryInterval: n() }),
      () => ({ receiveMaximum: n(65_535) }),
      () => ({ maximumPacketSize: r.pick([0, 1, 4, 20, 60, 1000]) }),
      () => ({ topicAliasMaximum: n(65_535) }),
      () => ({ requestProblemInformation: r.below(3) }),
      () => ({ willDelayInterval: n() }),
      () => ({ authenticationMethod: 'SCRAM-SHA-256' }),
      () => ({ serverReference: 'x' }),
    ])()
  return { ...one(), ...(r.chance(0.5) ? one() : {}) }
}

function connect(r: Seeded, five: boolean): Buffer {
  const will = r.chance(0.4)
    ? {
        topic: r.pick(TOPICS),
        payload: anyBytes(r, r.below(20)),
        qos: qosOf(r),
        retain: r.chance(0.3),
        ...(five ? { properties: anyProperties(r) } : {}),
      }
    : undefined
  return packet.connect({
    client_id: r.pick(CLIENTS),
    clean: r.chance(0.6),
    keepalive_s: r.pick([0, 1, 60, 65_535]),
    protocol: five ? 5 : r.chance(0.8) ? 4 : 3,
    ...(five ? { properties: anyProperties(r) } : {}),
    ...(will === undefined ? {} : { will }),
    ...(r.chance(0.2) ? { username: 'u' } : {}),
    ...(r.chance(0.2) ? { password: 'p' } : {}),
  })
}

function anyPacket(r: Seeded, five: boolean): Buffer {
  const id = r.pick(IDS)
  const properties = five ? anyProperties(r) : undefined
  switch (r.below(12)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const body = anyBytes(r, r.chance(0.05) ? 5000 : r.below(60))
      return packet.publish(r.pick(TOPICS), body, {
        qos: qosOf(r),
        id,
        retain: r.chance(0.2),
        dup: r.chance(0.1),
        ...(properties === undefined ? {} : { properties }),
      })
    }
    case 4:
    case 5:
      return packet.subscribe(
        id,
        Array.from({ length: 1 + r.below(4) }, () => [r.pick(TOPICS), qosOf(r) | (five ? 4 * r.below(12) : 0)] as const),
        properties,
      )
    case 6:
      return packet.unsubscribe(
        id,
        Array.from({ length: 1 + r.below(3) }, () => r.pick(TOPICS)),
        properties,
      )
    case 7:
      if (five && r.chance(0.5))
        return packet.ack(4 + r.below(4), id, r.pick([0, 0x10, 0x80, 0x87, 0x91, 0x92, 0x97, 0xff]), properties)
      return r.pick([packet.puback, packet.pubrec, packet.pubrel, packet.pubcomp])(id)
    case 8:
      return packet.pingreq()
    case 9:
      if (r.chance(0.8)) return packet.pingreq()
      return five ? packet.reason(r.pick([14, 15]), r.pick([0, 4, 0x18, 0x80, 0x8e]), properties) : packet.disconnect()
    case 10:
      return r.chance(0.2) ? connect(r, five) : r.pick([packet.puback, packet.pubrec, packet.pubcomp])(1 + r.below(4))
    default:
      return packet.frame(r.below(256), anyBytes(r, r.below(40)))
  }
}

/** One change of the kind that transmission faults and broken programs make. */
function mutate(r: Seeded, bytes: Buffer): Buffer {
  if (bytes.length === 0) return bytes
  const at = r.below(bytes.length)
  switch (r.below(6)) {
    case 0: {
      const copy = Buffer.from(bytes)
      copy[at] ^= 1 << r.below(8)
      return copy
    }
    case 1: {
      const copy = Buffer.from(bytes)
      copy[at] = r.pick([0, 1, 0x7f, 0x80, 0xff])
      return copy
    }
    case 2:
      return bytes.subarray(0, at)
    case 3:
      return Buffer.concat([bytes.subarray(0, at), anyBytes(r, 1 + r.below(8)), bytes.subarray(at)])
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + r.below(8)))])
    default:
      return Buffer.concat([bytes, bytes.subarray(at)])
  }
}

function stream(r: Seeded, counts: FuzzCounts): Buffer {
  if (r.chance(0.05)) return anyBytes(r, r.below(2000))
  const five = r.chance(0.5)
  const packets = r.chance(0.95) ? [connect(r, five)] : []
  for (let n = r.below(30); n > 0; n--) packets.push(r.chance(0.08) ? mutate(r, anyPacket(r, five)) : anyPacket(r, five))
  counts.packets += packets.length
  const all = Buffer.concat(packets)
  return r.chance(0.1) ? mutate(r, all) : all
}

/** Plays one stream, cut as it comes, on a connection of its own; ends however the broker or the dice want it. */
function play(port: number, bytes: Buffer, r: Seeded): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    if (r.chance(0.9)) socket.resume()
    let at = 0
    const more = (): void => {
      if (socket.destroyed) return
      if (at >= bytes.length) {
        const way = r.below(4)
        if (way < 2) socket.destroy()
        else if (way === 2) socket.end(() => setTimeout(() => socket.destroy(), 20))
        else setTimeout(() => socket.destroy(), 10)
        return
      }
      const end = Math.min(bytes.length, at + (r.chance(0.5) ? bytes.length : 1 + r.below(40)))
      socket.write(bytes.subarray(at, end))
      at = end
      setImmediate(more)
    }
    socket.on('connect', more)
  })
}

/**
 * Runs rounds of `width` streams at once while `goOn` says so. Rejects when the good clients notice anything.
 */
export async function fuzz(port: number, seed: number, width: number, goOn: (round: number) => boolean): Promise<FuzzCounts> {
  const r = new Seeded(seed)
  const counts: FuzzCounts = { streams: 0, packets: 0, bytes: 0, checked: 0 }
  const publisher = await MqttClient.connect(port, { client_id: 'good-publisher', timeout_ms: 20_000 })
  const reader = await MqttClient.connect(port, { client_id: 'good-reader', clean: false, timeout_ms: 20_000 })
  await reader.subscribe(['good/+', 2])
  const five = await MqttClient.connect(port, { client_id: 'good-five', protocol: 5, clean: false, timeout_ms: 20_000 })
  await five.subscribeWith({ subscriptionIdentifiers: [7] }, ['good/+', 2])
  for (let round = 0; goOn(round); round++) {
    const streams = Array.from({ length: width }, () => stream(r, counts))
    const playing = streams.map((bytes) => play(port, bytes, r))
    for (const qos of [0, 1, 2] as const) {
      await publisher.publishAndWait(`good/${qos}`, `${round}`, { qos })
      const p = await reader.expect(T.PUBLISH)
      if (p.topic !== `good/${qos}` || p.payload.toString() !== `${round}` || p.dup)
        throw new Error(`round ${round}: the good reader got ${p.topic} ${p.payload.toString('latin1')}`)
      const q = await five.expect(T.PUBLISH)
      if (q.topic !== p.topic || !q.payload.equals(p.payload) || q.properties.subscriptionIdentifiers?.join() !== '7')
        throw new Error(`round ${round}: the good reader of MQTT 5 got ${q.topic} ${q.payload.toString('latin1')}`)
      counts.checked++
    }
    await Promise.all(playing)
    for (const bytes of streams) counts.bytes += bytes.length
    counts.streams += width
  }
  await reader.disconnect()
  await five.disconnect()
  await publisher.disconnect()
  return counts
}
