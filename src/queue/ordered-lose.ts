/** What an ordered queue counts, when rows of it are damaged: entries that are not there have left. */
import type { OrderedState } from './ordered-state.js'
import type { Window } from './ordered-window.js'

/** Entries have left because their rows are damaged or gone. Their bytes are not known: an average is taken. */
export function lose(s: OrderedState, entries: number): void {
  if (entries <= 0) return
  const left = s.count
  s.bytes = left === 0 ? 0 : Math.max(0, s.bytes - Math.round((s.bytes * entries) / (left + entries)))
  s.effects.departed(s, 'damaged', entries)
  s.change()
}

/** All rows of the window have been read: what it counts beyond them is not there. */
export function recount(s: OrderedState, window: Window): void {
  if (window.spilled || window.total <= window.size) return
  const missing = window.total - window.size
  window.total = window.size
  lose(s, missing)
  s.effects.damaged(s)
}
