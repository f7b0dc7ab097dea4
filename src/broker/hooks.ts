/**
 * Aedes's hooks and events, as the rest of the broker calls them. A hook that its user never set costs one comparison: Aedes's own defaults
 * are recognised by identity. Hooks are read anew each time, since programs assign them at any moment.
 */
import type { ConnectPacket } from '../mqtt/connect.js'
import { ConnectReturn } from '../mqtt/constants.js'
import type { MessageView } from '../store/message.js'
import type { Connection, Phase } from './connection.js'
import { type Inbound, payloadOf, topicOf } from './message.js'
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
}

type Callback = (error: (Error & { returnCode?: number }) | null | undefined, value?: unknown) => void

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
}

export type HookDefaults = Pick<
  AedesInstance,
  'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe' | 'authorizeForward' | 'published'
>

export class Hooks {
  private readonly aedes: AedesInstance
  private readonly defaults: HookDefaults
  /** Publishes one of the broker's own notices (`$SYS/{id}/…`); set by the seams. */
  notice: (name: string, payload: () => Buffer) => void = () => {}
  /** True while a hook or listener runs in the middle of an admission: what it publishes must wait its turn. */
  busy = false

  constructor(aedes: AedesInstance, defaults: HookDefaults) {
    this.aedes = aedes
    this.defaults = defaults
  }

  get gatesConnect(): boolean {
    return this.aedes.preConnect !== this.defaults.preConnect || this.aedes.authenticate !== this.defaults.authenticate
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
    return this.aedes.published !== this.defaults.published || this.aedes.listenerCount('publish') > 0
  }

  listens(event: string): boolean {
    return this.aedes.listenerCount(event) > 0
  }

  emit(event: string, ...values: unknown[]): void {
    this.aedes.emit(event, ...values)
  }

  /** `preConnect`, then `authenticate`. Tells the return code for CONNACK, 0 when both agree. */
  connect(c: Connection, packet: ConnectPacket, done: (code: number) => void): void {
    const { clientId, version, clean, keepalive_s, username, password, will } = packet
    c.id = clientId
    c.clean = clean
    const seen = { cmd: 'connect', protocolVersion: version, clientId, clean, keepalive: keepalive_s, username, password, will }
    this.aedes.preConnect(c, seen, (error, agreed) => {
      if (error || agreed !== true) {
        done(ConnectReturn.not_authorised)
        return
      }
      this.aedes.authenticate(c, username, password, (wrong, welcome) => {
        if (!wrong && welcome === true) done(0)
        else done(refusalCode(wrong?.returnCode))
      })
    })
  }

  /** Our own rule for reserved topics stands in for Aedes's default, which closes the connection. */
  authorizePublish(client: unknown, packet: HookPacket, done: (refused: boolean) => void): void {
    if (!this.gatesPublish) {
      done(false)
      return
    }
    this.aedes.authorizePublish(client, packet, (error) => done(Boolean(error)))
  }

  /** Asks for each filter in turn; the answers are in the same order, null where refused. */
  authorizeSubscribe(c: Connection, asked: AskedSubscription[], done: (allowed: (AskedSubscription | null)[]) => void): void {
    const allowed: (AskedSubscription | null)[] = []
    const next = (): void => {
      const one = asked[allowed.length]
      if (one === undefined) {
        done(allowed)
        return
      }
      this.aedes.authorizeSubscribe(c, one, (error, granted) => {
        allowed.push(error || !granted ? null : (granted as AskedSubscription))
        next()
      })
    }
    next()
  }

  /** May this copy go to this client? A hook can only pass or drop here. */
  forward(c: Connection, m: MessageView | Inbound, qos: number, retain: boolean): boolean {
    const topic = 'topic' in m && typeof m.topic === 'object' ? m.topic.name : topicOf(m)
    const packet: HookPacket = { cmd: 'publish', topic, payload: payloadOf(m), qos, retain, dup: false }
    const was = this.busy
    this.busy = true
    try {
      return Boolean(this.aedes.authorizeForward(c, packet))
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

  private packetOf(m: Inbound): HookPacket & { brokerId: string; brokerCounter: number; clientId?: string } {
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
    }
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

  acknowledged(c: Connection, packetId: number): void {
    this.aedes.emit('ack', { cmd: 'puback', messageId: packetId }, c)
  }

  closed(c: Connection, was: Phase, error: Error | undefined): void {
    if (error !== undefined) this.aedes.emit(was === 'waiting' ? 'connectionError' : 'clientError', c, error)
    if (was !== 'connected') return
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

function ignore(): void {}
