/**
 * Credentials for names that nobody has, so that an answer does not tell which names exist. The same name gets the same salt each time, also after a
 * restart: the secret behind it is stored beside the messages.
 */
import { createHash, hkdfSync } from 'node:crypto'
import { type Credential, ITERATIONS_DEFAULT, SALT_BYTES_DEFAULT } from './credential.js'

export const DECOY_SECRET_BYTES = 32
const NAME_BYTES_MAX = 512

/** How real credentials look: a decoy that differed would be told by that. */
export interface Looks {
  readonly iterations: number
  readonly saltBytes: number
}

export const defaultLooks: Looks = { iterations: ITERATIONS_DEFAULT, saltBytes: SALT_BYTES_DEFAULT }

export function decoy(secret: Buffer, name: string, { iterations, saltBytes }: Looks): Credential {
  // HKDF takes no more than 1,024 bytes there, and a name that anybody sends may be longer.
  const short = Buffer.byteLength(name) <= NAME_BYTES_MAX ? name : createHash('sha256').update(name).digest('hex')
  const bytes = (what: string, length: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `${what} ${short}`, length))
  return { iterations, salt: bytes('salt', saltBytes), storedKey: bytes('stored', 32), serverKey: bytes('server', 32) }
}
