/**
 * One pull queue consumed by MQTT members and by another door at once, against a small model: a message has one holder, whoever dies gives back, what is
 * acknowledged does not come again, and nothing is lost, also when the broker dies.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Delivery } from '../src/queue/ordered-api.js'
import type { OrderedQueue } from '../src/queue/ordered-queue.js'
import { type ClockedBroker, MqttClient, type Packet, packet, startClocked, T } from './support/broker.js'

const RUNS = Number(process.env.MODEL_RUNS ?? 20)
const MEMBERS = 3
/** Longer than any lease: what a broker that died had handed out is free again. */
const AFTER_LEASES_MS = 61_000

type Step =
  | { readonly do: 'join' | 'die'; readonly who: number }
  | { readonly do: 'ack'; readonly who: number; readonly many: number }
  | { readonly do: 'send' | 'receive'; readonly many: number }
  | { readonly do: 'settle'; readonly how: 'ack' | 'nack'; readonly many: number }
  | { readonly do: 'crash' }

const who = fc.nat(MEMBERS - 1)
const many = fc.integer({ min: 1, max: 6 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('join' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('die' as const), who }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('ack' as const), who, many }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('send' as const), many }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('receive' as const), many }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('settle' as const), how: fc.constantFrom('ack' as const, 'nack' as const), many }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'crash' as const }) },
)

class World {
  private b!: ClockedBroker
  private queue!: OrderedQueue
  private readonly live = new Map<number, { client: MqttClient; holds: { text: string; id: number }[] }>()
  /** What the other door holds. */
  private door: { text: string; delivery: Delivery }[] = []
  private sent = 0
  private readonly done = new Set<string>()
  /** Acknowledged since the broker died last: those must not come again. */
  private readonly fresh = new Set<string>()
  private readonly faults: string[] = []

  async open(after?: ClockedBroker): Promise<void> {
    this.b = await startClocked({
      settings: { window: 4 },
      ...(after === undefined ? {} : { after: after.disk, clock: after.clock }),
    })
    const ordered = this.b.queues.ordered
    this.queue = (ordered?.get('jobs') ?? ordered?.create('jobs', 'pull', {})) as OrderedQueue
    await this.queue.committed()
  }

  async run(s: Step): Promise<void> {
    if (s.do === 'join') await this.join(s.who)
    else if (s.do === 'die') await this.die(s.who)
    else if (s.do === 'ack') this.ack(s.who, s.many)
    else if (s.do === 'send') await this.send(s.many)
    else if (s.do === 'receive') await this.receive(s.many)
    else if (s.do === 'settle') await this.settle(s.how, s.many)
    else await this.crash()
    await this.look()
  }

  private async join(n: number): Promise<void> {
    if (this.live.has(n)) return
    const client = await MqttClient.connect(this.b.port, { client_id: `m${n}`, clean: n % 2 === 0, auto_ack: false })
    const member = { client, holds: [] as { text: string; id: number }[] }
    this.live.set(n, member)
    client.onPacket = (p) => this.took(n, member.holds, p)
    for (const p of client.inbox.splice(0)) this.took(n, member.holds, p)
    await client.subscribe(['$queue/jobs', 1])
  }

  private async die(n: number): Promise<void> {
    const member = this.live.get(n)
    if (member === undefined) return
    this.live.delete(n)
    const open = this.b.broker.state.connections.size
    member.client.destroy()
    while (this.b.broker.state.connections.size >= open) await new Promise((resolve) => setImmediate(resolve))
  }

  private ack(n: number, count: number): void {
    const member = this.live.get(n)
    for (const { text, id } of member?.holds.splice(0, count) ?? []) {
      this.finished(text)
      member?.client.send(packet.puback(id))
    }
  }

  private async send(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const body = Buffer.from(`\0\x01t\0\0${this.sent++}`)
      const view = {
        buffer: body,
        bodyStart: 0,
        payloadStart: 5,
        end: body.length,
        properties: undefined,
        acceptedAt: this.b.clock.now(),
        expiresAt: 0,
      }
      this.queue.send([{ view }])
    }
    await this.queue.committed()
  }

  private async receive(max: number): Promise<void> {
    for (const delivery of await this.queue.receive({ max, lease_ms: 10_000_000 })) {
      const { message } = delivery
      const text = message === undefined ? '?' : message.buffer.toString('utf8', message.payloadStart, message.end)
      this.held('the other door', text)
      this.door.push({ text, delivery })
    }
  }

  private async settle(how: 'ack' | 'nack', count: number): Promise<void> {
    const some = this.door.splice(0, count)
    const receipts = some.map(({ delivery }) => delivery.receipt)
    if (how === 'nack') this.queue.nack(receipts)
    else {
      this.queue.ack(receipts)
      for (const { text } of some) this.finished(text)
    }
    // Whoever asked is answered after the commit.
    await this.queue.committed()
  }

  private finished(text: string): void {
    this.done.add(text)
    this.fresh.add(text)
  }

  private async crash(): Promise<void> {
    for (const { client } of this.live.values()) client.destroy()
    this.live.clear()
    this.fresh.clear()
    const dead = this.b
    dead.disk.cut(false)
    await this.open(dead)
    void dead.close()
    // The other door's leases are as good as before; those of MQTT end by themselves.
    this.b.clock.advance(AFTER_LEASES_MS)
    this.door = this.door.filter(({ delivery }) => this.queue.extend([delivery.receipt], 10_000_000)[0] === 'ok')
  }

  private took(n: number, holds: { text: string; id: number }[], p: Packet): void {
    if (p.type !== T.PUBLISH) return
    const text = p.payload.toString()
    this.held(`member ${n}`, text)
    holds.push({ text, id: p.id })
  }

  private held(by: string, text: string): void {
    for (const [n, { holds }] of this.live) {
      if (holds.some((one) => one.text === text)) this.faults.push(`${text} is with member ${n} and with ${by}`)
    }
    if (this.door.some((one) => one.text === text)) this.faults.push(`${text} is with the other door and with ${by}`)
    if (this.fresh.has(text)) this.faults.push(`${text} was acknowledged and came to ${by}`)
  }

  private async look(): Promise<void> {
    for (let i = 0; i < 3; i++) for (const { client } of [...this.live.values()]) await client.ping()
    expect(this.faults).toEqual([])
  }

  async drain(): Promise<void> {
    await this.settle('nack', this.door.length)
    await this.join(0)
    const left = (): number => this.queue.counts().ready + this.queue.counts().leased
    for (let round = 0; round < 1_000 && left() > 0; round++) {
      await this.look()
      for (const n of [...this.live.keys()]) this.ack(n, 100)
    }
    expect(left()).toBe(0)
    expect(this.done.size).toBe(this.sent)
  }

  async close(): Promise<void> {
    for (const { client } of this.live.values()) client.destroy()
    await this.b.close()
  }
}

test('MQTT members and another door consume one queue', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const world = new World()
      await world.open()
      try {
        for (const s of steps) await world.run(s)
        await world.drain()
      } finally {
        await world.close()
      }
    }),
    { numRuns: RUNS },
  )
})
