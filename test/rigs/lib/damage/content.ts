/**
 * What the damage rig stores. A payload says its own name, length and checksum, and the rest follows from the name: so a delivery is judged by
 * itself, and an altered bit anywhere in it shows.
 */
import { crc32 } from 'node:zlib'

const TEXT = '0123456789abcdef'

/** The payload of message `id`: about `bytes` long, half of them such that they cannot be compressed. */
export function payloadFor(id: string, bytes: number): Buffer {
  const rest = Math.max(8, bytes - 40)
  const body = Buffer.alloc(rest, '.')
  let x = crc32(id) | 1
  const plain = (x >>> 8) % 2 === 0 ? rest : rest >> 3
  for (let i = 0; i < plain; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    body[i] = TEXT.charCodeAt(x & 15)
  }
  return Buffer.concat([Buffer.from(`${id};${rest};${crc32(body, crc32(id)).toString(16)};`), body])
}

/** The name in a payload; undefined for one that is not, byte for byte, what was published. */
export function idIn(payload: Buffer): string | undefined {
  const text = payload.toString('latin1')
  const [id, rest] = text.split(';', 2)
  if (!/^m\d+$/.test(id) || !/^\d+$/.test(rest ?? '')) return undefined
  const bytes = Number(rest)
  if (bytes > 1 << 24) return undefined
  return payloadFor(id, bytes + 40).equals(payload) ? id : undefined
}
