/**
 * Values by topic name, found by name or by filter: the index of retained messages.
 *
 * A name is one hash look-up; a filter opens only those branches that it can match. What comes out is lazy: nothing is collected,
 * so that a filter which matches a million topics can be read at the pace of a slow subscriber, with changes in between.
 */
import { hasWildcard, matchesFrom } from './names.js'
import { Leaf, type Node, Trie } from './trie.js'

interface Frame<V> {
  /** Children still to be looked at. */
  readonly kids: Iterator<[string, Node<V> | Leaf<V>]>
  /** The filter's level that they must match; at or behind its `#` everything does. */
  readonly level: number
}

export class TopicTree<V> {
  private readonly names = new Map<string, Leaf<V>>()
  private readonly trie = new Trie<V>()

  get size(): number {
    return this.names.size
  }

  get(topic: string): V | undefined {
    return this.names.get(topic)?.value
  }

  /** Sets the value of a valid topic name; one that has a value already keeps its place in the order. */
  set(topic: string, value: V): void {
    const leaf = this.names.get(topic)
    if (leaf !== undefined) leaf.value = value
    else this.names.set(topic, this.trie.insert(topic, value))
  }

  delete(topic: string): boolean {
    if (!this.names.delete(topic)) return false
    return this.trie.delete(topic)
  }

  /** All, in order of first `set`. */
  *entries(): IterableIterator<[string, V]> {
    for (const [topic, leaf] of this.names) yield [topic, leaf.value]
  }

  /**
   * Topics that the valid `filter` matches, with the value they have when they come. The order is the tree's: the same as long as
   * nothing is added. While it is being read the tree may change: a topic that is there all the time comes exactly once, one that
   * is added or removed meanwhile may come or not.
   */
  *match(filter: string): IterableIterator<[string, V]> {
    if (!hasWildcard(filter)) {
      const leaf = this.names.get(filter)
      if (leaf !== undefined) yield [filter, leaf.value]
      return
    }
    const levels = filter.split('/')
    // Where each level begins in the filter, for the leaves, whose rest is compared as text.
    const begins = [0]
    for (const level of levels) begins.push(begins[begins.length - 1] + level.length + 1)
    const deep = levels[levels.length - 1] === '#'
    const open = deep ? levels.length - 1 : levels.length

    const stack: Frame<V>[] = []
    let node: Node<V> | undefined = this.trie.root
    let level = 0
    for (;;) {
      // Down along the filter's literal levels, as far as they lead.
      while (node !== undefined) {
        if (level >= open && node.end !== undefined) yield [node.end.key, node.end.value]
        if (level >= levels.length && !deep) break
        if (level >= open || levels[level] === '+') {
          stack.push({ kids: node.kids.entries(), level })
          break
        }
        const kid: Node<V> | Leaf<V> | undefined = node.kids.get(levels[level])
        level++
        if (kid instanceof Leaf) {
          if (matchesFrom(filter, begins[level], kid.key, kid.at)) yield [kid.key, kid.value]
          break
        }
        node = kid
      }
      // Then the next child of the deepest place where there is a choice.
      node = undefined
      while (node === undefined) {
        const top = stack.at(-1)
        if (top === undefined) return
        const next = top.kids.next()
        if (next.done === true) {
          stack.pop()
          continue
        }
        const [name, kid] = next.value
        // Only the root has a level 0: wildcards there do not see names that start with `$` [MQTT-4.7.2-1].
        if (top.level === 0 && name.charCodeAt(0) === 0x24) continue
        level = top.level + 1
        if (kid instanceof Leaf) {
          if (top.level >= open || matchesFrom(filter, begins[level], kid.key, kid.at)) yield [kid.key, kid.value]
        } else node = kid
      }
    }
  }
}
