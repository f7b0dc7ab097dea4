/**
 * The numbers of the MQTT wire: packet types, reason codes and return codes. They are the standard's and never change, so
 * every other file names them instead of writing a number.
 */

/** Packet types, the upper four bits of a packet's first byte [MQTT 5.0 table 2-1]. */
export const CONNECT = 1
export const CONNACK = 2
export const PUBLISH = 3
export const PUBACK = 4
export const PUBREC = 5
export const PUBREL = 6
export const PUBCOMP = 7
export const SUBSCRIBE = 8
export const SUBACK = 9
export const UNSUBSCRIBE = 10
export const UNSUBACK = 11
export const PINGREQ = 12
export const PINGRESP = 13
export const DISCONNECT = 14
export const AUTH = 15
/** Not a packet: the will's own property block inside CONNECT has its own set of allowed properties. */
export const WILL = 16

/** MQTT 5 reason codes [MQTT 5.0 table 2-6]. 0x00 has three names there and one here; 0x01 and 0x02 are granted QoS levels. */
export const Reason = {
  success: 0x00,
  granted_qos_1: 0x01,
  granted_qos_2: 0x02,
  disconnect_with_will: 0x04,
  no_matching_subscribers: 0x10,
  no_subscription_existed: 0x11,
  continue_authentication: 0x18,
  re_authenticate: 0x19,
  unspecified_error: 0x80,
  malformed_packet: 0x81,
  protocol_error: 0x82,
  implementation_specific_error: 0x83,
  unsupported_protocol_version: 0x84,
  client_identifier_not_valid: 0x85,
  bad_user_name_or_password: 0x86,
  not_authorised: 0x87,
  server_unavailable: 0x88,
  server_busy: 0x89,
  banned: 0x8a,
  server_shutting_down: 0x8b,
  bad_authentication_method: 0x8c,
  keep_alive_timeout: 0x8d,
  session_taken_over: 0x8e,
  topic_filter_invalid: 0x8f,
  topic_name_invalid: 0x90,
  packet_identifier_in_use: 0x91,
  packet_identifier_not_found: 0x92,
  receive_maximum_exceeded: 0x93,
  topic_alias_invalid: 0x94,
  packet_too_large: 0x95,
  message_rate_too_high: 0x96,
  quota_exceeded: 0x97,
  administrative_action: 0x98,
  payload_format_invalid: 0x99,
  retain_not_supported: 0x9a,
  qos_not_supported: 0x9b,
  use_another_server: 0x9c,
  server_moved: 0x9d,
  shared_subscriptions_not_supported: 0x9e,
  connection_rate_exceeded: 0x9f,
  maximum_connect_time: 0xa0,
  subscription_identifiers_not_supported: 0xa1,
  wildcard_subscriptions_not_supported: 0xa2,
} as const

/** CONNACK return codes of MQTT 3.1 and 3.1.1 [MQTT 3.1.1 table 3.1]. */
export const ConnectReturn = {
  accepted: 0,
  bad_protocol: 1,
  id_rejected: 2,
  server_unavailable: 3,
  bad_credentials: 4,
  not_authorised: 5,
} as const
