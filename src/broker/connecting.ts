/**
 * CONNECT: read, check, ask the hooks, take over, open the session, answer. The rules are those of [MQTT-3.1.*]; refusals use the return
 * code that the standard gives, and anything else that is wrong closes the connection without an answer, but for MQTT 5, which has a
 * reason code for everything. A CONNECT that names an authentication method comes back from `authenticating.ts` with the name that it proved.
 */
import { isUtf8 } from 'node:buffer'
import type { CountedLimit } from '../core/refusals.js'
import { type ConnectPacket, readConnect } from '../mqtt/connect.js'
import { ConnectReturn, Reason } from '../mqtt/constants.js'
import { connack } from '../mqtt/encode.js'
import { PacketFault } from '../mqtt/faults.js'
import type { Frame } from '../mqtt/frame.js'
import type { Properties } from '../mqtt/properties.js'
import { topicFault } from '../topics/names.js'
import { authenticate, refuseUnproven } from './authenticating.js'
import type { Connection, Phase } from './connection.js'
import { heldExpiry, NEVER_S } from './expiry.js'
import { reasonOf } from './five/farewell.js'
import { Peer } from './five/peer.js'
import { welcome5 } from './five/welcome.js'
import { will5 } from './five/will.js'
import type { OpenedSession } from './sessions.js'
import type { BrokerState, Stored } from './state.js'

/** What two bytes can say. */
const KEEPALIVE_MAX_S = 65_535

export function handleConnect(c: Connection, buf: Buffer, frame: Frame): void {
  let packet: ConnectPacket
  try {
    packet = readConnect(buf, frame)
  } catch (error) {
    if (!(error instanceof PacketFault)) throw error
    if (error.version === 5) c.send(connack(5, error.reason, false))
    if (error.connackCode > 0) refuse(c, error.connackCode, error.text)
    else c.fault(error.reason, error.text)
    return
  }
  c.phase = 'connecting'
  c.connecting = true
  c.version = packet.version
  c.bridge = packet.bridge
  if (packet.version === 5) meet(c, packet.properties ?? {})
  const wrong = packetFault(packet, c.state.settings.max_topic_levels)
  if (wrong !== undefined) {
    c.fault(wrong.reason, wrong.text)
    return
  }
  if (packet.properties?.authenticationMethod !== undefined) {
    // For the hooks, the name that was proven is the user name.
    authenticate(c, packet, (username) => ask(c, { ...packet, username }))
    return
  }
  if (c.state.authMethods.isRequired) refuseUnproven(c)
  else ask(c, packet)
}

/** What the hooks say to it, if there are any. */
function ask(c: Connection, packet: ConnectPacket): void {
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

/** From here on the connection is one of MQTT 5, within the limits that its client named. */
function meet(c: Connection, asked: Properties): void {
  const { window, max_topic_aliases } = c.state.settings
  c.peer = new Peer(asked, { aliases_max: max_topic_aliases })
  // [MQTT-3.3.4-9]
  c.window = Math.min(window, asked.receiveMaximum ?? window)
}

/** What is wrong with a CONNECT that could be read. */
function packetFault({ will }: ConnectPacket, levels_max: number): PacketFault | undefined {
  if (will === undefined) return undefined
  const wrong = topicFault(will.topic, levels_max)
  if (wrong !== undefined) return new PacketFault(Reason.topic_name_invalid, `will: ${wrong}`)
  if (will.properties?.payloadFormatIndicator === true && !isUtf8(will.payload))
    return new PacketFault(Reason.payload_format_invalid, 'will: the payload is not UTF-8')
  return undefined
}

/** Answers with a return code, in MQTT 5 with the reason that is its equal, then closes [MQTT-3.2.2-5]. */
function refuse(c: Connection, code: number, text: string, error?: Error): void {
  c.state.hooks.refused(c, code)
  if (c.peer === null) c.send(connack(4, code, false))
  c.fault(reasonOf(code), text, error)
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
  const user = userOf(c, packet)
  if (!isOwner(c, stored, clientId, user)) {
    refuse(c, ConnectReturn.not_authorised, 'this client identifier belongs to another user')
    return
  }
  const full = limitFor(c, stored, clientId, packet)
  if (full !== undefined) {
    refuseFor(c, full)
    return
  }
  c.clean = packet.clean
  c.keepalive_s = heldKeepalive(packet.keepalive_s, state.settings.max_keepalive_s)
  takeOver(c, stored, clientId)
  const { clean, version } = packet
  const request = { clientId, clean, expiry_s: expiryOf(packet, state), version, user }
  const { session, present, resumed, stored: changed } = stored.sessions.open(c, request)
  c.entered(session)
  if (packet.will !== undefined) {
    const { topic, payload, qos, retain, properties } = packet.will
    const more = properties === undefined ? {} : will5(properties)
    c.lastWill = stored.wills.add({ clientId, topic, payload, qos, retain, ...more })
    c.will = c.lastWill
  }
  if (resumed && state.hooks.gatesSubscribe) {
    authoriseAgain(c, stored, { session, present }, packet)
    return
  }
  if (!changed && c.lastWill === null) welcome(c, present, packet)
  else welcomeWhenStored(c, stored, present, packet)
}

/** The limit that this client would break, if it would. Who was here already takes no new place. */
function limitFor(c: Connection, stored: Stored, clientId: string, packet: ConnectPacket): CountedLimit | undefined {
  const { sessions, wills } = stored
  const { settings, accepted } = c.state
  const refused = sessions.refuses(clientId, expiryOf(packet, c.state) > 0)
  if (refused !== undefined) return refused
  if (accepted >= settings.max_connections && (sessions.get(clientId)?.connection ?? null) === null) return 'mqtt.max_connections'
  return packet.will === undefined ? undefined : wills.refuses(clientId, packet.will.topic, packet.will.payload)
}

/** An identifier can be another one; for the rest there may be room later. */
function refuseFor(c: Connection, limit: CountedLimit): void {
  c.state.refusals.count(limit, { client: c.id.slice(0, 64), remote: c.transport.remote })
  const isId = limit === 'mqtt.max_client_id_bytes'
  const code = isId ? ConnectReturn.id_rejected : ConnectReturn.server_unavailable
  c.state.hooks.refused(c, code)
  if (c.peer === null) c.send(connack(4, code, false))
  c.refuse(isId ? Reason.client_identifier_not_valid : Reason.quota_exceeded, `${limit} is reached`)
}

/** Who was authenticated: the name that was proven, or that a program gave the client, else the user name that its `authenticate` accepted. */
function userOf(c: Connection, { username }: ConnectPacket): string | undefined {
  if (typeof c.user === 'string') return c.user
  return c.state.hooks.gatesUsers ? username : undefined
}

/**
 * A session belongs to the user who began it [MQTT-5.4.2]: nobody else may take it up, end it by a clean start, or take over its connection. One that is nobody's is
 * its first user's. Where nobody is authenticated, nobody can be told from another.
 */
function isOwner(c: Connection, stored: Stored, clientId: string, user: string | undefined): boolean {
  const { hooks, authMethods, log, seldom } = c.state
  if (!hooks.gatesUsers && !authMethods.any) return true
  const owner = stored.sessions.ownerOf(clientId)
  if (owner === user) return true
  const { remote } = c.transport
  if (owner === undefined) {
    if (user !== undefined && stored.sessions.get(clientId) !== undefined)
      log.info({ client: clientId, user, remote }, "a session that was nobody's has an owner now")
    return true
  }
  seldom.warn(
    { client: clientId, user: user ?? '', owner, remote },
    'a client identifier belongs to another user: connection refused',
  )
  return false
}

/** How long the session will outlive this connection. */
function expiryOf({ version, clean, properties }: ConnectPacket, { settings }: BrokerState): number {
  if (version === 5) return heldExpiry(properties?.sessionExpiryInterval ?? 0, settings)
  return clean ? 0 : heldExpiry(NEVER_S, settings)
}

/** Nothing else is handled before CONNACK, which waits for the commit. */
function welcomeWhenStored(c: Connection, stored: Stored, present: boolean, packet: ConnectPacket): void {
  c.suspend()
  c.answerWith(() => {
    welcome(c, present, packet)
    c.resume()
  }, stored.store.journal.openGroup)
}

/** As in Aedes, a program decides anew about what a stored session is subscribed to: what it refuses now is gone. */
function authoriseAgain(
  c: Connection,
  stored: Stored,
  { session, present }: Pick<OpenedSession, 'session' | 'present'>,
  packet: ConnectPacket,
): void {
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
    welcomeWhenStored(c, stored, present, packet)
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
  former.end(Reason.session_taken_over)
}

function welcome(c: Connection, present: boolean, packet: ConnectPacket): void {
  const { session, state } = c
  if (session === null) return
  // MQTT 3.1 has no session-present bit.
  const answer = c.peer === null ? connack(4, ConnectReturn.accepted, present && c.version !== 3) : welcome5(c, packet, present)
  if (answer === undefined) {
    c.fault(Reason.packet_too_large, 'CONNACK is larger than the client takes')
    return
  }
  c.phase = 'connected'
  c.connecting = false
  c.connected = true
  state.hooks.connected(c)
  state.connectionLog.connected(c, present)
  c.send(answer)
  state.hooks.welcomed(c, present)
  session.mailboxIfAny?.attach(c)
}
