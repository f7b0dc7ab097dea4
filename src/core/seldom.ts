/**
 * Says what may happen very often without filling the log: of each kind at most so many lines in a period; the next one says how many were left out (`more`).
 *
 * Always true: it remembers KINDS_MAX kinds at most, and forgets the one that was begun longest ago; what clients sent stands in the fields, shortened.
 */
import type { Log } from './log.js'

const CHARACTERS_MAX = 200
const KINDS_MAX = 256

export interface SeldomOptions {
  /** Lines of a kind in a period; default 10. */
  readonly lines?: number
  /** Default 10,000. */
  readonly period_ms?: number
}

interface Said {
  since: number
  lines: number
  more: number
}

export class Seldom {
  private readonly log: Log
  private readonly uptime_ms: () => number
  private readonly lines: number
  private readonly period_ms: number
  private readonly said = new Map<string, Said>()

  /** `uptime_ms` may be rough. */
  constructor(log: Log, uptime_ms: () => number, { lines = 10, period_ms = 10_000 }: SeldomOptions = {}) {
    this.log = log
    this.uptime_ms = uptime_ms
    this.lines = lines
    this.period_ms = period_ms
  }

  /** `kind`: what counts as the same; default the sentence. */
  info(fields: object, sentence: string, kind = sentence): void {
    this.say('info', fields, sentence, kind)
  }

  warn(fields: object, sentence: string, kind = sentence): void {
    this.say('warn', fields, sentence, kind)
  }

  error(fields: object, sentence: string, kind = sentence): void {
    this.say('error', fields, sentence, kind)
  }

  private say(level: 'info' | 'warn' | 'error', fields: object, sentence: string, kind: string): void {
    const now = this.uptime_ms()
    let said = this.said.get(kind)
    if (said === undefined) {
      said = { since: now, lines: 0, more: 0 }
      this.said.set(kind, said)
      if (this.said.size > KINDS_MAX) this.said.delete(this.said.keys().next().value as string)
    } else if (now - said.since >= this.period_ms) {
      said.since = now
      said.lines = 0
    }
    if (said.lines >= this.lines) {
      said.more++
      return
    }
    said.lines++
    const { more } = said
    said.more = 0
    const shown: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(fields)) shown[name] = typeof value === 'string' ? shortened(value) : value
    this.log[level](more === 0 ? shown : { ...shown, more }, sentence)
  }
}

function shortened(text: string): string {
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text
}
