/**
 * What was found damaged since the store was opened: counted by kind of row, and told in the log, a line per kind and second at most. Whoever
 * knows what a row was for (a queue, a session) says that beside it.
 *
 * Always true: a row counts once, however often it is read (as long as it is among the last KEYS_MAX); memory is bounded.
 */
import type { Log } from '../core/log.js'
import type { Damaged } from './disk.js'
import { type RowKind, rowKind, rowName } from './keys.js'

/** Keys that are remembered so as not to be counted again. */
const KEYS_MAX = 10_000
/** Rows that one line names. */
const NAMES_MAX = 8

/** Queues that are named at a time; the rest in one line. */
const QUEUES_SAID_MAX = 64

interface LostMessages {
  readonly queue: string
  readonly kind: string
  messages: number
}

interface Unsaid {
  rows: number
  stretches: number
  readonly names: string[]
}

export class Damage {
  private readonly counts = new Map<RowKind, number>()
  private unsaid = new Map<RowKind, Unsaid>()
  private lostIn = new Map<string, LostMessages>()
  private readonly known = new Set<string>()
  private readonly log: Log

  constructor(log: Log) {
    this.log = log
  }

  /** Rows found damaged, by kind. A stretch that cannot be read at all counts as one. */
  get byKind(): ReadonlyMap<RowKind, number> {
    return this.counts
  }

  get total(): number {
    let n = 0
    for (const count of this.counts.values()) n += count
    return n
  }

  note({ key, lt }: Damaged): void {
    const name = `${lt === undefined ? '' : '-'}${key.toString('latin1')}`
    if (this.known.has(name)) return
    if (this.known.size >= KEYS_MAX) this.known.clear()
    this.known.add(name)
    const kind = rowKind(key)
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    let unsaid = this.unsaid.get(kind)
    if (unsaid === undefined) {
      unsaid = { rows: 0, stretches: 0, names: [] }
      this.unsaid.set(kind, unsaid)
    }
    if (lt === undefined) unsaid.rows++
    else unsaid.stretches++
    const told = rowName(key)
    if (unsaid.names.length < NAMES_MAX && !unsaid.names.includes(told)) unsaid.names.push(told)
  }

  /** Messages of a queue are lost to damage. */
  lost(kind: string, queue: string, messages: number): void {
    const name = `${kind}/${queue}`
    const lost = this.lostIn.get(name)
    if (lost !== undefined) lost.messages += messages
    else this.lostIn.set(name, { queue, kind, messages })
  }

  /** Tells the log what is new. */
  say(): void {
    if (this.lostIn.size > 0) this.sayLost()
    if (this.unsaid.size === 0) return
    const { unsaid } = this
    this.unsaid = new Map()
    for (const [kind, { rows, stretches, names }] of unsaid) {
      if (rows > 0) this.log.error({ kind, rows, names }, 'damaged rows in the store: they are left out, the rest is served')
      if (stretches > 0)
        this.log.error(
          { kind, stretches, names },
          'a part of the store cannot be read: its rows are left out, the rest is served',
        )
    }
  }

  private sayLost(): void {
    const all = [...this.lostIn.values()]
    this.lostIn = new Map()
    for (const lost of all.slice(0, QUEUES_SAID_MAX))
      this.log.error(lost, 'messages of a queue are damaged or missing in the store: they are lost')
    const rest = all.slice(QUEUES_SAID_MAX)
    if (rest.length === 0) return
    const messages = rest.reduce((n, lost) => n + lost.messages, 0)
    this.log.error(
      { queues: rest.length, messages },
      'messages of further queues are damaged or missing in the store: they are lost',
    )
  }
}
