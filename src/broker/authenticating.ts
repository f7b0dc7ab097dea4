/**
 * Enhanced authentication on a connection of MQTT 5 [MQTT 5.0 4.12]: CONNECT names a method, AUTH packets go to and fro, CONNACK ends it; later the client may
 * begin again with AUTH. What is said in them is the method's affair (`auth-method.ts`).
 *
 * Always true:
 * - a client that is not proven yet has no id, no session and no will; it holds its CONNECT and one exchange, for `connect_timeout_s` at most;
 * - before CONNACK input waits while the method thinks; later it goes on, under what was proven before;
 * - every AUTH, and the CONNACK that accepts, names the method of CONNECT [MQTT-4.12.0-5]; without one there is no AUTH [MQTT-4.12.0-6].
 */
import { STRING_BYTES_MAX } from '../core/limits.js'
import { readAuth } from '../mqtt/auth.js'
import type { ConnectPacket } from '../mqtt/connect.js'
import { ConnectReturn, Reason } from '../mqtt/constants.js'
import { auth as authPacket, connack } from '../mqtt/encode.js'
import type { Frame } from '../mqtt/frame.js'
import type { Properties } from '../mqtt/properties.js'
import type { AuthExchange, AuthMethod, AuthStep } from './auth-method.js'
import type { Connection, Phase } from './connection.js'

/** What a connection has whose CONNECT named a method. */
export class Authentication {
  readonly method: AuthMethod
  /** Whom the client proved to be; undefined: nobody yet. */
  user: string | undefined = undefined
  /** What CONNACK carries for the client to check. */
  last: Buffer | undefined = undefined
  /** Under way now. */
  exchange: AuthExchange | null = null
  /** Uptime when the exchange began, or for the first one the connection. */
  begun_ms: number
  /** The method thinks about what the client sent. */
  thinking = false
  /** Goes on with CONNECT, once. */
  readonly proven: (user: string) => void

  constructor(method: AuthMethod, begun_ms: number, proven: (user: string) => void) {
    this.method = method
    this.begun_ms = begun_ms
    this.proven = proven
  }

  /** For CONNACK. */
  get properties(): Properties {
    return propertiesOf(this, this.last)
  }
}

/** The connection is gone. */
export function abandonAuth(c: Connection, auth: Authentication): void {
  const { exchange } = auth
  auth.exchange = null
  try {
    exchange?.abandoned?.()
  } catch (error) {
    c.state.log.error({ client: c.id, method: auth.method.name, err: error }, 'authentication method failed')
  }
}

/** Begins with the CONNECT that named a method; `proven` is called when the client is who it says, else the connection ends. */
export function authenticate(c: Connection, packet: ConnectPacket, proven: (user: string) => void): void {
  const { authenticationMethod: name = '', authenticationData } = packet.properties ?? {}
  const method = c.state.authMethods.of(name)
  if (method === undefined) {
    refuse(c, Reason.bad_authentication_method, 'no such authentication method')
    return
  }
  c.auth = new Authentication(method, c.made_ms, proven)
  begin(c, c.auth, packet.clientId, packet.username, authenticationData)
}

/** A CONNECT without a method where there must be one. */
export function refuseUnproven(c: Connection): void {
  if (c.peer === null) c.send(connack(4, ConnectReturn.not_authorised, false))
  refuse(c, Reason.not_authorised, `authenticate by ${c.state.authMethods.requiredNames}`)
}

/** AUTH from the client. Throws a `PacketFault`. */
export function handleAuth(c: Connection, buf: Buffer, frame: Frame): void {
  const { reason, properties } = readAuth(buf, frame)
  const { auth } = c
  const wrong = auth === null ? 'AUTH without an authentication method' : authFault(c, auth, reason, properties)
  if (auth === null || wrong !== undefined) {
    c.fault(Reason.protocol_error, wrong ?? '')
    return
  }
  const data = properties?.authenticationData
  if (reason === Reason.continue_authentication) {
    step(c, auth, data)
    return
  }
  auth.begun_ms = c.state.uptime_ms
  begin(c, auth, c.id, auth.user, data)
}

/** What is wrong with an AUTH on a connection that has a method. */
function authFault(c: Connection, auth: Authentication, reason: number, properties: Properties | undefined): string | undefined {
  if (properties?.authenticationMethod !== auth.method.name) return 'AUTH with another authentication method' // [MQTT-4.12.1-1]
  if (reason === Reason.success) return 'AUTH with success from a client'
  // While the method thinks, it is not the client's turn.
  if (reason === Reason.continue_authentication)
    return auth.exchange === null || auth.thinking ? 'AUTH that nobody asked for' : undefined
  return c.phase !== 'connected' || auth.exchange !== null ? 'AUTH begins while one is under way' : undefined
}

/** The exchange is out of time; called by the sweep. */
export function authTimedOut(c: Connection): void {
  refuse(c, Reason.not_authorised, 'authentication did not end in time')
}

function begin(c: Connection, auth: Authentication, id: string, username: string | undefined, data: Buffer | undefined): void {
  try {
    auth.exchange = auth.method.begin({ id, username, remote: c.transport.remote, user: auth.user })
  } catch (error) {
    broken(c, auth, error)
    return
  }
  step(c, auth, data)
}

function step(c: Connection, auth: Authentication, data: Buffer | undefined): void {
  const { exchange } = auth
  if (exchange === null) return
  let answer: AuthStep | Promise<AuthStep>
  try {
    answer = exchange.step(data)
  } catch (error) {
    broken(c, auth, error)
    return
  }
  if (!isPromise(answer)) {
    taken(c, auth, answer)
    return
  }
  const first = c.phase === 'connecting'
  if (first) c.suspend()
  auth.thinking = true
  const then = (run: () => void): void => {
    // Gone meanwhile.
    if (auth.exchange !== exchange) return
    auth.thinking = false
    run()
    // Input waits on when a hook or a commit is asked now; that one lets it go on.
    if (first && (auth.exchange !== null || (c.phase as Phase) === 'connected')) c.resume()
  }
  answer.then(
    (now) => then(() => taken(c, auth, now)),
    (error) => then(() => broken(c, auth, error)),
  )
}

function taken(c: Connection, auth: Authentication, answer: AuthStep): void {
  if (!isStep(answer)) {
    broken(c, auth, new TypeError('the method answered with something that is no step'))
    return
  }
  if (answer.kind === 'continue') {
    send(c, auth, Reason.continue_authentication, answer.data)
    return
  }
  auth.exchange = null
  if (answer.kind === 'refused') {
    refuse(c, Reason.not_authorised, answer.reason)
    return
  }
  const { identity: user, data } = answer
  const again = auth.user !== undefined
  if (again && user !== auth.user) {
    // Its session and subscriptions are those of the first.
    refuse(c, Reason.not_authorised, 'authenticated as somebody else than before')
    return
  }
  c.state.log.debug({ client: c.id, user, method: auth.method.name, remote: c.transport.remote, again }, 'authenticated')
  if (again) {
    send(c, auth, Reason.success, data)
    return
  }
  auth.user = user
  auth.last = data
  c.user = user
  auth.proven(user)
}

function send(c: Connection, auth: Authentication, reason: number, data: Buffer | undefined): void {
  const packet = authPacket(reason, propertiesOf(auth, data))
  if (packet.length > (c.peer?.packetBytesMax ?? 0)) c.fault(Reason.packet_too_large, 'AUTH is larger than the client takes')
  else c.send(packet)
}

function propertiesOf({ method }: Authentication, data: Buffer | undefined): Properties {
  return { authenticationMethod: method.name, ...(data === undefined ? {} : { authenticationData: data }) }
}

function isPromise(answer: AuthStep | Promise<AuthStep>): answer is Promise<AuthStep> {
  return typeof (answer as Partial<Promise<AuthStep>> | undefined)?.then === 'function'
}

/** Methods may be a program's, in any language that runs here: what is not clearly a yes must not become one. */
function isStep(answer: AuthStep | undefined): boolean {
  if (answer?.kind === 'refused') return isText(answer.reason)
  if (answer?.kind !== 'continue' && answer?.kind !== 'done') return false
  if (answer.data !== undefined && !(Buffer.isBuffer(answer.data) && answer.data.length <= STRING_BYTES_MAX)) return false
  return answer.kind === 'continue' || (isText(answer.identity) && answer.identity !== '')
}

/** True for what a reason string can carry. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0') && Buffer.byteLength(value) <= STRING_BYTES_MAX
}

/** Ends the connection: with CONNACK before it was accepted [MQTT-4.12.0-4], with DISCONNECT afterwards [MQTT-4.12.1-2]. */
function refuse(c: Connection, reason: number, text: string): void {
  c.state.stats.authRefused++
  if (c.phase === 'connecting') c.state.hooks.refused(c, ConnectReturn.not_authorised)
  const error = new Error(text)
  if (c.peer !== null) {
    c.end(reason, error)
    return
  }
  c.finish(error)
  c.transport.end()
}

/** The method itself failed: that is nobody's fault at the other end. */
function broken(c: Connection, auth: Authentication, error: unknown): void {
  auth.exchange = null
  c.state.log.error({ client: c.id, method: auth.method.name, err: error }, 'authentication method failed')
  refuse(c, Reason.unspecified_error, 'authentication failed')
}
