/**
 * The properties of MQTT 5 as one table [MQTT 5.0 table 2-4]: identifier, name, wire form, the packets that may carry it. Reading and
 * writing both walk this table, so a property exists in one place.
 */
import {
  AUTH,
  CONNACK,
  CONNECT,
  DISCONNECT,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  SUBACK,
  SUBSCRIBE,
  UNSUBACK,
  UNSUBSCRIBE,
  WILL,
} from './constants.js'

/**
 * The properties of one packet, by the names of the standard in camel case. Absent means not sent: the standard's default
 * applies. Intervals and keep alive are in seconds, sizes in bytes.
 */
export interface Properties {
  payloadFormatIndicator?: boolean
  messageExpiryInterval?: number
  contentType?: string
  responseTopic?: string
  correlationData?: Buffer
  /** 1 to 268,435,455 each. SUBSCRIBE carries one, PUBLISH one for each matching subscription. */
  subscriptionIdentifiers?: number[]
  sessionExpiryInterval?: number
  assignedClientIdentifier?: string
  serverKeepAlive?: number
  authenticationMethod?: string
  authenticationData?: Buffer
  requestProblemInformation?: boolean
  willDelayInterval?: number
  requestResponseInformation?: boolean
  responseInformation?: string
  serverReference?: string
  reasonString?: string
  /** 1 to 65,535. */
  receiveMaximum?: number
  topicAliasMaximum?: number
  /** 1 to 65,535. */
  topicAlias?: number
  /** 0 or 1. */
  maximumQoS?: number
  retainAvailable?: boolean
  /** Name and value, in the order sent; a name may come again. */
  userProperties?: [string, string][]
  /** 1 to 4,294,967,295. */
  maximumPacketSize?: number
  wildcardSubscriptionAvailable?: boolean
  subscriptionIdentifiersAvailable?: boolean
  sharedSubscriptionAvailable?: boolean
}

type KeysOf<T> = { [K in keyof Properties]-?: Properties[K] extends T | undefined ? K : never }[keyof Properties]

/** Wire form and name together, so that a reader's assignment is type-checked. `min`: smallest legal value. */
export type PropertyForm =
  | { readonly form: 'flag'; readonly name: KeysOf<boolean> }
  | { readonly form: 'bit' | 'u16' | 'u32'; readonly name: KeysOf<number>; readonly min: 0 | 1 }
  | { readonly form: 'string'; readonly name: KeysOf<string> }
  | { readonly form: 'binary'; readonly name: KeysOf<Buffer> }
  | { readonly form: 'identifiers'; readonly name: 'subscriptionIdentifiers' }
  | { readonly form: 'pairs'; readonly name: 'userProperties' }

export type Property = PropertyForm & { readonly id: number; readonly packets: number }

/** `byId[identifier]`, undefined where the standard names none. */
const byId: (Property | undefined)[] = []
/** All properties in the order of their identifiers. */
export const PROPERTIES: Property[] = []

/** The property with this identifier, or undefined. */
export function propertyOf(id: number): Property | undefined {
  return byId[id]
}

function bits(...types: number[]): number {
  return types.reduce((mask, type) => mask | (1 << type), 0)
}

/** Whether a packet of this type (or `WILL`) may carry the property. */
export function isAllowedIn(property: Property, packetType: number): boolean {
  return (property.packets & (1 << packetType)) !== 0
}

function define(id: number, packets: number, form: PropertyForm): void {
  const property: Property = { ...form, id, packets }
  byId[id] = property
  PROPERTIES.push(property)
}

const MESSAGE = bits(PUBLISH, WILL)
const GREETING = bits(CONNECT, CONNACK)
const ANSWERS = bits(CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)

define(1, MESSAGE, { form: 'flag', name: 'payloadFormatIndicator' })
define(2, MESSAGE, { form: 'u32', name: 'messageExpiryInterval', min: 0 })
define(3, MESSAGE, { form: 'string', name: 'contentType' })
define(8, MESSAGE, { form: 'string', name: 'responseTopic' })
define(9, MESSAGE, { form: 'binary', name: 'correlationData' })
define(11, bits(PUBLISH, SUBSCRIBE), { form: 'identifiers', name: 'subscriptionIdentifiers' })
define(17, GREETING | bits(DISCONNECT), { form: 'u32', name: 'sessionExpiryInterval', min: 0 })
define(18, bits(CONNACK), { form: 'string', name: 'assignedClientIdentifier' })
define(19, bits(CONNACK), { form: 'u16', name: 'serverKeepAlive', min: 0 })
define(21, GREETING | bits(AUTH), { form: 'string', name: 'authenticationMethod' })
define(22, GREETING | bits(AUTH), { form: 'binary', name: 'authenticationData' })
define(23, bits(CONNECT), { form: 'flag', name: 'requestProblemInformation' })
define(24, bits(WILL), { form: 'u32', name: 'willDelayInterval', min: 0 })
define(25, bits(CONNECT), { form: 'flag', name: 'requestResponseInformation' })
define(26, bits(CONNACK), { form: 'string', name: 'responseInformation' })
define(28, bits(CONNACK, DISCONNECT), { form: 'string', name: 'serverReference' })
define(31, ANSWERS, { form: 'string', name: 'reasonString' })
define(33, GREETING, { form: 'u16', name: 'receiveMaximum', min: 1 })
define(34, GREETING, { form: 'u16', name: 'topicAliasMaximum', min: 0 })
define(35, bits(PUBLISH), { form: 'u16', name: 'topicAlias', min: 1 })
define(36, bits(CONNACK), { form: 'bit', name: 'maximumQoS', min: 0 })
define(37, bits(CONNACK), { form: 'flag', name: 'retainAvailable' })
define(38, MESSAGE | ANSWERS | bits(CONNECT, SUBSCRIBE, UNSUBSCRIBE), { form: 'pairs', name: 'userProperties' })
define(39, GREETING, { form: 'u32', name: 'maximumPacketSize', min: 1 })
define(40, bits(CONNACK), { form: 'flag', name: 'wildcardSubscriptionAvailable' })
define(41, bits(CONNACK), { form: 'flag', name: 'subscriptionIdentifiersAvailable' })
define(42, bits(CONNACK), { form: 'flag', name: 'sharedSubscriptionAvailable' })
