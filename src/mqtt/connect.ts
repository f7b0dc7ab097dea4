/**
 * CONNECT, the one packet whose rules depend on what it says about itself. What is returned is copied and owes nothing to the read
 * buffer. Checks come in the order of the fields, so that the answer fits what is known by then: nothing before the
 * protocol name is right, return code 1 for a level we do not speak, return code 2 for a client identifier, else a plain close.
 */
import { CONNECT, ConnectReturn, Reason, WILL } from './constants.js'
import { malformed, PacketFault, protocolError } from './faults.js'
import type { Frame } from './frame.js'
import { type Properties, readPropertyBlock } from './properties.js'
import { Reader } from './reader.js'

export interface WillFields {
  /** Valid UTF-8; whether it is a valid topic name is the caller's to check. */
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  /** Version 5 only. */
  properties: Properties | undefined
}

export interface ConnectPacket {
  version: 3 | 4 | 5
  /** A bridge of mosquitto's kind, before MQTT 5: it wants none of its own messages back, and retained ones marked as such (`BRIDGE`). */
  bridge: boolean
  /** May be empty: with a clean session in 3.1.1, always in 5. */
  clientId: string
  /** Clean Session; in version 5 Clean Start. */
  clean: boolean
  /** Seconds, 0: none. */
  keepalive_s: number
  will: WillFields | undefined
  username: string | undefined
  password: Buffer | undefined
  /** Version 5 only. */
  properties: Properties | undefined
}

/** The bit of the protocol level by which a bridge says that it is one: mosquitto's, and by now what many brokers understand. */
const BRIDGE = 0x80

const CLEAN = 0x02
const WILL_FLAG = 0x04
const WILL_RETAIN = 0x20
const PASSWORD = 0x40
const USERNAME = 0x80

/**
 * Reads the CONNECT whose body is all there. Throws a `PacketFault`, whose `connackCode` is 1 for a protocol level other than 3, 4, 5
 * [MQTT-3.1.2-2], 2 for a client identifier [MQTT-3.1.3-8,
 * MQTT-3.1.3-9], else 0, and whose `version` says in which form CONNACK is written.
 */
export function readConnect(buf: Buffer, frame: Frame): ConnectPacket {
  const reader = new Reader(buf, frame.bodyStart, frame.bodyEnd)
  const { version, bridge } = readVersion(reader)
  try {
    return readFields(reader, version, bridge)
  } catch (fault) {
    if (fault instanceof PacketFault) fault.version = version
    throw fault
  }
}

function readVersion(reader: Reader): { version: 3 | 4 | 5; bridge: boolean } {
  const name = reader.string('protocol name')
  // A name that is not ours: whoever calls may not speak MQTT at all, so no answer [MQTT-3.1.2-1].
  if (name !== 'MQTT' && name !== 'MQIsdp') throw new PacketFault(Reason.unsupported_protocol_version, 'unknown protocol name')
  const level = reader.u8()
  const bridge = (level & BRIDGE) !== 0
  const version = level & ~BRIDGE
  if (version === 3 && name === 'MQIsdp') return { version, bridge }
  if (version === 4 && name === 'MQTT') return { version, bridge }
  // There a bridge says with each subscription what it wants.
  if (level === 5 && name === 'MQTT') return { version: 5, bridge: false }
  const text = `protocol ${name} has no level ${level}`
  const fault = new PacketFault(Reason.unsupported_protocol_version, text, ConnectReturn.bad_protocol)
  fault.version = 4
  throw fault
}

function readFields(reader: Reader, version: 3 | 4 | 5, bridge: boolean): ConnectPacket {
  const flags = reader.u8()
  checkFlags(flags, version)
  const packet: ConnectPacket = {
    version,
    bridge,
    clientId: '',
    clean: (flags & CLEAN) !== 0,
    keepalive_s: reader.u16(),
    will: undefined,
    username: undefined,
    password: undefined,
    properties: version === 5 ? readPropertyBlock(reader, CONNECT) : undefined,
  }
  packet.clientId = reader.string('client identifier')
  if ((flags & WILL_FLAG) !== 0) packet.will = readWill(reader, flags, version)
  if (isPresent(flags & USERNAME, reader, version)) packet.username = reader.string('user name')
  if (isPresent(flags & PASSWORD, reader, version)) packet.password = reader.binary()
  reader.finish('CONNECT')
  checkClientId(packet)
  return packet
}

function checkFlags(flags: number, version: number): void {
  const willQos = (flags >> 3) & 3
  if (willQos === 3) throw malformed('will QoS is 3') // [MQTT-3.1.2-14]
  if ((flags & PASSWORD) !== 0 && (flags & USERNAME) === 0 && version !== 5) {
    throw protocolError('password without user name') // [MQTT-3.1.2-22]
  }
  // MQTT 3.1 calls bit 0 unused and the will's bits disregarded without a will.
  if (version === 3) return
  if ((flags & 1) !== 0) throw malformed('reserved connect flag is set') // [MQTT-3.1.2-3]
  if ((flags & WILL_FLAG) === 0 && (willQos !== 0 || (flags & WILL_RETAIN) !== 0)) {
    throw malformed('will QoS or will retain without a will') // [MQTT-3.1.2-13, MQTT-3.1.2-15]
  }
}

/** A field that its flag announces is there, but for MQTT 3.1, which lets the packet's length overrule the flag. */
function isPresent(flag: number, reader: Reader, version: number): boolean {
  return flag !== 0 && (version !== 3 || reader.left > 0)
}

function readWill(reader: Reader, flags: number, version: number): WillFields {
  const properties = version === 5 ? readPropertyBlock(reader, WILL) : undefined
  const bits = (flags >> 3) & 3
  return {
    topic: reader.string('will topic'),
    payload: reader.binary(),
    qos: bits === 2 ? 2 : bits === 1 ? 1 : 0,
    retain: (flags & WILL_RETAIN) !== 0,
    properties,
  }
}

function checkClientId(packet: ConnectPacket): void {
  const { clientId, version } = packet
  if (version === 5) return
  // MQTT 3.1 allows 23 characters; devices that send more are taken by every broker, and there is no harm in it.
  if (clientId === '' && version === 3) throw idRejected('MQTT 3.1 needs a client identifier')
  if (clientId === '' && !packet.clean) throw idRejected('an empty client identifier needs a clean session')
}

function idRejected(text: string): PacketFault {
  return new PacketFault(Reason.client_identifier_not_valid, text, ConnectReturn.id_rejected)
}
