/**
 * Who wants to know that something is stored. Two calls and a number instead of a closure or promise per message: a
 * connection passes itself and the acknowledgement it owes as `token`.
 */
export interface Waiter {
  /** The group is committed (flushed, with `fsync`). Called in the order of `wait` calls, groups in order. */
  committed(token: number): void
  /** It will never be: nothing of the group may be acknowledged. Called at most once per waiter and failure. */
  commitFailed(token: number): void
}

/** What an acknowledgement waits for. The journal of the store is one. */
export interface CommitPoint {
  /** Number of the group that what is put now will join; it grows by one per commit. */
  readonly openGroup: number
  /** Number of the last group that is committed. */
  readonly committedGroup: number
  /**
   * Tells `waiter` when `group` (the open one, or one on its way to the disk) is committed; that group must not be committed yet.
   * Makes sure that the open group is committed soon even if nothing else asks for it.
   */
  wait(waiter: Waiter, token: number, group: number): void
}
