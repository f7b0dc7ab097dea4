/**
 * A correct publisher with a persistent session: whatever is not acknowledged when its connection ends is sent again after the next
 * CONNACK in the original order, with DUP and the same packet identifier, or as PUBREL once a PUBREC was seen [MQTT-4.4.0-1].
 */
import { MqttClient, type Packet, packet, T } from '../../support/mqtt-client.js'
import type { Props } from '../../support/mqtt-packets.js'
import { type Message, payloadOf, stamp_ns } from './message.js'
import { FIVE } from './subscriber.js'

/** What an MQTT 5 publisher says of each message. */
const PROPERTIES: Props = { contentType: 'text/plain', userProperties: [['rig', 'kill']] }

/**
 * `sent` is stamped before the bytes leave; `acked` (PUBACK or PUBREC: the broker has promised to keep it) and `done` (PUBACK or
 * PUBCOMP) after they arrived. So at any instant the stamps tell a state that the publisher may have been in.
 */
export type Step = 'sent' | 'acked' | 'done'

export interface InFlight {
  id: number
  message: Message
  /** A PUBREC was seen: what goes out again is the PUBREL. */
  released: boolean
}

export type Recorder = (step: Step, at_ns: number, id: number, message: Message) => void

export class Publisher {
  readonly name: string
  /** In the order of the first sending. */
  readonly in_flight = new Map<number, InFlight>()
  /** CONNACKs that knew nothing of a session which an earlier one had made. */
  sessions_lost = 0
  /** Called after each packet that ended a message. */
  onDone: (() => void) | undefined
  private readonly record: Recorder
  private readonly bytes: number
  /** Names that begin with `v` speak MQTT 5. */
  private readonly five: boolean
  private client: MqttClient | undefined
  private last_id = 0
  private known = false

  constructor(name: string, bytes: number, record: Recorder) {
    this.name = name
    this.bytes = bytes
    this.five = name.startsWith('v')
    this.record = record
  }

  /** As a publisher that had `list` unacknowledged when it lost its connection; `known`: it had seen a CONNACK. */
  restore(list: readonly InFlight[], known: boolean): void {
    this.known = known
    for (const flight of list) this.in_flight.set(flight.id, { ...flight })
    this.last_id = list.reduce((top, flight) => Math.max(top, flight.id), 0)
  }

  async connect(port: number): Promise<void> {
    const client = await MqttClient.connect(port, {
      client_id: this.name,
      clean: false,
      auto_ack: false,
      timeout_ms: 10_000,
      ...(this.five ? FIVE : {}),
      onPacket: (p) => this.take(client, p),
    })
    if (client.connack?.code !== 0) throw new Error(`${this.name}: return code ${client.connack?.code}`)
    // Without a session both sides forget: the broker did, and a resend would only cover that up; it goes on so that the count is fair.
    if (this.known && client.connack.present === false) this.sessions_lost++
    this.known = true
    this.client = client
    const again: Buffer[] = []
    for (const f of this.in_flight.values()) again.push(f.released ? packet.pubrel(f.id) : this.bytesOf(f, true))
    if (again.length > 0) client.send(Buffer.concat(again))
  }

  /** Sends all of them in one write. */
  publish(messages: readonly Message[]): void {
    const client = this.client
    if (client === undefined || client.is_closed) return
    const at = stamp_ns()
    const out: Buffer[] = []
    for (const message of messages) {
      const flight: InFlight = { id: message.qos === 0 ? 0 : this.freeId(), message, released: false }
      if (message.qos > 0) this.in_flight.set(flight.id, flight)
      this.record('sent', at, flight.id, message)
      out.push(this.bytesOf(flight, false))
    }
    client.send(Buffer.concat(out))
  }

  get connected(): boolean {
    return this.client !== undefined && !this.client.is_closed
  }

  /** Waits until nothing is in flight, the connection ends or the time is over. */
  async settle(limit_ms: number): Promise<boolean> {
    const end = Date.now() + limit_ms
    while (this.in_flight.size > 0 && this.connected && Date.now() < end) await new Promise((r) => setTimeout(r, 5))
    return this.in_flight.size === 0
  }

  closed(): Promise<void> {
    return this.client?.closed ?? Promise.resolve()
  }

  drop(): void {
    this.client?.destroy()
  }

  private freeId(): number {
    do this.last_id = (this.last_id % 65535) + 1
    while (this.in_flight.has(this.last_id))
    return this.last_id
  }

  private bytesOf(flight: InFlight, dup: boolean): Buffer {
    const { topic, qos, retain, key } = flight.message
    const five = this.five ? { properties: PROPERTIES } : {}
    return packet.publish(topic, payloadOf(key, this.bytes), { qos, retain, dup, id: flight.id, ...five })
  }

  private take(client: MqttClient, p: Packet): void {
    const flight = this.in_flight.get(p.id)
    if (p.type === T.PUBACK && flight?.message.qos === 1) {
      const at = stamp_ns()
      this.in_flight.delete(p.id)
      this.record('acked', at, p.id, flight.message)
      this.record('done', at, p.id, flight.message)
      this.onDone?.()
    } else if (p.type === T.PUBREC) {
      if (flight?.message.qos === 2 && !flight.released) {
        flight.released = true
        this.record('acked', stamp_ns(), p.id, flight.message)
      }
      client.send(packet.pubrel(p.id))
    } else if (p.type === T.PUBCOMP && flight?.released === true) {
      this.in_flight.delete(p.id)
      this.record('done', stamp_ns(), p.id, flight.message)
      this.onDone?.()
    }
  }
}
