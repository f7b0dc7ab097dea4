/** Bytes before packets: fixed headers, lengths, packets cut anywhere, many in one write, and that one bad client disturbs nobody. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  type ClockedBroker,
  closesOn,
  delivered,
  MqttClient,
  openWith,
  packet,
  startClocked,
  T,
  untilClosed,
} from '../support/broker.js'

let b: ClockedBroker
let witness: MqttClient
beforeAll(async () => {
  b = await startClocked({ settings: { max_packet_bytes: 200_000 } })
  witness = await MqttClient.connect(b.port, { client_id: 'witness' })
  await witness.subscribe(['alive', 1])
})
afterAll(() => b.close())

/** Whatever was done to one connection: the others still get their messages. */
afterEach(async () => {
  const other = await MqttClient.connect(b.port, { client_id: 'other' })
  await other.publishAndWait('alive', 'x', { qos: 1 })
  await other.disconnect()
  expect(await delivered(witness)).toEqual(['alive x q1'])
})

test('packet types that only servers send, or nobody, end the connection [MQTT-4.8.0-1]', async () => {
  const id = Buffer.from([0, 1])
  for (const type of [0, 2, 9, 11, 13, 15])
    for (const body of [Buffer.alloc(0), id, Buffer.from([0, 1, 0])])
      expect(await closesOn(b.port, packet.frame(type << 4, body)), `type ${type}`).toEqual([])
})

test('every flag that a packet may not have ends the connection [MQTT-2.2.2-1] [MQTT-2.2.2-2]', async () => {
  const bodies: Record<number, Buffer> = {
    12: Buffer.alloc(0),
    14: Buffer.alloc(0),
    4: Buffer.from([0, 1]),
    5: Buffer.from([0, 1]),
    6: Buffer.from([0, 1]),
    7: Buffer.from([0, 1]),
  }
  for (const [type, body] of Object.entries(bodies))
    for (let flags = 0; flags < 16; flags++) {
      if (flags === (type === '6' ? 2 : 0)) continue
      expect(await closesOn(b.port, packet.frame((Number(type) << 4) | flags, body)), `${type} ${flags}`).toEqual([])
    }
  for (let flags = 1; flags < 16; flags++) {
    const client = await openWith(
      b.port,
      Buffer.concat([Buffer.from([0x10 | flags]), packet.connect({ client_id: 'f' }).subarray(1)]),
    )
    expect(await untilClosed(client), `CONNECT ${flags}`).toEqual([])
  }
})

test('a Remaining Length of five bytes ends the connection, before and after CONNECT, cut anywhere [MQTT-4.8.0-1]', async () => {
  for (const first of [0x10, 0x30, 0x82, 0xc0])
    for (const last of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
      const bytes = Buffer.from([first, 0x80, 0x80, 0x80, 0x80, last])
      expect(await untilClosed(await openWith(b.port, bytes))).toEqual([])
      expect(await closesOn(b.port, bytes)).toEqual([])
    }
  for (let cut = 1; cut < 6; cut++) {
    const bytes = Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01])
    const client = await MqttClient.connect(b.port, { client_id: 'cut' })
    client.send(bytes.subarray(0, cut))
    await witness.ping()
    client.send(bytes.subarray(cut))
    expect(await untilClosed(client)).toEqual([])
  }
})

test('a Remaining Length with more bytes than needed is read all the same', async () => {
  const client = await openWith(b.port, packet.connect({ client_id: 'padded' }))
  await client.expect(T.CONNACK)
  client.send(Buffer.from([0xc0, 0x80, 0x00]))
  expect(await client.next()).toMatchObject({ type: T.PINGRESP })
  await client.disconnect()
})

test('bodies that are shorter or longer than their fields end the connection [MQTT-4.8.0-1]', async () => {
  const frames = [
    packet.frame(0x30),
    packet.frame(0x30, Buffer.from([0])),
    packet.frame(0x30, Buffer.from([0, 5, 0x61])),
    packet.frame(0x32, Buffer.from([0, 1, 0x61])),
    packet.frame(0x32, Buffer.from([0, 1, 0x61, 0])),
    packet.frame(0xc0, Buffer.from([0])),
    packet.frame(0xe0, Buffer.from([0])),
    packet.frame(0x82, Buffer.from([0, 1, 0, 1])),
  ]
  for (const bytes of frames) expect(await closesOn(b.port, bytes)).toEqual([])
})

test('max_packet_bytes counts the whole packet: that many pass, one more is refused by its length alone', async () => {
  const sized = (bytes: number): Buffer => {
    const head = packet.publish('size', '').length - 2
    return packet.publish('size', Buffer.alloc(bytes - head - 4, 'x'))
  }
  expect(sized(200_000).length).toBe(200_000)
  const reader = await MqttClient.connect(b.port, { client_id: 'size-reader' })
  await reader.subscribe(['size', 0])
  const client = await MqttClient.connect(b.port, { client_id: 'sizer' })
  client.send(sized(200_000))
  await client.ping()
  expect((await reader.expect(T.PUBLISH)).payload.length).toBe(200_000 - 10)
  // Nothing but the header: refused at once.
  client.send(sized(200_001).subarray(0, 4))
  expect(await untilClosed(client)).toEqual([])
  await reader.disconnect()
})

test('before CONNECT is accepted a packet may have 512 KiB, or what the setting says if that is less; refused by its length alone', async () => {
  const connect = (bytes: number, will = 20_000): Buffer => {
    const fields = { client_id: '', username: 'u'.repeat(60_000), password: 'p'.repeat(60_000) }
    const rest = packet.connect({ ...fields, will: { topic: 'w', payload: Buffer.alloc(will) } }).length - will
    return packet.connect({ ...fields, will: { topic: 't'.repeat(60_001), payload: Buffer.alloc(bytes - rest - 60_000) } })
  }
  expect(connect(200_000).length).toBe(200_000)
  const client = await openWith(b.port, connect(200_000))
  expect((await client.next()).code).toBe(0)
  client.send(packet.disconnect())
  await untilClosed(client)
  const head = connect(200_001).subarray(0, 20)
  for (const bytes of [
    head,
    // Any other packet, and no CONNECT of MQTT 5: there is nothing to wait for.
    Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f, 1]),
    Buffer.from([0x10, 0x80, 0x80, 0x20, 0, 6]),
    Buffer.from([0x30, 0xff, 0xff, 0x7f]),
  ])
    expect(await untilClosed(await openWith(b.port, bytes))).toEqual([])
})

test('a thousand sockets that announce 256 MB before CONNECT: closed at once, and nothing kept for them', async () => {
  await witness.ping()
  const before = process.memoryUsage()
  const announce = Buffer.concat([Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]), Buffer.alloc(1000)])
  for (let round = 0; round < 10; round++) {
    const all = await Promise.all(Array.from({ length: 100 }, () => openWith(b.port, announce)))
    await Promise.all(all.map((client) => untilClosed(client)))
  }
  const after = process.memoryUsage()
  // Both ends live here; a broker that believed the announcement would take gigabytes.
  expect(after.rss - before.rss).toBeLessThan(100 << 20)
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(20 << 20)
  expect([...b.broker.state.connections].filter((c) => c.phase === 'waiting')).toEqual([])
})

const session = (client_id: string): Buffer =>
  Buffer.concat([
    packet.connect({ client_id, keepalive_s: 60, username: 'u', password: 'p', will: { topic: 'w', payload: 'w', qos: 1 } }),
    packet.subscribe(300, [
      ['cut/+', 2],
      ['ü/#', 1],
    ]),
    packet.publish('cut/0', 'zero'),
    packet.publish('cut/1', 'one', { qos: 1, id: 1 }),
    packet.publish('cut/2', 'x'.repeat(200), { qos: 2, id: 258 }),
    packet.pubrel(258),
    packet.unsubscribe(301, ['ü/#']),
    packet.pingreq(),
  ])

/** What a session gets; deliveries and answers each in their own order, as the standard has it. */
async function outcome(client: MqttClient): Promise<string[]> {
  await client.expect(T.PINGRESP)
  const all = client.inbox.splice(0)
  const line = (p: (typeof all)[number]): string => `${p.type} ${p.id} ${p.topic} ${p.payload} ${p.qos} ${p.codes}`
  return [...all.filter((p) => p.type !== T.PUBLISH).map(line), ...all.filter((p) => p.type === T.PUBLISH).map(line)]
}

test('a session cut in two at every byte, and sent byte by byte, is the same session', async () => {
  const bytes = session('cutter')
  const run = async (chunks: Buffer[]): Promise<string[]> => {
    const client = await MqttClient.open(b.port, { auto_ack: false })
    for (const [i, chunk] of chunks.entries()) {
      client.send(chunk)
      // The next piece must not ride in the same read.
      if (i + 1 < chunks.length) await witness.ping()
    }
    const got = await outcome(client)
    client.destroy()
    return got
  }
  const whole = await run([bytes])
  expect(whole).toHaveLength(9)
  for (let cut = 1; cut < bytes.length; cut++)
    expect(await run([bytes.subarray(0, cut), bytes.subarray(cut)]), `cut at ${cut}`).toEqual(whole)
  expect(await run([...bytes].map((byte) => Buffer.from([byte])))).toEqual(whole)
})

test('thousands of packets in one write are all handled, in order', async () => {
  const client = await MqttClient.connect(b.port, { client_id: 'bulk' })
  await client.subscribe(['bulk', 1])
  const count = 5000
  client.send(Buffer.concat(Array.from({ length: count }, (_, i) => packet.publish('bulk', `${i}`, { qos: 1, id: i + 1 }))))
  for (let i = 0; i < count; i++) expect((await client.expect(T.PUBACK)).id).toBe(i + 1)
  for (let i = 0; i < count; i++) expect((await client.expect(T.PUBLISH)).payload.toString()).toBe(`${i}`)
  await client.disconnect()
})

test('what came before a bad packet in the same write is still handled; nothing behind it is', async () => {
  const reader = await MqttClient.connect(b.port, { client_id: 'bad-reader' })
  await reader.subscribe(['bad', 0])
  const client = await MqttClient.connect(b.port, { client_id: 'bad', auto_ack: false })
  client.send(
    Buffer.concat([packet.publish('bad', 'before', { qos: 1, id: 1 }), Buffer.from([0xf0, 0]), packet.publish('bad', 'behind')]),
  )
  const got = await untilClosed(client)
  expect(got.map((p) => p.type)).toEqual([T.PUBACK])
  expect(await delivered(reader)).toEqual(['bad before q0'])
  await reader.disconnect()
})

test('malformed input is counted', async () => {
  const { stats } = b.broker.state
  const before = stats.malformed
  await closesOn(b.port, Buffer.from([0xf0, 0]))
  await closesOn(b.port, packet.publish('a/#', 'x'))
  expect(stats.malformed - before).toBe(2)
})
