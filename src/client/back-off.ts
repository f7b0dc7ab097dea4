/** How long to wait before something is tried again: longer each time, and never for all who wait at once. */
import type { Random } from '../core/random.js'

export class BackOff {
  private readonly first_ms: number
  private readonly most_ms: number
  private readonly random: Random
  private failures = 0

  constructor(first_ms: number, most_ms: number, random: Random) {
    this.first_ms = first_ms
    this.most_ms = most_ms
    this.random = random
  }

  /** Half of it is sure, half by chance. */
  next(): number {
    const whole_ms = Math.min(this.most_ms, this.first_ms * 2 ** Math.min(this.failures++, 30))
    return Math.ceil(whole_ms / 2) + this.random.below(Math.floor(whole_ms / 2) + 1)
  }

  reset(): void {
    this.failures = 0
  }
}
