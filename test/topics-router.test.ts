import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matches } from '../src/topics/names.js'
import { Router } from '../src/topics/router.js'
import { topicFilter, topicName } from './support/topics.js'

interface Sub {
  readonly id: number
}
const subscribers: Sub[] = Array.from({ length: 40 }, (_, id) => ({ id }))

/** Options are lists, joined by the merge, so that a test sees who was merged and in which order. */
const joinLists = (a: readonly string[], b: readonly string[]): readonly string[] => [...a, ...b]
const table = (): Router<Sub, readonly string[]> => new Router((lists) => [lists.flat()])
const ids = (found: { subscriber: Sub }[]): number[] => found.map((m) => m.subscriber.id)

/** The same table as a flat list: what every command must answer. */
class FlatTable {
  readonly rows: { filter: string; subscriber: Sub; options: readonly string[] }[] = []

  add(filter: string, subscriber: Sub, options: readonly string[]): boolean {
    const old = this.rows.find((r) => r.filter === filter && r.subscriber === subscriber)
    if (old !== undefined) old.options = options
    else this.rows.push({ filter, subscriber, options })
    return old === undefined
  }

  remove(filter: string, subscriber: Sub): boolean {
    const i = this.rows.findIndex((r) => r.filter === filter && r.subscriber === subscriber)
    if (i >= 0) this.rows.splice(i, 1)
    return i >= 0
  }

  match(topic: string): { id: number; options: readonly string[] }[] {
    const found = new Map<Sub, readonly string[]>()
    for (const { filter, subscriber, options } of this.rows) {
      if (!matches(filter, topic)) continue
      const before = found.get(subscriber)
      found.set(subscriber, before === undefined ? options : joinLists(before, options))
    }
    return [...found].map(([subscriber, options]) => ({ id: subscriber.id, options }))
  }
}

describe('Router', () => {
  it('answers as a flat list does, whatever is added and removed', () => {
    const command = fc.record({
      remove: fc.boolean(),
      filter: topicFilter,
      who: fc.oneof(fc.nat(2), fc.nat(subscribers.length - 1)),
    })
    fc.assert(
      fc.property(fc.array(command, { maxLength: 120 }), fc.array(topicName, { maxLength: 12 }), (commands, topics) => {
        const router = table()
        const flat = new FlatTable()
        commands.forEach(({ remove, filter, who }, step) => {
          const subscriber = subscribers[who]
          const options = [`${step}`]
          const version = router.version
          const changed = remove ? router.remove(filter, subscriber) : router.add(filter, subscriber, options)
          expect(changed).toBe(remove ? flat.remove(filter, subscriber) : flat.add(filter, subscriber, options))
          expect(router.version > version).toBe(!remove || changed)
          expect(router.has(filter, subscriber)).toBe(!remove)
        })
        const names = [...topics, ...commands.map((c) => c.filter.replaceAll('+', 'a').replaceAll('#', 'b/c'))].filter(
          (n) => n !== '',
        )
        for (const topic of names) {
          expect(router.match(topic).map((m) => ({ id: m.subscriber.id, options: m.options }))).toEqual(flat.match(topic))
        }
        expect(router.subscriptions).toBe(flat.rows.length)
        expect(router.filters).toBe(new Set(flat.rows.map((r) => r.filter)).size)
        for (const { filter, subscriber } of [...flat.rows]) expect(router.remove(filter, subscriber)).toBe(true)
        expect([router.filters, router.subscriptions]).toEqual([0, 0])
        for (const topic of names) expect(router.match(topic)).toEqual([])
      }),
      { numRuns: 300 },
    )
  })

  it('keeps overlapping filters of one subscriber apart', () => {
    const router = table()
    const [one] = subscribers
    router.add('a/#', one, ['all'])
    router.add('a/b', one, ['b'])
    router.add('a/+', one, ['plus'])
    expect(router.match('a/b')).toMatchObject([{ options: ['all', 'b', 'plus'] }])
    router.remove('a/b', one)
    expect(router.match('a/b')).toMatchObject([{ options: ['all', 'plus'] }])
    router.remove('a/#', one)
    expect(router.match('a/b')).toMatchObject([{ options: ['plus'] }])
    expect(router.match('a')).toEqual([])
  })

  it('orders by first subscription and keeps the place of one that is renewed', () => {
    const router = table()
    const [one, two, three] = subscribers
    router.add('a/#', one, ['1'])
    router.add('a/b', two, ['2'])
    router.add('+/b', three, ['3'])
    router.add('a/#', one, ['again'])
    expect(ids(router.match('a/b'))).toEqual([0, 1, 2])
    router.remove('a/#', one)
    router.add('a/#', one, ['new'])
    expect(ids(router.match('a/b'))).toEqual([1, 2, 0])
  })

  it('keeps its version when a subscription is renewed with the same options', () => {
    const router = table()
    const options = ['same']
    router.add('a', subscribers[0], options)
    const { version } = router
    expect(router.add('a', subscribers[0], options)).toBe(false)
    expect(router.version).toBe(version)
  })

  it('hands out an array that later changes do not touch', () => {
    const router = table()
    for (const s of subscribers.slice(0, 5)) router.add('a', s, ['old'])
    const before = router.match('a')
    router.add('a', subscribers[0], ['new'])
    router.remove('a', subscribers[1])
    expect(before.map((m) => m.options)).toEqual(Array(5).fill(['old']))
    expect(ids(before)).toEqual([0, 1, 2, 3, 4])
    before.length = 0
    expect(ids(router.match('a'))).toEqual([0, 2, 3, 4])
  })

  it.each(['a/b', 'a/+', '#'])('grows and shrinks one filter (%s) through each form of its slot', (filter) => {
    const router = table()
    for (let round = 0; round < 2; round++) {
      for (const s of subscribers) {
        expect(router.add(filter, s, [])).toBe(true)
        expect(ids(router.match('a/b'))).toEqual(subscribers.slice(0, s.id + 1).map((x) => x.id))
        expect(router.add(filter, s, ['again'])).toBe(false)
        expect(router.match('a/b').map((m) => m.options)).toEqual(Array(s.id + 1).fill(['again']))
      }
      expect(router.filters).toBe(1)
      for (const s of subscribers) {
        expect(router.remove(filter, s)).toBe(true)
        expect(router.remove(filter, s)).toBe(false)
        expect(ids(router.match('a/b'))).toEqual(subscribers.slice(s.id + 1).map((x) => x.id))
      }
    }
    expect(router.filters).toBe(0)
  })

  it('takes names of prototype members as the names they are', () => {
    const router = table()
    expect(router.match('__proto__')).toEqual([])
    expect(router.match('constructor/toString')).toEqual([])
    expect(router.has('__proto__', subscribers[0])).toBe(false)
    router.add('__proto__', subscribers[0], [])
    router.add('constructor/+', subscribers[1], [])
    expect(ids(router.match('__proto__'))).toEqual([0])
    expect(ids(router.match('constructor/toString'))).toEqual([1])
    expect(router.match('valueOf')).toEqual([])
  })

  it('serves names of 65,535 slashes, deep forks and deep removals', () => {
    const router = table()
    const deep = '/'.repeat(65_535)
    const forks = [`${'/'.repeat(65_533)}+`, `${'/'.repeat(65_532)}/#`, `${'+/'.repeat(32_767)}#`, deep]
    forks.forEach((filter, i) => {
      router.add(filter, subscribers[i], [])
    })
    expect(ids(router.match(deep))).toEqual([1, 2, 3])
    expect(ids(router.match(deep.slice(2)))).toEqual([0, 1, 2])
    forks.forEach((filter, i) => {
      expect(router.remove(filter, subscribers[i])).toBe(true)
    })
    expect(router.filters).toBe(0)
    expect(router.match(deep)).toEqual([])
  })

  it('finds one among many thousands', () => {
    const router = table()
    for (let i = 0; i < 20_000; i++) router.add(`device/${i}/${i % 2 === 0 ? '+' : '#'}`, subscribers[i % 40], [`${i}`])
    for (const i of [0, 123, 19_999]) {
      expect(router.match(`device/${i}/state`)).toMatchObject([{ subscriber: subscribers[i % 40], options: [`${i}`] }])
    }
    expect(router.filters).toBe(20_000)
  })

  it('merges doubles of many subscribers as of few', () => {
    const router = table()
    for (const s of subscribers) for (const filter of ['a/b', 'a/+', '#']) router.add(filter, s, [filter])
    const found = router.match('a/b')
    expect(ids(found)).toEqual(subscribers.map((s) => s.id))
    expect(new Set(found.map((m) => m.options.join()))).toEqual(new Set(['a/b,a/+,#']))
  })
})
