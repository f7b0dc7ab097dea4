/** Conditions: what they may say, what they answer, and that nobody can make one slow. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Inbound, inboundOf } from '../../src/broker/message.js'
import { writeProperties } from '../../src/mqtt/properties.js'
import { compileCondition } from '../../src/plugins/bridge/condition.js'
import { Facts } from '../../src/plugins/bridge/facts.js'
import { Topic } from '../../src/topics/interned.js'
import { type ClockedBroker, MqttClient, startClocked } from '../support/broker.js'
import { connect, drained } from './support.js'

function message(payload: string | Buffer, topic = 'site/7/temp'): Inbound {
  const name = Buffer.from(topic)
  const m = inboundOf(new Topic(topic, name, topic.split('/').length), Buffer.from(payload), 1, false, 0)
  m.client = { id: 'dev-1' }
  m.properties = writeProperties({
    contentType: 'application/json',
    userProperties: [
      ['region', 'us'],
      ['region', 'eu'],
      ['__proto__', 'x'],
    ],
  })
  return m
}

const ask = (when: string, payload: string | Buffer = '{}', topic?: string, bytes_max = 65_536) =>
  compileCondition(when).test(new Facts(message(payload, topic), bytes_max))

const json = JSON.stringify({
  t: 30,
  f: 30.5,
  s: 'abc',
  ok: true,
  nil: null,
  list: [1, 2, 3],
  alarms: [{ level: 1 }, { level: 4 }],
  deep: { er: { v: 'x' } },
})

describe('a condition', () => {
  test.each<[string, boolean | undefined]>([
    ['payload.t > 20', true],
    ['payload.t == 30 && payload.f > 30', true],
    ['payload.f < 30.5', false],
    ['payload.s == "abc" || false', true],
    ['payload.s.startsWith("ab") && payload.s.contains("c")', true],
    ['payload.ok', true],
    ['!payload.ok', false],
    ['payload.nil == null', true],
    ['2 in payload.list', true],
    ['payload.s in ["x", "abc"]', true],
    ['size(payload.list) == 3', true],
    ['payload.list[0] == 1', true],
    ['payload.alarms.exists(a, a.level > 3)', true],
    ['payload.alarms.all(a, a.level > 3)', false],
    ['payload.deep.er.v == "x"', true],
    ['has(payload.deep) && !has(payload.none)', true],
    ['payload.?none.?more.orValue(3) == 3', true],
    ['int(payload.t) % 7 == 2', true],
    ['topic == "site/7/temp" && levels[1] == "7"', true],
    ['client == "dev-1" && qos == 1 && !retain', true],
    [`length == ${json.length} && text.startsWith("{")`, true],
    ['user.region == "eu"', true],
    ['user["__proto__"] == "x"', true],
    ['content_type == "application/json" && response_topic == ""', true],
    ['payload.none > 3', undefined],
    ['payload.s > 3', undefined],
    ['payload.t', undefined],
    ['payload.s ? true : false', undefined],
    ['user.none == "eu"', undefined],
    ['payload.list[3] == 1', undefined],
    // Own properties only.
    ['has(payload.constructor)', false],
    ['payload.constructor == null', undefined],
    ['payload.s.length == 3', undefined],
    ['payload.list.map == null', undefined],
    ['payload.__proto__ == null', undefined],
    ['user.constructor == "x"', undefined],
  ])('%s is %s', (when, answer) => {
    expect(ask(when, json)).toBe(answer)
  })

  test('sees own keys of a payload, whatever they are called', () => {
    expect(ask('payload.__proto__.x == 1', '{"__proto__":{"x":1}}')).toBe(true)
    expect(({} as { x?: number }).x).toBeUndefined()
  })

  test('asks for the payload only when it must', () => {
    for (const payload of ['', 'text', '{', Buffer.from([0xff, 0xfe])]) {
      expect(ask('topic == "site/7/temp"', payload)).toBe(true)
      expect(ask('payload.t > 1', payload)).toBeUndefined()
      expect(ask('topic == "other" && payload.t > 1', payload)).toBe(false)
    }
    expect(ask('payload == null', 'null')).toBe(true)
    expect(ask('payload == "text"', '"text"')).toBe(true)
  })

  test('looks into no payload beyond its bound', () => {
    const payload = JSON.stringify({ t: 1, x: 'x'.repeat(100) })
    expect(ask('payload.t == 1', payload, undefined, payload.length)).toBe(true)
    expect(ask('payload.t == 1', payload, undefined, payload.length - 1)).toBeUndefined()
    expect(ask('text != ""', payload, undefined, payload.length - 1)).toBeUndefined()
    expect(ask('length > 5', payload, undefined, payload.length - 1)).toBe(true)
  })

  test('loops over no list that is too long, wherever it is, and survives any nesting', () => {
    const list = (n: number) => JSON.stringify({ a: { b: Array(n).fill(7) } })
    expect(ask('payload.a.b.exists(x, x == 8)', list(1_000))).toBe(false)
    expect(ask('payload.a.b.exists(x, x == 8)', list(1_001))).toBeUndefined()
    expect(ask('8 in payload.a.b', list(1_001))).toBe(false)
    expect(ask('levels.exists(l, l == "b")', '{}', Array(1_001).fill('a').join('/'))).toBeUndefined()
    const nested = '['.repeat(30_000) + ']'.repeat(30_000)
    expect(ask('payload.exists(x, x == 8)', nested)).not.toBe(true)
    expect(ask('payload == [[8]]', nested)).not.toBe(true)
  })

  test.each<[unknown, string]>([
    ['', 'expression of 1 to 2048'],
    [' ', 'expression of 1 to 2048'],
    [7, 'expression of 1 to 2048'],
    [null, 'expression of 1 to 2048'],
    ['x'.repeat(2_049), 'expression of 1 to 2048'],
    ['payload.t >', 'when = "payload.t >": '],
    ['payload.t = 3', 'when ='],
    ['temperature > 3', 'Unknown variable: temperature'],
    ['topic > 3', 'no such overload'],
    ['1', 'it is a int'],
    ['topic', 'it is a string'],
    ['user', 'it is a map'],
    ['topic.matches("(a+)+$")', 'no function matches'],
    ['payload.a.map(x, x) == []', 'no function map'],
    ['payload.a.filter(x, x) == []', 'no function filter'],
    ['payload.s.split("") == []', 'no function split'],
    ['cel.bind(x, 1, x == 1)', 'no function bind'],
    ['eval("1")', 'no function eval'],
    ['constructor("1")', 'no function constructor'],
    ['payload.a.all(x, payload.b.all(y, x == y))', 'all may not stand in another loop'],
    ['payload.a.exists(x, [1].exists(y, x == y))', 'exists may not stand in another loop'],
    [Array(200).fill('true').join(' && '), 'when ='],
    [`${'('.repeat(500)}true${')'.repeat(500)}`, 'when ='],
    [`payload.t in [${Array(101).fill('1').join(',')}]`, 'when ='],
  ])('%j is refused', (when, sentence) => {
    expect(() => compileCondition(when)).toThrow(sentence)
  })
})

describe('a rule with a condition', () => {
  let b: ClockedBroker
  let dev: MqttClient
  beforeEach(async () => {
    b = await startClocked({ bridge: { max_when_bytes: 1_000 } })
    dev = await connect(b)
  })
  afterEach(() => b.close())

  const hot = { filter: 't/+', queue: 'hot', when: 'payload.t > 30' }

  test('copies what it is true of; what it cannot answer is counted', async () => {
    expect(b.bridges.put('hot', hot).rule.when).toBe(hot.when)
    b.bridges.put('all', { filter: 't/+', queue: 'all' })
    const long = JSON.stringify({ t: 99, x: 'x'.repeat(1_000) })
    for (const text of ['{"t":31}', '{"t":30}', '{}', 'no json', long]) await dev.publishAndWait('t/a', text, { qos: 1 })
    expect(await drained(b, 'hot')).toEqual(['t/a {"t":31}'])
    expect(await drained(b, 'all')).toHaveLength(5)
    expect(b.bridges.get('hot')?.counts).toEqual({ copied: 1, refused: 0, unmatched: 4, errors: 3 })
    expect(b.bridges.totals).toMatchObject({ copied: 6, unmatched: 4, errors: 3 })
  })

  test('reads the payload once for all rules, and anew for each message', async () => {
    for (let i = 0; i < 5; i++) b.bridges.put(`r${i}`, { ...hot, queue: `q${i}`, when: `payload.t == ${i}` })
    const { parse } = JSON
    let parsed = 0
    JSON.parse = (...args) => {
      parsed++
      return parse(...args)
    }
    try {
      for (const t of [0, 4, 4]) await dev.publishAndWait('t/a', `{"t":${t}}`, { qos: 0 })
      await dev.ping()
    } finally {
      JSON.parse = parse
    }
    expect(parsed).toBe(3)
    expect([await drained(b, 'q0'), await drained(b, 'q4')].map((q) => q.length)).toEqual([1, 2])
  })

  test('requires its copy only of what it is true of', async () => {
    b.queues.ordered?.create('hot', 'pull', { max_messages: 1 })
    b.bridges.put('hot', { ...hot, required: true })
    await dev.publishAndWait('t/a', '{"t":31}', { qos: 1 })
    for (const text of ['{"t":1}', 'no json']) await dev.publishAndWait('t/a', text, { qos: 1 })
    dev.publish('t/a', '{"t":32}', { qos: 1 })
    await dev.closed
    expect(b.bridges.get('hot')?.counts).toEqual({ copied: 1, refused: 1, unmatched: 2, errors: 1 })
  })

  test('asks about MQTT 5 properties', async () => {
    b.bridges.put('eu', { filter: 't/+', queue: 'eu', when: 'user.region == "eu" && content_type == "text/plain"' })
    const five = await MqttClient.connect(b.port, { client_id: 'five', protocol: 5 })
    for (const region of ['eu', 'us']) {
      const properties = { contentType: 'text/plain', userProperties: [['region', region]] }
      five.publish('t/a', region, { qos: 1, properties: properties as never })
      await five.expect(4)
    }
    await dev.publishAndWait('t/a', 'no properties', { qos: 1 })
    expect(await drained(b, 'eu')).toEqual(['t/a eu'])
  })

  test('is kept, and refused when it cannot be', async () => {
    b.bridges.put('hot', hot)
    expect(() => b.bridges.put('hot', { ...hot, when: 'payload.t >' })).toThrow('when =')
    expect(b.bridges.get('hot')?.when).toBe(hot.when)
    await b.bridges.committed()
    await b.reopen()
    dev = await connect(b)
    await dev.publishAndWait('t/a', '{"t":31}', { qos: 1 })
    expect(await drained(b, 'hot')).toEqual(['t/a {"t":31}'])
  })
})
