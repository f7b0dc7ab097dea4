/** What the broker room needs to know of the settings; app.ts fills it from config. Units are in the names. */
export interface BrokerSettings {
  /** Unacknowledged messages that one client may hold. */
  window: number
  /** QoS 2 messages that one publisher may leave without PUBREL. */
  max_inbound_qos2: number
  max_packet_bytes: number
  /** MQTT 5: topic aliases of each direction that one connection may have. */
  max_topic_aliases: number
  max_topic_levels: number
  /** Per connection; beyond it QoS 0 copies are dropped and counted. */
  max_output_bytes: number
  max_keepalive_s: number
  connect_timeout_s: number
  /** Filters that get 0x80 in SUBACK. */
  deny_subscribe: readonly string[]
  /** MQTT 5: where a client that asks may expect answers; `{client}` is its identifier. Empty: it is not told. */
  response_topics: string
  /** MQTT 5: the server that clients are told to use from now on when this one stops. Empty: none. */
  server_reference: string
  /** How long a stored session outlives its connection; 0: for ever. */
  session_expiry_s: number
}

export const defaultBrokerSettings: BrokerSettings = {
  window: 32,
  max_inbound_qos2: 65_535,
  max_packet_bytes: 1024 * 1024,
  max_topic_aliases: 32,
  max_topic_levels: 200,
  max_output_bytes: 1024 * 1024,
  max_keepalive_s: 65_535,
  connect_timeout_s: 10,
  deny_subscribe: [],
  response_topics: '',
  server_reference: '',
  session_expiry_s: 604_800,
}
