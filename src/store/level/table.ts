/**
 * LevelDB's table files: blocks (rows, then the filter, then what there is, then the index), each with its kind and masked CRC32C behind it, and a
 * footer that says where the last two are.
 *
 * LevelDB reads blocks without looking at their checksums; what that leads to is in `hazard.ts`.
 */
import { Cursor, getU32le, Malformed } from './coding.js'
import { crc32c, masked } from './crc32c.js'
import { compareKeys, KEY_TRAILER_BYTES } from './manifest.js'
import { unsnappy } from './snappy.js'

export const FOOTER_BYTES = 48
const MAGIC_LOW = 0x8b80fb57
const MAGIC_HIGH = 0xdb477524
/** Kind (u8) and checksum (u32) behind each block. */
export const BLOCK_TRAILER_BYTES = 5
const PLAIN = 0
const SNAPPY = 1

/** Where a block is, without its trailer. */
export interface Handle {
  readonly at: number
  readonly size: number
}

/** A block of rows: none of its keys is above `last`. */
export interface RowBlock extends Handle {
  readonly last: Buffer
}

interface Footer {
  readonly meta: Handle
  readonly index: Handle
}

/** What the last FOOTER_BYTES of a table of `size` bytes say. Throws `Malformed`. */
export function readFooter(bytes: Buffer, size: number): Footer {
  if (bytes.length < FOOTER_BYTES) throw new Malformed('it is too short to be a table')
  const at = bytes.length - FOOTER_BYTES
  if (getU32le(bytes, bytes.length - 8) !== MAGIC_LOW || getU32le(bytes, bytes.length - 4) !== MAGIC_HIGH) {
    throw new Malformed('its last bytes are not those of a table')
  }
  const c = new Cursor(bytes, at, bytes.length - 8)
  return { meta: handle(c, size), index: handle(c, size) }
}

/** Blocks of rows, in order of their place, from the index block with its trailer. Throws `Malformed`. */
export function readIndex(block: Buffer, size: number): RowBlock[] {
  const blocks: RowBlock[] = []
  let before: Buffer | undefined
  for (const { key, value } of entries(whole(block, 'index'))) {
    if (key.length < KEY_TRAILER_BYTES || (before !== undefined && compareKeys(before, key) >= 0)) {
      throw new Malformed('the keys of its index are not in order')
    }
    before = key
    blocks.push({ ...handle(new Cursor(value), size), last: key })
  }
  return blocks
}

/** The filters that the block between rows and index names, from that block with its trailer. Throws `Malformed`. */
export function readMeta(block: Buffer, size: number): Handle[] {
  return [...entries(whole(block, 'meta'))].map(({ value }) => handle(new Cursor(value), size))
}

/** Throws `Malformed` unless the checksum behind `block` is that of its bytes. */
export function checkBlock(block: Buffer, what: string): void {
  if (!isWhole(block)) throw new Malformed(`bytes of its ${what} block have changed`)
}

export function isWhole(block: Buffer): boolean {
  const end = block.length - 4
  return end > 0 && masked(crc32c(block, 0, end)) === getU32le(block, end)
}

function whole(block: Buffer, what: string): Buffer {
  checkBlock(block, what)
  return blockContents(block)
}

/** The block without its trailer, decompressed. */
export function blockContents(block: Buffer): Buffer {
  const size = block.length - BLOCK_TRAILER_BYTES
  if (size < 0) throw new Malformed('a block is too short')
  const kind = block[size]
  if (kind === PLAIN) return block.subarray(0, size)
  if (kind === SNAPPY) return unsnappy(block.subarray(0, size))
  throw new Malformed(`a block is of kind ${kind}`)
}

/** Entries of a block: each names how much of the key before it shares. At the end, where keys stand whole (u32 each) and how many do. */
function* entries(block: Buffer): Generator<{ key: Buffer; value: Buffer }> {
  if (block.length < 4) throw new Malformed('a block is too short')
  const restarts = getU32le(block, block.length - 4)
  const end = block.length - 4 - restarts * 4
  if (end < 0) throw new Malformed('a block has changed')
  const whole = new Set<number>()
  for (let i = 0; i < restarts; i++) whole.add(getU32le(block, end + i * 4))
  const c = new Cursor(block, 0, end)
  let key: Buffer = Buffer.alloc(0)
  while (!c.done) {
    const restart = whole.delete(c.at)
    const shared = c.varint()
    const own = c.varint()
    const length = c.varint()
    if (shared > key.length || (restart && shared > 0)) throw new Malformed('a block has changed')
    key = Buffer.concat([key.subarray(0, shared), c.take(own)])
    yield { key, value: c.take(length) }
  }
  // An empty block has one restart, at its end.
  whole.delete(0)
  if (whole.size > 0) throw new Malformed('a block has changed')
}

function handle(c: Cursor, size: number): Handle {
  const at = c.varint()
  const length = c.varint()
  if (at + length + BLOCK_TRAILER_BYTES > size - FOOTER_BYTES) throw new Malformed('it points beyond its end')
  return { at, size: length }
}
