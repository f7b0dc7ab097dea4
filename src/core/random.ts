import { randomBytes, randomInt } from 'node:crypto'

/** Randomness, passed in so that a failing test can be repeated from its seed. */
export interface Random {
  /** Unguessable bytes: receipts, invented client ids. */
  bytes(length: number): Buffer
  /** A whole number, 0 ≤ n < `below`. */
  below(below: number): number
}

export const systemRandom: Random = {
  bytes: (length) => randomBytes(length),
  below: (below) => randomInt(below),
}
