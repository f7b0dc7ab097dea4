/**
 * Receipts that were acknowledged or given back lately, so that a request whose answer was lost can be sent again: it is answered as the first one was and
 * changes nothing.
 *
 * Always true: at most `RECEIPTS_REMEMBERED_MAX` of all queues of a store, the latest; nothing is remembered that was not put into a commit group.
 */
import { RECEIPTS_REMEMBERED_MAX, RECEIPTS_REMEMBERED_MS } from '../core/limits.js'

export type SettledHow = 'ack' | 'nack'

interface Remembered {
  readonly how: SettledHow
  readonly at_ms: number
}

export class Settled {
  private readonly receipts = new Map<string, Remembered>()
  /** One object for all of the same how and moment: there are many of them. */
  private last: Remembered = { how: 'ack', at_ms: -1 }

  /** `now_ms` is on the uptime clock, as everywhere here. */
  add(receipt: string, how: SettledHow, now_ms: number): void {
    if (this.last.how !== how || this.last.at_ms !== now_ms) this.last = { how, at_ms: now_ms }
    this.receipts.set(receipt, this.last)
    // A Map keeps the order of insertion: the front is the oldest.
    for (const [oldest, { at_ms }] of this.receipts) {
      if (this.receipts.size <= RECEIPTS_REMEMBERED_MAX && now_ms - at_ms <= RECEIPTS_REMEMBERED_MS) return
      this.receipts.delete(oldest)
    }
  }

  knows(receipt: string, how: SettledHow, now_ms: number): boolean {
    const known = this.receipts.get(receipt)
    return known?.how === how && now_ms - known.at_ms <= RECEIPTS_REMEMBERED_MS
  }
}
