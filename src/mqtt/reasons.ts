/**
 * Which reason codes a broker's last packet may carry: CONNACK and DISCONNECT have a table each, and not every reason is in both [MQTT 5.0 table 2-6].
 * A code that is not in the packet's table is a protocol error to the client [MQTT-3.2.2-8] [MQTT-3.14.2-1].
 */
import { Reason } from './constants.js'

const IN_CONNACK: ReadonlySet<number> = new Set([
  Reason.success,
  Reason.unspecified_error,
  Reason.malformed_packet,
  Reason.protocol_error,
  Reason.implementation_specific_error,
  Reason.unsupported_protocol_version,
  Reason.client_identifier_not_valid,
  Reason.bad_user_name_or_password,
  Reason.not_authorised,
  Reason.server_unavailable,
  Reason.server_busy,
  Reason.banned,
  Reason.bad_authentication_method,
  Reason.topic_name_invalid,
  Reason.packet_too_large,
  Reason.quota_exceeded,
  Reason.payload_format_invalid,
  Reason.retain_not_supported,
  Reason.qos_not_supported,
  Reason.use_another_server,
  Reason.server_moved,
  Reason.connection_rate_exceeded,
])

/** Of either side; a client has 0x04 besides. */
export const IN_DISCONNECT: ReadonlySet<number> = new Set([
  Reason.success,
  Reason.unspecified_error,
  Reason.malformed_packet,
  Reason.protocol_error,
  Reason.implementation_specific_error,
  Reason.not_authorised,
  Reason.server_busy,
  Reason.server_shutting_down,
  Reason.keep_alive_timeout,
  Reason.session_taken_over,
  Reason.topic_filter_invalid,
  Reason.topic_name_invalid,
  Reason.receive_maximum_exceeded,
  Reason.topic_alias_invalid,
  Reason.packet_too_large,
  Reason.message_rate_too_high,
  Reason.quota_exceeded,
  Reason.administrative_action,
  Reason.payload_format_invalid,
  Reason.retain_not_supported,
  Reason.qos_not_supported,
  Reason.use_another_server,
  Reason.server_moved,
  Reason.shared_subscriptions_not_supported,
  Reason.connection_rate_exceeded,
  Reason.maximum_connect_time,
  Reason.subscription_identifiers_not_supported,
  Reason.wildcard_subscriptions_not_supported,
])

/** The code of CONNACK's table that says the same, or as much as can be said. */
export function connackReason(reason: number): number {
  if (reason === Reason.server_shutting_down) return Reason.server_unavailable
  return IN_CONNACK.has(reason) ? reason : Reason.unspecified_error
}

/** The code of DISCONNECT's table that says the same, or as much as can be said. */
export function disconnectReason(reason: number): number {
  if (reason === Reason.server_unavailable) return Reason.server_busy
  if (reason === Reason.bad_user_name_or_password || reason === Reason.banned || reason === Reason.bad_authentication_method)
    return Reason.not_authorised
  return IN_DISCONNECT.has(reason) ? reason : Reason.unspecified_error
}
