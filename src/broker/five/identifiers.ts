/**
 * Subscription identifiers on their way to the subscriber: the bytes that its PUBLISH will carry, made once for a route and kept with each
 * entry of a queue, since the subscription may have changed before it is delivered.
 */
import { varintBytes, writeRemainingLength } from '../../mqtt/varint.js'
import { EXTRA_IDENTIFIERS } from '../ports.js'

const SUBSCRIPTION_IDENTIFIER = 11
/** The properties begin behind the byte that says what an entry's extra bytes are. */
export const IDENTIFIERS_FROM = 1

/** Extra bytes for an entry that has these identifiers, in any order [MQTT-3.3.4-4]; undefined for none. */
export function writeIdentifiers(identifiers: readonly number[]): Buffer | undefined {
  if (identifiers.length === 0) return undefined
  let bytes = IDENTIFIERS_FROM
  for (const one of identifiers) bytes += 1 + varintBytes(one)
  // Kept for long: not of the shared pool, of which a few bytes hold on to a whole piece.
  const extra = Buffer.allocUnsafeSlow(bytes)
  extra[0] = EXTRA_IDENTIFIERS
  let at = IDENTIFIERS_FROM
  for (const one of identifiers) {
    extra[at] = SUBSCRIPTION_IDENTIFIER
    at = writeRemainingLength(extra, at + 1, one)
  }
  return extra
}

/** True when an entry's extra bytes are identifiers: they are a property block from `IDENTIFIERS_FROM` on. */
export function hasIdentifiers(extra: Buffer | undefined): extra is Buffer {
  return extra !== undefined && extra[0] === EXTRA_IDENTIFIERS
}
