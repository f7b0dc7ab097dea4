/** Takes everything out of a running broker through real clients, and looks at what there is: sessions, queues, rules, retained messages. */
import { MqttClient, type Packet, packet, T } from '../../../support/mqtt-client.js'
import { pause } from '../options.js'
import { type Actor, type Came, HttpFailure } from './actor.js'
import { idIn } from './content.js'
import type { Owner } from './promised.js'

export interface Drained {
  came: Came[]
  /** By topic; undefined where the payload is altered. */
  retained: Map<string, string | undefined>
  sessions_absent: string[]
  queues_absent: string[]
  rules_absent: string[]
  /** Owners for which the broker still counted something when nothing came any more. */
  stuck: string[]
  /** Requests and connections that failed for good. */
  refused: string[]
}

/** Nothing for so long, while something is owed: it will not come. */
const QUIET_MS = 1_500
const LIMIT_MS = 25_000
/** After the last one that is owed, for what should not come. */
const AFTER_MS = 60

interface Seat {
  name: string
  owner: Owner
  client: MqttClient | undefined
  /** QoS 2 identifiers between PUBLISH and PUBREL. */
  open: Set<number>
  tries: number
}

export class Drain {
  private readonly actor: Actor
  private readonly out: Drained = {
    came: [],
    retained: new Map(),
    sessions_absent: [],
    queues_absent: [],
    rules_absent: [],
    stuck: [],
    refused: [],
  }
  private readonly left = new Map<Owner, Set<string>>()
  private last = Date.now()
  private readonly dead: () => boolean

  /** `dead`: the process has ended. */
  constructor(actor: Actor, dead: () => boolean) {
    this.actor = actor
    this.dead = dead
    for (const [owner, ids] of actor.promised.owed) this.left.set(owner, new Set(ids))
  }

  async run(port: number): Promise<Drained> {
    const { promised } = this.actor
    await this.lookUp()
    const seats: Seat[] = [...promised.sessions.keys()].map((name) => ({
      name,
      owner: `session ${name}`,
      client: undefined,
      open: new Set(),
      tries: 0,
    }))
    for (const seat of seats) await this.sit(seat)
    const end = Date.now() + LIMIT_MS
    while (Date.now() < end && !this.dead()) {
      await this.emptyQueues()
      if (this.complete()) break
      if (Date.now() - this.last > QUIET_MS) break
      if (await this.nothingWaits()) break
      await pause(25)
      for (const seat of seats) if (seat.client?.is_closed === true) await this.sit(seat)
    }
    await pause(AFTER_MS)
    await this.emptyQueues()
    if (!this.complete() && !this.dead()) this.out.stuck.push(...(await this.waiting()))
    await this.readRetained(port)
    // What was acknowledged last is stored within 20 ms.
    await pause(60)
    for (const seat of seats) seat.client?.destroy()
    return this.out
  }

  private complete(): boolean {
    for (const ids of this.left.values()) if (ids.size > 0) return false
    return true
  }

  private note(came: Came): void {
    this.last = Date.now()
    this.out.came.push(came)
    if (came.id !== undefined) this.left.get(came.owner)?.delete(came.id)
  }

  private async sit(seat: Seat): Promise<void> {
    if (seat.tries++ > 20 || this.dead()) return
    try {
      const client = await this.actor.connect(seat.name)
      if (client.connack?.code !== 0) {
        this.out.refused.push(`${seat.owner}: CONNACK ${client.connack?.code}`)
        seat.tries = 99
        return
      }
      if (client.connack.present === false && seat.tries === 1) this.out.sessions_absent.push(seat.name)
      if (client.connack.present === false) seat.open.clear()
      for (const p of client.inbox.splice(0)) this.take(seat, client, p)
      client.onPacket = (p) => this.take(seat, client, p)
      seat.client = client
    } catch (error) {
      if (seat.tries > 20) this.out.refused.push(`${seat.owner}: ${String(error)}`)
      await pause(50)
      if (seat.client === undefined) await this.sit(seat)
    }
  }

  private take(seat: Seat, client: MqttClient, p: Packet): void {
    if (p.type === T.PUBLISH) {
      const repeated = p.qos === 2 && seat.open.has(p.id)
      if (p.qos === 2) seat.open.add(p.id)
      const id = idIn(p.payload)
      if (!repeated) this.note({ owner: seat.owner, id, again: p.dup, qos: p.qos, topic: p.topic, key: '', priority: 8 })
      if (p.qos === 1) client.send(packet.puback(p.id))
      else if (p.qos === 2) client.send(packet.pubrec(p.id))
    } else if (p.type === T.PUBREL) {
      seat.open.delete(p.id)
      client.send(packet.pubcomp(p.id))
    }
  }

  private async lookUp(): Promise<void> {
    const { promised } = this.actor
    const absent = async (path: string, list: string[], name: string): Promise<void> => {
      try {
        await this.actor.call('GET', path)
      } catch (error) {
        if (error instanceof HttpFailure && error.status === 404) list.push(name)
        else if (!this.dead()) this.out.refused.push(String(error))
      }
    }
    for (const name of promised.rules.keys()) await absent(`/v1/bridges/${name}`, this.out.rules_absent, name)
    for (const name of promised.queues) await absent(`/v1/queues/${name}`, this.out.queues_absent, name)
  }

  private async emptyQueues(): Promise<void> {
    for (const name of this.actor.promised.queues) {
      if (this.out.queues_absent.includes(name)) continue
      try {
        for (let i = 0; i < 40; i++) if (!(await this.empty(name))) break
      } catch (error) {
        if (!this.dead() && this.out.refused.length < 20) this.out.refused.push(String(error))
      }
    }
  }

  private async empty(queue: string): Promise<boolean> {
    const owner: Owner = `queue ${queue}`
    const { messages } = (await this.actor.call('POST', `/v1/queues/${queue}/receive`, { max: 100, lease_ms: 60_000 })) as {
      messages: {
        receipt: string
        topic: string
        body: string
        encoding: string
        key?: string
        priority: number
        attempts: number
      }[]
    }
    if (messages.length === 0) return false
    for (const m of messages) {
      const id = idIn(Buffer.from(m.body, m.encoding === 'base64' ? 'base64' : 'utf8'))
      const { topic, key = '', priority } = m
      this.note({ owner, id, again: m.attempts > 1, qos: 2, topic, key, priority })
    }
    await this.actor.call('POST', `/v1/queues/${queue}/ack`, { receipts: messages.map(({ receipt }) => receipt) })
    return true
  }

  /** Names of what the broker itself still counts, with the counts. */
  private async waiting(): Promise<string[]> {
    const { promised } = this.actor
    const found: string[] = []
    try {
      const { sessions } = (await this.actor.call('GET', '/v1/sessions')) as {
        sessions: { client: string; waiting: number; in_flight: number }[]
      }
      for (const { client, waiting, in_flight } of sessions)
        if (promised.sessions.has(client) && waiting + in_flight > 0)
          found.push(`session ${client} has ${waiting} waiting and ${in_flight} in flight`)
      const { queues } = (await this.actor.call('GET', '/v1/queues')) as {
        queues: { name: string; counts: { ready: number; leased: number; delayed: number } }[]
      }
      for (const { name, counts } of queues)
        if (promised.queues.has(name) && counts.ready + counts.leased + counts.delayed > 0)
          found.push(`queue ${name} has ${counts.ready} ready, ${counts.leased} leased and ${counts.delayed} delayed`)
    } catch {
      return ['unknown: the API does not answer']
    }
    return found
  }

  private async nothingWaits(): Promise<boolean> {
    return Date.now() - this.last > 150 && (await this.waiting()).length === 0
  }

  private async readRetained(port: number): Promise<void> {
    const { promised } = this.actor
    if (promised.retained.size === 0 || this.dead()) return
    try {
      const client = await MqttClient.connect(port, { client_id: 'reader', timeout_ms: 5_000 })
      let last = Date.now()
      client.onPacket = (p) => {
        if (p.type !== T.PUBLISH || !p.retain) return
        last = Date.now()
        this.out.retained.set(p.topic, idIn(p.payload))
      }
      await client.subscribe(['r/#', 0])
      while (Date.now() - last < 400 && this.out.retained.size < promised.retained.size && !client.is_closed) await pause(10)
      await client.disconnect()
    } catch (error) {
      if (!this.dead()) this.out.refused.push(`retained: ${String(error)}`)
    }
  }
}
