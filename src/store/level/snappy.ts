/** Snappy's block format, decoded: LevelDB compresses its table blocks with it where that saves an eighth. */
import { Cursor, Malformed } from './coding.js'

/** A block is 4 KiB and one row; a length far beyond what compression can do is damage. */
const RATIO_MAX = 256
const SMALL_BYTES = 64 * 1024

/** Throws `Malformed` where snappy's own decoder would refuse. */
export function unsnappy(bytes: Buffer): Buffer {
  const c = new Cursor(bytes)
  const length = c.varint()
  if (length > bytes.length * RATIO_MAX + SMALL_BYTES) throw new Malformed('compressed bytes have changed')
  const out = Buffer.allocUnsafe(length)
  let at = 0
  while (!c.done) {
    const tag = c.byte()
    const kind = tag & 3
    if (kind === 0) {
      let n = tag >>> 2
      if (n >= 60) n = little(c, n - 59)
      const literal = c.take(n + 1)
      if (at + literal.length > length) throw new Malformed('compressed bytes have changed')
      out.set(literal, at)
      at += literal.length
      continue
    }
    const n = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1
    const back = kind === 1 ? ((tag >>> 5) << 8) | c.byte() : little(c, kind === 2 ? 2 : 4)
    if (back === 0 || back > at || at + n > length) throw new Malformed('compressed bytes have changed')
    // Byte by byte: a copy may reach into what it writes.
    for (let i = 0; i < n; i++, at++) out[at] = out[at - back]
  }
  if (at !== length) throw new Malformed('compressed bytes have changed')
  return out
}

function little(c: Cursor, bytes: number): number {
  let n = 0
  for (let i = 0; i < bytes; i++) n += c.byte() * 256 ** i
  return n
}
