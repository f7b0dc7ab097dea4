/**
 * Stands before the receiver of `ws`, which collects a message until it is whole, and gives it none that would have to be collected: what a binary message
 * carries is passed on as it comes, each stretch as a frame of its own. MQTT knows nothing of frames [MQTT-6.0.0-2], so nothing is lost by that, and a
 * message may be as long as it likes, in as many parts.
 *
 * Always true:
 * - the payloads of binary frames leave in order, whole, and before what came behind them; control frames and text leave as they came;
 * - a binary frame that leaves is final, has at most `FRAME_BYTES_MAX`, and leaves whole within one call;
 * - what `ws` would refuse it still gets to see and refuses;
 * - nothing is kept but the beginning of a header: less than 14 bytes.
 */

/** The largest frame that is passed on: set it as the receiver's bound. */
export const FRAME_BYTES_MAX = 65_536

const CONTINUATION = 0
const TEXT = 1
const BINARY = 2
const CLOSE = 8
const FIN = 0x80
const RESERVED = 0x70
const MASKED = 0x80

export class FrameCutter {
  private readonly pass: (bytes: Buffer) => boolean
  /** A header of which not all has come. */
  private head: Buffer | null = null
  /** Payload bytes of the frame that has begun, still to come. */
  private left = 0
  /** Of these, passed on as they are; else each stretch gets a header of its own. */
  private plain = true
  /** Bytes of it that have left, as far as the mask knows: 0 to 3. */
  private done = 0
  private readonly mask = Buffer.alloc(4)
  /** Inside a binary message that comes in parts. */
  private parts = false
  /** The frame that has begun says goodbye: nothing is read behind it. */
  private closing = false
  private over = false

  /** `pass` hands bytes to the receiver; false when it would like a pause. */
  constructor(pass: (bytes: Buffer) => boolean) {
    this.pass = pass
  }

  /** Bytes from the socket. False when the receiver would like a pause. */
  take(chunk: Buffer): boolean {
    if (this.over) return true
    const buf = this.head === null ? chunk : Buffer.concat([this.head, chunk])
    this.head = null
    let goOn = true
    // Of what is before `pos`, the bytes from `from` on have not left yet: they leave together, as they are.
    let from = 0
    let pos = 0
    while (pos < buf.length) {
      if (this.left === 0) {
        const bytes = headerBytes(buf, pos)
        if (bytes === 0) break
        if (this.closing) {
          this.over = true
          return this.passOn(buf, from, pos) && goOn
        }
        if (!this.begin(buf, pos, bytes)) {
          goOn = this.passOn(buf, from, pos) && goOn
          from = pos + bytes
        }
        pos += bytes
        continue
      }
      const end = Math.min(buf.length, pos + this.left)
      this.left -= end - pos
      if (!this.plain) {
        goOn = this.passStretches(buf, pos, end) && goOn
        from = end
      }
      pos = end
    }
    goOn = this.passOn(buf, from, pos) && goOn
    if (pos < buf.length) this.head = Buffer.from(buf.subarray(pos))
    return goOn
  }

  /** A frame begins. False when its header is left out: each stretch of its payload has one of its own. */
  private begin(buf: Buffer, pos: number, bytes: number): boolean {
    const first = buf[pos]
    const opcode = first & 0x0f
    const length = payloadBytes(buf, pos)
    const sound = (first & RESERVED) === 0 && (buf[pos + 1] & MASKED) !== 0 && length <= Number.MAX_SAFE_INTEGER
    this.plain = true
    this.left = length
    this.closing = opcode === CLOSE
    // Inside a binary message only its parts and control frames may come. The receiver does not know of the message: a part of none is as wrong for it.
    if (this.parts && (opcode === BINARY || opcode === TEXT)) buf[pos] = first & ~0x0f
    else if (sound && opcode === (this.parts ? CONTINUATION : BINARY)) {
      const final = (first & FIN) !== 0
      this.plain = final && opcode === BINARY && length <= FRAME_BYTES_MAX && pos + bytes + length <= buf.length
      this.parts = !final
      this.done = 0
      if (!this.plain) buf.copy(this.mask, 0, pos + bytes - 4, pos + bytes)
    }
    return this.plain
  }

  private passOn(buf: Buffer, from: number, to: number): boolean {
    if (from === to) return true
    return this.pass(from === 0 && to === buf.length ? buf : buf.subarray(from, to))
  }

  /** A stretch of the payload of one frame, in as many frames as it needs. */
  private passStretches(buf: Buffer, start: number, end: number): boolean {
    let goOn = true
    for (let at = start; at < end; ) {
      const to = Math.min(end, at + FRAME_BYTES_MAX)
      goOn = this.pass(this.header(to - at)) && goOn
      goOn = this.pass(buf.subarray(at, to)) && goOn
      this.done = (this.done + to - at) & 3
      at = to
    }
    return goOn
  }

  private header(length: number): Buffer {
    const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8
    const header = Buffer.allocUnsafe(6 + extended)
    header[0] = FIN | BINARY
    header[1] = MASKED | (extended === 0 ? length : extended === 2 ? 126 : 127)
    if (extended === 2) header.writeUInt16BE(length, 2)
    else if (extended === 8) {
      header.writeUInt32BE(0, 2)
      header.writeUInt32BE(length, 6)
    }
    // The mask goes on where the stretch before this one ended.
    for (let i = 0; i < 4; i++) header[2 + extended + i] = this.mask[(this.done + i) & 3]
    return header
  }
}

/** Bytes of the header at `pos`; 0 when it is not there whole. */
function headerBytes(buf: Buffer, pos: number): number {
  if (pos + 2 > buf.length) return 0
  const second = buf[pos + 1]
  const low = second & 0x7f
  const bytes = 2 + (low < 126 ? 0 : low === 126 ? 2 : 8) + ((second & MASKED) === 0 ? 0 : 4)
  return pos + bytes > buf.length ? 0 : bytes
}

function payloadBytes(buf: Buffer, pos: number): number {
  const low = buf[pos + 1] & 0x7f
  if (low < 126) return low
  if (low === 126) return buf.readUInt16BE(pos + 2)
  return buf.readUInt32BE(pos + 2) * 2 ** 32 + buf.readUInt32BE(pos + 6)
}
