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
  /** Clients that may be connected at once. */
  max_connections: number
  /** Connections that have not come past CONNECT, and what these may have sent together. */
  max_connecting: number
  max_connecting_bytes: number
  max_client_id_bytes: number
  /** Wills of connections, and those that wait for their moment. */
  max_wills: number
  /** Filters that get 0x80 in SUBACK. */
  deny_subscribe: readonly string[]
  /** MQTT 5: where a client that asks may expect answers; `{client}` is its identifier. Empty: it is not told. */
  response_topics: string
  /** MQTT 5: the server that clients are told to use from now on when this one stops. Empty: none. */
  server_reference: string
  /** How long a stored session outlives its connection; 0: for ever. */
  session_expiry_s: number
  /** Stored sessions. */
  max_sessions: number
  /** Subscriptions of one session, and of all together. */
  max_subscriptions: number
  max_all_subscriptions: number
  /** What sessions with all that is theirs, and retained messages, may take of the process's memory (`footprint.ts`). */
  session_memory_bytes: number
  retained_memory_bytes: number
  retained_max_messages: number
  /** Of the rows of retained messages. */
  retained_max_bytes: number
}

export const defaultBrokerSettings: BrokerSettings = {
  window: 32,
  max_inbound_qos2: 65_535,
  max_packet_bytes: 2_000_000,
  max_topic_aliases: 32,
  max_topic_levels: 200,
  max_output_bytes: 2 * 1024 * 1024,
  max_keepalive_s: 65_535,
  connect_timeout_s: 10,
  max_connections: 100_000,
  max_connecting: 10_000,
  max_connecting_bytes: 16 * 1024 * 1024,
  max_client_id_bytes: 65_535,
  max_wills: 100_000,
  deny_subscribe: [],
  response_topics: '',
  server_reference: '',
  session_expiry_s: 604_800,
  max_sessions: 100_000,
  max_subscriptions: 10_000,
  max_all_subscriptions: 1_000_000,
  session_memory_bytes: 512 * 1024 * 1024,
  retained_memory_bytes: 256 * 1024 * 1024,
  retained_max_messages: 100_000,
  retained_max_bytes: 1024 ** 3,
}
