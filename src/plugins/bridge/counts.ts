/** What became of messages that rules matched, as plain numbers. Promise 5: nothing vanishes uncounted. */

/** Why a copy was not made. */
export type Refusal =
  /** The queue has no room for it, or never has for one so large. */
  | 'queue_full'
  /** What the topic gave is no name of a queue. */
  | 'bad_name'
  /** What the topic gave is too long for a key or tag. */
  | 'bad_key'
  /** The queue is not there and rules may make no more. */
  | 'too_many_queues'

/** Since the process started, or since the rule was made if that is later. */
export interface RuleCounts {
  readonly copied: number
  readonly refused: number
  /** `when` was not true. */
  readonly unmatched: number
  /** `when` could not be answered; also counted as unmatched. */
  readonly errors: number
}

/** One rule's, or all of them together. */
export class Tally implements RuleCounts {
  copied = 0
  refused = 0
  unmatched = 0
  errors = 0
}

export class Totals extends Tally {
  readonly reasons: Record<Refusal, number> = { queue_full: 0, bad_name: 0, bad_key: 0, too_many_queues: 0 }
  /** Conditions that were given up because there was too much to do; also counted as errors. */
  cut = 0
  /** Whole messages refused because a rule requires its copy. */
  required = 0
}
