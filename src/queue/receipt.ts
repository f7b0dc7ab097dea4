/**
 * The receipt of one delivery: which queue, which entry, and 96 random bits of that one hand-out. The bits are stored in the
 * entry's row in the commit that hands it out, so a receipt of an older hand-out never fits a newer one, not even when a power
 * cut has taken the older lease's record with it.
 *
 *   version u8 · 0 · queue id u32 · place u48 · random u48 · random u48   as 32 characters of base64url
 */
import type { Random } from '../core/random.js'
import { getU32, getU48, putU32, putU48 } from '../store/bytes.js'

const VERSION = 1
const BYTES = 24
const CHARS = 32
const BASE64URL = /^[A-Za-z0-9_-]{32}$/
const NONCE_BYTES = 12
const POOL_BYTES = 340 * NONCE_BYTES

/** The random bits of one delivery: two numbers of 48 bits, so that a lease holds no buffer. */
export interface Nonce {
  high: number
  low: number
}

export interface Receipt extends Nonce {
  queue: number
  place: number
}

/** Draws random bits in bulk: one call to the system's generator per few hundred deliveries. */
export class NonceSource {
  private readonly random: Random
  private pool: Buffer = Buffer.alloc(0)
  private at = 0

  constructor(random: Random) {
    this.random = random
  }

  /** Writes fresh bits into `out`. */
  draw(out: Nonce): void {
    if (this.at + NONCE_BYTES > this.pool.length) {
      this.pool = this.random.bytes(POOL_BYTES)
      this.at = 0
    }
    out.high = getU48(this.pool, this.at)
    out.low = getU48(this.pool, this.at + 6)
    this.at += NONCE_BYTES
  }
}

const scratch = Buffer.alloc(BYTES)

export function formatReceipt(queue: number, place: number, nonce: Readonly<Nonce>): string {
  scratch[0] = VERSION
  scratch[1] = 0
  putU32(scratch, 2, queue)
  putU48(scratch, 6, place)
  putU48(scratch, 12, nonce.high)
  putU48(scratch, 18, nonce.low)
  return scratch.toString('base64url')
}

/** Undefined for anything that is no receipt of ours. */
export function parseReceipt(text: string): Receipt | undefined {
  if (text.length !== CHARS || !BASE64URL.test(text)) return undefined
  scratch.write(text, 'base64url')
  if (scratch[0] !== VERSION || scratch[1] !== 0) return undefined
  return { queue: getU32(scratch, 2), place: getU48(scratch, 6), high: getU48(scratch, 12), low: getU48(scratch, 18) }
}
