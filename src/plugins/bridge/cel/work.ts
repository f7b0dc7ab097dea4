/**
 * How much a condition may do about one message, in steps: about 0.1 µs each. Whatever an expression does is charged before it is done, by the size
 * of what it is done to, so that the time it takes is bounded whatever it says and whatever the message holds.
 */

/** Steps of one condition about one message. */
export const CONDITION_STEPS_MAX = 50_000
/** Steps of all conditions together about one message. */
export const MESSAGE_STEPS_MAX = 250_000

/** Thrown when there is no answer: a field that is not there, a comparison of unlike things. What decides without it may go on. */
export class NoAnswer extends Error {}
/** Thrown when the steps are used up. Nothing goes on. */
export class WorkSpent extends Error {}

// Made once: an error with a trace for each element of a list would be dearer than what it is about.
const noAnswer = new NoAnswer('no answer')
const workSpent = new WorkSpent('too much work')

export function none(): never {
  throw noAnswer
}

/** Characters that one step reads, compares or copies. */
const CHARACTERS_PER_STEP = 32
/** What it costs to go on without the answer of a part. */
const RECOVERY_STEPS = 20

export class Work {
  left: number

  constructor(steps: number) {
    this.left = steps
  }

  charge(steps: number): void {
    this.left -= steps
    if (this.left < 0) throw workSpent
  }

  /** For one pass over so many characters or bytes. */
  chargeText(length: number): void {
    this.charge(1 + Math.floor(length / CHARACTERS_PER_STEP))
  }

  /** True when what was thrown is no answer, so that others may still decide; throws everything else. */
  recovers(error: unknown): true {
    if (!(error instanceof NoAnswer)) throw error
    this.charge(RECOVERY_STEPS)
    return true
  }
}
