/** A line on stderr that says how far long work is. Only a person sees it: without a terminal there it writes nothing. */
import type { Clock } from '../core/clock.js'
import type { Terminal } from './terminal.js'
import { cut, widthOf } from './text.js'

const EVERY_MS = 100
const BAR = 24

export class Progress {
  private readonly terminal: Terminal
  private readonly clock: Clock
  private readonly what: string
  /** Undefined: nobody knows. */
  private readonly total: number | undefined
  private readonly began_ms: number
  private shown_ms = -Infinity
  private width = 0

  constructor(terminal: Terminal, clock: Clock, what: string, total: number | undefined) {
    this.terminal = terminal
    this.clock = clock
    this.what = what
    this.total = total
    this.began_ms = clock.uptime_ms()
  }

  /** `done` so far. Call it as often as you like. */
  show(done: number): void {
    const now = this.clock.uptime_ms()
    if (!this.terminal.isTerminal.err || now - this.shown_ms < EVERY_MS) return
    this.shown_ms = now
    this.line(this.text(done, now))
  }

  /** Takes the line away. */
  end(): void {
    if (this.width > 0) this.line('')
  }

  private text(done: number, now: number): string {
    const s = (now - this.began_ms) / 1000
    const rate = s > 0 ? Math.round(done / s) : 0
    const count = done.toLocaleString('en')
    if (this.total === undefined) return `${this.what} ${count} · ${rate.toLocaleString('en')}/s`
    // The total was counted before the work began; the queue may have moved since.
    const part = this.total === 0 ? 1 : Math.min(1, done / this.total)
    const full = Math.round(part * BAR)
    const left_s = rate > 0 ? Math.ceil(Math.max(0, this.total - done) / rate) : undefined
    const rest = left_s === undefined ? '' : ` · ${left_s} s left`
    const bar = '█'.repeat(full) + '░'.repeat(BAR - full)
    return `${this.what} ${bar} ${Math.floor(part * 100)} % · ${count} of ${this.total.toLocaleString('en')} · ${rate.toLocaleString('en')}/s${rest}`
  }

  private line(text: string): void {
    const short = cut(text, Math.max(10, this.terminal.columns - 1))
    const space = ' '.repeat(Math.max(0, this.width - widthOf(short)))
    this.terminal.err(`\r${short}${space}${text === '' ? '\r' : ''}`)
    this.width = widthOf(short)
  }
}
