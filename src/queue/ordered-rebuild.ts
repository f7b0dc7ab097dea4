/** A head row made anew from all rows of its queue: for one that is damaged. Purges and a deletion that only the head knew of are forgotten. */
import type { Disk } from '../store/disk.js'
import { orderedIndexFields, orderedIndexOf } from '../store/keys.js'
import { BEHIND, DELAYED, LEASED, READY, RETAINED } from './ordered-entry.js'
import { entryOf } from './ordered-pages.js'
import { decodeKeyRecord, type Head, ID_END, keyRows } from './ordered-rows.js'

/** Places that are left out, so that none is given twice. */
const PLACE_JUMP = 0x1_0000

export async function rebuildHead(disk: Disk, id: number): Promise<Head> {
  const lanes = new Map<number, number>()
  const h = { bytes: 0, behind: 0, retained: 0, retainedBytes: 0, delayed: 0, ids: 0 }
  let last = 0
  let epoch = 0
  for await (const { key, value } of disk.scan(orderedIndexOf(id))) {
    const { klass } = orderedIndexFields(key)
    if (klass === ID_END) {
      h.ids++
      continue
    }
    const e = entryOf(key, value)
    if (e === undefined) continue
    last = Math.max(last, e.place)
    epoch = Math.max(epoch, e.epoch)
    if (klass === RETAINED) {
      h.retained++
      h.retainedBytes += e.bytes
      continue
    }
    h.bytes += e.bytes
    if (klass === READY) lanes.set(e.rank, (lanes.get(e.rank) ?? 0) + 1)
    else if (klass === BEHIND) h.behind++
    else if (klass === DELAYED) h.delayed++
    else if (klass !== LEASED) h.bytes -= e.bytes
  }
  for await (const { value } of disk.scan(keyRows(id))) {
    const k = decodeKeyRecord(value)
    if (k === undefined) continue
    last = Math.max(last, k.tail)
    epoch = Math.max(epoch, k.epoch)
  }
  return {
    ...h,
    nextPlace: last + PLACE_JUMP,
    epoch,
    swept: epoch,
    delayedRank: 0,
    delayedSlot: 0,
    idEnd: h.ids === 0 ? 0 : 1,
    retainedSlot: 0,
    deleted: false,
    lanes: [...lanes].map(([rank, total]) => ({ rank, slot: 0, total })),
  }
}
