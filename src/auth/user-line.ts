/** Makes what `users.ts` reads: for `aqueduct scram-user`, and for programs that keep their users themselves. */
import { AqueductError } from '../core/errors.js'
import { type Random, systemRandom } from '../core/random.js'
import { ITERATIONS_DEFAULT, ITERATIONS_MAX, ITERATIONS_MIN, makeCredential, writeCredential } from './credential.js'
import { prepare } from './prepare.js'
import { nameFault } from './users.js'

export interface ScramCredentialOptions {
  /** How often client and thief must hash. Default 15,000, at least 4,096. */
  readonly iterations?: number
  readonly random?: Random
}

/** The credential of `password`, `SCRAM-SHA-256$…`, with a new salt. Slow on purpose. Throws `attribute_invalid`. */
export async function scramCredential(password: string, o: ScramCredentialOptions = {}): Promise<string> {
  const { iterations = ITERATIONS_DEFAULT, random = systemRandom } = o
  if (!Number.isInteger(iterations) || iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
    throw invalid(
      `iterations = ${iterations} is not allowed. Allowed is a whole number from ${ITERATIONS_MIN} to ${ITERATIONS_MAX}.`,
    )
  }
  const credential = await makeCredential(password, random, iterations)
  if (credential === undefined) throw invalid('The password is empty or holds control characters.')
  return writeCredential(credential)
}

/**
 * The line of a users file for `name`, without its end. `password` may be a function, which is asked once the name is known to be one. Throws
 * `attribute_invalid`.
 */
export async function scramUserLine(
  name: string,
  password: string | (() => Promise<string>),
  o: ScramCredentialOptions = {},
): Promise<string> {
  const wrong = nameFault(name)
  if (wrong !== undefined) throw invalid(`${JSON.stringify(name)} cannot be a user name: ${wrong}.`)
  return `${prepare(name)}:${await scramCredential(typeof password === 'string' ? password : await password(), o)}`
}

function invalid(sentence: string): AqueductError {
  return new AqueductError('attribute_invalid', sentence)
}
