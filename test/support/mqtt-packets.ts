/**
 * The bytes of MQTT packets, made and read by hand and independent of the broker's own codec, so that a test of the broker
 * never checks a mistake against itself. Nothing here refuses anything: a test must be able to send what is wrong.
 *
 * A packet is written as MQTT 5 has it when it is given properties, `{}` included; without, as MQTT 3.1.1 has it.
 */
import { type Props, properties, readProperties } from './mqtt-properties.js'

export type { Props } from './mqtt-properties.js'

export type QoS = 0 | 1 | 2

/** Packet types of section 2.2.1, AUTH of MQTT 5. */
export const T = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  AUTH: 15,
} as const

export interface PublishOptions {
  qos?: QoS
  retain?: boolean
  dup?: boolean
  /** Packet identifier; required for QoS 1 and 2 where the bytes alone are made. */
  id?: number
  properties?: Props
}

export interface ConnectOptions {
  client_id?: string
  clean?: boolean
  keepalive_s?: number
  username?: string
  password?: string | Buffer
  will?: { topic: string; payload: string | Buffer; qos?: QoS; retain?: boolean; properties?: Props }
  /** 4 is MQTT 3.1.1, 3 is MQTT 3.1, 5 is MQTT 5. */
  protocol?: 3 | 4 | 5
  /** MQTT 5 only. */
  properties?: Props
}

/** One received packet; fields that its type does not have are 0, '' or empty. */
export interface Packet {
  type: number
  flags: number
  id: number
  topic: string
  payload: Buffer
  qos: QoS
  retain: boolean
  dup: boolean
  /** CONNACK: session present. */
  present: boolean
  /** CONNACK: the return code. MQTT 5: the reason code of whatever has one, 0 where it was left out. */
  code: number
  /** SUBACK: the return codes. MQTT 5: also those of UNSUBACK. */
  codes: number[]
  /** MQTT 5: empty where there are none. */
  properties: Props
}

const EMPTY = Buffer.alloc(0)

function text(value: string | Buffer): Buffer {
  const body = typeof value === 'string' ? Buffer.from(value) : value
  const out = Buffer.allocUnsafe(2 + body.length)
  out.writeUInt16BE(body.length, 0)
  body.copy(out, 2)
  return out
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255])
}

/** The property block of MQTT 5, or nothing. */
function block(props: Props | undefined): Buffer {
  return props === undefined ? EMPTY : properties(props)
}

/** A packet of any first byte and body, with its remaining length. */
function frame(first: number, ...parts: Buffer[]): Buffer {
  let length = 0
  for (const part of parts) length += part.length
  const head = [first]
  let rest = length
  do {
    const low = rest & 127
    rest >>= 7
    head.push(rest > 0 ? low | 128 : low)
  } while (rest > 0)
  return Buffer.concat([Buffer.from(head), ...parts])
}

/** The bytes of each packet. */
export const packet = {
  frame,
  connect(o: ConnectOptions = {}): Buffer {
    let flags = o.clean === false ? 0 : 2
    const five = o.protocol === 5
    const tail = [text(o.client_id ?? '')]
    if (five) tail.unshift(properties(o.properties))
    if (o.will !== undefined) {
      flags |= 4 | ((o.will.qos ?? 0) << 3) | (o.will.retain === true ? 32 : 0)
      if (five) tail.push(properties(o.will.properties))
      tail.push(text(o.will.topic), text(o.will.payload))
    }
    if (o.username !== undefined) {
      flags |= 128
      tail.push(text(o.username))
    }
    if (o.password !== undefined) {
      flags |= 64
      tail.push(text(o.password))
    }
    const level = o.protocol ?? 4
    return frame(0x10, text(level === 3 ? 'MQIsdp' : 'MQTT'), Buffer.from([level, flags]), u16(o.keepalive_s ?? 0), ...tail)
  },
  publish(topic: string | Buffer, payload: string | Buffer, o: PublishOptions = {}): Buffer {
    const qos = o.qos ?? 0
    const body = typeof payload === 'string' ? Buffer.from(payload) : payload
    const first = 0x30 | (o.dup === true ? 8 : 0) | (qos << 1) | (o.retain === true ? 1 : 0)
    return frame(first, text(topic), qos === 0 ? EMPTY : u16(o.id ?? 0), block(o.properties), body)
  },
  /** Each filter with its QoS, or with all the options of MQTT 5 as the byte that they are. */
  subscribe(id: number, filters: readonly (readonly [string | Buffer, number])[], props?: Props): Buffer {
    return frame(0x82, u16(id), block(props), ...filters.flatMap(([filter, options]) => [text(filter), Buffer.from([options])]))
  },
  unsubscribe(id: number, filters: readonly (string | Buffer)[], props?: Props): Buffer {
    return frame(0xa2, u16(id), block(props), ...filters.map((filter) => text(filter)))
  },
  /** PUBACK, PUBREC, PUBREL or PUBCOMP of MQTT 5 with its reason code. */
  ack(type: number, id: number, reason: number, props?: Props): Buffer {
    return frame((type << 4) | (type === T.PUBREL ? 2 : 0), u16(id), Buffer.from([reason]), block(props))
  },
  /** DISCONNECT or AUTH of MQTT 5. */
  reason(type: number, reason: number, props?: Props): Buffer {
    return frame(type << 4, Buffer.from([reason]), block(props))
  },
  puback: (id: number): Buffer => Buffer.from([0x40, 2, id >> 8, id & 255]),
  pubrec: (id: number): Buffer => Buffer.from([0x50, 2, id >> 8, id & 255]),
  pubrel: (id: number): Buffer => Buffer.from([0x62, 2, id >> 8, id & 255]),
  pubcomp: (id: number): Buffer => Buffer.from([0x70, 2, id >> 8, id & 255]),
  pingreq: (): Buffer => Buffer.from([0xc0, 0]),
  disconnect: (): Buffer => Buffer.from([0xe0, 0]),
}

/** Cuts a byte stream into packets. */
export class PacketReader {
  private rest: Buffer = EMPTY
  private readonly five: boolean

  constructor(protocol: 3 | 4 | 5 = 4) {
    this.five = protocol === 5
  }

  /** Every packet that `chunk` completes, in order. Payloads are copies where they must outlive the chunk. */
  push(chunk: Buffer, each: (packet: Packet) => void): void {
    const data = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk])
    let at = 0
    for (;;) {
      let length = 0
      let shift = 0
      let pos = at + 1
      let whole = false
      while (pos < data.length && shift < 28) {
        const byte = data[pos++]
        length |= (byte & 127) << shift
        shift += 7
        if (byte < 128) {
          whole = true
          break
        }
      }
      if (!whole || pos + length > data.length) break
      each(decode(data[at], data.subarray(pos, pos + length), this.five))
      at = pos + length
    }
    this.rest = at === data.length ? EMPTY : Buffer.from(data.subarray(at))
  }
}

function decode(first: number, body: Buffer, five: boolean): Packet {
  const p: Packet = {
    type: first >> 4,
    flags: first & 15,
    id: 0,
    topic: '',
    payload: EMPTY,
    qos: 0,
    retain: false,
    dup: false,
    present: false,
    code: 0,
    codes: [],
    properties: {},
  }
  /** Where the property block ends, for what stands behind it. */
  const after = (at: number): number => {
    if (!five || at >= body.length) return at
    const { given, end } = readProperties(body, at)
    p.properties = given
    return end
  }
  if (p.type === T.PUBLISH) {
    p.qos = ((first >> 1) & 3) as QoS
    p.retain = (first & 1) === 1
    p.dup = (first & 8) === 8
    const end = 2 + body.readUInt16BE(0)
    p.topic = body.toString('utf8', 2, end)
    if (p.qos > 0) p.id = body.readUInt16BE(end)
    p.payload = Buffer.from(body.subarray(after(p.qos > 0 ? end + 2 : end)))
  } else if (p.type === T.CONNACK) {
    p.present = (body[0] & 1) === 1
    p.code = body[1]
    after(2)
  } else if (p.type === T.DISCONNECT || p.type === T.AUTH) {
    p.code = body[0] ?? 0
    after(1)
  } else if (p.type === T.SUBACK || p.type === T.UNSUBACK) {
    p.id = body.readUInt16BE(0)
    p.codes = [...body.subarray(after(2))]
  } else if (body.length >= 2) {
    p.id = body.readUInt16BE(0)
    p.code = body[2] ?? 0
    after(3)
  }
  return p
}
