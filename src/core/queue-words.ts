/**
 * The kinds of queues and the reasons for which messages leave them, as closed lists: what is stored, counted, traced and told over HTTP names the same ones.
 *
 * Always true: their places here are stored as numbers, so the order never changes and new ones come last.
 */

/** `internal`: of the program's own, as what waits under `$delayed`. */
export const QUEUE_KINDS = ['session', 'group', 'pull', 'dead', 'internal'] as const

export type QueueKind = (typeof QUEUE_KINDS)[number]

/** Each departure is counted, per queue kind and reason. */
export const DEPARTURES = [
  'acked',
  'expired',
  'purged',
  'dropped_oldest',
  'dropped_newest',
  'refused',
  'dead',
  'deleted',
  /** By a newer one of its key (last value). */
  'replaced',
  /** Out of a dead-letter queue, home again. */
  'redriven',
  /** Its row, or that of its message, was damaged on the disk. */
  'damaged',
] as const

/** Why an entry left its queue. */
export type Departure = (typeof DEPARTURES)[number]
