/**
 * Queues that got something in a commit group, so that their consumers hear of it after the commit, once each. Three lists go round: the open
 * group's, the one at the disk, and the one being told (the next group is sealed before that).
 */
import type { PlainQueue } from './plain.js'

export class Touched {
  private open: PlainQueue[] = []
  private flight: PlainQueue[] = []
  private settling: PlainQueue[] = []

  add(queue: PlainQueue, group: number): void {
    if (queue.touchedGroup === group) return
    queue.touchedGroup = group
    this.open.push(queue)
  }

  seal(): void {
    const empty = this.flight
    this.flight = this.open
    this.open = empty
  }

  committed(): void {
    const empty = this.settling
    this.settling = this.flight
    this.flight = empty
  }

  settle(tell: (queue: PlainQueue) => void): void {
    const { settling } = this
    for (let i = 0; i < settling.length; i++) tell(settling[i])
    settling.length = 0
  }
}
