/**
 * The bytes of MQTT 3.1.1 packets, made and read by hand and independent of the broker's own codec, so that a test of the broker
 * never checks a mistake against itself. Nothing here refuses anything: a test must be able to send what is wrong.
 */

export type QoS = 0 | 1 | 2

/** Packet types of MQTT 3.1.1 section 2.2.1. */
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
} as const

export interface PublishOptions {
  qos?: QoS
  retain?: boolean
  dup?: boolean
  /** Packet identifier; required for QoS 1 and 2 where the bytes alone are made. */
  id?: number
}

export interface ConnectOptions {
  client_id?: string
  clean?: boolean
  keepalive_s?: number
  username?: string
  password?: string | Buffer
  will?: { topic: string; payload: string | Buffer; qos?: QoS; retain?: boolean }
  /** 4 is MQTT 3.1.1, 3 is MQTT 3.1. */
  protocol?: 3 | 4
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
  /** CONNACK: the return code. */
  code: number
  /** SUBACK: the return codes. */
  codes: number[]
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
    const tail = [text(o.client_id ?? '')]
    if (o.will !== undefined) {
      flags |= 4 | ((o.will.qos ?? 0) << 3) | (o.will.retain === true ? 32 : 0)
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
    return qos === 0 ? frame(first, text(topic), body) : frame(first, text(topic), u16(o.id ?? 0), body)
  },
  subscribe(id: number, filters: readonly (readonly [string, QoS])[]): Buffer {
    return frame(0x82, u16(id), ...filters.flatMap(([filter, qos]) => [text(filter), Buffer.from([qos])]))
  },
  unsubscribe(id: number, filters: readonly string[]): Buffer {
    return frame(0xa2, u16(id), ...filters.map((filter) => text(filter)))
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
      each(decode(data[at], data.subarray(pos, pos + length)))
      at = pos + length
    }
    this.rest = at === data.length ? EMPTY : Buffer.from(data.subarray(at))
  }
}

function decode(first: number, body: Buffer): Packet {
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
  }
  if (p.type === T.PUBLISH) {
    p.qos = ((first >> 1) & 3) as QoS
    p.retain = (first & 1) === 1
    p.dup = (first & 8) === 8
    const end = 2 + body.readUInt16BE(0)
    p.topic = body.toString('utf8', 2, end)
    if (p.qos > 0) p.id = body.readUInt16BE(end)
    p.payload = Buffer.from(body.subarray(p.qos > 0 ? end + 2 : end))
  } else if (p.type === T.CONNACK) {
    p.present = (body[0] & 1) === 1
    p.code = body[1]
  } else if (body.length >= 2) {
    p.id = body.readUInt16BE(0)
    if (p.type === T.SUBACK) p.codes = [...body.subarray(2)]
  }
  return p
}
