/**
 * Work that reads much of the store, a few at a time: the disk serves commits, too, and those who publish should not wait behind a crowd of questions.
 *
 * Always true: they begin in the order in which they came; what finds too many waiting is refused at once.
 */
import { AqueductError } from '../core/errors.js'

export class Turns {
  private readonly at_once: number
  private readonly max_waiting: number
  private readonly onRefused: () => void
  private running = 0
  private readonly waiting: (() => void)[] = []

  constructor(at_once: number, max_waiting: number, onRefused: () => void) {
    this.at_once = at_once
    this.max_waiting = max_waiting
    this.onRefused = onRefused
  }

  /** Throws `busy`, or what `work` throws. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.running >= this.at_once) {
      if (this.waiting.length >= this.max_waiting) {
        this.onRefused()
        throw new AqueductError('busy', 'Too much is being looked for in the store at this moment: try again.')
      }
      // Who ends hands its turn on.
      await new Promise<void>((resolve) => this.waiting.push(resolve))
    } else this.running++
    try {
      return await work()
    } finally {
      const next = this.waiting.shift()
      if (next === undefined) this.running--
      else next()
    }
  }
}
