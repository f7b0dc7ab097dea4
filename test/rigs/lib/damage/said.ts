/**
 * What the broker said about what it found: its log lines (JSON on stderr), its last sentence, and the counters of what is damaged. The judge asks
 * whether a loss was said: which queue, session or topic and how many, or, where nothing left names them, which commits.
 */

const SENTENCE = /^aqueduct: (.+)$/
/** A sentence that says what to do. */
const TODO = /\b(restore|move|set|stop|start|run|check|give|free|try|make|raise|replace|mount|remove|delete|repair|wait)\w*\b/i
/** Fields that count what is gone. */
const COUNT = /^(messages|missing|lost|damaged|count|entries|rows|copies|retained|sessions|gone)$/i

interface Line {
  text: string
  message: string
  strings: string[]
  /** The most that a field of the line counts; undefined where none does. */
  count: number | undefined
  range: [number, number] | undefined
}

export class Said {
  readonly lines: Line[] = []
  /** Sentences that are no log lines: how a start was refused. */
  readonly sentences: string[] = []
  /** Stack traces and the like. */
  readonly noise: string[] = []

  /** `metrics`: the text of /metrics, where it is wanted. */
  constructor(stderr: string, metrics = '') {
    for (const text of stderr.split('\n')) this.read(text)
    for (const text of metrics.split('\n')) this.readMetric(text)
  }

  /** Adds what another process said about the same folder. */
  and(other: Said): this {
    this.lines.push(...other.lines)
    this.sentences.push(...other.sentences)
    this.noise.push(...other.noise)
    return this
  }

  /** The refusal's sentence, if it says enough. */
  refusal(): string | undefined {
    return this.sentences.findLast((text) => text.length >= 40 && TODO.test(text))
  }

  /** Lines that name any of `names`; `count` is how many they say are gone, undefined where they do not say. */
  about(names: readonly string[]): { named: boolean; count: number | undefined } {
    let named = false
    let count: number | undefined
    for (const line of this.lines) {
      if (!names.some((name) => line.strings.includes(name))) continue
      named = true
      if (line.count !== undefined) count = (count ?? 0) + line.count
    }
    return { named, count }
  }

  /** How many commits are said to be missing. */
  commits(): number {
    return this.lines.reduce((sum, { range }) => sum + (range === undefined ? 0 : range[1] - range[0] + 1), 0)
  }

  private read(text: string): void {
    if (text.trim() === '') return
    const sentence = SENTENCE.exec(text)
    if (sentence !== null) {
      this.sentences.push(sentence[1])
      return
    }
    let fields: unknown
    try {
      fields = JSON.parse(text)
    } catch {
      this.noise.push(text)
      return
    }
    if (typeof fields !== 'object' || fields === null) return
    const { level, message } = fields as { level?: unknown; message?: unknown }
    if (level !== 'warn' && level !== 'error') return
    this.lines.push(lineOf(text, typeof message === 'string' ? message : '', fields as Record<string, unknown>))
  }

  private readMetric(text: string): void {
    const found = /^(aqueduct_\w*(?:damag|missing|lost|unreadable)\w*)\{(.*)\} (\d+)/.exec(text)
    if (found === null || Number(found[3]) === 0) return
    const strings = [...found[2].matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, value]) => value)
    this.lines.push({ text, message: found[1], strings, count: Number(found[3]), range: undefined })
  }
}

function lineOf(text: string, message: string, fields: Record<string, unknown>): Line {
  const strings: string[] = []
  let count: number | undefined
  const walk = (key: string, value: unknown, depth: number): void => {
    if (typeof value === 'string') {
      if (key !== 'message' && key !== 'level' && key !== 'time') strings.push(value, ...value.split(/[\s,"'“”]+/))
    } else if (typeof value === 'number' && COUNT.test(key)) count = Math.max(count ?? 0, value)
    else if (typeof value === 'object' && value !== null && depth < 4)
      for (const [name, inner] of Object.entries(value)) {
        // A map from names to counts.
        if (typeof inner === 'number') strings.push(name)
        walk(name, inner, depth + 1)
      }
  }
  walk('', fields, 0)
  strings.push(...message.split(/[\s,:;"'“”()]+/))
  const number = /(\d+) (?:acknowledged )?(?:retained )?messages?\b/.exec(message)
  if (number !== null) count = Math.max(count ?? 0, Number(number[1]))
  return { text, message, strings, count, range: rangeOf(message, fields) }
}

function rangeOf(message: string, { from, to, commit }: Record<string, unknown>): [number, number] | undefined {
  if (!/commit/i.test(message)) return undefined
  if (typeof from === 'number' && typeof to === 'number' && from <= to) return [from, to]
  if (typeof commit === 'number') return [commit, commit]
  const found = /commits? (\d+) (?:to|–|-) (\d+)/.exec(message)
  return found === null ? undefined : [Number(found[1]), Number(found[2])]
}
