/**
 * A cursor over one packet's body, for the packets where clarity beats speed (CONNECT, SUBSCRIBE, property blocks …). It never
 * looks at a byte at or beyond `end`, copies what it returns, and throws a `PacketFault` (0x81) for whatever does not fit.
 */
import { malformed } from './faults.js'
import { isMqttUtf8 } from './utf8.js'

export class Reader {
  readonly buf: Buffer
  pos: number
  readonly end: number

  constructor(buf: Buffer, start: number, end: number) {
    this.buf = buf
    this.pos = start
    this.end = end
  }

  get left(): number {
    return this.end - this.pos
  }

  u8(): number {
    return this.buf[this.take(1)]
  }

  u16(): number {
    const at = this.take(2)
    return (this.buf[at] << 8) | this.buf[at + 1]
  }

  u32(): number {
    return this.buf.readUInt32BE(this.take(4))
  }

  /** A variable byte integer of one to four bytes, the fewest that hold the value [MQTT-1.5.5-1]. */
  varint(): number {
    let value = 0
    for (let i = 0; i < 4; i++) {
      const byte = this.u8()
      value |= (byte & 0x7f) << (7 * i)
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw malformed('variable byte integer is longer than needed')
        return value
      }
    }
    throw malformed('variable byte integer is longer than four bytes')
  }

  /** A length-prefixed string; ill-formed UTF-8 and U+0000 are faults. `what` names it in the fault's text. */
  string(what: string): string {
    const length = this.u16()
    const at = this.take(length)
    if (!isMqttUtf8(this.buf, at, this.pos)) throw malformed(`${what} is not valid UTF-8`)
    return this.buf.toString('utf8', at, this.pos)
  }

  /** Length-prefixed bytes, copied. */
  binary(): Buffer {
    const length = this.u16()
    const at = this.take(length)
    return Buffer.from(this.buf.subarray(at, this.pos))
  }

  /** Throws when bytes are left: nothing may follow a packet's last field. */
  finish(what: string): void {
    if (this.pos !== this.end) throw malformed(`${what} has bytes after its last field`)
  }

  /** Steps over `bytes` and returns where they start. */
  take(bytes: number): number {
    const at = this.pos
    if (at + bytes > this.end) throw malformed('packet is shorter than its fields')
    this.pos = at + bytes
    return at
  }
}
