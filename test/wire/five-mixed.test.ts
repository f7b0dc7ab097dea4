/**
 * Random messages of both versions, many in one write, to subscribers of both with all kinds of options: each gets what the standard says, byte for
 * byte and in order. The model is the list of what was published.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ClockedBroker, MqttClient, type Packet, packet, type QoS, startClocked, T } from '../support/broker.js'
import type { Props } from '../support/mqtt-properties.js'

let broker: ClockedBroker
beforeAll(async () => {
  broker = await startClocked({ settings: { max_topic_aliases: 3 } })
})
afterAll(() => broker.close())

interface Message {
  readonly five: boolean
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  readonly size: number
  readonly properties: Props
  /** Sent by an alias where the publisher's version has them. */
  readonly aliased: boolean
}

interface Reader {
  readonly protocol: 3 | 4 | 5
  readonly stored: boolean
  readonly options: number
  readonly identifier: number
  readonly aliases: number
}

const NO_LOCAL = 4
const AS_PUBLISHED = 8

const text = fc.string({ unit: 'grapheme', minLength: 0, maxLength: 12 }).filter((s) => !s.includes('\0'))
const properties = fc.record<Props>(
  {
    contentType: text,
    responseTopic: fc.constant('answers'),
    correlationData: fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
    messageExpiryInterval: fc.integer({ min: 1, max: 0xffff_ffff }),
    userProperties: fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: [] },
)
const message = fc.record<Message>({
  five: fc.boolean(),
  topic: fc.constantFrom('m/a', 'm/b', `m/${'long'.repeat(20)}`, 'm/ü'),
  qos: fc.constantFrom(0, 1, 2),
  retain: fc.boolean(),
  // Both sides of each way of copying, of the shared buffer and of a header's length.
  size: fc.constantFrom(0, 1, 47, 48, 49, 100, 191, 192, 193, 194, 400, 16_380, 66_000),
  properties: fc.oneof(fc.constant({}), properties),
  aliased: fc.boolean(),
})
const reader = fc.record<Reader>({
  protocol: fc.constantFrom(4, 5, 5),
  stored: fc.boolean(),
  options: fc.tuple(fc.constantFrom(0, 1, 2), fc.constantFrom(0, AS_PUBLISHED)).map(([qos, as]) => qos | as),
  identifier: fc.constantFrom(0, 1, 200_000),
  aliases: fc.constantFrom(0, 0, 2, 10),
})

const bodyOf = (m: Message, n: number): Buffer => Buffer.alloc(m.size, `${n}:payload of this message `)

/** What one reader must see of message `n`. */
function expected(m: Message, n: number, r: Reader): string {
  const qos = Math.min(m.qos, r.options & 3)
  const five = r.protocol === 5
  const retain = m.retain && five && (r.options & AS_PUBLISHED) !== 0
  const kept: Props = five ? { ...m.properties } : {}
  if (!m.five) for (const name of Object.keys(kept)) delete kept[name as keyof Props]
  if (five && r.identifier > 0) kept.subscriptionIdentifiers = [r.identifier]
  return line(m.topic, qos, retain, bodyOf(m, n), kept)
}

function line(topic: string, qos: number, retain: boolean, body: Buffer, props: Props): string {
  const sorted = Object.entries(props).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([topic, qos, retain, body.length, body.subarray(0, 40).toString(), body.subarray(-9).toString(), sorted])
}

/** What came, aliases resolved as a client does. */
function seen(packets: readonly Packet[], allowed: number): string[] {
  const known = new Map<number, string>()
  return packets.map((p) => {
    const { topicAlias, ...props } = p.properties
    if ((topicAlias ?? 0) > allowed) throw new Error(`alias ${topicAlias} where ${allowed} are allowed`)
    if (topicAlias !== undefined && p.topic !== '') known.set(topicAlias, p.topic)
    const topic = p.topic === '' ? (known.get(topicAlias ?? 0) ?? 'unknown alias') : p.topic
    return line(topic, p.qos, p.retain, p.payload, props)
  })
}

/** Publishes all of `messages` that are of this client's version in one write, and completes every handshake. */
async function publishAll(client: MqttClient, five: boolean, messages: readonly Message[]): Promise<void> {
  const aliases = new Map<string, number>()
  const out: Buffer[] = []
  let acks = 0
  for (const [n, m] of messages.entries()) {
    if (m.five !== five) continue
    const known = aliases.get(m.topic)
    const alias = five && m.aliased ? (known ?? (aliases.size < 3 ? aliases.size + 1 : undefined)) : undefined
    if (alias !== undefined) aliases.set(m.topic, alias)
    const props = { ...m.properties, ...(alias === undefined ? {} : { topicAlias: alias }) }
    const id = m.qos === 0 ? 0 : n + 1
    if (m.qos > 0) acks++
    const topic = alias !== undefined && alias === known ? '' : m.topic
    out.push(packet.publish(topic, bodyOf(m, n), { qos: m.qos, retain: m.retain, id, ...(five ? { properties: props } : {}) }))
  }
  client.send(Buffer.concat(out))
  for (; acks > 0; acks--) {
    const answer = await client.expect(0, (p) => p.type === T.PUBACK || p.type === T.PUBREC)
    if (answer.type === T.PUBREC) {
      client.send(packet.pubrel(answer.id))
      await client.expect(T.PUBCOMP)
    }
  }
  await client.ping()
}

test('whatever is published, each subscriber gets its own form of it', async () => {
  let round = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { minLength: 1, maxLength: 12 }),
      fc.array(reader, { minLength: 1, maxLength: 4 }),
      async (messages, readers) => {
        round++
        const clients = await Promise.all(
          readers.map(async (r, i) => {
            const client = await MqttClient.connect(broker.port, {
              protocol: r.protocol,
              client_id: `r${round}-${i}`,
              clean: !r.stored,
              ...(r.protocol === 5
                ? { properties: { topicAliasMaximum: r.aliases, sessionExpiryInterval: r.stored ? 1 : 0 } }
                : {}),
            })
            const given = r.identifier > 0 ? { subscriptionIdentifiers: [r.identifier] } : {}
            if (r.protocol === 5) await client.subscribeWith(given, ['m/+', r.options | NO_LOCAL | 0x20])
            else await client.subscribe(['m/+', (r.options & 3) as QoS])
            // 3.1.1 has no way to ask for new messages only.
            await client.ping()
            client.inbox.length = 0
            return client
          }),
        )
        const senders = [await MqttClient.connect(broker.port), await MqttClient.connect(broker.port, { protocol: 5 })]
        for (const [i, sender] of senders.entries()) await publishAll(sender as MqttClient, i === 1, messages)
        for (const [i, client] of clients.entries()) {
          const r = readers[i] as Reader
          await client.ping()
          // A QoS 2 copy waits for the commit, and then for the window: nothing is lost on the way.
          const all = messages.length
          while (client.inbox.filter((p) => p.type === T.PUBLISH).length < all) client.inbox.push(await client.expect(T.PUBLISH))
          const got = seen(
            client.inbox.filter((p) => p.type === T.PUBLISH),
            Math.min(r.aliases, 3),
          )
          for (const qos of [0, 1, 2]) {
            const mine = (lines: string[]) => lines.filter((l) => (JSON.parse(l) as unknown[])[1] === qos)
            const wanted = [false, true].flatMap((five) =>
              messages.flatMap((m, n) => (m.five === five ? [expected(m, n, r)] : [])),
            )
            expect(mine(got)).toEqual(mine(wanted))
          }
        }
        for (const client of [...clients, ...senders]) await client.disconnect()
        // The next round starts without what this one retained.
        const cleaner = await MqttClient.connect(broker.port)
        for (const topic of new Set(messages.map((m) => m.topic)))
          await cleaner.publishAndWait(topic, '', { qos: 1, retain: true })
        await cleaner.disconnect()
      },
    ),
    { numRuns: 60, seed: 5 },
  )
}, 60_000)
