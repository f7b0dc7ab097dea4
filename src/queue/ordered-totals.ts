/**
 * What waits in all ordered queues of a kind together, kept up with each commit for the queues that it touched: whoever asks reads a few numbers,
 * however many queues there are.
 */
import type { OrderedKind } from './ordered-recover.js'
import type { OrderedState } from './ordered-state.js'

export interface OrderedTotals {
  queues: number
  ready: number
  leased: number
  delayed: number
  bytes: number
}

export class Totals {
  readonly byKind: Readonly<Record<OrderedKind, OrderedTotals>> = { pull: none(), dead: none(), internal: none() }
  /** What each queue counts for in them. */
  private readonly counted = new Map<number, OrderedTotals & { readonly kind: OrderedKind }>()

  /** The queue is as `s` says now. Once with its kind, when it comes to be. */
  update(s: OrderedState, kind?: OrderedKind): void {
    let was = this.counted.get(s.id)
    if (was === undefined) {
      if (kind === undefined || s.deleted) return
      was = { kind, ...none() }
      this.counted.set(s.id, was)
    }
    const total = this.byKind[was.kind]
    const live = !s.deleted
    set(total, was, 'queues', live ? 1 : 0)
    set(total, was, 'ready', live ? s.inLanes + s.behind : 0)
    set(total, was, 'leased', live ? s.leases.size : 0)
    set(total, was, 'delayed', live ? s.delayed.total : 0)
    set(total, was, 'bytes', live ? s.bytes : 0)
    if (!live) this.counted.delete(s.id)
  }
}

function set(total: OrderedTotals, was: OrderedTotals, field: keyof OrderedTotals, now: number): void {
  total[field] += now - was[field]
  was[field] = now
}

function none(): OrderedTotals {
  return { queues: 0, ready: 0, leased: 0, delayed: 0, bytes: 0 }
}
