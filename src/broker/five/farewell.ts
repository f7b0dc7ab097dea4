/** The last packet that an MQTT 5 client gets: DISCONNECT, or a CONNACK that refuses while it has none yet [MQTT-4.13.2-1]. */
import { Reason } from '../../mqtt/constants.js'
import { connack, disconnect } from '../../mqtt/encode.js'
import type { Properties } from '../../mqtt/properties.js'
import { connackReason, disconnectReason } from '../../mqtt/reasons.js'
import type { Connection } from '../connection.js'
import type { BrokerState } from '../state.js'

/** Undefined for a client of an earlier version, which closes without a word. */
export function farewell(c: Connection, reason: number, text: string): Buffer | undefined {
  const { peer } = c
  if (peer === null) return undefined
  const write = (properties: Properties): Buffer =>
    c.phase === 'connecting'
      ? connack(5, connackReason(reason), false, properties)
      : disconnect(disconnectReason(reason), properties)
  const { server_reference } = c.state.settings
  const needed: Properties = {}
  if (reason === Reason.server_moved) needed.serverReference = server_reference
  const whole: Properties = { ...needed }
  if (peer.wantsProblems && text !== '') whole.reasonString = text
  const packet = write(whole)
  // The reason string goes first where the client takes no packet of that size [MQTT-3.14.2-3].
  if (packet.length <= peer.packetBytesMax) return packet
  const shorter = write(needed)
  return shorter.length <= peer.packetBytesMax ? shorter : undefined
}

/** CONNACK's reason for a return code of MQTT 3.1.1, which is what hooks answer with. */
export function reasonOf(returnCode: number): number {
  return REASONS[returnCode] ?? Reason.unspecified_error
}

const REASONS: Readonly<Record<number, number>> = {
  0: Reason.success,
  1: Reason.unsupported_protocol_version,
  2: Reason.client_identifier_not_valid,
  3: Reason.server_unavailable,
  4: Reason.bad_user_name_or_password,
  5: Reason.not_authorised,
}

/** Shutting down, or gone for good to another server. */
export function shutdownReason({ settings }: BrokerState): number {
  return settings.server_reference === '' ? Reason.server_shutting_down : Reason.server_moved
}
