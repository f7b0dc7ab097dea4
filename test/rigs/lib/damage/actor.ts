/** The clients of the damage rig: they publish, send, take and receive at one running broker, and note in `Promised` what was acknowledged. */
import { MqttClient, type Packet, packet, type QoS, T } from '../../../support/mqtt-client.js'
import { pause } from '../options.js'
import type { Seeded } from '../seeded.js'
import { FIVE } from '../subscriber.js'
import type { Running } from '../target.js'
import { idIn, payloadFor } from './content.js'
import type { Owner, Promised } from './promised.js'

/** One hand-over. */
export interface Came {
  owner: Owner
  /** Undefined: the payload is not what anybody published. */
  id: string | undefined
  /** DUP, or a second attempt: the broker says that it may have been delivered before. */
  again: boolean
  qos: QoS
  topic: string
  key: string
  priority: number
}

interface Received {
  receipt: string
  topic: string
  body: string
  encoding: 'text' | 'base64'
  key?: string
  priority: number
  attempts: number
}

export interface NewItem {
  topic: string
  key?: string
  priority?: number
  delay_ms?: number
}

const LIMIT_MS = 10_000
/** Messages of one request. */
const BATCH = 100

export class Actor {
  readonly promised: Promised
  private readonly broker: Running
  private readonly random: Seeded

  constructor(broker: Running, promised: Promised, random: Seeded) {
    this.broker = broker
    this.promised = promised
    this.random = random
  }

  async makeSessions(): Promise<void> {
    for (const [name, filters] of this.promised.sessions) {
      const client = await this.connect(name)
      const codes = await client.subscribe(...filters)
      if (codes.some((code) => code > 2)) throw new Error(`${name}: SUBACK ${codes.join(' ')}`)
      await client.disconnect()
    }
  }

  async makeQueues(attributes: Record<string, object>): Promise<void> {
    for (const [name, given] of Object.entries(attributes)) {
      await this.call('PUT', `/v1/queues/${name}`, given)
      this.promised.queues.add(name)
    }
    for (const [name, { filter, queue }] of this.promised.rules) {
      await this.call('PUT', `/v1/bridges/${name}`, { filter, queue })
      this.promised.queues.add(queue)
    }
  }

  /** Publishes at QoS 1 or 2 and waits for every acknowledgement. False when the connection ended first: the rest is unsure. */
  async publish(topics: readonly string[], o: { retain?: boolean; bytes?: number; qos?: QoS } = {}): Promise<boolean> {
    const client = await MqttClient.connect(this.broker.port, { client_id: 'publisher', auto_ack: false, timeout_ms: LIMIT_MS })
    const open = new Map<number, { id: string; qos: QoS }>()
    const retain = o.retain === true
    let done: () => void = () => {}
    const finished = new Promise<void>((resolve) => {
      done = resolve
    })
    client.onPacket = (p) => {
      const flight = open.get(p.id)
      if (flight === undefined) return
      if (p.type === T.PUBREC) {
        client.send(packet.pubrel(p.id))
        return
      }
      open.delete(p.id)
      this.promised.published(flight.id, flight.qos, retain)
      if (retain) this.promised.unsure.delete(this.promised.known(flight.id).topic)
      if (open.size === 0) done()
    }
    for (const topic of topics) {
      const id = this.promised.sent(topic)
      const qos = o.qos ?? this.random.pick([1, 2] as const)
      if (retain) this.promised.unsure.add(topic)
      const packet_id = client.nextId()
      open.set(packet_id, { id, qos })
      client.send(packet.publish(topic, payloadFor(id, o.bytes ?? this.bytes()), { qos, retain, id: packet_id }))
    }
    const timer = setTimeout(() => client.destroy(), LIMIT_MS)
    if (open.size > 0) await Promise.race([finished, client.closed])
    clearTimeout(timer)
    client.destroy()
    return open.size === 0
  }

  async send(queue: string, items: readonly NewItem[], bytes?: number): Promise<void> {
    const ids = items.map(({ topic, key, priority }) => this.promised.sent(topic, key, priority))
    const messages = items.map((item, i) => ({ ...item, body: payloadFor(ids[i], bytes ?? this.bytes()).toString() }))
    for (let i = 0; i < messages.length; i += BATCH) {
      await this.call('POST', `/v1/queues/${queue}/messages`, { messages: messages.slice(i, i + BATCH) }, true)
      for (const id of ids.slice(i, i + BATCH)) this.promised.owe(`queue ${queue}`, id)
    }
  }

  /** A persistent client takes `count` messages and goes; what it was sent beyond comes again. */
  async take(session: string, count: number): Promise<void> {
    const owner: Owner = `session ${session}`
    const client = await this.connect(session)
    const released = new Set<number>()
    let left = count
    const give = (p: Packet): void => {
      if (p.type === T.PUBREL) {
        released.add(p.id)
        client.send(packet.pubcomp(p.id))
      } else if (p.type === T.PUBLISH && left > 0) {
        left--
        const id = idIn(p.payload)
        if (id !== undefined) this.promised.settle(owner, id)
        client.send(p.qos === 2 ? packet.pubrec(p.id) : packet.puback(p.id))
      }
    }
    for (const p of client.inbox.splice(0)) give(p)
    client.onPacket = give
    const end = Date.now() + LIMIT_MS
    while (left > 0 && Date.now() < end) await pause(10)
    // What subscribers acknowledge is stored within 20 ms.
    await pause(150)
    await client.disconnect()
  }

  /** Receives and acknowledges; some of what was received is left to its lease, which is short. */
  async receive(queue: string, max: number, leave = 0): Promise<void> {
    const { messages } = (await this.call('POST', `/v1/queues/${queue}/receive`, { max: max + leave, lease_ms: 1500 })) as {
      messages: Received[]
    }
    const done = messages.slice(0, Math.max(0, messages.length - leave))
    if (done.length === 0) return
    await this.call('POST', `/v1/queues/${queue}/ack`, { receipts: done.map(({ receipt }) => receipt) })
    for (const { body } of done) {
      const id = idIn(Buffer.from(body))
      if (id !== undefined) this.promised.settle(`queue ${queue}`, id)
    }
  }

  /** A client with a will that stays connected: when the broker ends, however it does, the will goes out. */
  async leaveWill(name: string, topic: string): Promise<MqttClient> {
    const id = this.promised.sent(topic)
    const payload = payloadFor(id, 300)
    const client = await MqttClient.connect(this.broker.port, {
      client_id: name,
      clean: false,
      timeout_ms: LIMIT_MS,
      will: { topic, payload, qos: 1 },
    })
    this.promised.wills.set(id, name)
    this.promised.published(id, 1, false)
    return client
  }

  connect(name: string): Promise<MqttClient> {
    const five = name.startsWith('five')
    return MqttClient.connect(this.broker.port, {
      client_id: name,
      clean: false,
      auto_ack: false,
      timeout_ms: LIMIT_MS,
      ...(five ? FIVE : {}),
    })
  }

  async call(method: string, path: string, body?: object, batch = false): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.broker.http_port}${path}`, {
      method,
      ...(body === undefined
        ? {}
        : {
            headers: { 'content-type': batch ? 'application/vnd.aqueduct+json' : 'application/json' },
            body: JSON.stringify(body),
          }),
      signal: AbortSignal.timeout(LIMIT_MS),
    })
    const text = await answer.text()
    if (!answer.ok) throw new HttpFailure(answer.status, `${method} ${path}: ${answer.status} ${text}`)
    return JSON.parse(text === '' ? 'null' : text)
  }

  private bytes(): number {
    return this.random.chance(0.1) ? this.random.between(5_000, 40_000) : this.random.between(60, 2_500)
  }
}

export class HttpFailure extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}
