/**
 * Rows that are looked up by key in the middle of a decision: message keys, links between entries of one key, de-duplication ids.
 * A bounded cache over the disk's committed rows.
 *
 * Always true: what was set in a group that is not committed yet is answered from here (the disk does not have it); what is evicted
 * is on the disk. So an answer is always the newest, also right after `set`.
 */

interface Slot<V> {
  value: V | undefined
  group: number
}

export interface LookasideSource<K, V> {
  /** The committed value. Blocks for one small row. */
  fetch(key: K): V | undefined
  readonly committedGroup: number
}

export class Lookaside<K, V> {
  private readonly slots = new Map<K, Slot<V>>()
  private readonly source: LookasideSource<K, V>
  private readonly most: number

  /** Holds `most` rows, and beyond that only what is not committed. */
  constructor(source: LookasideSource<K, V>, most: number) {
    this.source = source
    this.most = most
  }

  get(key: K): V | undefined {
    const slot = this.slots.get(key)
    if (slot !== undefined) return slot.value
    const value = this.source.fetch(key)
    this.slots.set(key, { value, group: 0 })
    this.trim()
    return value
  }

  /** `value` undefined: the row was deleted. The caller puts or deletes the row itself, in `group`. */
  set(key: K, value: V | undefined, group: number): void {
    // Taken out and put back: a Map keeps insertion order, so the front is what was not used longest.
    this.slots.delete(key)
    this.slots.set(key, { value, group })
    this.trim()
  }

  private trim(): void {
    let over = this.slots.size - this.most
    if (over <= 0) return
    const committed = this.source.committedGroup
    for (const [key, slot] of this.slots) {
      if (slot.group > committed) {
        // The front is not committed: nearly nothing behind it is, so looking further would be a walk for nothing.
        return
      }
      this.slots.delete(key)
      if (--over <= 0) return
    }
  }
}
