/**
 * A small MQTT client (3.1.1, with `protocol: 5` MQTT 5) on a raw socket, for tests that must decide about every packet themselves.
 *
 * Nothing happens behind the test's back: no reconnect, no ping, no resend, and no acknowledgement unless `auto_ack` is on.
 * Packets arrive in the order of the wire, either at `onPacket` or, without it, in a queue that `next` and `expect` read.
 * The `packet` functions (mqtt-packets.ts) make the bytes alone, so that a test can send wrong ones.
 */
import net from 'node:net'
import { type ConnectOptions, type Packet, PacketReader, type Props, type PublishOptions, packet, T } from './mqtt-packets.js'

export { type ConnectOptions, type Packet, PacketReader, type PublishOptions, packet, type QoS, T } from './mqtt-packets.js'

export interface ClientOptions extends ConnectOptions {
  host?: string
  /** Answer every delivery as a correct subscriber does (PUBACK, PUBREC, PUBCOMP). Default true. */
  auto_ack?: boolean
  /** Limit for connecting, `next`, `expect` and all that wait. Default 5,000. */
  timeout_ms?: number
  /** Called for every packet instead of queueing it. */
  onPacket?: (packet: Packet) => void
}

interface Waiter {
  match: (packet: Packet) => boolean
  done: (packet: Packet) => void
  fail: (error: Error) => void
}

export class MqttClient {
  readonly socket: net.Socket
  /** Settles when the connection is gone, whoever closed it. */
  readonly closed: Promise<void>
  /** The CONNACK of `connect`. */
  connack: Packet | undefined
  /** Packets that nobody took yet. */
  readonly inbox: Packet[] = []
  onPacket: ((packet: Packet) => void) | undefined
  auto_ack: boolean
  private readonly timeout_ms: number
  private readonly reader: PacketReader
  /** What MQTT 5 writes where nothing is given. */
  private readonly none: Props | undefined
  private readonly waiters: Waiter[] = []
  private over = false
  private last_id = 0

  constructor(socket: net.Socket, options: ClientOptions = {}) {
    this.socket = socket
    this.auto_ack = options.auto_ack ?? true
    this.timeout_ms = options.timeout_ms ?? 5000
    this.onPacket = options.onPacket
    this.reader = new PacketReader(options.protocol)
    this.none = options.protocol === 5 ? {} : undefined
    socket.on('data', (chunk: Buffer) => {
      // One write for all that a chunk is answered with.
      socket.cork()
      this.reader.push(chunk, (p) => this.take(p))
      socket.uncork()
    })
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.over = true
        for (const waiter of this.waiters.splice(0)) waiter.fail(new Error('connection closed'))
        resolve()
      })
    })
  }

  /** A TCP connection that has said nothing yet. */
  static open(port: number, options: ClientOptions = {}): Promise<MqttClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: options.host ?? '127.0.0.1', noDelay: true })
      const timer = setTimeout(() => {
        socket.destroy()
        reject(new Error(`no connection within ${options.timeout_ms ?? 5000} ms`))
      }, options.timeout_ms ?? 5000)
      socket.once('error', (error) => {
        clearTimeout(timer)
        reject(error)
      })
      socket.once('connect', () => {
        clearTimeout(timer)
        resolve(new MqttClient(socket, options))
      })
    })
  }

  /** Connects and waits for a CONNACK of any return code; `connack` holds it. Fails when the broker closes instead. */
  static async connect(port: number, options: ClientOptions = {}): Promise<MqttClient> {
    const { onPacket, ...rest } = options
    const client = await MqttClient.open(port, rest)
    try {
      const answer = client.expect(T.CONNACK)
      // Set in the turn of the CONNACK: what follows it in the same read belongs to the caller's handler.
      const connack = answer.then((p) => {
        client.connack = p
        return p
      })
      client.send(packet.connect(options))
      await connack
      if (onPacket !== undefined) {
        for (const p of client.inbox.splice(0)) onPacket(p)
        client.onPacket = onPacket
      }
      return client
    } catch (error) {
      client.destroy()
      throw error
    }
  }

  get is_closed(): boolean {
    return this.over
  }

  send(bytes: Buffer): void {
    if (!this.over) this.socket.write(bytes)
  }

  /** The next identifier of a plain counter; in-use checks are the test's business. */
  nextId(): number {
    this.last_id = (this.last_id % 65535) + 1
    return this.last_id
  }

  /** Sends a PUBLISH and waits for nothing. Returns its packet identifier (0 at QoS 0). */
  publish(topic: string, payload: string | Buffer, options: PublishOptions = {}): number {
    const id = (options.qos ?? 0) === 0 ? 0 : (options.id ?? this.nextId())
    const properties = options.properties ?? this.none
    this.send(packet.publish(topic, payload, { ...options, id, ...(properties === undefined ? {} : { properties }) }))
    return id
  }

  /** Publishes and goes through the whole handshake of its QoS. */
  async publishAndWait(topic: string, payload: string | Buffer, options: PublishOptions = {}): Promise<void> {
    const id = this.publish(topic, payload, options)
    if (options.qos === 1) await this.expect(T.PUBACK, (p) => p.id === id)
    if (options.qos === 2) {
      await this.expect(T.PUBREC, (p) => p.id === id)
      this.send(packet.pubrel(id))
      await this.expect(T.PUBCOMP, (p) => p.id === id)
    }
  }

  /** Subscribes and returns the SUBACK's return codes. In MQTT 5 the number is the byte of all options. */
  subscribe(...filters: (readonly [string, number])[]): Promise<number[]> {
    return this.subscribeWith(this.none, ...filters)
  }

  /** The same with properties, in MQTT 5. */
  async subscribeWith(properties: Props | undefined, ...filters: (readonly [string, number])[]): Promise<number[]> {
    const id = this.nextId()
    this.send(packet.subscribe(id, filters, properties))
    return (await this.expect(T.SUBACK, (p) => p.id === id)).codes
  }

  async unsubscribe(...filters: string[]): Promise<void> {
    const id = this.nextId()
    this.send(packet.unsubscribe(id, filters, this.none))
    await this.expect(T.UNSUBACK, (p) => p.id === id)
  }

  /** One PINGREQ and its answer: whatever was sent before it has been read by the broker. */
  async ping(): Promise<void> {
    this.send(packet.pingreq())
    await this.expect(T.PINGRESP)
  }

  /** The oldest packet of `type` (0: any) that `match` accepts, waiting for it if need be; others stay where they are. */
  expect(type: number, match: (packet: Packet) => boolean = () => true, timeout_ms = this.timeout_ms): Promise<Packet> {
    const test = (p: Packet): boolean => (type === 0 || p.type === type) && match(p)
    const at = this.inbox.findIndex(test)
    if (at >= 0) return Promise.resolve(this.inbox.splice(at, 1)[0])
    if (this.over) return Promise.reject(new Error('connection closed'))
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        match: test,
        done: (p) => {
          clearTimeout(timer)
          resolve(p)
        },
        fail: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      const timer = setTimeout(() => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1)
        reject(new Error(`no packet of type ${type} within ${timeout_ms} ms`))
      }, timeout_ms)
      this.waiters.push(waiter)
    })
  }

  /** The next packet of any type. */
  next(timeout_ms = this.timeout_ms): Promise<Packet> {
    return this.expect(0, undefined, timeout_ms)
  }

  /** DISCONNECT, then waits until the broker has closed. */
  async disconnect(): Promise<void> {
    this.send(packet.disconnect())
    this.socket.end()
    await this.closed
  }

  /** Drops the connection without a word, as a dead device does. */
  destroy(): void {
    this.socket.destroy()
  }

  private take(p: Packet): void {
    if (this.auto_ack) {
      if (p.type === T.PUBLISH && p.qos === 1) this.send(packet.puback(p.id))
      else if (p.type === T.PUBLISH && p.qos === 2) this.send(packet.pubrec(p.id))
      else if (p.type === T.PUBREL) this.send(packet.pubcomp(p.id))
    }
    const at = this.waiters.findIndex((waiter) => waiter.match(p))
    if (at >= 0) this.waiters.splice(at, 1)[0].done(p)
    else if (this.onPacket !== undefined) this.onPacket(p)
    else this.inbox.push(p)
  }
}
