/**
 * A correct persistent subscriber: it hands a QoS 2 message to its application when the PUBLISH comes, keeps the packet identifier over
 * reconnects until the PUBREL [MQTT-4.3.3-2], and answers everything at once. So a second hand-over of a QoS 2 message is the broker's doing.
 */
import { MqttClient, type Packet, packet, type QoS, T } from '../../support/mqtt-client.js'
import { keyIn, stamp_ns } from './message.js'

export type Filters = readonly (readonly [string, QoS])[]

/** One step of a subscriber; `key` is '' for a release. */
export interface Heard {
  at_ns: number
  id: number
  qos: QoS
  key: string
}

/** A session that stays for a day. */
export const FIVE = { protocol: 5, properties: { sessionExpiryInterval: 86_400 } } as const

export class Subscriber {
  readonly name: string
  readonly filters: Filters
  /** Identifiers of QoS 2 messages that were handed over and not yet released. */
  readonly open_ids = new Set<number>()
  sessions_lost = 0
  /** A delivery to the application, or a release (key ''). */
  onHeard: (heard: Heard) => void
  last_ns = 0
  private client: MqttClient | undefined
  private known = false

  private readonly clean: boolean
  private readonly five: boolean

  /** Clean sessions for names that begin with `clean`, MQTT 5 for those that begin with `five`. */
  constructor(name: string, filters: Filters, onHeard: (heard: Heard) => void) {
    this.name = name
    this.clean = name.startsWith('clean')
    this.five = name.startsWith('five')
    this.filters = filters
    this.onHeard = onHeard
  }

  /** As a subscriber that has subscribed before and holds these identifiers. */
  restore(open_ids: Iterable<number>): void {
    this.known = true
    for (const id of open_ids) this.open_ids.add(id)
  }

  get connected(): boolean {
    return this.client !== undefined && !this.client.is_closed
  }

  async connect(port: number): Promise<void> {
    this.client?.destroy()
    const client = await MqttClient.connect(port, {
      client_id: this.name,
      clean: this.clean,
      auto_ack: false,
      timeout_ms: 10_000,
      ...(this.five ? FIVE : {}),
    })
    if (client.connack?.code !== 0) throw new Error(`${this.name}: return code ${client.connack?.code}`)
    const lost = this.known && !this.clean && !client.connack.present
    if (lost) {
      this.sessions_lost++
      this.open_ids.clear()
    }
    this.client = client
    // In one turn with the switch, so that no packet is taken out of its order.
    for (const p of client.inbox.splice(0)) this.take(client, p)
    const first = !this.known || lost || this.clean
    this.known = true
    if (!first) {
      client.onPacket = (p) => this.take(client, p)
      return
    }
    const suback = client.expect(T.SUBACK)
    client.onPacket = (p) => this.take(client, p)
    client.send(packet.subscribe(1, this.filters, this.five ? {} : undefined))
    const codes = (await suback).codes
    if (codes.some((code, i) => code !== this.filters[i][1])) throw new Error(`${this.name}: SUBACK ${codes.join(' ')}`)
  }

  /** Says DISCONNECT and goes; the session stays. */
  async leave(): Promise<void> {
    await this.client?.disconnect()
  }

  drop(): void {
    this.client?.destroy()
  }

  private take(client: MqttClient, p: Packet): void {
    if (p.type === T.PUBLISH) {
      const at_ns = stamp_ns()
      this.last_ns = at_ns
      const seen = p.qos === 2 && this.open_ids.has(p.id)
      if (p.qos === 2) this.open_ids.add(p.id)
      if (!seen) this.onHeard({ at_ns, id: p.id, qos: p.qos, key: keyIn(p.payload) })
      if (p.qos === 1) client.send(packet.puback(p.id))
      else if (p.qos === 2) client.send(packet.pubrec(p.id))
    } else if (p.type === T.PUBREL) {
      this.open_ids.delete(p.id)
      this.onHeard({ at_ns: stamp_ns(), id: p.id, qos: 2, key: '' })
      client.send(packet.pubcomp(p.id))
    }
  }
}
