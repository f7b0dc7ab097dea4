/**
 * Promises for the commit: one a group, however many requests wait for it. For doors that answer with promises (HTTP); connections use the
 * journal's own waiters.
 */
import { AqueductError } from '../core/errors.js'
import type { Journal } from '../store/journal.js'
import type { Waiter } from '../store/waiter.js'

class Gate implements Waiter {
  readonly promise: Promise<void>
  private resolve: () => void = () => {}
  private reject: (error: AqueductError) => void = () => {}

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // Every asker handles the rejection of its own; this one is for when all have gone.
    this.promise.catch(() => {})
  }

  committed(): void {
    this.resolve()
  }

  commitFailed(): void {
    this.reject(new AqueductError('store_failed', 'The commit failed; nothing of it is stored.'))
  }
}

export class GroupGate {
  private readonly journal: Journal
  private group = -1
  private gate: Gate | undefined

  constructor(journal: Journal) {
    this.journal = journal
  }

  /** Resolves when everything put so far is committed; rejects with `store_failed`. Resolves at once when there is nothing open. */
  committed(): Promise<void> {
    const { journal } = this
    if (!journal.busy && !journal.failed) return Promise.resolve()
    const group = journal.openGroup
    if (this.gate === undefined || this.group !== group) {
      this.gate = new Gate()
      this.group = group
      journal.wait(this.gate, 0, group)
    }
    return this.gate.promise
  }
}
