/**
 * The subscribers of one filter, in order of first subscription.
 *
 * Most filters have one subscriber, some have thousands, so a slot is the bare entry, then a short array, then a `Map`: adding
 * and removing is constant in time, and being alone costs no container. An entry is never changed once it is made: a match hands
 * out the entries themselves, and who keeps such an array must not see options change in it.
 */

/** One subscription. `order` grows over the whole table: who subscribed first stands first in every match. */
export class Entry<S extends object, O> {
  readonly subscriber: S
  readonly options: O
  readonly order: number

  constructor(subscriber: S, options: O, order: number) {
    this.subscriber = subscriber
    this.options = options
    this.order = order
  }
}

export type Slot<S extends object, O> = Entry<S, O> | Entry<S, O>[] | Map<S, Entry<S, O>>

/** An array grows to the first figure before it becomes a `Map`; a `Map` shrinks to the second before it becomes an array again. */
const FEW_MAX = 8
const FEW_AGAIN = 4

export function entryOf<S extends object, O>(slot: Slot<S, O>, subscriber: S): Entry<S, O> | undefined {
  if (slot instanceof Entry) return slot.subscriber === subscriber ? slot : undefined
  if (slot instanceof Map) return slot.get(subscriber)
  for (let i = 0; i < slot.length; i++) if (slot[i].subscriber === subscriber) return slot[i]
  return undefined
}

/** The slot with `entry` added behind all others, or in the place of its subscriber's entry if there is one. */
export function withEntry<S extends object, O>(slot: Slot<S, O>, entry: Entry<S, O>): Slot<S, O> {
  if (slot instanceof Map) return slot.set(entry.subscriber, entry)
  if (slot instanceof Entry) return slot.subscriber === entry.subscriber ? entry : [slot, entry]
  for (let i = 0; i < slot.length; i++) {
    if (slot[i].subscriber === entry.subscriber) {
      slot[i] = entry
      return slot
    }
  }
  slot.push(entry)
  if (slot.length <= FEW_MAX) return slot
  const many = new Map<S, Entry<S, O>>()
  for (const e of slot) many.set(e.subscriber, e)
  return many
}

/** The slot without the entry of `subscriber`, who must be in it; undefined when nobody is left. */
export function withoutEntry<S extends object, O>(slot: Slot<S, O>, subscriber: S): Slot<S, O> | undefined {
  if (slot instanceof Entry) return undefined
  if (slot instanceof Map) {
    slot.delete(subscriber)
    return slot.size > FEW_AGAIN ? slot : [...slot.values()]
  }
  for (let i = 0; i < slot.length; i++) {
    if (slot[i].subscriber === subscriber) {
      slot.splice(i, 1)
      break
    }
  }
  return slot.length === 1 ? slot[0] : slot
}

/** Appends the slot's entries to `to`. */
export function appendEntries<S extends object, O>(slot: Slot<S, O>, to: Entry<S, O>[]): void {
  if (slot instanceof Entry) to.push(slot)
  else if (slot instanceof Map) for (const entry of slot.values()) to.push(entry)
  else for (let i = 0; i < slot.length; i++) to.push(slot[i])
}
