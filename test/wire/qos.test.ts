/** QoS 1 and 2 in both directions: identifiers, handshakes, resuming at every step, the window, wrong acknowledgements. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { everything } from '../../src/store/keys.js'
import {
  arrived,
  type ClockedBroker,
  closesOn,
  delivered,
  drop,
  MqttClient,
  openWith,
  packet,
  startClocked,
  T,
  take,
  describe as text,
  untilClosed,
} from '../support/broker.js'

let b: ClockedBroker
let publisher: MqttClient
beforeAll(async () => {
  b = await startClocked({ settings: { window: 32 }, retry: { interval_ms: 0 } })
  publisher = await MqttClient.connect(b.port, { client_id: 'publisher' })
})
afterAll(() => b.close())

const join = (client_id: string, clean: boolean, more = {}) =>
  MqttClient.connect(b.port, { client_id, clean, auto_ack: false, ...more })

/** A stored session that is subscribed and away. */
async function away(client_id: string, filter: string, qos: 1 | 2): Promise<void> {
  const client = await join(client_id, false)
  await client.subscribe([filter, qos])
  await client.disconnect()
}

async function send(topic: string, count: number, qos: 1 | 2): Promise<void> {
  for (let n = 0; n < count; n++) await publisher.publishAndWait(topic, `${n}`, { qos })
}

const lose = (client: MqttClient): Promise<void> => drop(b, client, publisher)

/* ---- from a publisher ---- */

test('QoS 0 gets no answer, QoS 1 PUBACK, QoS 2 PUBREC and PUBCOMP, each with its identifier [MQTT-2.3.1-6] [MQTT-3.3.4-1] [MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2]', async () => {
  const client = await join('answers', true)
  const got: Buffer[] = []
  client.socket.on('data', (chunk: Buffer) => got.push(chunk))
  client.send(
    Buffer.concat([
      packet.publish('a', '0'),
      packet.publish('a', '1', { qos: 1, id: 65_535 }),
      packet.publish('a', '2', { qos: 2, id: 258 }),
      packet.pubrel(258),
    ]),
  )
  await client.ping()
  expect([...Buffer.concat(got)]).toEqual([0x40, 2, 255, 255, 0x50, 2, 1, 2, 0x70, 2, 1, 2, 0xd0, 0])
  await client.disconnect()
})

test('PUBACKs and PUBRECs come in the order of the PUBLISHes [MQTT-4.6.0-2] [MQTT-4.6.0-3]', async () => {
  await away('order-witness', 'order/stored', 1)
  const client = await join('orderly', true)
  const ids = Array.from({ length: 200 }, (_, i) => i + 1)
  // Some of them wait for a commit, others for nothing.
  client.send(
    Buffer.concat(
      ids.map((id) => packet.publish(id % 3 === 0 ? 'order/stored' : 'order/other', 'x', { qos: id % 2 === 0 ? 2 : 1, id })),
    ),
  )
  const got = await take(client, ids.length)
  expect(got.map((p) => p.id)).toEqual(ids)
  expect(got.every((p) => p.type === (p.id % 2 === 0 ? T.PUBREC : T.PUBACK))).toBe(true)
  await client.disconnect()
})

test('a QoS 2 message sent again before PUBREL is answered and not published again [MQTT-4.3.3-2]', async () => {
  const reader = await join('once', true, { auto_ack: true })
  await reader.subscribe(['once', 2])
  const client = await join('twice', true)
  client.send(packet.publish('once', 'a', { qos: 2, id: 7 }))
  client.send(packet.publish('once', 'a', { qos: 2, id: 7, dup: true }))
  // DUP or not: the identifier decides.
  client.send(packet.publish('once', 'a', { qos: 2, id: 7 }))
  expect((await take(client, 3)).map((p) => [p.type, p.id])).toEqual(Array(3).fill([T.PUBREC, 7]))
  client.send(packet.pubrel(7))
  expect((await client.next()).type).toBe(T.PUBCOMP)
  client.send(packet.publish('once', 'b', { qos: 2, id: 7 }))
  expect((await client.next()).type).toBe(T.PUBREC)
  client.send(packet.pubrel(7))
  await client.expect(T.PUBCOMP)
  expect(await delivered(reader)).toEqual(['once a q2', 'once b q2'])
  await reader.disconnect()
  await client.disconnect()
})

test('the same in one write, and over a reconnect of a stored session [MQTT-4.3.3-2] [MQTT-4.4.0-1]', async () => {
  const reader = await join('once-more', true, { auto_ack: true })
  await reader.subscribe(['once-more', 2])
  const twice = packet.publish('once-more', 'a', { qos: 2, id: 9, dup: true })
  const client = await join('twice-more', false)
  client.send(Buffer.concat([twice, twice]))
  await take(client, 2)
  await lose(client)
  const back = await join('twice-more', false)
  back.send(twice)
  expect((await back.next()).type).toBe(T.PUBREC)
  back.send(packet.pubrel(9))
  expect((await back.next()).type).toBe(T.PUBCOMP)
  expect(await delivered(reader)).toEqual(['once-more a q2'])
  // A clean session forgets what it had received.
  await back.disconnect()
  const clean = await join('twice-more', true)
  clean.send(twice)
  await clean.expect(T.PUBREC)
  expect(await delivered(reader)).toEqual(['once-more a q2'])
  await clean.disconnect()
  await reader.disconnect()
})

test('a PUBREL for an unknown identifier is answered with PUBCOMP [MQTT-4.3.3-2]', async () => {
  const client = await join('releaser', true)
  client.send(packet.pubrel(4711))
  expect(await client.next()).toMatchObject({ type: T.PUBCOMP, id: 4711 })
  await client.disconnect()
})

test('PUBREL must carry the flags 0010, and acknowledgements two bytes [MQTT-3.6.1-1] [MQTT-2.2.2-1] [MQTT-2.2.2-2]', async () => {
  for (const first of [0x60, 0x61, 0x63, 0x6a, 0x41, 0x52, 0x7f])
    expect(await closesOn(b.port, Buffer.from([first, 2, 0, 1])), first.toString(16)).toEqual([])
  for (const first of [0x40, 0x50, 0x62, 0x70]) {
    expect(await closesOn(b.port, Buffer.from([first, 1, 0]))).toEqual([])
    expect(await closesOn(b.port, Buffer.from([first, 3, 0, 1, 0]))).toEqual([])
    expect(await closesOn(b.port, Buffer.from([first, 0]))).toEqual([])
  }
})

test('packet identifier 0 ends the connection, wherever it stands [MQTT-2.3.1-1]', async () => {
  const zeros = [
    packet.publish('a', 'x', { qos: 1, id: 0 }),
    packet.publish('a', 'x', { qos: 2, id: 0 }),
    packet.subscribe(0, [['a', 0]]),
    packet.unsubscribe(0, ['a']),
    packet.puback(0),
    packet.pubrec(0),
    packet.pubrel(0),
    packet.pubcomp(0),
  ]
  for (const bytes of zeros) expect(await closesOn(b.port, bytes)).toEqual([])
})

test('QoS 3 ends the connection, and so does DUP at QoS 0 [MQTT-3.3.1-2] [MQTT-3.3.1-4]', async () => {
  const body = Buffer.from([0, 1, 0x61, 0, 1])
  expect(await closesOn(b.port, packet.frame(0x36, body))).toEqual([])
  expect(await closesOn(b.port, packet.frame(0x38, body))).toEqual([])
})

test('as many QoS 2 messages as a client likes are open before its first PUBREL, whatever Receive Maximum MQTT 5 is told', async () => {
  const small = await startClocked({ settings: { max_inbound_qos2: 3 } })
  const all = Array.from({ length: 3000 }, (_, i) => packet.publish('a', 'x', { qos: 2, id: i + 1 }))
  const client = await openWith(small.port, Buffer.concat([packet.connect({ client_id: 'c' }), ...all]))
  expect((await take(client, 3001)).map((p) => p.id)).toEqual([0, ...all.map((_, i) => i + 1)])
  client.send(Buffer.concat(all.map((_, i) => packet.pubrel(i + 1))))
  expect((await take(client, 3000)).every((p) => p.type === T.PUBCOMP && p.code === 0)).toBe(true)
  expect(small.broker.state.stored?.sessions.get('c')?.inbound?.size).toBe(0)
  await client.disconnect()
  await small.close()
})

/* ---- to a subscriber ---- */

test('identifiers begin at 1 in a new session and count up; QoS 0 carries none [MQTT-2.3.1-4] [MQTT-2.3.1-5]', async () => {
  for (const clean of [true, false]) {
    const client = await join(`ids-${clean}`, clean)
    await client.subscribe(['ids', 2])
    for (const qos of [1, 2, 0, 1] as const) await publisher.publishAndWait('ids', 'x', { qos })
    const got = await take(client, 4)
    expect(got.filter((p) => p.qos > 0).map((p) => p.id)).toEqual([1, 2, 3])
    expect(got.filter((p) => p.qos === 0)).toMatchObject([{ id: 0, payload: Buffer.from('x') }])
    await client.disconnect()
  }
})

test('a whole QoS 2 delivery: PUBLISH, PUBREC, PUBREL, PUBCOMP [MQTT-4.3.3-1]', async () => {
  for (const clean of [true, false]) {
    const client = await join(`whole-${clean}`, clean)
    await client.subscribe(['whole', 2])
    await publisher.publishAndWait('whole', 'x', { qos: 2 })
    const p = await client.next()
    expect(text(p)).toBe('whole x q2')
    client.send(packet.pubrec(p.id))
    expect(await client.next()).toMatchObject({ type: T.PUBREL, flags: 2, id: p.id })
    // Sent again, PUBREC is answered again.
    client.send(packet.pubrec(p.id))
    expect(await client.next()).toMatchObject({ type: T.PUBREL, id: p.id })
    client.send(packet.pubcomp(p.id))
    expect(await arrived(client)).toEqual([])
    await client.disconnect()
  }
})

test('PUBLISHes without an answer come again after a reconnect: same identifier, DUP, old order [MQTT-3.3.1-1] [MQTT-2.3.1-3] [MQTT-4.4.0-1] [MQTT-4.6.0-1]', async () => {
  for (const qos of [1, 2] as const) {
    await away(`again-${qos}`, `again/${qos}`, qos)
    await send(`again/${qos}`, 5, qos)
    const first = await join(`again-${qos}`, false)
    const before = await take(first, 5)
    expect(before.map((p) => p.dup)).toEqual(Array(5).fill(false))
    // The third is done with.
    if (qos === 1) first.send(packet.puback(before[2].id))
    else {
      first.send(packet.pubrec(before[2].id))
      await first.expect(T.PUBREL)
      first.send(packet.pubcomp(before[2].id))
    }
    await first.ping()
    await lose(first)
    const second = await join(`again-${qos}`, false)
    const after = await take(second, 4)
    expect(after.map((p) => [p.id, p.payload.toString(), p.dup])).toEqual([0, 1, 3, 4].map((n) => [before[n].id, `${n}`, true]))
    expect(await arrived(second)).toEqual([])
    await lose(second)
    // And once more: what was new in between comes behind them, without DUP.
    await publisher.publishAndWait(`again/${qos}`, 'new', { qos })
    const third = await join(`again-${qos}`, false)
    expect((await take(third, 5)).map((p) => [p.payload.toString(), p.dup])).toEqual([
      ['0', true],
      ['1', true],
      ['3', true],
      ['4', true],
      ['new', false],
    ])
    await third.disconnect()
  }
})

test('a QoS 2 delivery resumes where it was: PUBLISH before PUBREC, PUBREL after it, nothing after PUBCOMP [MQTT-4.3.3-1] [MQTT-4.4.0-1] [MQTT-4.6.0-4]', async () => {
  await away('resume', 'resume', 2)
  await send('resume', 4, 2)
  const first = await join('resume', false)
  const [m0, m1, m2, m3] = await take(first, 4)
  first.send(packet.pubrec(m3.id))
  await first.expect(T.PUBREL)
  first.send(packet.pubrec(m1.id))
  await first.expect(T.PUBREL)
  first.send(packet.pubrec(m0.id))
  await first.expect(T.PUBREL)
  first.send(packet.pubcomp(m0.id))
  await first.ping()
  await lose(first)
  const second = await join('resume', false)
  const got = await take(second, 3)
  // PUBRELs in the order of the PUBRECs, then what was not received.
  expect(got.map((p) => [p.type, p.id])).toEqual([
    [T.PUBREL, m3.id],
    [T.PUBREL, m1.id],
    [T.PUBLISH, m2.id],
  ])
  expect(got[2].dup).toBe(true)
  second.send(packet.pubcomp(m3.id))
  second.send(packet.pubcomp(m1.id))
  second.send(packet.pubrec(m2.id))
  await second.expect(T.PUBREL)
  second.send(packet.pubcomp(m2.id))
  await second.ping()
  await lose(second)
  const third = await join('resume', false)
  expect(await arrived(third)).toEqual([])
  await third.disconnect()
})

test('the connection goes between PUBREC and PUBREL: PUBREL comes on the next one [MQTT-4.4.0-1]', async () => {
  await away('between', 'between', 2)
  await send('between', 1, 2)
  const first = await join('between', false)
  const { id } = await first.next()
  first.send(packet.pubrec(id))
  await lose(first)
  const second = await join('between', false)
  // Whether PUBREC got through decides between the two; never both, never neither.
  const [p] = await take(second, 1)
  if (p.type === T.PUBLISH) expect([p.id, p.dup]).toEqual([id, true])
  else expect([p.type, p.id]).toEqual([T.PUBREL, id])
  expect(await arrived(second)).toEqual([])
  await second.disconnect()
})

test('a subscriber that never answers gets the window and no more; each answer lets one in [MQTT-2.3.1-2]', async () => {
  for (const qos of [1, 2] as const) {
    await away(`window-${qos}`, `window/${qos}`, qos)
    await send(`window/${qos}`, 100, qos)
    const client = await join(`window-${qos}`, false)
    const got = (await arrived(client)).filter((p) => p.type === T.PUBLISH)
    expect(got.map((p) => p.payload.toString())).toEqual(Array.from({ length: 32 }, (_, n) => `${n}`))
    expect(new Set(got.map((p) => p.id)).size).toBe(32)
    if (qos === 1) client.send(packet.puback(got[5].id))
    else {
      client.send(packet.pubrec(got[5].id))
      await client.expect(T.PUBREL)
      // Not before PUBCOMP.
      expect(await arrived(client)).toEqual([])
      client.send(packet.pubcomp(got[5].id))
    }
    expect((await arrived(client)).map((p) => p.payload.toString())).toEqual(['32'])
    await client.disconnect()
  }
})

test('a live clean subscriber that never answers gets the window and no more', async () => {
  const client = await join('window-clean', true)
  await client.subscribe(['window/clean', 1])
  await send('window/clean', 40, 1)
  const got = await arrived(client)
  expect(got.map((p) => p.payload.toString())).toEqual(Array.from({ length: 32 }, (_, n) => `${n}`))
  client.send(packet.puback(got[31].id))
  expect((await arrived(client)).map((p) => p.payload.toString())).toEqual(['32'])
  await client.disconnect()
})

test('out-of-order acknowledgements are taken as they come', async () => {
  await away('shuffled', 'shuffled', 1)
  await send('shuffled', 40, 1)
  const client = await join('shuffled', false)
  const first = await take(client, 32)
  for (const p of first.reverse()) client.send(packet.puback(p.id))
  const rest = await take(client, 8)
  expect(rest.map((p) => p.payload.toString())).toEqual(Array.from({ length: 8 }, (_, n) => `${32 + n}`))
  for (const p of rest) client.send(packet.puback(p.id))
  await client.ping()
  await lose(client)
  const back = await join('shuffled', false)
  expect(await arrived(back)).toEqual([])
  await back.disconnect()
})

test('the wrong acknowledgement ends the connection, and the message comes again [MQTT-4.8.0-1] [MQTT-4.5.0-2]', async () => {
  const wrong: [1 | 2, (id: number) => Buffer][] = [
    [2, packet.puback],
    [2, packet.pubcomp],
    [1, packet.pubrec],
    [1, packet.pubcomp],
  ]
  for (const [n, [qos, answer]] of wrong.entries()) {
    await away(`wrong-${n}`, `wrong/${n}`, qos)
    await send(`wrong/${n}`, 1, qos)
    const client = await join(`wrong-${n}`, false)
    const { id } = await client.next()
    client.send(answer(id))
    expect(await untilClosed(client), `case ${n}`).toEqual([])
    const back = await join(`wrong-${n}`, false)
    expect(await delivered(back)).toEqual([`wrong/${n} 0 q${qos} dup`])
    await back.disconnect()
  }
})

test('PUBACK for a message that is already released ends the connection [MQTT-4.8.0-1]', async () => {
  await away('released', 'released', 2)
  await send('released', 1, 2)
  const client = await join('released', false)
  const { id } = await client.next()
  client.send(packet.pubrec(id))
  await client.expect(T.PUBREL)
  client.send(packet.puback(id))
  expect(await untilClosed(client)).toEqual([])
})

test('acknowledgements of nothing: PUBACK and PUBCOMP are ignored, PUBREC is answered with PUBREL', async () => {
  const client = await join('stray', true)
  client.send(Buffer.concat([packet.puback(7), packet.pubcomp(8), packet.pubrec(9)]))
  expect(await arrived(client)).toMatchObject([{ type: T.PUBREL, id: 9 }])
  await client.disconnect()
})

test('an identifier is not given out again while it is in use, all the way round [MQTT-2.3.1-2] [MQTT-2.3.1-4]', async () => {
  const client = await join('round', true)
  await client.subscribe(['round', 1])
  const stuck = new Set<number>()
  let seen = 0
  let last = 0
  let repeated = false
  let done: () => void = () => {}
  const all = new Promise<void>((resolve) => {
    done = resolve
  })
  client.onPacket = (p) => {
    if (p.type !== T.PUBLISH) return
    seen++
    if (stuck.has(p.id)) repeated = true
    // The third is kept back: 65,535 places later its identifier is due again.
    if (seen === 3) stuck.add(p.id)
    else client.send(packet.puback(p.id))
    last = p.id
    if (seen === 65_537) done()
  }
  // 66 writes of 993 messages.
  const write = Buffer.concat(Array.from({ length: 993 }, (_, i) => packet.publish('round', 'x', { qos: 1, id: i + 1 })))
  for (let n = 0; n < 66; n++) {
    publisher.send(write)
    await publisher.ping()
    publisher.inbox.length = 0
  }
  await all
  await client.ping()
  expect([seen, last, repeated]).toEqual([65_537, 2, false])
  client.send(packet.puback([...stuck][0]))
  stuck.clear()
  await client.ping()
  await client.ping()
  expect(seen).toBe(66 * 993)
  await client.disconnect()
})

test('QoS 2 is once to each QoS 2 subscriber, whatever breaks: 300 deliveries over connections that go at any step [MQTT-4.3.3-1]', async () => {
  await away('fragile', 'fragile', 2)
  await send('fragile', 300, 2)
  const received: string[] = []
  const open = new Map<number, string>()
  let step = 0
  // What a correct client keeps over reconnects: identifiers received and not yet released.
  for (let round = 0; received.length < 300 || open.size > 0; round++) {
    expect(round).toBeLessThan(400)
    const client = await join('fragile', false)
    const budget = 1 + ((round * 7) % 23)
    for (let n = 0; n < budget; n++) {
      const p = await client.expect(0, undefined, 300).catch(() => undefined)
      if (p === undefined) break
      step++
      if (p.type === T.PUBLISH) {
        if (!open.has(p.id)) received.push(p.payload.toString())
        open.set(p.id, p.payload.toString())
        if (step % 5 !== 0) client.send(packet.pubrec(p.id))
      } else if (p.type === T.PUBREL) {
        open.delete(p.id)
        if (step % 7 !== 0) client.send(packet.pubcomp(p.id))
      }
    }
    await lose(client)
  }
  expect(received).toEqual(Array.from({ length: 300 }, (_, n) => `${n}`))
})

test('a QoS 2 publisher taken over by itself in the middle, 200 times: each message once [MQTT-4.3.3-2] [MQTT-3.1.4-2]', async () => {
  const reader = await join('race-reader', false, { auto_ack: true })
  await reader.subscribe(['race', 2])
  const got: string[] = []
  reader.onPacket = (p) => {
    if (p.type === T.PUBLISH) got.push(p.payload.toString())
  }
  const hello = packet.connect({ client_id: 'racer', clean: false })
  let former = await openWith(b.port, hello)
  await former.expect(T.CONNACK)
  for (let n = 0; n < 200; n++) {
    const id = 1 + (n % 50)
    const heir = await MqttClient.open(b.port, { auto_ack: false })
    // Both at once: which the broker reads first is its affair.
    former.send(packet.publish('race', `${n}`, { qos: 2, id }))
    heir.send(Buffer.concat([hello, packet.publish('race', `${n}`, { qos: 2, id, dup: true }), packet.pubrel(id)]))
    await heir.expect(T.PUBREC, (p) => p.id === id)
    await heir.expect(T.PUBCOMP, (p) => p.id === id)
    former.destroy()
    former = heir
  }
  while (got.length < 200) await reader.ping()
  await reader.ping()
  expect(got).toEqual(Array.from({ length: 200 }, (_, n) => `${n}`))
  await former.disconnect()
  await reader.disconnect()
})

test('all 65,535 QoS 2 identifiers open, repeated and dropped with the session: taken once each, and nothing stays', async () => {
  const wide = await startClocked()
  const all = Buffer.concat(Array.from({ length: 65_535 }, (_, i) => packet.publish('open', 'x', { qos: 2, id: i + 1 })))
  const before = wide.broker.state.stats.received[2]
  const client = await MqttClient.connect(wide.port, { client_id: 'c', timeout_ms: 15_000 })
  for (let round = 0; round < 2; round++) {
    let recs = 0
    client.onPacket = () => void recs++
    client.send(all)
    await client.ping()
    expect(recs).toBe(65_535)
  }
  expect(wide.broker.state.stats.received[2] - before).toBe(65_535)
  expect(wide.broker.state.stored?.sessions.get('c')?.inbound?.size).toBe(65_535)
  await client.disconnect()
  expect(wide.broker.state.stored?.sessions.get('c')).toBeUndefined()
  await wide.close()
})

/* ---- what hooks and ends of sessions must not break ---- */

test('a QoS 2 publisher that goes while a hook still thinks is not told later that its message was taken [MQTT-4.3.3-2]', async () => {
  const asked: (() => void)[] = []
  const authorizePublish = (_c: unknown, _p: unknown, done: (error?: Error | null) => void): void =>
    void asked.push(() => done(null))
  const slow = await startClocked({ aedes: { authorizePublish } })
  const connect = () => MqttClient.connect(slow.port, { client_id: 'p', clean: false, auto_ack: false })
  const reader = await MqttClient.connect(slow.port, { client_id: 'r' })
  await reader.subscribe(['hooked', 2])
  const first = await connect()
  first.send(packet.publish('hooked', 'm', { qos: 2, id: 5 }))
  while (asked.length < 1) await reader.ping()
  const second = await connect()
  await first.closed
  asked[0]()
  second.send(packet.publish('hooked', 'm', { qos: 2, id: 5, dup: true }))
  while (asked.length < 2) await reader.ping()
  expect(second.inbox).toEqual([])
  asked[1]()
  expect(await second.next()).toMatchObject({ type: T.PUBREC, id: 5 })
  second.send(packet.pubrel(5))
  expect(await second.next()).toMatchObject({ type: T.PUBCOMP, id: 5 })
  expect(await delivered(reader)).toEqual(['hooked m q2'])
  await slow.close()
})

test('a session that ends takes all its rows with it, half done handshakes included', async () => {
  const rows = async (): Promise<string[]> => {
    const found: string[] = []
    for await (const { key } of b.disk.scan(everything))
      if (/^[SFNPQ]/.test(key.toString('latin1'))) found.push(key.toString('latin1'))
    return found.sort()
  }
  const before = await rows()
  const client = await join('traces', false)
  await client.subscribe(['traces', 2])
  await send('traces', 2, 2)
  const { id } = await client.next()
  client.send(packet.pubrec(id))
  await client.expect(T.PUBREL)
  client.send(packet.publish('elsewhere', 'x', { qos: 2, id: 3 }))
  await client.expect(T.PUBREC)
  expect((await rows()).length - before.length).toBe(5)
  await client.disconnect()
  const clean = await join('traces', true)
  await clean.disconnect()
  await publisher.ping()
  expect(await rows()).toEqual(before)
})
