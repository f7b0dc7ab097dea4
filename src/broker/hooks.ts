/**
 * Aedes's hooks and events, as the rest of the broker calls them. A hook that its user never set costs one comparison: Aedes's own defaults
 * are recognised by identity. Hooks are read anew each time, since programs assign them at any moment.
 */
import type { Clock } from '../core/clock.js'
import type { ConnectPacket, WillFields } from '../mqtt/connect.js'
import { ConnectReturn } from '../mqtt/constants.js'
import type { MessageView } from '../store/message.js'
import { topicFault } from '../topics/names.js'
import { bytesOf } from './client-api.js'
import type { Connection, Phase } from './connection.js'
import { type HookProperties, seenOf, seenProperties } from './five/hook-properties.js'
import { type Inbound, payloadOf, topicOf, viewOf } from './message.js'
import type { Listener } from './session.js'
import type { AskedSubscription } from './subscribing.js'

/** A PUBLISH as hooks, listeners and events of Aedes see it. */
export interface HookPacket {
  cmd: string
  topic: string
  payload: Buffer
  qos: number
  retain: boolean
  dup: boolean
  messageId?: number
  brokerId?: string
  brokerCounter?: number
  clientId?: string
  /** MQTT 5. What a hook changes in them is not taken over. */
  properties?: HookProperties
}

/** What the hooks say to a CONNECT. `packet`: as they left it, since `preConnect` may change it. */
export type ConnectVerdict =
  | { readonly packet: ConnectPacket }
  /** `code` for CONNACK; 0: close without an answer, as Aedes does when `preConnect` refuses. */
  | { readonly code: number; readonly error: HookError }

type HookError = Error & { returnCode?: number; errorCode?: number }

/** What an error says that a hook did not word. */
const refusals: Readonly<Record<number, string>> = {
  2: 'identifier rejected',
  3: 'Server unavailable',
  4: 'bad user name or password',
  5: 'not authorized',
}

type Callback = (error: HookError | null | undefined, value?: unknown) => void

/** The parts of an Aedes instance that we use; its own type leaves some of them out. */
export interface AedesInstance {
  readonly id: string
  readonly closed: boolean
  handle(stream: unknown, request?: unknown): unknown
  publish(packet: object, client?: unknown, done?: (error?: Error | null) => void): void
  listen(): Promise<void>
  close(done?: () => void): void
  clients: Record<string, unknown>
  connectedClients: number
  counter: number
  preConnect(client: unknown, packet: object, done: Callback): void
  authenticate(client: unknown, username: string | undefined, password: Buffer | undefined, done: Callback): void
  authorizePublish(client: unknown, packet: object, done: Callback): void
  authorizeSubscribe(client: unknown, subscription: object, done: Callback): void
  authorizeForward(client: unknown, packet: object): unknown
  published(packet: object, client: unknown, done: Callback): void
  emit(event: string, ...values: unknown[]): boolean
  listenerCount(event: string): number
  on(event: string, listener: (event: string) => void): unknown
}

export type HookDefaults = Pick<
  AedesInstance,
  'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe' | 'authorizeForward' | 'published'
>

export class Hooks {
  private readonly aedes: AedesInstance
  private readonly defaults: HookDefaults
  private readonly clock: Clock
  /** Publishes one of the broker's own notices (`$SYS/{id}/…`); set by the seams. */
  notice: (name: string, payload: () => Buffer) => void = () => {}
  /** True while a hook or listener runs in the middle of an admission: what it publishes must wait its turn. */
  busy = false

  /** Does anybody listen for these? Known without asking, since it is asked for each message. */
  hearsPublish = false
  hearsAck = false

  constructor(aedes: AedesInstance, defaults: HookDefaults, clock: Clock) {
    this.aedes = aedes
    this.clock = clock
    this.defaults = defaults
    const { watch } = this
    aedes.on('newListener', (event) => watch(event, true))
    aedes.on('removeListener', (event) => watch(event, this.listens(event)))
  }

  private readonly watch = (event: string, heard: boolean): void => {
    if (event === 'publish') this.hearsPublish = heard
    else if (event === 'ack') this.hearsAck = heard
  }

  get gatesConnect(): boolean {
    return this.aedes.preConnect !== this.defaults.preConnect || this.aedes.authenticate !== this.defaults.authenticate
  }

  get authenticates(): boolean {
    return this.aedes.authenticate !== this.defaults.authenticate
  }

  get gatesPublish(): boolean {
    return this.aedes.authorizePublish !== this.defaults.authorizePublish
  }

  get gatesSubscribe(): boolean {
    return this.aedes.authorizeSubscribe !== this.defaults.authorizeSubscribe
  }

  get gatesForward(): boolean {
    return this.aedes.authorizeForward !== this.defaults.authorizeForward
  }

  get observesPublish(): boolean {
    return this.hearsPublish || this.aedes.published !== this.defaults.published
  }

  listens(event: string): boolean {
    return this.aedes.listenerCount(event) > 0
  }

  emit(event: string, ...values: unknown[]): void {
    this.aedes.emit(event, ...values)
  }

  /** `preConnect`, then `authenticate`. The client gets its id between the two, as in Aedes. */
  connect(c: Connection, packet: ConnectPacket, done: (verdict: ConnectVerdict) => void): void {
    const seen = seenConnect(packet)
    const preConnected = once((error: HookError | null | undefined, agreed?: unknown) => {
      if (error || agreed !== true) {
        done({ code: 0, error: error || new Error('refused by preConnect') })
        return
      }
      const changed = { ...packet, clientId: seen.clientId, clean: seen.clean, keepalive_s: seen.keepalive }
      // Its properties stay what they were.
      changed.will = seen.will === undefined ? undefined : { ...seen.will, properties: packet.will?.properties }
      c.id = changed.clientId
      c.clean = changed.clean
      this.aedes.authenticate(c, seen.username, seen.password, authenticated(changed))
    })
    const authenticated = (changed: ConnectPacket): Callback =>
      once((error: HookError | null | undefined, welcome?: unknown) => {
        if (!error && welcome) {
          done({ packet: changed })
          return
        }
        const code = refusalCode(error?.returnCode)
        const why: HookError = error || new Error(refusals[code])
        if (why.message === '') why.message = refusals[code]
        why.errorCode = code
        done({ code, error: why })
      })
    this.aedes.preConnect(c, seen, preConnected)
  }

  /** Our own rule for reserved topics stands in for Aedes's default, which closes the connection. `error`: it may not be published. */
  authorizePublish(client: unknown, packet: HookPacket, done: (error: Error | null) => void): void {
    if (!this.gatesPublish) {
      done(null)
      return
    }
    this.aedes.authorizePublish(
      client,
      packet,
      once((error) => done(error || null)),
    )
  }

  /**
   * Asks for each filter in turn; the answers are in the same order, null where refused. An error ends the asking: Aedes closes the client
   * for it. A loop and not a recursion, as one SUBSCRIBE may hold thousands of filters.
   */
  authorizeSubscribe(
    c: Connection,
    asked: readonly AskedSubscription[],
    done: (error: Error | null, allowed: (AskedSubscription | null)[]) => void,
  ): void {
    const allowed: (AskedSubscription | null)[] = []
    let running = true
    let failed: Error | null = null
    const answer: Callback = (error, granted) => {
      failed = error || null
      const one = granted as AskedSubscription | null | undefined
      allowed.push(typeof one === 'object' ? one : null)
      if (!running) go()
    }
    const go = (): void => {
      running = true
      for (;;) {
        const at = allowed.length
        if (failed !== null || at === asked.length) {
          done(failed, allowed)
          return
        }
        this.aedes.authorizeSubscribe(c, asked[at], once(answer))
        if (allowed.length === at) break
      }
      running = false
    }
    go()
  }

  /** What this client gets of `m`: itself, another message when the hook changed topic or payload, or null. */
  forward(c: Connection, m: MessageView | Inbound, qos: number, retain: boolean): MessageView | Inbound | null {
    const inbound = isInbound(m) ? m : undefined
    const topic = inbound?.topic.name ?? topicOf(m)
    const publisher = inbound?.client as Connection | null | undefined
    const packet: HookPacket = {
      cmd: 'publish',
      brokerId: this.aedes.id,
      brokerCounter: this.aedes.counter,
      topic,
      payload: payloadOf(m),
      qos,
      retain,
      dup: false,
      ...(publisher ? { clientId: publisher.id } : {}),
      ...this.propertiesOf(m),
    }
    const was = this.busy
    this.busy = true
    try {
      const allowed = this.aedes.authorizeForward(c, packet) as HookPacket | null | undefined
      if (!allowed) return null
      const payload = bytesOf(allowed.payload)
      if (allowed.topic === topic && payload.compare(m.buffer, m.payloadStart, m.end) === 0) return m
      if (topicFault(allowed.topic, Number.POSITIVE_INFINITY) !== undefined) return null
      return viewOf(Buffer.from(allowed.topic), payload, m.acceptedAt, m.properties, m.expiresAt)
    } finally {
      this.busy = was
    }
  }

  /** Tells listeners inside this process, the `published` hook and `'publish'` listeners. None of them holds anything up. */
  published(m: Inbound, listeners: readonly Listener[]): void {
    const packet = this.packetOf(m)
    const was = this.busy
    this.busy = true
    try {
      for (const listener of listeners) listener.deliver(packet, ignore)
      this.aedes.published(packet, m.client, ignore)
      this.aedes.emit('publish', packet, m.client)
    } finally {
      this.busy = was
    }
  }

  private packetOf(m: Inbound): HookPacket {
    const client = m.client as Connection | null
    return {
      cmd: 'publish',
      brokerId: this.aedes.id,
      brokerCounter: ++this.aedes.counter,
      topic: m.topic.name,
      payload: payloadOf(m),
      qos: m.qos,
      retain: m.retain,
      dup: false,
      ...(client === null ? {} : { clientId: client.id }),
      ...this.propertiesOf(m),
    }
  }

  /** Nothing at all where there are none, as before MQTT 5. */
  propertiesOf(m: MessageView): { properties?: HookProperties } {
    const properties = seenOf(m, this.clock.now())
    return properties === undefined ? {} : { properties }
  }

  /** The client is registered: before CONNACK, as in Aedes. */
  connected(c: Connection): void {
    this.aedes.clients[c.id] = c
    this.aedes.connectedClients++
    this.aedes.emit('client', c)
    this.notice('new/clients', () => Buffer.from(c.id))
  }

  welcomed(c: Connection, sessionPresent: boolean): void {
    this.aedes.emit('connackSent', { cmd: 'connack', returnCode: 0, sessionPresent }, c)
    this.aedes.emit('clientReady', c)
    c.emit('connected')
  }

  subscribed(c: Connection, subscriptions: object[]): void {
    this.aedes.emit('subscribe', subscriptions, c)
    this.notice('new/subscribes', () => Buffer.from(JSON.stringify({ clientId: c.id, subs: subscriptions })))
  }

  unsubscribed(c: Connection, filters: string[]): void {
    this.aedes.emit('unsubscribe', filters, c)
    this.notice('new/unsubscribes', () => Buffer.from(JSON.stringify({ clientId: c.id, subs: filters })))
  }

  /** A CONNACK that refuses. */
  refused(c: Connection, returnCode: number): void {
    this.aedes.emit('connackSent', { cmd: 'connack', returnCode, sessionPresent: false }, c)
  }

  /** `packet`: the message that is acknowledged, or PUBREL when it is PUBCOMP. */
  acknowledged(c: Connection, packet: object): void {
    this.aedes.emit('ack', packet, c)
  }

  /** `left`: the filters that end with the connection. */
  closed(c: Connection, was: Phase, error: Error | undefined, left: string[] | null): void {
    // A client without id has not come past `preConnect`.
    if (error !== undefined) this.aedes.emit(c.id === '' ? 'connectionError' : 'clientError', c, error)
    if (was !== 'connected') return
    if (left !== null) this.unsubscribed(c, left)
    if (this.aedes.clients[c.id] === c) {
      delete this.aedes.clients[c.id]
      this.aedes.connectedClients--
    }
    this.aedes.emit('clientDisconnect', c)
    this.notice('disconnect/clients', () => Buffer.from(c.id))
  }
}

function refusalCode(code: number | undefined): number {
  return code !== undefined && code >= ConnectReturn.id_rejected && code <= ConnectReturn.not_authorised
    ? code
    : ConnectReturn.not_authorised
}

/** CONNECT as `mqtt-packet` reads it. */
function seenConnect(packet: ConnectPacket) {
  const { clientId, version, clean, keepalive_s, username, password, properties } = packet
  const will = packet.will === undefined ? undefined : seenWill(packet.will)
  return {
    cmd: 'connect',
    retain: false,
    qos: 0,
    dup: false,
    topic: null,
    payload: null,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    clean,
    clientId,
    keepalive: keepalive_s,
    username,
    password,
    will,
    ...(properties === undefined ? {} : { properties: seenProperties(properties) }),
  }
}

function seenWill({ properties, ...will }: WillFields) {
  return properties === undefined ? will : { ...will, properties: seenProperties(properties) }
}

function isInbound(m: MessageView | Inbound): m is Inbound {
  return 'topic' in m && typeof m.topic === 'object'
}

/** A hook that answers twice is heard once: a second answer would acknowledge twice. */
function once(fn: Callback): Callback {
  let called = false
  return (error, value) => {
    if (called) return
    called = true
    fn(error, value)
  }
}

function ignore(): void {}
