/**
 * How many entries of ordered queues need messages of each extent of the log, kept in rows: a restart then knows which extents are alive
 * without reading the index of any queue.
 *
 * Always true: a count changes in the commit that changes the entry, and a count of 0 has no row.
 */
import { EXTENT_SEQUENCES } from '../core/limits.js'
import { getU32, putU32 } from '../store/bytes.js'
import type { CheckedDisk } from '../store/checked.js'
import { orderedIndex, orderedIndexFields, orderedIndexKey, orderedIndexOf } from '../store/keys.js'
import type { MessageLog } from '../store/log.js'
import { RETAINED } from './ordered-entry.js'
import { entryOf } from './ordered-pages.js'

/** No queue has this id; its rows of class HOLDS are the counts. */
const NO_QUEUE = 0
const HOLDS = 7

export class Holds {
  private readonly log: MessageLog
  private readonly counts = new Map<number, number>()
  private readonly changed = new Set<number>()
  private lastExtent = -1

  constructor(log: MessageLog) {
    this.log = log
  }

  hold(seq: number): void {
    this.log.retain(seq)
    this.add(Math.floor(seq / EXTENT_SEQUENCES), 1)
  }

  drop(seq: number): void {
    this.log.drop(seq)
    this.add(Math.floor(seq / EXTENT_SEQUENCES), -1)
  }

  /** Entries of ordered queues that need a message of this extent: its rows may not be thinned out by whoever knows plain queues only. */
  of(extent: number): number {
    return this.counts.get(extent) ?? 0
  }

  /** Entries of all ordered queues that need a message. */
  get total(): number {
    let n = 0
    for (const count of this.counts.values()) n += count
    return n
  }

  private add(extent: number, n: number): void {
    this.counts.set(extent, (this.counts.get(extent) ?? 0) + n)
    if (extent === this.lastExtent) return
    this.lastExtent = extent
    this.changed.add(extent)
  }

  seal(put: (key: Buffer, value: Buffer) => void, del: (key: Buffer) => void): void {
    // Even an empty set is given a new table when it is cleared, and this is asked with every commit.
    if (this.changed.size === 0) return
    for (const extent of this.changed) {
      const key = orderedIndexKey(NO_QUEUE, HOLDS, extent, 0)
      const count = this.counts.get(extent) as number
      if (count > 0) {
        const value = Buffer.allocUnsafe(4)
        putU32(value, 0, count)
        put(key, value)
      } else {
        this.counts.delete(extent)
        del(key)
      }
    }
    this.changed.clear()
    this.lastExtent = -1
  }

  /**
   * Tells the log, whose plain holders are recovered, about ours: `least` entries at least, as heads say. When rows are damaged, or say less, all entries
   * are counted anew, or messages that are needed would go.
   */
  async recover(disk: CheckedDisk, least: number): Promise<void> {
    let damaged = false
    const onDamaged = (): void => {
      damaged = true
    }
    for await (const { key, value } of disk.scan(orderedIndexOf(NO_QUEUE, HOLDS), { onDamaged })) {
      if (value.length === 4) this.counts.set(orderedIndexFields(key).rank, getU32(value, 0))
      else {
        disk.damage.note({ key })
        damaged = true
      }
    }
    if (damaged || this.total < least) await this.count(disk)
    for (const [id, count] of this.counts) {
      const extent = this.log.extents.insert(id)
      extent.live += count
      extent.total += count
    }
  }

  private async count(disk: CheckedDisk): Promise<void> {
    for (const id of this.counts.keys()) this.changed.add(id)
    this.counts.clear()
    for await (const { key, value } of disk.scan(orderedIndex)) {
      const { queueId, klass } = orderedIndexFields(key)
      const e = queueId === NO_QUEUE || klass > RETAINED ? undefined : entryOf(key, value)
      if (e === undefined) continue
      const extent = Math.floor(e.seq / EXTENT_SEQUENCES)
      this.counts.set(extent, (this.counts.get(extent) ?? 0) + 1)
      this.changed.add(extent)
    }
    for (const id of this.changed) if (!this.counts.has(id)) this.counts.set(id, 0)
  }
}
