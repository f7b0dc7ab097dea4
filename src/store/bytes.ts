/**
 * Fixed-width big-endian numbers in buffers, without the argument checks of `Buffer`'s own methods: these run several times a
 * message. Callers pass whole numbers in range and offsets inside the buffer.
 */

const TWO_32 = 0x1_0000_0000

/** The largest number that 48 bits hold: sequences, indexes, moments. */
export const U48_MAX = 0xffff_ffff_ffff

export function putU16(b: Uint8Array, at: number, n: number): void {
  b[at] = n >>> 8
  b[at + 1] = n
}

export function putU32(b: Uint8Array, at: number, n: number): void {
  b[at] = n >>> 24
  b[at + 1] = n >>> 16
  b[at + 2] = n >>> 8
  b[at + 3] = n
}

export function putU48(b: Uint8Array, at: number, n: number): void {
  const high = Math.floor(n / TWO_32)
  b[at] = high >>> 8
  b[at + 1] = high
  putU32(b, at + 2, n >>> 0)
}

export function putU64(b: Uint8Array, at: number, n: number): void {
  putU32(b, at, Math.floor(n / TWO_32))
  putU32(b, at + 4, n >>> 0)
}

export function getU16(b: Uint8Array, at: number): number {
  return (b[at] << 8) | b[at + 1]
}

export function getU32(b: Uint8Array, at: number): number {
  return b[at] * 0x100_0000 + ((b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3])
}

export function getU48(b: Uint8Array, at: number): number {
  return ((b[at] << 8) | b[at + 1]) * TWO_32 + getU32(b, at + 2)
}

export function getU64(b: Uint8Array, at: number): number {
  return getU32(b, at) * TWO_32 + getU32(b, at + 4)
}
