/** Which keys of a tree of filters match one topic: the walk under `Router`, and under a replay that serves many filters at once. */
import { matchesFrom } from './names.js'
import { Leaf, levelEnd, type Node, type Trie } from './trie.js'

/* The walk's own memory, kept between calls; empty outside one. */
const nodes: Node<unknown>[] = []
const places: number[] = []

/**
 * Appends the values of all keys of `filters` that match the valid name `topic` to `found`. Returns how many places it looked at: the cost is in
 * proportion to that, and it is at most the number of places that the topic's own levels open.
 */
export function collect<V>(filters: Trie<V>, topic: string, found: V[]): number {
  let looked = 0
  // Wildcards in the first level do not see names that start with `$` [MQTT-4.7.2-1].
  let wildcards = topic.charCodeAt(0) !== 0x24
  nodes.push(filters.root)
  places.push(0)
  while (nodes.length > 0) {
    const node = nodes.pop() as Node<V>
    const at = places.pop() as number
    looked++
    const rest = wildcards ? node.kids.get('#') : undefined
    if (rest instanceof Leaf) found.push(rest.value)
    if (at > topic.length) {
      if (node.end !== undefined) found.push(node.end.value)
      continue
    }
    const stop = levelEnd(topic, at)
    const plus = wildcards ? node.kids.get('+') : undefined
    wildcards = true
    for (let kid = node.kids.get(topic.slice(at, stop)), last = false; ; kid = plus, last = true) {
      if (kid instanceof Leaf) {
        looked++
        if (matchesFrom(kid.key, kid.at, topic, stop + 1)) found.push(kid.value)
      } else if (kid !== undefined) {
        nodes.push(kid)
        places.push(stop + 1)
      }
      if (last) break
    }
  }
  return looked
}
