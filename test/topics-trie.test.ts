import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Leaf, Node, Trie } from '../src/topics/trie.js'
import { topicName } from './support/topics.js'

/** Every leaf below a node; fails when a node has nothing below it. */
function leaves(node: Node<number>, root = true): Leaf<number>[] {
  const found = node.end === undefined ? [] : [node.end]
  for (const kid of node.kids.values()) found.push(...(kid instanceof Node ? leaves(kid, false) : [kid]))
  if (!root) expect(found.length).toBeGreaterThan(0)
  return found
}

describe('Trie', () => {
  it('holds what a Map holds and keeps no empty node', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), topicName), { maxLength: 80 }), (commands) => {
        const trie = new Trie<number>()
        const map = new Map<string, number>()
        commands.forEach(([drop, key], step) => {
          expect(trie.find(key)?.value).toBe(map.get(key))
          if (drop) expect(trie.delete(key)).toBe(map.delete(key))
          else if (!map.has(key)) {
            expect(trie.insert(key, step)).toBe(trie.find(key))
            map.set(key, step)
          }
        })
        expect(trie.size).toBe(map.size)
        expect(new Map(leaves(trie.root).map((leaf) => [leaf.key, leaf.value]))).toEqual(map)
      }),
      { numRuns: 300 },
    )
  })

  it('costs one leaf for a key that is alone, however deep', () => {
    const trie = new Trie<number>()
    trie.insert('a/b/c/d/e', 1)
    trie.insert('b/c/d/e/f', 2)
    expect([...trie.root.kids.values()].every((kid) => !(kid instanceof Node))).toBe(true)
  })
})
