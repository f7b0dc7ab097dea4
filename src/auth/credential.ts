/**
 * What the broker keeps of a password: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the form that PostgreSQL stores. It proves who
 * knows the password and does not tell it. Hashing a password is slow on purpose and happens where it is chosen, never at a login.
 */
import { createHash, createHmac, pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import type { Random } from '../core/random.js'
import { prepare } from './prepare.js'

export interface Credential {
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** What stands in front of every credential: the method's name. */
export const SCRAM_SHA_256 = 'SCRAM-SHA-256'
/** Fewer are forbidden [RFC 7677 4]. */
export const ITERATIONS_MIN = 4096
/** The client hashes that often; beyond it a typing mistake would keep it busy for minutes. */
export const ITERATIONS_MAX = 10_000_000
/** A tenth of a second on the machines of [RFC 7677]; every login costs the device that much, and every guess the thief. */
export const ITERATIONS_DEFAULT = 15_000
export const SALT_BYTES_MAX = 128
export const SALT_BYTES_DEFAULT = 16
const HASH_BYTES = 32

const FORM = /^SCRAM-SHA-256\$(\d{1,10}):([A-Za-z0-9+/=]{1,1024})\$([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]{44})$/

/** Reads a credential; a string says what is wrong with it, and nothing of its value. */
export function readCredential(text: string): Credential | string {
  const found = FORM.exec(text)
  if (found === null) return 'it is not SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>'
  const iterations = Number(found[1])
  if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
    return `it has ${iterations} iterations, and allowed are ${ITERATIONS_MIN} to ${ITERATIONS_MAX}`
  }
  const salt = decode(found[2])
  const storedKey = decode(found[3])
  const serverKey = decode(found[4])
  if (salt === undefined || salt.length > SALT_BYTES_MAX) return `its salt is not Base64 of 1 to ${SALT_BYTES_MAX} bytes`
  if (storedKey?.length !== HASH_BYTES || serverKey?.length !== HASH_BYTES) {
    return `its keys are not Base64 of ${HASH_BYTES} bytes each`
  }
  return { iterations, salt, storedKey, serverKey }
}

export function writeCredential({ iterations, salt, storedKey, serverKey }: Credential): string {
  const text = (bytes: Buffer): string => bytes.toString('base64')
  return `${SCRAM_SHA_256}$${iterations}:${text(salt)}$${text(storedKey)}:${text(serverKey)}`
}

/**
 * The credential of a password, with a new salt. Undefined for a password that is empty or holds control characters: no client could be trusted
 * to send it in the same form.
 */
export async function makeCredential(password: string, random: Random, iterations: number): Promise<Credential | undefined> {
  const prepared = prepare(password)
  if (prepared === undefined) return undefined
  const salt = random.bytes(SALT_BYTES_DEFAULT)
  const salted = await promisify(pbkdf2)(prepared, salt, iterations, HASH_BYTES, 'sha256')
  return { iterations, salt, storedKey: hash(hmac(salted, 'Client Key')), serverKey: hmac(salted, 'Server Key') }
}

export function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'utf8').digest()
}

export function hash(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** Base64 in its one right form; undefined for any other. */
export function decode(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : undefined
}
