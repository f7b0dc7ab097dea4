/**
 * The routing table: which subscribers want a topic, and with which options. One table serves live and stored delivery, so that
 * the two can never disagree.
 *
 * Always true: a subscription is the pair of exactly this filter and exactly this subscriber, so `a/#` and `a/b` of one subscriber
 * never disturb each other. Filters without a wildcard live in one hash table, the others in a tree by level: a match costs one
 * look-up and a walk over those branches that the topic's own levels open, whatever the number of subscriptions.
 */
import { hasWildcard, matchesFrom } from './names.js'
import { appendEntries, Entry, entryOf, type Slot, withEntry, withoutEntry } from './slot.js'
import { Leaf, levelEnd, type Node, Trie } from './trie.js'

/** What one subscriber gets of one topic. */
export interface Match<S, O> {
  readonly subscriber: S
  readonly options: O
}

/** Above this many entries from several filters, doubles are found with a `Map` instead of by looking back. */
const LOOK_BACK_MAX = 16

export class Router<S extends object, O> {
  private readonly merge: (a: O, b: O) => O
  private readonly exact = new Map<string, Slot<S, O>>()
  private readonly wild = new Trie<Slot<S, O>>()
  private changes = 0
  private order = 0
  private count = 0
  /* The walk's own memory, kept between matches; empty outside one. */
  private readonly nodes: Node<Slot<S, O>>[] = []
  private readonly places: number[] = []

  /**
   * `merge` joins the options of two overlapping filters of one subscriber, the earlier subscription's first. It must not call back
   * into the table.
   */
  constructor(merge: (a: O, b: O) => O) {
    this.merge = merge
  }

  /** Grows with each change that can alter a match: what was matched at one version holds as long as the version stays. */
  get version(): number {
    return this.changes
  }

  /** Different filters that have a subscriber. */
  get filters(): number {
    return this.exact.size + this.wild.size
  }

  /** Pairs of a filter and a subscriber. */
  get subscriptions(): number {
    return this.count
  }

  /**
   * Subscribes. `filter` must be valid (`filterFault`) and no `$share/` form. True when the subscription is new; false when it was
   * there and `options` replaced its own [MQTT-3.8.4-3], in which case it keeps its place in the order.
   */
  add(filter: string, subscriber: S, options: O): boolean {
    const wild = hasWildcard(filter)
    const leaf = wild ? this.wild.find(filter) : undefined
    const slot = wild ? leaf?.value : this.exact.get(filter)
    const old = slot === undefined ? undefined : entryOf(slot, subscriber)
    if (old !== undefined && Object.is(old.options, options)) return false
    const entry = new Entry(subscriber, options, old === undefined ? this.order++ : old.order)
    const next = slot === undefined ? entry : withEntry(slot, entry)
    if (leaf !== undefined) leaf.value = next
    else if (wild) this.wild.insert(filter, next)
    else if (next !== slot) this.exact.set(filter, next)
    if (old === undefined) this.count++
    this.changes++
    return old === undefined
  }

  /** Ends exactly this subscription [MQTT-3.10.4-1]; false when there is none. */
  remove(filter: string, subscriber: S): boolean {
    const wild = hasWildcard(filter)
    const leaf = wild ? this.wild.find(filter) : undefined
    const slot = wild ? leaf?.value : this.exact.get(filter)
    if (slot === undefined || entryOf(slot, subscriber) === undefined) return false
    const next = withoutEntry(slot, subscriber)
    if (leaf !== undefined) {
      if (next === undefined) this.wild.delete(filter)
      else leaf.value = next
    } else if (next === undefined) this.exact.delete(filter)
    else if (next !== slot) this.exact.set(filter, next)
    this.count--
    this.changes++
    return true
  }

  has(filter: string, subscriber: S): boolean {
    const slot = hasWildcard(filter) ? this.wild.find(filter)?.value : this.exact.get(filter)
    return slot !== undefined && entryOf(slot, subscriber) !== undefined
  }

  /**
   * Everyone who wants `topic`, a valid topic name: one match per subscriber, in order of each one's first subscription that
   * matches. The array is the caller's own; what is in it never changes.
   */
  match(topic: string): Match<S, O>[] {
    const found: Entry<S, O>[] = []
    let slots = 0
    const slot = this.exact.get(topic)
    if (slot !== undefined) {
      slots++
      appendEntries(slot, found)
    }
    if (this.wild.size > 0) slots += this.walk(topic, found)
    return slots < 2 ? found : this.joined(found)
  }

  /** Collects from the filters with wildcards; returns how many of them matched. */
  private walk(topic: string, found: Entry<S, O>[]): number {
    const { nodes, places } = this
    let slots = 0
    // Wildcards in the first level do not see names that start with `$` [MQTT-4.7.2-1].
    let wildcards = topic.charCodeAt(0) !== 0x24
    nodes.push(this.wild.root)
    places.push(0)
    while (nodes.length > 0) {
      const node = nodes.pop() as Node<Slot<S, O>>
      const at = places.pop() as number
      const rest = wildcards ? node.kids.get('#') : undefined
      if (rest instanceof Leaf) {
        slots++
        appendEntries(rest.value, found)
      }
      if (at > topic.length) {
        if (node.end !== undefined) {
          slots++
          appendEntries(node.end.value, found)
        }
        continue
      }
      const stop = levelEnd(topic, at)
      const plus = wildcards ? node.kids.get('+') : undefined
      wildcards = true
      for (let kid = node.kids.get(topic.slice(at, stop)), last = false; ; kid = plus, last = true) {
        if (kid instanceof Leaf) {
          if (matchesFrom(kid.key, kid.at, topic, stop + 1)) {
            slots++
            appendEntries(kid.value, found)
          }
        } else if (kid !== undefined) {
          nodes.push(kid)
          places.push(stop + 1)
        }
        if (last) break
      }
    }
    return slots
  }

  /** Entries of several filters, put in order and made one per subscriber. */
  private joined(found: Entry<S, O>[]): Match<S, O>[] {
    found.sort(byOrder)
    const seen = found.length > LOOK_BACK_MAX ? new Map<S, number>() : undefined
    let kept = 0
    for (let i = 0; i < found.length; i++) {
      const entry = found[i]
      let first = -1
      if (seen !== undefined) first = seen.get(entry.subscriber) ?? -1
      else {
        for (let k = 0; k < kept; k++) {
          if (found[k].subscriber === entry.subscriber) {
            first = k
            break
          }
        }
      }
      if (first >= 0) {
        const { subscriber, options, order } = found[first]
        found[first] = new Entry(subscriber, this.merge(options, entry.options), order)
      } else {
        seen?.set(entry.subscriber, kept)
        found[kept++] = entry
      }
    }
    found.length = kept
    return found
  }
}

function byOrder(a: { order: number }, b: { order: number }): number {
  return a.order - b.order
}
