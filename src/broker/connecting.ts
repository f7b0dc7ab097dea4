/**
 * CONNECT: read, check, ask the hooks, take over, open the session, answer. The rules are those of [MQTT-3.1.*]; refusals use the return
 * code that the standard gives, and anything else that is wrong closes the connection without an answer.
 */
import { type ConnectPacket, readConnect } from '../mqtt/connect.js'
import { ConnectReturn, Reason } from '../mqtt/constants.js'
import { connack } from '../mqtt/encode.js'
import { PacketFault } from '../mqtt/faults.js'
import type { Frame } from '../mqtt/frame.js'
import { topicFault } from '../topics/names.js'
import type { Connection, Phase } from './connection.js'
import { heldExpiry, NEVER_S } from './expiry.js'
import type { Session } from './session.js'
import type { Stored } from './state.js'

/** What two bytes can say. */
const KEEPALIVE_MAX_S = 65_535

export function handleConnect(c: Connection, buf: Buffer, frame: Frame): void {
  let packet: ConnectPacket
  try {
    packet = readConnect(buf, frame)
  } catch (error) {
    if (!(error instanceof PacketFault)) throw error
    if (error.connackCode > 0) refuse(c, error.connackCode, error.text)
    else c.fault(error.reason, error.text)
    return
  }
  if (packet.version === 5) {
    refuse(c, ConnectReturn.bad_protocol, 'protocol version 5 is not supported')
    return
  }
  const will = packet.will
  if (will !== undefined) {
    const wrong = topicFault(will.topic, c.state.settings.max_topic_levels)
    if (wrong !== undefined) {
      c.fault(Reason.topic_name_invalid, `will: ${wrong}`)
      return
    }
  }
  c.phase = 'connecting'
  c.connecting = true
  c.version = packet.version
  if (!c.state.hooks.gatesConnect) {
    accept(c, packet)
    return
  }
  // The hooks may take their time; input waits.
  c.suspend()
  c.state.hooks.connect(c, packet, (verdict) => {
    if (c.phase !== 'connecting') return
    if ('packet' in verdict) accept(c, verdict.packet)
    else if (verdict.code === 0) c.fault(Reason.not_authorised, verdict.error.message, verdict.error)
    else refuse(c, verdict.code, verdict.error.message, verdict.error)
    // Else CONNACK waits for a commit, and input for CONNACK.
    if ((c.phase as Phase) === 'connected') c.resume()
  })
}

/** Answers with a return code, then closes [MQTT-3.2.2-5]. */
function refuse(c: Connection, code: number, text: string, error?: Error): void {
  c.send(connack(c.version === 5 ? 5 : 4, code, false))
  c.state.hooks.refused(c, code)
  c.fault(Reason.unspecified_error, text, error)
}

function accept(c: Connection, packet: ConnectPacket): void {
  const { state } = c
  const stored = state.stored
  if (stored === null) {
    refuse(c, ConnectReturn.server_unavailable, 'the store is not open')
    return
  }
  const clientId = packet.clientId !== '' ? packet.clientId : `aqueduct-${state.random.bytes(10).toString('hex')}`
  c.id = clientId
  c.clean = packet.clean
  c.keepalive_s = heldKeepalive(packet.keepalive_s, state.settings.max_keepalive_s)
  takeOver(c, stored, clientId)
  const expiry_s = packet.clean ? 0 : heldExpiry(NEVER_S, state.settings)
  const { clean, version } = packet
  const { session, present, stored: changed } = stored.sessions.open(c, { clientId, clean, expiry_s, version })
  c.session = session
  if (packet.will !== undefined) {
    const { topic, payload, qos, retain } = packet.will
    c.lastWill = stored.wills.add({ clientId, topic, payload, qos, retain })
    c.will = c.lastWill
  }
  if (present && state.hooks.gatesSubscribe) {
    authoriseAgain(c, stored, session)
    return
  }
  if (!changed && c.lastWill === null) welcome(c, present)
  else welcomeWhenStored(c, stored, present)
}

/** Nothing else is handled before CONNACK, which waits for the commit. */
function welcomeWhenStored(c: Connection, stored: Stored, present: boolean): void {
  c.suspend()
  c.answerWith(() => {
    welcome(c, present)
    c.resume()
  }, stored.store.journal.openGroup)
}

/** As in Aedes, a program decides anew about what a stored session is subscribed to: what it refuses now is gone. */
function authoriseAgain(c: Connection, stored: Stored, session: Session): void {
  // Before it is asked: the hook may change what it is given.
  const filters = [...(session.filters?.keys() ?? [])]
  const asked = [...(session.filters ?? [])].map(([topic, { qos }]) => ({ topic, qos }))
  c.suspend()
  c.state.hooks.authorizeSubscribe(c, asked, (error, allowed) => {
    if (c.phase !== 'connecting' || c.state.stored !== stored) return
    if (error !== null) {
      c.fault(Reason.not_authorised, 'subscription refused by a hook', error)
      return
    }
    allowed.forEach((one, i) => {
      if (one === null) stored.sessions.unsubscribe(session, filters[i])
    })
    welcomeWhenStored(c, stored, true)
  })
}

/** Seconds of silence that a client is held to; the largest limit holds nobody to anything, least of all those who ask for none. */
function heldKeepalive(asked_s: number, max_s: number): number {
  if (max_s >= KEEPALIVE_MAX_S) return asked_s
  return asked_s === 0 || asked_s > max_s ? max_s : asked_s
}

/** The client that has this id now, if any, is disconnected [MQTT-3.1.4-2]. */
function takeOver(c: Connection, stored: Stored, clientId: string): void {
  const former = stored.sessions.get(clientId)?.connection
  if (former === undefined || former === null) return
  c.state.stats.takeovers++
  former.close()
}

function welcome(c: Connection, present: boolean): void {
  const { session, state } = c
  if (session === null) return
  c.phase = 'connected'
  c.connecting = false
  c.connected = true
  state.hooks.connected(c)
  // MQTT 3.1 has no session-present bit.
  c.send(connack(c.version === 5 ? 5 : 4, ConnectReturn.accepted, present && c.version !== 3))
  state.hooks.welcomed(c, present)
  session.mailboxIfAny?.attach(c)
}
