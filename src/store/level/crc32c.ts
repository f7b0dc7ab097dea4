/**
 * CRC32C (Castagnoli), eight bytes a step, and the mask under which LevelDB stores it. Each log record, MANIFEST record and table block carries one.
 */

/** `TABLES[k][n]`: what byte `n` becomes when `k` zero bytes follow. */
const TABLES: readonly Int32Array[] = makeTables()
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES
const MASK_DELTA = 0xa282ead8

/** The checksum of `bytes[start..end)`, going on from `crc` of what came before. Unsigned. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, crc = 0): number {
  let c = ~crc
  let i = start
  for (const last = end - 8; i <= last; i += 8) {
    c ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24)
    c =
      T7[c & 255] ^
      T6[(c >>> 8) & 255] ^
      T5[(c >>> 16) & 255] ^
      T4[c >>> 24] ^
      T3[bytes[i + 4]] ^
      T2[bytes[i + 5]] ^
      T1[bytes[i + 6]] ^
      T0[bytes[i + 7]]
  }
  for (; i < end; i++) c = (c >>> 8) ^ T0[(c ^ bytes[i]) & 255]
  return ~c >>> 0
}

/** The checksum as LevelDB writes it, so that bytes which hold checksums have ones of their own. */
export function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0
}

function makeTables(): Int32Array[] {
  const first = new Int32Array(256)
  for (let n = 0; n < 256; n++) {
    let c = n
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1
    first[n] = c
  }
  const tables = [first]
  for (let k = 1; k < 8; k++) {
    const before = tables[k - 1]
    tables.push(Int32Array.from(before, (c) => (c >>> 8) ^ first[c & 255]))
  }
  return tables
}
