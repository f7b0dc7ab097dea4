/** A histogram that costs a few comparisons per value and nothing else. `/metrics` reads it when asked. */
import type { HistogramReading } from './registry.js'

/**
 * Bounds in seconds for what waits on a disk: from a write that the page cache takes, over a flush (0.4–2 ms on a good disk), to one
 * that stalled.
 */
export const COMMIT_SECONDS_BOUNDS = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5] as const

export class Histogram implements HistogramReading {
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  sum = 0

  /** `bounds` are upper ones, inclusive, in rising order. */
  constructor(bounds: readonly number[] = COMMIT_SECONDS_BOUNDS) {
    for (let i = 1; i < bounds.length; i++) {
      if ((bounds[i] as number) <= (bounds[i - 1] as number)) throw new Error('histogram bounds must rise')
    }
    this.bounds = [...bounds]
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    const bounds = this.bounds
    let i = 0
    while (i < bounds.length && value > bounds[i]) i++
    this.counts[i]++
    this.sum += value
  }
}
