/** Rules: what may be said, what is refused and changes nothing, where they are kept. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hasCode } from '../../src/core/errors.js'
import { type ClockedBroker, startClocked } from '../support/broker.js'
import { connect, drained, names, queueOf } from './support.js'

let b: ClockedBroker
beforeEach(async () => {
  b = await startClocked()
})
afterEach(() => b.close())

async function restart(o: Parameters<typeof startClocked>[0] = {}): Promise<void> {
  const before = b
  await before.close()
  b = await startClocked({ after: before.disk, clock: before.clock, ...o })
}

const good = { filter: 'a/+/#', queue: 'q' }

describe('a rule', () => {
  test('is complete when it is read back, and makes its queue', async () => {
    expect(b.bridges.put('r', good)).toEqual({
      created: true,
      rule: {
        name: 'r',
        filter: 'a/+/#',
        queue: 'q',
        qos0: true,
        required: false,
        source: 'stored',
        counts: { copied: 0, refused: 0, unmatched: 0, errors: 0 },
      },
    })
    await b.bridges.committed()
    expect(names(b)).toEqual(['q'])
    const all = { ...good, qos0: false, required: true, key: '{1}-{client}', priority: 3, delay_s: 5, ttl_s: 60, tag: '{#}' }
    expect(b.bridges.put('r', all)).toMatchObject({ created: false, rule: all })
    expect(b.bridges.get('r')).toMatchObject(all)
    expect(b.bridges.list().map((r) => r.name)).toEqual(['r'])
  })

  test.each<[object, string]>([
    [{ queue: 'q' }, 'needs filter'],
    [{ filter: 'a' }, 'needs queue'],
    [{ ...good, filter: 3 }, 'filter'],
    [{ ...good, filter: '' }, 'empty'],
    [{ ...good, filter: 'a/#/b' }, '# must stand alone'],
    [{ ...good, filter: '$share/g/a' }, '$share'],
    [{ ...good, filter: '$queue/#' }, '$queue'],
    [{ ...good, filter: '$dead/#' }, '$dead'],
    [{ ...good, filter: '$delayed/+/a' }, '$delayed'],
    [{ ...good, filter: '$SYS/#' }, '$SYS'],
    [{ ...good, filter: '$queue' }, '$queue'],
    [{ ...good, queue: '' }, 'queue is text'],
    [{ ...good, queue: 7 }, 'queue is text'],
    [{ ...good, queue: 'a b' }, 'queue name'],
    [{ ...good, queue: 'a..b' }, 'queue name'],
    [{ ...good, queue: '$queue' }, 'queue name'],
    [{ ...good, queue: 'q-{1' }, 'placeholder'],
    [{ ...good, queue: 'q-1}' }, 'placeholder'],
    [{ ...good, queue: 'q-{3}' }, '{3}'],
    [{ ...good, queue: 'q-{0}' }, '{0}'],
    [{ ...good, queue: 'q-{}' }, '{}'],
    [{ ...good, queue: 'q-{constructor}' }, '{constructor}'],
    [{ ...good, queue: 'q/{1}' }, 'beside its placeholders'],
    [{ ...good, queue: '.{1}' }, 'beside its placeholders'],
    [{ ...good, filter: 'a/b', queue: '{1}' }, 'Allowed are {topic}, {client}'],
    [{ ...good, filter: 'a/+', key: '{#}' }, '{#}'],
    [{ ...good, key: '' }, 'key is text of 1 to 255 bytes'],
    [{ ...good, key: 'é'.repeat(128) }, 'key is text of 1 to 255 bytes'],
    [{ ...good, tag: null }, 'tag is text'],
    [{ ...good, priority: 0 }, 'priority is a whole number from 1 to 16'],
    [{ ...good, priority: 17 }, 'priority'],
    [{ ...good, priority: 1.5 }, 'priority'],
    [{ ...good, priority: '1' }, 'priority'],
    [{ ...good, delay_s: -1 }, 'delay_s is a whole number from 0 to 31536000'],
    [{ ...good, delay_s: 31_536_001 }, 'delay_s'],
    [{ ...good, ttl_s: 0 }, 'ttl_s is a whole number from 1 to 315360000'],
    [{ ...good, delay_s: 5, ttl_s: 5 }, 'ttl_s = 5 is over before'],
    [{ ...good, qos0: 'yes' }, 'qos0 is true or false'],
    [{ ...good, qos0: null }, 'qos0 is true or false'],
    [{ ...good, required: 1 }, 'required is true or false'],
    [{ ...good, Filter: 'a' }, 'no field "Filter"'],
    [{ ...good, name: 'r' }, 'no field "name"'],
    [JSON.parse('{"filter":"a","queue":"q","__proto__":1}'), 'no field "__proto__"'],
    [[good], 'is an object'],
    [null as never, 'is an object'],
    ['a' as never, 'is an object'],
  ])('%j is refused with a sentence and changes nothing', (input, sentence) => {
    b.bridges.put('r', good)
    const before = b.bridges.list()
    expect(() => b.bridges.put('r', input)).toThrow(sentence)
    expect(() => b.bridges.put('new', input)).toThrow(sentence)
    expect(b.bridges.list()).toEqual(before)
    expect(names(b)).toEqual(['q'])
  })

  test.each([['', 'a b', '../x', 'a..b', '-a', 'x'.repeat(257), 'ü', 7, undefined]].flat())('cannot be called %j', (name) => {
    expect(() => b.bridges.put(name as string, good)).toThrow("a rule's name is")
    expect(b.bridges.delete(String(name))).toBe(false)
  })

  test('can copy an ordinary $ topic', () => {
    expect(b.bridges.put('r', { filter: '$queues/#', queue: 'q' }).created).toBe(true)
  })

  test('whose queue sends its dead letters in a circle is refused', () => {
    const ordered = b.queues.ordered
    ordered?.create('p', 'pull', { dead_letter: 'q', max_attempts: 1 })
    ordered?.create('q', 'pull', { dead_letter: 'p' })
    ordered?.create('r', 'pull', { dead_letter: 's' })
    ordered?.create('s', 'pull', { dead_letter: 'none' })
    expect(() => b.bridges.put('x', { filter: 'a', queue: 'p' })).toThrow('come round to p again')
    expect(b.bridges.put('x', { filter: 'a', queue: 'r' }).created).toBe(true)
  })
})

describe('stored rules', () => {
  test('are there after a restart, with their queues, and go on from the next message', async () => {
    b.bridges.put('one', { filter: 'a/+', queue: 'q', key: '{1}' })
    b.bridges.put('two', { filter: 'b/+', queue: 'q-{1}' })
    await b.bridges.committed()
    const before = b.bridges.list()
    await restart()
    expect(b.bridges.list()).toEqual(before)
    const dev = await connect(b)
    await dev.publishAndWait('a/x', '1', { qos: 1 })
    await dev.publishAndWait('b/y', '2', { qos: 1 })
    expect(names(b)).toEqual(['q', 'q-y'])
    expect(await drained(b, 'q')).toEqual(['[x] a/x 1'])
    expect(await drained(b, 'q-y')).toEqual(['b/y 2'])
    expect(queueOf(b, 'q').attributes.fifo).toBe(true)
    expect(queueOf(b, 'q-y').attributes.fifo).toBe(false)
  })

  test('that were deleted stay so, and what they made stays', async () => {
    b.bridges.put('r', { filter: 'a', queue: 'q' })
    expect(b.bridges.delete('r')).toBe(true)
    expect(b.bridges.delete('r')).toBe(false)
    await b.bridges.committed()
    const dev = await connect(b)
    await dev.publishAndWait('a', '1', { qos: 1 })
    expect(await drained(b, 'q')).toEqual([])
    await restart()
    expect(b.bridges.list()).toEqual([])
    expect(names(b)).toEqual(['q'])
  })

  test('and the queue that they need are one commit', async () => {
    b.disk.holding = true
    b.bridges.put('r', { filter: 'a', queue: 'q' })
    await new Promise((resolve) => setImmediate(resolve))
    expect(b.disk.waiting).toBe(1)
    b.disk.cut(false)
    const dead = b
    b = await startClocked({ after: dead.disk })
    expect(b.bridges.list()).toEqual([])
    expect(names(b)).toEqual([])
  })

  test('are as many as max_rules', async () => {
    await restart({ bridge: { max_rules: 2 } })
    b.bridges.put('one', good)
    b.bridges.put('two', good)
    expect(() => b.bridges.put('three', { ...good, queue: 'new' })).toThrow('bridge.max_rules allows: 2')
    expect(names(b)).toEqual(['q'])
    expect(b.bridges.put('two', { ...good, key: 'x' }).created).toBe(false)
  })
})

describe('rules of the settings', () => {
  const rules = [{ name: 'set', filter: 'a/+', queue: 'q-{1}' }]

  test('are at work, listed as such, and changed nowhere else', async () => {
    await restart({ bridge: { rules } })
    const dev = await connect(b)
    await dev.publishAndWait('a/x', '1', { qos: 1 })
    expect(await drained(b, 'q-x')).toEqual(['a/x 1'])
    expect(b.bridges.list()).toMatchObject([{ name: 'set', source: 'settings' }])
    for (const change of [() => b.bridges.put('set', good), () => b.bridges.delete('set')]) {
      expect(change).toThrow('only be changed there')
    }
  })

  test('hide a stored one of their name while they are there', async () => {
    b.bridges.put('set', { filter: 'old', queue: 'old' })
    await b.bridges.committed()
    await restart({ bridge: { rules } })
    expect(b.bridges.list()).toMatchObject([{ name: 'set', filter: 'a/+', source: 'settings' }])
    await restart()
    expect(b.bridges.list()).toMatchObject([{ name: 'set', filter: 'old', source: 'stored' }])
  })

  test.each<[readonly Record<string, unknown>[], string]>([
    [[{ filter: 'a', queue: 'q' }], "bridge.rules[0]: a rule's name"],
    [
      [
        { name: 'a', filter: 'a', queue: 'q' },
        { name: 'b', filter: '#/a', queue: 'q' },
      ],
      'bridge.rules[1]: filter',
    ],
    [
      [
        { name: 'a', filter: 'a', queue: 'q' },
        { name: 'a', filter: 'b', queue: 'q' },
      ],
      'bridge.rules[1]: there is a rule a already',
    ],
  ])('%j stops the start', async (wrong, sentence) => {
    const failed = await startClocked({ bridge: { rules: wrong } }).catch((error: unknown) => error)
    expect(hasCode(failed, 'bad_setting')).toBe(true)
    expect(String(failed)).toContain(sentence)
  })
})

describe('queues that rules make', () => {
  test('are bounded; deleting one makes room, also after a restart', async () => {
    await restart({ bridge: { max_auto_queues: 2 } })
    b.bridges.put('r', { filter: 'a/+', queue: 'q-{1}' })
    const dev = await connect(b)
    for (const name of ['x', 'y', 'z', 'x']) await dev.publishAndWait(`a/${name}`, name, { qos: 1 })
    expect(names(b)).toEqual(['q-x', 'q-y'])
    expect(b.bridges.get('r')?.counts).toMatchObject({ copied: 3, refused: 1 })
    expect(b.bridges.totals.reasons.too_many_queues).toBe(1)
    expect(() => b.bridges.put('s', { filter: 'b', queue: 'one-more' })).toThrow('bridge.max_auto_queues allows: 2')
    expect(b.bridges.get('s')).toBeUndefined()
    await restart({ bridge: { max_auto_queues: 2 } })
    const again = await connect(b)
    await again.publishAndWait('a/z', 'z', { qos: 1 })
    expect(names(b)).toEqual(['q-x', 'q-y'])
    b.queues.ordered?.delete(queueOf(b, 'q-x'))
    b.clock.advance(2_000)
    await again.publishAndWait('a/z', 'z', { qos: 1 })
    expect(names(b)).toEqual(['q-y', 'q-z'])
    // One that a user made is not counted.
    b.queues.ordered?.create('q-w', 'pull', {})
    await again.publishAndWait('a/w', 'w', { qos: 1 })
    expect(await drained(b, 'q-w')).toEqual(['a/w w'])
  })

  test('come back when they are deleted while a rule needs them', async () => {
    b.bridges.put('r', { filter: 'a', queue: 'q' })
    const dev = await connect(b)
    await dev.publishAndWait('a', '1', { qos: 1 })
    b.queues.ordered?.delete(queueOf(b, 'q'))
    await dev.publishAndWait('a', '2', { qos: 1 })
    expect(await drained(b, 'q')).toEqual(['a 2'])
  })
})
