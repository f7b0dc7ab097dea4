/**
 * Shared groups against a small model: members join, leave, acknowledge and die, the broker dies, in any order. Nothing that was acknowledged to its
 * publisher is lost, nothing is with two members at once, first deliveries are in order, and with a hash a key has one member.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ConsumersOptions } from '../src/plugins/consumers/index.js'
import { type ClockedBroker, MqttClient, type Packet, packet, type QoS, startClocked, T } from './support/broker.js'

const RUNS = Number(process.env.MODEL_RUNS ?? 20)
const MEMBERS = 4
const KEYS = 3
const FILTER = '$share/g/a/#'

type Step =
  | { readonly do: 'join' | 'leave' | 'die' | 'disconnect'; readonly who: number }
  | { readonly do: 'ack'; readonly who: number; readonly many: number; readonly last: boolean }
  | { readonly do: 'publish'; readonly many: number; readonly key: number }
  | { readonly do: 'crash' }

const who = fc.nat(MEMBERS - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('join' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'disconnect' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('die' as const), who }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('ack' as const), who, many: fc.integer({ min: 1, max: 8 }), last: fc.boolean() }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('publish' as const), many: fc.integer({ min: 1, max: 8 }), key: fc.nat(KEYS - 1) }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'crash' as const }) },
)

/** A client that the test drives, and what it holds. */
interface Member {
  readonly client: MqttClient
  /** Delivered and not acknowledged, in order: payload and identifier. QoS 2 ends with PUBCOMP. */
  readonly holds: { text: string; id: number; qos: QoS }[]
}

class World {
  b!: ClockedBroker
  publisher!: MqttClient
  /** By number; even ones have durable sessions. */
  readonly live = new Map<number, Member>()
  readonly published: string[] = []
  readonly delivered = new Set<string>()
  readonly done = new Set<string>()
  /** The highest first delivery so far to each member, by key. */
  readonly highest = new Map<string, number>()
  /** With a hash: whose a key is, until members change. */
  readonly owner = new Map<number, number>()
  /** At QoS 2: whoever saw a message first is the only one that ever does. */
  readonly seenBy = new Map<string, number>()
  /** What was seen and must not be. */
  private readonly faults: string[] = []
  private readonly share: Partial<ConsumersOptions>
  private readonly qos: QoS
  private readonly hashed: boolean

  constructor(share: Partial<ConsumersOptions>, qos: QoS) {
    this.share = share
    this.qos = qos
    this.hashed = share.distribution === 'hash_topic'
  }

  async open(after?: ClockedBroker): Promise<void> {
    this.b = await startClocked({
      share: this.share,
      settings: { window: 5 },
      ...(after === undefined ? {} : { after: after.disk, clock: after.clock }),
    })
    this.publisher = await MqttClient.connect(this.b.port, { client_id: 'publisher' })
  }

  /** The group is durable from the start: a session that is never there. */
  async keep(): Promise<void> {
    const keeper = await MqttClient.connect(this.b.port, { client_id: 'keeper', clean: false })
    await keeper.subscribe([FILTER, this.qos])
    await keeper.disconnect()
  }

  async run(s: Step): Promise<void> {
    switch (s.do) {
      case 'join':
        await this.join(s.who)
        break
      case 'publish':
        for (let i = 0; i < s.many; i++) await this.publish(s.key)
        break
      case 'ack':
        this.ack(s.who, s.many, s.last)
        break
      case 'crash':
        await this.crash()
        break
      default:
        await this.part(s.who, s.do)
    }
    await this.look()
  }

  private async join(n: number): Promise<void> {
    if (this.live.has(n)) return
    this.owner.clear()
    const client = await MqttClient.connect(this.b.port, { client_id: `m${n}`, clean: this.isClean(n), auto_ack: false })
    const member: Member = { client, holds: [] }
    this.live.set(n, member)
    client.onPacket = (p) => this.took(n, member, p)
    for (const p of client.inbox.splice(0)) this.took(n, member, p)
    await client.subscribe([FILTER, this.qos])
  }

  /** At QoS 2 all are durable: what a clean session holds is lost with it, as the standard says. */
  private isClean(n: number): boolean {
    return this.qos === 1 && n % 2 === 1
  }

  private async part(n: number, how: 'leave' | 'die' | 'disconnect'): Promise<void> {
    const member = this.live.get(n)
    if (member === undefined) return
    this.owner.clear()
    if (how === 'leave') {
      await member.client.unsubscribe(FILTER)
      // What it holds is its own until it goes.
      return
    }
    this.live.delete(n)
    const open = this.b.broker.state.connections.size
    if (how === 'die') member.client.destroy()
    else member.client.send(packet.disconnect())
    await member.client.closed
    while (this.b.broker.state.connections.size >= open) await new Promise((resolve) => setImmediate(resolve))
  }

  private async publish(key: number): Promise<void> {
    const text = `${this.published.length}.${key}`
    await this.publisher.publishAndWait(`a/${key}`, text, { qos: this.qos })
    this.published.push(text)
  }

  private ack(n: number, many: number, last: boolean): void {
    const member = this.live.get(n)
    if (member === undefined) return
    const some = last ? member.holds.splice(-many) : member.holds.splice(0, many)
    for (const { text, id, qos } of some) {
      this.done.add(text)
      member.client.send(qos === 1 ? packet.puback(id) : packet.pubrec(id))
    }
  }

  private async crash(): Promise<void> {
    for (const { client } of this.live.values()) client.destroy()
    this.live.clear()
    this.owner.clear()
    this.publisher.destroy()
    const dead = this.b
    dead.disk.cut(false)
    await this.open(dead)
    void dead.close()
  }

  /** What came is taken note of, and held against what must be true. */
  private took(n: number, member: Member, p: Packet): void {
    if (p.type === T.PUBREL) member.client.send(packet.pubcomp(p.id))
    if (p.type !== T.PUBLISH) return
    const text = p.payload.toString()
    const [index, key] = text.split('.').map(Number)
    const first = !this.delivered.has(text)
    this.delivered.add(text)
    for (const [other, { holds }] of this.live) {
      if (holds.some((one) => one.text === text)) this.faults.push(`${text} is with ${other} and with ${n}`)
    }
    if (p.qos === 2) {
      const before = this.seenBy.get(text)
      if (before !== undefined && before !== n) this.faults.push(`${text} was with ${before} and came to ${n} at QoS 2`)
      this.seenBy.set(text, n)
    }
    if (first) {
      const lane = this.hashed ? `${n}/${key}` : String(n)
      if (index < (this.highest.get(lane) ?? -1)) this.faults.push(`${text} came to ${n} after a later one`)
      this.highest.set(lane, index)
    }
    if (this.hashed) {
      const owner = this.owner.get(key)
      if (owner !== undefined && owner !== n) this.faults.push(`key ${key} is ${owner}'s, and ${text} came to ${n}`)
      this.owner.set(key, n)
    }
    member.holds.push({ text, id: p.id, qos: p.qos })
  }

  /** All that is on its way to the members now has come. */
  async look(): Promise<void> {
    for (let i = 0; i < 2; i++) for (const { client } of [...this.live.values()]) await client.ping()
    expect(this.faults).toEqual([])
  }

  /** Every message that its publisher was told about reaches somebody, in the end. */
  async drain(): Promise<void> {
    for (let n = 0; n < MEMBERS; n++) if (this.qos === 2) await this.join(n)
    await this.join(0)
    const member = this.live.get(0) as Member
    await member.client.subscribe([FILTER, this.qos])
    for (let round = 0; round < 2_000 && this.published.some((text) => !this.done.has(text)); round++) {
      await this.look()
      for (const n of [...this.live.keys()]) this.ack(n, 100, false)
    }
    expect(this.published.filter((text) => !this.done.has(text))).toEqual([])
  }

  async close(): Promise<void> {
    for (const { client } of this.live.values()) client.destroy()
    this.publisher.destroy()
    await this.b.close()
  }
}

async function play(steps: readonly Step[], share: Partial<ConsumersOptions>, qos: QoS): Promise<void> {
  const world = new World(share, qos)
  await world.open()
  try {
    await world.keep()
    for (const s of steps) await world.run(s)
    await world.drain()
  } finally {
    await world.close()
  }
}

const steps = fc.array(step, { minLength: 5, maxLength: 60 })

test.each([
  ['round_robin', 1],
  ['least_in_flight', 1],
  ['sticky', 1],
  ['hash_topic', 1],
  ['round_robin', 2],
] as const)('%s at QoS %i', async (distribution, qos) => {
  await fc.assert(
    fc.asyncProperty(steps, (list) => play(list, { distribution }, qos)),
    { numRuns: RUNS },
  )
})
