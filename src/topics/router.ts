/**
 * The routing table: which subscribers want a topic, and with which options. One table serves live and stored delivery, so that
 * the two can never disagree.
 *
 * Always true: a subscription is the pair of exactly this filter and exactly this subscriber, so `a/#` and `a/b` of one subscriber
 * never disturb each other. Filters without a wildcard live in one hash table, the others in a tree by level: a match costs one
 * look-up and a walk over those branches that the topic's own levels open, whatever the number of subscriptions.
 */
import { collect } from './matching.js'
import { hasWildcard } from './names.js'
import { appendEntries, Entry, entryOf, type Slot, withEntry, withoutEntry } from './slot.js'
import { Trie } from './trie.js'

/** What one subscriber gets of one topic. */
export interface Match<S, O> {
  readonly subscriber: S
  readonly options: O
}

/** What it costs to put one entry in order and to merge it, in places looked at. */
const JOIN_PLACES = 3

export class Router<S extends object, O> {
  private readonly merge: (options: O[]) => readonly O[]
  private readonly exact = new Map<string, Slot<S, O>>()
  private readonly wild = new Trie<Slot<S, O>>()
  private changes = 0
  private order = 0
  private count = 0
  /* A match's own memory, kept between matches; empty outside one. */
  private readonly matched: Slot<S, O>[] = []
  /** What the last match cost: places of the table that it looked at, and joining what overlaps. */
  looked = 0

  /**
   * `merge` joins the options of overlapping filters of one subscriber (two at least), earlier subscriptions first. It returns one or more: so many
   * matches the subscriber has. It must not call back into the table.
   */
  constructor(merge: (options: O[]) => readonly O[]) {
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
   * Everyone who wants `topic`, a valid topic name: one match per subscriber (or as many as `merge` says), in order of each one's first subscription that
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
    this.looked = 1
    if (this.wild.size > 0) {
      const { matched } = this
      this.looked += collect(this.wild, topic, matched)
      for (let i = 0; i < matched.length; i++) appendEntries(matched[i], found)
      slots += matched.length
      matched.length = 0
    }
    return slots < 2 ? found : this.joined(found)
  }

  /** Entries of several filters, made one per subscriber, in order of each one's first. Linear but for putting in order what is left. */
  private joined(found: Entry<S, O>[]): Match<S, O>[] {
    this.looked += found.length * JOIN_PLACES
    found.sort(byOrder)
    const groups = new Map<S, Entry<S, O> | Entry<S, O>[]>()
    for (let i = 0; i < found.length; i++) {
      const entry = found[i]
      const known = groups.get(entry.subscriber)
      if (known === undefined) groups.set(entry.subscriber, entry)
      else if (known instanceof Entry) groups.set(entry.subscriber, [known, entry])
      else known.push(entry)
    }
    if (groups.size === found.length) return found
    const joined: Match<S, O>[] = []
    for (const group of groups.values()) {
      if (group instanceof Entry) joined.push(group)
      else {
        const { subscriber, order } = group[0]
        for (const options of this.merge(group.map(optionsOf))) joined.push(new Entry(subscriber, options, order))
      }
    }
    return joined
  }
}

function optionsOf<O>(entry: { options: O }): O {
  return entry.options
}

function byOrder(a: { order: number }, b: { order: number }): number {
  return a.order - b.order
}
