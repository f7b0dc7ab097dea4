/**
 * Values by topic name, found by name or by filter: the index of retained messages.
 *
 * A name is one hash look-up; a filter opens only those branches that it can match. What comes out is lazy: nothing is collected,
 * so that a filter which matches a million topics can be read at the pace of a slow subscriber, with changes in between.
 */
import { matches } from './names.js'
import { type Leaf, Trie } from './trie.js'
import { TreeWalk } from './walk.js'

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

  /** The topics that any of `filters` may match, in steps: see there. */
  walk<F>(filters: Trie<F>): TreeWalk<V, F> {
    return new TreeWalk(this.trie, filters)
  }

  /**
   * Topics that the valid `filter` matches, with the value they have when they come. The order is the tree's: the same as long as
   * nothing is added. While it is being read the tree may change: a topic that is there all the time comes exactly once, one that
   * is added or removed meanwhile may come or not.
   */
  *match(filter: string): IterableIterator<[string, V]> {
    const one = new Trie<true>()
    one.insert(filter, true)
    const walk = this.walk(one)
    const budget = { left: Number.POSITIVE_INFINITY }
    for (let leaf = walk.next(budget); leaf !== undefined; leaf = walk.next(budget))
      if (matches(filter, leaf.key)) yield [leaf.key, leaf.value]
  }
}
