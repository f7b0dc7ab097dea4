/**
 * Log lines that would repeat themselves: the first of a kind is written at once, what follows within the interval is counted and told with the next line of
 * that kind, `more` times.
 *
 * Always true: at most one line of a kind in an interval, and at most KINDS_MAX kinds are remembered; the kind that was seen longest ago is forgotten first,
 * with what it had counted.
 */
import type { Clock } from './clock.js'
import type { Log } from './log.js'

const KINDS_MAX = 256

interface Kind {
  said_ms: number
  more: number
}

export class FoldedLog {
  private readonly log: Log
  private readonly clock: Clock
  private readonly interval_ms: number
  private readonly kinds = new Map<string, Kind>()

  constructor(log: Log, clock: Clock, interval_ms = 10_000) {
    this.log = log
    this.clock = clock
    this.interval_ms = interval_ms
  }

  info(kind: string, fields: object, message: string): void {
    this.say('info', kind, fields, message)
  }

  warn(kind: string, fields: object, message: string): void {
    this.say('warn', kind, fields, message)
  }

  error(kind: string, fields: object, message: string): void {
    this.say('error', kind, fields, message)
  }

  private say(level: 'info' | 'warn' | 'error', kind: string, fields: object, message: string): void {
    const now = this.clock.uptime_ms()
    const known = this.kinds.get(kind)
    if (known !== undefined && now - known.said_ms < this.interval_ms) {
      known.more++
      return
    }
    const more = known?.more ?? 0
    // Again at the end of the map: its order is the order in which kinds were last said.
    this.kinds.delete(kind)
    this.kinds.set(kind, { said_ms: now, more: 0 })
    if (this.kinds.size > KINDS_MAX) this.kinds.delete(this.kinds.keys().next().value as string)
    this.log[level](more === 0 ? fields : { ...fields, more }, message)
  }
}
