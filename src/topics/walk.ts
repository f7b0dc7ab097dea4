/**
 * The topics of a tree that any of many filters matches, in one walk however many filters there are, and in steps: a walk that finds nothing for long
 * stops when its budget is spent and goes on later.
 *
 * Always true: only branches that some filter can still match are opened; a topic that is in the tree all the time comes exactly once, one that is added
 * or removed meanwhile may come or not. What comes is a candidate: that a filter matches to the end, and which, is for the caller to ask (`collect`).
 */
import { Leaf, levelEnd, type Node, type Trie } from './trie.js'

/** Places that may still be looked at. Goes below 0 by no more than one place costs. */
export interface Budget {
  left: number
}

/** Where filters stand at one node of the topics: nodes of their tree, and leaves with the place in their key. */
interface Standing<F> {
  readonly nodes: Node<F>[]
  readonly leaves: Leaf<F>[]
  readonly places: number[]
  /** A `#` was met: everything below matches. */
  all: boolean
}

interface Frame<V, F> {
  readonly node: Node<V>
  readonly standing: Standing<F>
  readonly level: number
  /** All children, or, where the filters name theirs, those names. */
  readonly kids: Iterator<[string, Node<V> | Leaf<V>]> | null
  readonly names: readonly string[]
  at: number
}

/** So many filters are moved on by one level for the price of one place. */
const FILTERS_PER_STEP = 4
const NONE: readonly string[] = []
const PLUS = '+'
const HASH = '#'

export class TreeWalk<V, F> {
  private readonly stack: Frame<V, F>[] = []

  constructor(topics: Trie<V>, filters: Trie<F>) {
    const standing = newStanding<F>()
    standing.nodes.push(filters.root)
    this.open(topics.root, standing, 0)
  }

  get done(): boolean {
    return this.stack.length === 0
  }

  /** The next candidate; undefined when there is none left (`done`), or the budget is spent. */
  next(budget: Budget): Leaf<V> | undefined {
    while (budget.left > 0) {
      const top = this.stack.at(-1)
      if (top === undefined) return undefined
      budget.left--
      let name: string
      let kid: Node<V> | Leaf<V> | undefined
      if (top.kids === null) {
        if (top.at === top.names.length) {
          this.stack.pop()
          continue
        }
        name = top.names[top.at++]
        kid = top.node.kids.get(name)
      } else {
        const step = top.kids.next()
        if (step.done === true) {
          this.stack.pop()
          continue
        }
        ;[name, kid] = step.value
      }
      if (kid instanceof Leaf) return kid
      if (kid === undefined) continue
      const { standing } = top
      const below = standing.all ? standing : advance(standing, name, top.level)
      if (below === undefined) continue
      budget.left -= Math.floor(below.nodes.length / FILTERS_PER_STEP) + Math.floor(below.leaves.length / FILTERS_PER_STEP)
      this.open(kid, below, top.level + 1)
      if (kid.end !== undefined) return kid.end
    }
    return undefined
  }

  private open(node: Node<V>, standing: Standing<F>, level: number): void {
    const names = standing.all ? undefined : namesOf(standing, node.kids.size)
    const kids = names === undefined ? node.kids.entries() : null
    this.stack.push({ node, standing, level, kids, names: names ?? NONE, at: 0 })
  }
}

function newStanding<F>(): Standing<F> {
  return { nodes: [], leaves: [], places: [], all: false }
}

/** The names of the only children that the filters can match; undefined when a wildcard stands here, or looking at all children is less. */
function namesOf<F>({ nodes, leaves, places }: Standing<F>, kids: number): string[] | undefined {
  const names = new Set<string>()
  for (const node of nodes) {
    if (node.kids.has(PLUS) || node.kids.has(HASH) || node.kids.size > kids) return undefined
    for (const name of node.kids.keys()) names.add(name)
  }
  for (let i = 0; i < leaves.length; i++) {
    const { key } = leaves[i]
    const at = places[i]
    if (at > key.length) continue
    const name = key.slice(at, levelEnd(key, at))
    if (name === PLUS || name === HASH) return undefined
    names.add(name)
  }
  return names.size > kids ? undefined : [...names]
}

/** Where the filters stand below the child `name`; undefined when none gets there. */
function advance<F>({ nodes, leaves, places }: Standing<F>, name: string, level: number): Standing<F> | undefined {
  // Wildcards in the first level do not see names that start with `$` [MQTT-4.7.2-1].
  const wildcards = level > 0 || name.charCodeAt(0) !== 0x24
  const below = newStanding<F>()
  for (const node of nodes) {
    if (wildcards) {
      if (node.kids.has(HASH)) return everything()
      stand(below, node.kids.get(PLUS))
    }
    stand(below, node.kids.get(name))
  }
  for (let i = 0; i < leaves.length; i++) {
    const leaf = leaves[i]
    const at = places[i]
    if (at > leaf.key.length) continue
    const stop = levelEnd(leaf.key, at)
    const part = leaf.key.slice(at, stop)
    if (wildcards && part === HASH) return everything()
    if (part !== name && !(wildcards && part === PLUS)) continue
    below.leaves.push(leaf)
    below.places.push(stop + 1)
  }
  return below.nodes.length + below.leaves.length > 0 ? below : undefined
}

function everything<F>(): Standing<F> {
  const standing = newStanding<F>()
  standing.all = true
  return standing
}

function stand<F>(below: Standing<F>, kid: Node<F> | Leaf<F> | undefined): void {
  if (kid === undefined) return
  if (kid instanceof Leaf) {
    below.leaves.push(kid)
    below.places.push(kid.at)
  } else below.nodes.push(kid)
}
