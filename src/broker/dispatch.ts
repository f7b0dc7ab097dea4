/** Which packet goes where, and which are not allowed now. One call per packet, in the order in which they came. */
import { ackReason, readAck } from '../mqtt/acks.js'
import {
  AUTH,
  CONNECT,
  DISCONNECT,
  PINGREQ,
  PINGRESP,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  Reason,
  SUBSCRIBE,
  UNSUBSCRIBE,
} from '../mqtt/constants.js'
import { readDisconnect } from '../mqtt/disconnect.js'
import { PacketFault } from '../mqtt/faults.js'
import type { Frame } from '../mqtt/frame.js'
import type { Properties } from '../mqtt/properties.js'
import { handleAuth } from './authenticating.js'
import { handleConnect } from './connecting.js'
import type { Connection } from './connection.js'
import { heldExpiry } from './expiry.js'
import type { Peer } from './five/peer.js'
import { payloadOf, topicOf } from './message.js'
import { type AckOutcome, FLAG_QOS, FLAG_RETAIN } from './ports.js'
import { handlePublish, handlePubrel } from './publishing.js'
import { handleSubscribe, handleUnsubscribe } from './subscribing.js'

/** What any packet costs, in the unit of `BrokerState.work`. */
const PACKET_WORK = 16

/** Handles the packet that `frame` describes; `packetStart` is where its fixed header begins in `buf`. */
export function handlePacket(c: Connection, frame: Frame, buf: Buffer, packetStart: number): void {
  if (c.phase !== 'connected') {
    // The first packet must be a CONNECT [MQTT-3.1.0-1].
    if (frame.type === CONNECT && c.phase === 'waiting') handleConnect(c, buf, frame)
    else if (c.auth !== null) handleBeforeConnack(c, frame, buf)
    else c.fault(Reason.protocol_error, 'the first packet is not CONNECT')
    return
  }
  c.state.work += PACKET_WORK
  switch (frame.type) {
    case PUBLISH:
      handlePublish(c, buf, frame, packetStart)
      return
    case PUBACK:
    case PUBREC:
    case PUBREL:
    case PUBCOMP:
      handleAck(c, frame, buf)
      return
    case SUBSCRIBE:
      guarded(c, () => handleSubscribe(c, buf, frame))
      return
    case UNSUBSCRIBE:
      guarded(c, () => handleUnsubscribe(c, buf, frame))
      return
    case PINGREQ:
      if (frame.bodyEnd !== frame.bodyStart) {
        c.fault(Reason.malformed_packet, 'PINGREQ with a body')
        return
      }
      if (c.state.hooks.listens('ping')) c.state.hooks.emit('ping', { cmd: 'pingreq' }, c)
      c.answer(PINGRESP << 16, 0)
      return
    case DISCONNECT:
      guarded(c, () => handleDisconnect(c, buf, frame))
      return
    case AUTH:
      guarded(c, () => handleAuth(c, buf, frame))
      return
  }
  // A second CONNECT [MQTT-3.1.0-2], or a packet that only servers send.
  c.fault(Reason.protocol_error, `packet type ${frame.type} is not allowed here`)
}

/** A client that is authenticating sends nothing else [MQTT-3.1.2-30]. */
function handleBeforeConnack(c: Connection, frame: Frame, buf: Buffer): void {
  if (frame.type === AUTH) guarded(c, () => handleAuth(c, buf, frame))
  else if (frame.type === DISCONNECT) guarded(c, () => handleDisconnect(c, buf, frame))
  else c.fault(Reason.protocol_error, `packet type ${frame.type} before authentication has ended`)
}

function handleDisconnect(c: Connection, buf: Buffer, frame: Frame): void {
  const { reason, properties } = readDisconnect(buf, frame, c.version ?? 4)
  if (c.peer !== null && properties !== undefined && !keepsPromises(c, c.peer, properties)) return
  // The will is not sent after an orderly end [MQTT-3.14.4-3]; with any other reason it is [MQTT 5.0 3.1.2.5].
  c.saidGoodbye = reason < 0x80
  if (reason === Reason.success) c.dropWill()
  c.finish(undefined, 'DISCONNECT')
  c.transport.end()
}

/** The properties of a DISCONNECT; false when they end the connection as an error. */
function keepsPromises(c: Connection, peer: Peer, { sessionExpiryInterval, serverReference }: Properties): boolean {
  if (serverReference !== undefined) {
    c.fault(Reason.protocol_error, 'DISCONNECT from a client with a server reference')
    return false
  }
  if (sessionExpiryInterval === undefined || c.session === null) return true
  if (peer.askedExpiry_s === 0 && sessionExpiryInterval > 0) {
    c.fault(Reason.protocol_error, 'DISCONNECT asks for a session that CONNECT did not want')
    return false
  }
  c.session.expiry_s = heldExpiry(sessionExpiryInterval, c.state.settings)
  return true
}

function handleAck(c: Connection, frame: Frame, buf: Buffer): void {
  const { type } = frame
  const packetId = readAck(buf, frame, c.version ?? 4)
  if (packetId < 0) {
    c.fault(ackReason(), 'malformed acknowledgement')
    return
  }
  if (type === PUBREL) {
    handlePubrel(c, packetId)
    return
  }
  const mailbox = c.session?.mailbox
  if (mailbox === undefined) return
  const heard = type !== PUBREC && c.state.hooks.hearsAck
  const packet = heard ? ackedPacket(c, type, packetId) : null
  let outcome: AckOutcome
  if (type === PUBACK) outcome = mailbox.acked(packetId, ackReason() >= Reason.unspecified_error)
  else if (type === PUBCOMP) outcome = mailbox.completed(packetId)
  else if (ackReason() >= Reason.unspecified_error) outcome = mailbox.rejected(packetId)
  else {
    outcome = mailbox.received(packetId)
    // We may have lost what the client still holds; PUBREL lets it go on [MQTT-4.3.3-1].
    if (outcome === 'unknown') c.sendPubrel(packetId, c.version === 5 ? Reason.packet_identifier_not_found : 0)
  }
  c.replay?.hasAcked()
  if (outcome === 'wrong') c.fault(Reason.protocol_error, `acknowledgement type ${type} does not fit the message it names`)
  else if (outcome === 'ok' && packet !== null) c.state.hooks.acknowledged(c, packet)
}

/** What Aedes tells listeners of 'ack': the message, or PUBREL when that is what was completed. */
function ackedPacket(c: Connection, type: number, messageId: number): object {
  if (type === PUBCOMP) return { cmd: 'pubrel', messageId }
  const sent = c.session?.mailbox.sent(messageId)
  if (sent === undefined) return { cmd: 'publish', messageId }
  const { message, flags } = sent
  const retain = (flags & FLAG_RETAIN) !== 0
  return {
    cmd: 'publish',
    topic: topicOf(message),
    payload: payloadOf(message),
    qos: flags & FLAG_QOS,
    retain,
    dup: false,
    messageId,
  }
}

/** Runs a reader that throws `PacketFault` for a packet that breaks the rules. */
function guarded(c: Connection, read: () => void): void {
  try {
    read()
  } catch (error) {
    if (!(error instanceof PacketFault)) throw error
    c.fault(error.reason, error.text)
  }
}
