import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matches } from '../src/topics/names.js'
import { TopicTree } from '../src/topics/tree.js'
import { topicFilter, topicName } from './support/topics.js'

const names = (tree: TopicTree<number>, filter: string): string[] => [...tree.match(filter)].map(([name]) => name)

function treeOf(...topics: string[]): TopicTree<number> {
  const tree = new TopicTree<number>()
  topics.forEach((topic, i) => {
    tree.set(topic, i)
  })
  return tree
}

describe('TopicTree', () => {
  it('answers as a Map and the rule do, whatever is set and deleted', () => {
    const command = fc.record({ drop: fc.boolean(), topic: topicName })
    fc.assert(
      fc.property(
        fc.array(command, { maxLength: 80 }),
        fc.array(topicFilter, { minLength: 1, maxLength: 12 }),
        (commands, filters) => {
          const tree = new TopicTree<number>()
          const map = new Map<string, number>()
          commands.forEach(({ drop, topic }, step) => {
            if (drop) expect(tree.delete(topic)).toBe(map.delete(topic))
            else {
              tree.set(topic, step)
              map.set(topic, step)
            }
            expect(tree.get(topic)).toBe(map.get(topic))
            expect(tree.size).toBe(map.size)
          })
          expect([...tree.entries()]).toEqual([...map])
          for (const filter of [...filters, '#', '+', '+/#', '$SYS/#']) {
            const found = [...tree.match(filter)]
            expect([...found].sort()).toEqual([...map].filter(([topic]) => matches(filter, topic)).sort())
            expect([...tree.match(filter)]).toEqual(found)
          }
          for (const topic of map.keys()) expect(tree.delete(topic)).toBe(true)
          expect(tree.size).toBe(0)
          expect(names(tree, '#')).toEqual([])
        },
      ),
      { numRuns: 300 },
    )
  })

  it('knows the parent of #, empty levels and $', () => {
    const tree = treeOf('a', 'a/', 'a/b', 'a//c', 'ab', '/', '$SYS/a', '$SYS')
    expect(names(tree, 'a/#').sort()).toEqual(['a', 'a/', 'a//c', 'a/b'])
    expect(names(tree, 'a/+').sort()).toEqual(['a/', 'a/b'])
    expect(names(tree, '+/+').sort()).toEqual(['/', 'a/', 'a/b'])
    expect(names(tree, '#')).not.toContain('$SYS/a')
    expect(names(tree, '$SYS/#').sort()).toEqual(['$SYS', '$SYS/a'])
    expect(names(tree, '$SYS/a')).toEqual(['$SYS/a'])
  })

  it('gives each topic the value that it has when it comes', () => {
    const tree = treeOf('a/1', 'a/2')
    const found = tree.match('a/+')
    expect(found.next().value).toEqual(['a/1', 0])
    tree.set('a/2', 7)
    expect(found.next().value).toEqual(['a/2', 7])
  })

  it('may change while it is read: what stays comes once, what is gone does not come', () => {
    const command = fc.record({ drop: fc.boolean(), topic: topicName })
    const scene = fc.tuple(
      fc.uniqueArray(topicName, { maxLength: 30 }),
      fc.array(fc.array(command, { maxLength: 6 })),
      topicFilter,
    )
    fc.assert(
      fc.property(scene, ([topics, between, filter]) => {
        const tree = treeOf(...topics)
        const stays = new Set(topics.filter((topic) => matches(filter, topic)))
        const came: string[] = []
        const found = tree.match(filter)
        for (let step = 0; ; step++) {
          const next = found.next()
          if (next.done === true) break
          const [topic, value] = next.value
          expect(tree.get(topic)).toBe(value)
          came.push(topic)
          for (const { drop, topic: other } of between[step] ?? []) {
            if (!drop) tree.set(other, 1_000 + step)
            else if (tree.delete(other)) stays.delete(other)
          }
        }
        for (const topic of stays) expect(came.filter((c) => c === topic)).toEqual([topic])
        expect(came.every((topic) => matches(filter, topic))).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  it('is lazy: what is not asked for is not looked at', () => {
    const tree = new TopicTree<number>()
    for (let i = 0; i < 20_000; i++) tree.set(`device/${i}/state`, i)
    let looked = 0
    for (const _ of tree.match('#')) if (++looked === 3) break
    expect(looked).toBe(3)
    expect([...tree.match('device/7/#')]).toEqual([['device/7/state', 7]])
    expect([...tree.match('+/+/state')].length).toBe(20_000)
  })

  it('takes names of prototype members as the names they are', () => {
    const tree = new TopicTree<number>()
    expect(tree.get('__proto__')).toBeUndefined()
    expect(tree.delete('constructor')).toBe(false)
    tree.set('__proto__/a', 1)
    tree.set('constructor', 2)
    expect(names(tree, '+')).toEqual(['constructor'])
    expect(names(tree, '__proto__/+')).toEqual(['__proto__/a'])
    expect(names(tree, 'toString/#')).toEqual([])
  })

  it('serves 65,535 slashes and deep forks', () => {
    const deep = '/'.repeat(65_535)
    const tree = treeOf(deep, deep.slice(1), `${deep.slice(1)}x`)
    expect(names(tree, '#').length).toBe(3)
    expect(names(tree, `${'+/'.repeat(65_535).slice(0, 65_534)}/#`).length).toBe(3)
    expect(names(tree, deep.slice(1))).toEqual([deep.slice(1)])
    for (const topic of [deep.slice(1), deep, `${deep.slice(1)}x`]) expect(tree.delete(topic)).toBe(true)
    expect(names(tree, '#')).toEqual([])
  })
})
