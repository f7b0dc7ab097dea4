/**
 * The time of a broker and its store: every stored moment (expiry, lease end, delay, retention) is on it. It is the wall clock of the first start,
 * and goes on with the clock of the machine's boot, which counts seconds, those of a suspended machine included, and never steps. Between it and
 * the wall clock there is an offset, which is nothing but a matter of display.
 *
 * Always true:
 * - a step of the wall clock changes the offset and no moment: nothing ends early or late by it, also for a step while the broker was not running, as
 *   long as the machine was not started anew meanwhile;
 * - it never goes back while it runs, nor over a restart on the same boot of the machine;
 * - how long a machine was off, only its wall clock can say: it is believed unless it stands before the last moment that is known, or more than
 *   `OFF_MS_MAX` behind it. Then no time has passed since that moment, and what the clock is set to afterwards is a step;
 * - whoever shows a moment to somebody, or is given one, translates it (`calendar`, `moment`). Moments of earlier boots keep the offset of their time.
 */
import type { Clock, MachineClock, Timer } from './clock.js'
import type { Log } from './log.js'

/** Differences between the clocks from here on are steps: counted and said. */
export const STEP_MS = 1_000
/** Smaller ones are followed without a word from here on, so that rounding does not show. */
const FOLLOW_MS = 100
/** Where the boot clock has gone on by this much more than the process's own, the machine was suspended. Some systems tell it in whole seconds. */
const ASLEEP_MS = 2_000
/** A machine is not believed to have been off for longer: its clock is wrong (no battery, a date far ahead). */
export const OFF_MS_MAX = 366 * 24 * 3600 * 1000
/** Offsets of earlier boots that are remembered. */
export const ERAS_MAX = 32

/** From `since` on, broker time and `offset_ms` together are the wall clock. */
export interface Era {
  readonly since: number
  readonly offset_ms: number
}

/** What goes into the store. */
export interface SavedTime {
  readonly boot_id: string | undefined
  /** Broker time when the machine started. */
  readonly booted: number
  /** Broker time when this was written. */
  readonly last: number
  /** The earliest first; at least one. */
  readonly eras: readonly Era[]
}

export class BrokerTime implements Clock {
  /** Steps of the wall clock that were seen. */
  steps = 0
  private readonly machine: MachineClock
  private readonly log: Log
  private readonly boot_id: string | undefined
  /** Broker time when `uptime_ms` was 0. */
  private base: number
  /** What the boot clock is ahead of `uptime_ms`. */
  private ahead: number
  private eras: Era[]
  private begun = false

  constructor(machine: MachineClock, log: Log) {
    this.machine = machine
    this.log = log
    this.boot_id = machine.boot_id()
    this.base = machine.now() - machine.uptime_ms()
    this.ahead = machine.boot_ms() - machine.uptime_ms()
    this.eras = [{ since: 0, offset_ms: 0 }]
  }

  now(): number {
    return Math.floor(this.base + this.machine.uptime_ms())
  }

  uptime_ms(): number {
    return this.machine.uptime_ms()
  }

  after(delay_ms: number, fn: () => void): Timer {
    return this.machine.after(delay_ms, fn)
  }

  every(period_ms: number, fn: () => void): Timer {
    return this.machine.every(period_ms, fn)
  }

  /** What the wall clock is ahead of this time. */
  get offset_ms(): number {
    return (this.eras.at(-1) as Era).offset_ms
  }

  /** The moment as a calendar says it: milliseconds since 1970, on the wall clock as it stands now. */
  calendar(moment: number): number {
    let i = this.eras.length - 1
    while (i > 0 && (this.eras[i] as Era).since > moment) i--
    return moment + (this.eras[i] as Era).offset_ms
  }

  /** The moment that a calendar says. */
  moment(calendar: number): number {
    for (let i = this.eras.length - 1; i > 0; i--) {
      const { since, offset_ms } = this.eras[i] as Era
      if (calendar - offset_ms >= since) return calendar - offset_ms
    }
    return calendar - (this.eras[0] as Era).offset_ms
  }

  /** Looks at the clocks, as often as steps shall be seen. True when the offset has changed, or the machine slept: it is worth saving. */
  look(): boolean {
    const asleep_ms = this.machine.boot_ms() - this.machine.uptime_ms() - this.ahead
    if (Math.abs(asleep_ms) >= ASLEEP_MS) {
      this.base += asleep_ms
      this.ahead += asleep_ms
      if (asleep_ms > 0) this.log.info({ asleep_ms: Math.round(asleep_ms) }, 'the machine was suspended: that time has passed')
      else
        this.log.warn(
          { step_ms: Math.round(-asleep_ms) },
          "the process's own clock ran ahead of the machine's: it is not followed",
        )
    }
    return this.follow('the wall clock was set: nothing ends earlier or later by it')
  }

  /** Goes on where a store stands; undefined for one that knows no time yet. Once: a store that is opened again is asked nothing. */
  resume(saved: SavedTime | undefined): void {
    if (this.begun) return
    this.begun = true
    if (saved === undefined) return
    const { machine } = this
    this.eras = [...saved.eras]
    const goesOn = saved.booted + machine.boot_ms()
    // Some containers count their own uptime, which begins anew on the same boot of the machine.
    const sameBoot = saved.boot_id !== undefined && saved.boot_id === this.boot_id && goesOn >= saved.last - STEP_MS
    if (sameBoot) {
      this.stand(Math.max(goesOn, saved.last))
      this.follow('the wall clock was set while the broker was not running: nothing ends earlier or later by it')
    } else this.rebooted(saved.last)
  }

  /** What to keep in the store, as of now. */
  saved(): SavedTime {
    const last = this.now()
    return { boot_id: this.boot_id, booted: this.base - this.ahead, last, eras: this.eras }
  }

  /** True when a start from `saved`, on this boot or the next, would come to the same time. */
  isSaved(saved: SavedTime): boolean {
    if (saved.boot_id === undefined || saved.boot_id !== this.boot_id) return false
    if (saved.eras.at(-1)?.offset_ms !== this.offset_ms) return false
    return Math.abs(saved.booted - (this.base - this.ahead)) < FOLLOW_MS
  }

  /** Nothing but the wall clock can say how long the machine was off. */
  private rebooted(last: number): void {
    const wall = this.machine.now()
    const off_ms = wall - (last + this.offset_ms)
    const believed = off_ms >= 0 && off_ms <= OFF_MS_MAX
    this.stand(believed ? last + off_ms : last)
    this.newEra(this.now(), believed ? this.offset_ms : wall - last)
    if (believed) {
      if (this.boot_id !== undefined)
        this.log.info(
          { off_ms },
          'the machine was started anew since the broker last ran: by its wall clock so much time has passed',
        )
      return
    }
    if (off_ms > -STEP_MS && off_ms < 0) return
    this.steps++
    this.log.warn(
      { step_ms: off_ms, offset_ms: this.offset_ms },
      off_ms < 0
        ? 'the wall clock stands before what is stored: nobody knows how long the broker was away, and nothing ends by it'
        : 'the wall clock stands more than a year after what is stored: it is not believed, and nothing ends by it',
    )
  }

  private stand(now: number): void {
    this.base = now - this.machine.uptime_ms()
    this.ahead = this.machine.boot_ms() - this.machine.uptime_ms()
  }

  private follow(said: string): boolean {
    const offset_ms = Math.round(this.machine.now() - (this.base + this.machine.uptime_ms()))
    const step_ms = offset_ms - this.offset_ms
    if (Math.abs(step_ms) < FOLLOW_MS) return false
    this.eras[this.eras.length - 1] = { ...(this.eras.at(-1) as Era), offset_ms }
    if (Math.abs(step_ms) >= STEP_MS) {
      this.steps++
      this.log.warn({ step_ms, offset_ms }, said)
    }
    return true
  }

  private newEra(since: number, offset_ms: number): void {
    const { eras } = this
    // The boot before had no step: one era with those before it.
    if (eras.length > 1 && eras.at(-1)?.offset_ms === eras.at(-2)?.offset_ms) eras.pop()
    eras.push({ since, offset_ms })
    if (eras.length > ERAS_MAX) eras.shift()
  }
}
