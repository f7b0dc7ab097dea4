/**
 * A tree of `/`-separated keys, one step a level: the shape that the routing table (keys are filters) and the retained topics
 * (keys are names) share. It knows nothing of wildcards; who walks it does.
 *
 * Always true: a node stands only where two keys part or did since it was made, or where one ends and another goes on; whatever
 * hangs on alone is one leaf with the rest of its key unparsed. So a key costs one leaf and one step in its parent, however many
 * levels it has. A node without leaf below it does not exist (the root apart). Nothing recurses: a key may have 65,536 levels.
 */

/** A key and its value. `at` is where the part of the key begins that the tree has not branched on; `key.length + 1`: nothing left. */
export class Leaf<V> {
  readonly key: string
  at: number
  value: V

  constructor(key: string, at: number, value: V) {
    this.key = key
    this.at = at
    this.value = value
  }
}

/** A place where keys part. A `Map`, because its iteration survives changes made meanwhile. */
export class Node<V> {
  /** The key that ends exactly here. */
  end: Leaf<V> | undefined = undefined
  readonly kids = new Map<string, Node<V> | Leaf<V>>()
}

export class Trie<V> {
  readonly root = new Node<V>()
  private count = 0

  get size(): number {
    return this.count
  }

  /** The leaf of exactly this key. */
  find(key: string): Leaf<V> | undefined {
    let node = this.root
    let at = 0
    for (;;) {
      if (at > key.length) return node.end
      const stop = levelEnd(key, at)
      const kid = node.kids.get(key.slice(at, stop))
      if (kid === undefined) return undefined
      if (kid instanceof Leaf) return kid.key === key ? kid : undefined
      node = kid
      at = stop + 1
    }
  }

  /** Adds `key` with `value`. The key must not be there yet. */
  insert(key: string, value: V): Leaf<V> {
    this.count++
    let node = this.root
    let at = 0
    for (;;) {
      if (at > key.length) {
        node.end = new Leaf(key, at, value)
        return node.end
      }
      const stop = levelEnd(key, at)
      const level = key.slice(at, stop)
      at = stop + 1
      let kid = node.kids.get(level)
      if (kid === undefined) {
        const leaf = new Leaf(key, at, value)
        node.kids.set(level, leaf)
        return leaf
      }
      if (kid instanceof Leaf) {
        const fork = new Node<V>()
        hang(fork, kid)
        node.kids.set(level, fork)
        kid = fork
      }
      node = kid
    }
  }

  /** Removes `key` and every node that has nothing left below it. False when the key was not there. */
  delete(key: string): boolean {
    const path: Node<V>[] = []
    const levels: string[] = []
    let node = this.root
    let at = 0
    for (;;) {
      if (at > key.length) {
        if (node.end === undefined) return false
        node.end = undefined
        break
      }
      const stop = levelEnd(key, at)
      const level = key.slice(at, stop)
      const kid = node.kids.get(level)
      if (kid === undefined) return false
      if (kid instanceof Leaf) {
        if (kid.key !== key) return false
        node.kids.delete(level)
        break
      }
      path.push(node)
      levels.push(level)
      node = kid
      at = stop + 1
    }
    this.count--
    for (let i = path.length - 1; i >= 0 && node.end === undefined && node.kids.size === 0; i--) {
      node = path[i]
      node.kids.delete(levels[i])
    }
    return true
  }
}

/** Where the level that begins at `at` ends. */
export function levelEnd(key: string, at: number): number {
  const slash = key.indexOf('/', at)
  return slash < 0 ? key.length : slash
}

/** Hangs a leaf one level deeper, below a node that took its place. */
function hang<V>(node: Node<V>, leaf: Leaf<V>): void {
  if (leaf.at > leaf.key.length) {
    node.end = leaf
    return
  }
  const stop = levelEnd(leaf.key, leaf.at)
  node.kids.set(leaf.key.slice(leaf.at, stop), leaf)
  leaf.at = stop + 1
}
