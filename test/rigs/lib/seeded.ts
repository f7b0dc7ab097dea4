/** Repeatable randomness: the same seed gives the same run as far as the machine allows. */
export class Seeded {
  private state: number

  constructor(seed: number) {
    this.state = seed >>> 0
  }

  /** 0 ≤ x < 1. */
  unit(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** A whole number, 0 ≤ n < `below`. */
  below(below: number): number {
    return Math.floor(this.unit() * below)
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  pick<V>(list: readonly V[]): V {
    return list[this.below(list.length)]
  }

  chance(share: number): boolean {
    return this.unit() < share
  }
}
