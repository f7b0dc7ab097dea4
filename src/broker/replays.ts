/**
 * Turns for retained messages: whoever waits for some shares what one turn of the process may spend on them, however many wait and however much they want.
 *
 * Always true: between two parts of the work everybody else has a turn; who cannot go on (the socket is full, the window is) is not asked again before
 * it is woken.
 */
import type { Connection } from './connection.js'

/** What one turn spends: places of the tree that are looked at; a message that is sent costs more, one that is read from the disk much more. */
export const PLACES_PER_TURN = 2_048
/** The least that one connection gets of it, so that it gets anywhere. */
const SHARE_MIN = 64

export class Replays {
  /** What the turn has left. */
  readonly budget = { left: PLACES_PER_TURN }
  private readonly waiting = new Set<Connection>()
  private armed = false

  /** `c` has a replay, or more of it; it begins at once if the turn has anything left. */
  start(c: Connection): void {
    this.wake(c)
    if (this.budget.left > 0) this.run(c, this.budget.left)
  }

  /** `c` may go on: in the next turn, with the others. */
  wake(c: Connection): void {
    if (c.replay === null) return
    this.waiting.add(c)
    this.arm()
  }

  /** The connection is gone, or all has been sent. */
  end(c: Connection): void {
    this.waiting.delete(c)
    c.replay = null
  }

  private arm(): void {
    if (this.armed) return
    this.armed = true
    setImmediate(this.turn)
  }

  private readonly turn = (): void => {
    this.armed = false
    this.budget.left = PLACES_PER_TURN
    const share = Math.max(SHARE_MIN, Math.floor(PLACES_PER_TURN / this.waiting.size))
    // Those that get nothing this time are in front the next; who has more to do goes behind them.
    for (const c of [...this.waiting]) {
      if (this.budget.left <= 0) break
      this.run(c, Math.min(share, this.budget.left))
      c.flush()
    }
    if (this.waiting.size > 0) this.arm()
  }

  private run(c: Connection, places: number): void {
    const { budget } = this
    this.waiting.delete(c)
    const rest = budget.left - places
    budget.left = places
    // Also what a turn without anybody left over must be given back.
    this.arm()
    const outcome = c.replay?.run(budget) ?? 'done'
    budget.left += rest
    if (outcome === 'done') this.end(c)
    else if (outcome === 'more') this.wake(c)
  }
}
