/** Plain numbers that the hot paths count; metrics read them when asked. */
export class BrokerStats {
  connectionsTotal = 0
  /** PUBLISH packets taken and sent, by QoS. */
  readonly received = [0, 0, 0]
  readonly sent = [0, 0, 0]
  bytesReceived = 0
  /** Handed to the transports; what a connection that broke did not take is in it. */
  bytesSent = 0
  /** QoS 0 copies for which a slow connection had no room. */
  droppedQos0 = 0
  /** Copies that were larger than the Maximum Packet Size of the client they were for. */
  droppedTooLarge = 0
  /** Publishes, of clients, wills and programs, to a reserved topic that nobody may publish to or where nothing is. */
  droppedReserved = 0
  /** Publishes and wills that a hook refused. */
  droppedRefused = 0
  /** Publishes refused because the disk is nearly full. */
  refusedFull = 0
  /** Publishes of clients refused because a queue that must have them has no room. */
  refusedQuota = 0
  /** Connections closed for a packet that breaks the protocol. */
  malformed = 0
  /** Connections closed for a packet that is larger than is taken. */
  tooLarge = 0
  /** Connections before MQTT 5 closed because a publish could not be taken: there is no other word for that. */
  turnedAway = 0
  /** Connections ended because enhanced authentication failed, or was not tried where it must be. */
  authRefused = 0
  /** How often a connection was not read on because its client did not take its answers. */
  inputStalls = 0
  /** How often packets of a connection waited because the turn was used up by what others, or they themselves, asked for. */
  inputRests = 0
  takeovers = 0
  keepaliveTimeouts = 0
  connectTimeouts = 0
  willsPublished = 0
  /** Wills that were due while there was no room, and too many others waited for that. */
  willsDropped = 0
  sessionsExpired = 0
  /** Retained messages that reached their expiry. */
  retainedExpired = 0
}
