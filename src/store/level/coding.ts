/** LevelDB's numbers: varints and little-endian words, read with every bound checked. */

/** Thrown by whatever reads LevelDB's formats when the bytes make no sense; `message` says what is wrong with them. */
export class Malformed extends Error {}

/** Reads through a buffer from `at` up to `end`. */
export class Cursor {
  readonly bytes: Buffer
  at: number
  readonly end: number

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  get done(): boolean {
    return this.at >= this.end
  }

  byte(): number {
    if (this.at >= this.end) throw new Malformed('a record ends too early')
    return this.bytes[this.at++]
  }

  /** A varint; one that a number cannot hold exactly is malformed, since nothing of LevelDB's is that large. */
  varint(): number {
    let n = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      const b = this.byte()
      n += (b & 0x7f) * scale
      if (b < 0x80) {
        if (n > Number.MAX_SAFE_INTEGER) break
        return n
      }
      scale *= 128
    }
    throw new Malformed('a number is too large')
  }

  /** Bytes with their length before them. A view, not a copy. */
  slice(): Buffer {
    return this.take(this.varint())
  }

  take(length: number): Buffer {
    if (length > this.end - this.at) throw new Malformed('a record ends too early')
    const slice = this.bytes.subarray(this.at, this.at + length)
    this.at += length
    return slice
  }
}

export function getU32le(b: Uint8Array, at: number): number {
  return (b[at] | (b[at + 1] << 8) | (b[at + 2] << 16)) + b[at + 3] * 0x100_0000
}

/** A little-endian u64 that is known to be below 2^53 in sound data; anything else comes out too large to be right. */
export function getU64le(b: Uint8Array, at: number): number {
  return getU32le(b, at) + getU32le(b, at + 4) * 0x1_0000_0000
}
