/**
 * Packet identifiers that were given to messages before they came here: by a program through Aedes's persistence contract, or by the broker that a
 * folder was imported from. Few sessions have any. The rows are deleted with the messages.
 */
import { PACKET_ID_MAX } from '../../core/limits.js'
import type { KeyRange } from '../../store/disk.js'
import type { Journal } from '../../store/journal.js'
import { metaKey } from '../../store/keys.js'
import type { Store } from '../../store/store.js'

const PREFIX = 'packet-id/'
/** `/` and the byte behind it: all rows of all sessions. */
const rows: KeyRange = { gte: metaKey(PREFIX), lt: metaKey('packet-id0') }

export class AssignedIds {
  private readonly bySeq = new Map<number, number>()
  private readonly queueId: number
  private readonly journal: Journal

  constructor(queueId: number, journal: Journal) {
    this.queueId = queueId
    this.journal = journal
  }

  /** The identifier given to message `seq`, or undefined. */
  get(seq: number): number | undefined {
    return this.bySeq.get(seq)
  }

  /** The same if a client could have seen it: an identifier that MQTT allows. */
  wireId(seq: number): number | undefined {
    const id = this.bySeq.get(seq)
    return id !== undefined && id >= 1 && id <= PACKET_ID_MAX ? id : undefined
  }

  set(seq: number, packetId: number): void {
    this.bySeq.set(seq, packetId)
    this.journal.put(this.key(seq), Buffer.from(String(packetId)))
  }

  delete(seq: number): void {
    if (this.bySeq.delete(seq)) this.journal.del(this.key(seq))
  }

  clear(): void {
    for (const seq of [...this.bySeq.keys()]) this.delete(seq)
  }

  /** What a start found in the store. */
  restore(seq: number, packetId: number): void {
    this.bySeq.set(seq, packetId)
  }

  private key(seq: number): Buffer {
    return metaKey(`${PREFIX}${this.queueId}/${seq}`)
  }
}

export interface AssignedRow {
  readonly seq: number
  readonly packetId: number
}

/** All rows of the store, by queue id. */
export async function readAssigned({ disk, damage }: Store): Promise<Map<number, AssignedRow[]>> {
  const byQueue = new Map<number, AssignedRow[]>()
  for await (const { key, value } of disk.scan(rows)) {
    const [queueId, seq] = key
      .toString()
      .slice(1 + PREFIX.length)
      .split('/')
      .map(Number)
    const list = byQueue.get(queueId)
    const row = { seq, packetId: Number(value.toString()) }
    if (![queueId, seq, row.packetId].every(Number.isSafeInteger)) {
      damage.note({ key })
      continue
    }
    if (list === undefined) byQueue.set(queueId, [row])
    else list.push(row)
  }
  return byQueue
}
