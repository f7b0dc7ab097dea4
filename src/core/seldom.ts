/**
 * Says what may happen very often without filling the log: of each sentence at most ten lines in ten seconds; the next one says how many were left out (`more`).
 *
 * Always true: it holds one small record for each sentence, and sentences are the program's own; what clients sent stands in the fields, shortened.
 */
import type { Log } from './log.js'

const LINES_MAX = 10
const PERIOD_MS = 10_000
const CHARACTERS_MAX = 200

interface Said {
  since: number
  lines: number
  more: number
}

export class Seldom {
  private readonly log: Log
  private readonly uptime_ms: () => number
  private readonly said = new Map<string, Said>()

  /** `uptime_ms` may be rough. */
  constructor(log: Log, uptime_ms: () => number) {
    this.log = log
    this.uptime_ms = uptime_ms
  }

  warn(fields: Readonly<Record<string, string | number>>, sentence: string): void {
    const now = this.uptime_ms()
    let said = this.said.get(sentence)
    if (said === undefined) {
      said = { since: now, lines: 0, more: 0 }
      this.said.set(sentence, said)
    } else if (now - said.since >= PERIOD_MS) {
      said.since = now
      said.lines = 0
    }
    if (said.lines >= LINES_MAX) {
      said.more++
      return
    }
    said.lines++
    const { more } = said
    said.more = 0
    const shown: Record<string, string | number> = {}
    for (const [name, value] of Object.entries(fields)) shown[name] = typeof value === 'string' ? shortened(value) : value
    this.log.warn(more === 0 ? shown : { ...shown, more }, sentence)
  }
}

function shortened(text: string): string {
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text
}
