/** What the CONNACK of MQTT 5 tells the client about us [MQTT 5.0 3.2.2.3]; what is left out has the standard's default. */
import { PACKET_BYTES_MAX } from '../../core/limits.js'
import type { ConnectPacket } from '../../mqtt/connect.js'
import { connack } from '../../mqtt/encode.js'
import type { Properties } from '../../mqtt/properties.js'
import { topicFault } from '../../topics/names.js'
import type { Connection } from '../connection.js'
import type { BrokerSettings } from '../settings.js'

const RECEIVE_MAXIMUM_DEFAULT = 65_535

/** The CONNACK that accepts; undefined when the client takes no packet of that size. */
export function welcome5(c: Connection, packet: ConnectPacket, sessionPresent: boolean): Buffer | undefined {
  const { settings, spaces } = c.state
  const asked = packet.properties ?? {}
  const told: Properties = { ...limitsOf(settings), ...c.auth?.properties }
  const asked_s = asked.sessionExpiryInterval ?? 0
  const { expiry_s = 0 } = c.session ?? {}
  if (expiry_s !== asked_s) told.sessionExpiryInterval = expiry_s
  if (packet.clientId === '') told.assignedClientIdentifier = c.id
  if (c.keepalive_s !== packet.keepalive_s) told.serverKeepAlive = c.keepalive_s
  if (spaces.of('$share/')?.asks === undefined) told.sharedSubscriptionAvailable = false
  const { response_topics } = settings
  if (asked.requestResponseInformation === true && response_topics !== '') {
    const prefix = response_topics.replaceAll('{client}', () => c.id)
    // A client identifier may hold what a topic may not.
    if (topicFault(prefix, settings.max_topic_levels) === undefined) told.responseInformation = prefix
  }
  const whole = connack(5, 0, sessionPresent, told)
  return whole.length <= (c.peer?.packetBytesMax ?? whole.length) ? whole : undefined
}

function limitsOf(s: BrokerSettings): Properties {
  return {
    ...(s.max_inbound_qos2 < RECEIVE_MAXIMUM_DEFAULT ? { receiveMaximum: s.max_inbound_qos2 } : {}),
    ...(s.max_packet_bytes < PACKET_BYTES_MAX ? { maximumPacketSize: s.max_packet_bytes } : {}),
    ...(s.max_topic_aliases > 0 ? { topicAliasMaximum: s.max_topic_aliases } : {}),
  }
}
