/**
 * MQTT's variable byte integer (Remaining Length, property lengths, subscription identifiers) on the writing side: seven bits a byte,
 * low bits first, always the fewest bytes [MQTT-1.5.5-1].
 */
import { PACKET_BYTES_MAX } from '../core/limits.js'

/** The largest value of four bytes. */
export const VARINT_MAX = PACKET_BYTES_MAX

/** Bytes that `n` takes, 1 to 4. `n` is a whole number from 0 to `VARINT_MAX`; the caller knows that. */
export function varintBytes(n: number): number {
  return n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x200000 ? 3 : 4
}

/** Writes `n` at `pos` and returns the position after it. The caller has left `varintBytes(n)` bytes of room. */
export function writeRemainingLength(buf: Buffer, pos: number, n: number): number {
  let at = pos
  let rest = n
  while (rest >= 0x80) {
    buf[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  buf[at++] = rest
  return at
}
