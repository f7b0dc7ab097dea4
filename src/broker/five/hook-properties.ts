/** MQTT 5 properties as hooks, listeners and programs of Aedes see them: the names and shapes of `mqtt-packet`. */
import { AqueductError } from '../../core/errors.js'
import type { Properties } from '../../mqtt/properties.js'
import type { MessageView } from '../../store/message.js'
import { blockOf, propertiesOf } from '../properties.js'
import { remaining_s } from './copies.js'

/** Everything is there under its name of the standard, but for these two. */
export type HookProperties = Omit<Properties, 'userProperties' | 'subscriptionIdentifiers'> & {
  userProperties?: Record<string, string | string[]>
  subscriptionIdentifier?: number | number[]
}

export function seenProperties(p: Properties): HookProperties {
  const { userProperties, subscriptionIdentifiers, ...same } = p
  const seen: HookProperties = same
  if (userProperties !== undefined) seen.userProperties = grouped(userProperties)
  if (subscriptionIdentifiers !== undefined) {
    const [first] = subscriptionIdentifiers
    seen.subscriptionIdentifier = subscriptionIdentifiers.length > 1 ? subscriptionIdentifiers : (first ?? 0)
  }
  return seen
}

/** The properties of a message, its expiry as the seconds that are left; undefined when it has none. */
export function seenOf(m: MessageView, now: number): HookProperties | undefined {
  const { properties, expiresAt } = m
  if (properties === undefined && expiresAt === 0) return undefined
  const seen = seenProperties(propertiesOf(m))
  if (expiresAt !== 0) seen.messageExpiryInterval = remaining_s(expiresAt, now)
  return seen
}

export interface GivenProperties {
  /** As it is kept; undefined: nothing to keep. */
  readonly properties: Buffer | undefined
  /** Milliseconds since 1970, 0 for never. */
  readonly expiresAt: number
}

const NOTHING_GIVEN: GivenProperties = { properties: undefined, expiresAt: 0 }

/**
 * What a program gives with a message. Only what belongs to the message is taken: topic alias and subscription identifiers are for each
 * subscriber to get from us. Throws `malformed_packet` for a value that the wire cannot carry.
 */
export function givenProperties(given: HookProperties | undefined, now: number): GivenProperties {
  if (given === undefined || given === null) return NOTHING_GIVEN
  const { payloadFormatIndicator, contentType, responseTopic, correlationData, messageExpiryInterval } = given
  const pairs = given.userProperties === undefined ? undefined : ungrouped(given.userProperties)
  const kept: Properties = {
    ...(payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator: payloadFormatIndicator === true }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlationData }),
    ...(pairs === undefined ? {} : { userProperties: pairs }),
  }
  const expiry_s = messageExpiryInterval === undefined ? 0 : checkedExpiry(messageExpiryInterval)
  return {
    properties: blockOf(kept),
    expiresAt: messageExpiryInterval === undefined ? 0 : now + Math.max(1, expiry_s * 1000),
  }
}

function checkedExpiry(interval_s: number): number {
  if (Number.isInteger(interval_s) && interval_s >= 0 && interval_s <= 0xffff_ffff) return interval_s
  throw new AqueductError('malformed_packet', `messageExpiryInterval must be a whole number of seconds, not ${interval_s}`)
}

/** As `mqtt-packet` does: a name that came more than once has a list. Without a prototype, since the names are anybody's. */
function grouped(pairs: readonly [string, string][]): Record<string, string | string[]> {
  const seen: Record<string, string | string[]> = Object.create(null)
  for (const [name, value] of pairs) {
    const known = seen[name]
    if (known === undefined) seen[name] = value
    else if (Array.isArray(known)) known.push(value)
    else seen[name] = [known, value]
  }
  return seen
}

function ungrouped(given: Record<string, string | string[]>): [string, string][] {
  return Object.entries(given).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name, String(one)]),
  )
}
