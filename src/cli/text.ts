/** Text for a terminal: names and payloads come from strangers and may hold anything. */
import { eastAsianWidth } from 'get-east-asian-width'

// Controls, and what changes the direction of text or cannot be seen.
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu

/** The same on one line, with nothing in it that a terminal would obey: a tab is `\t`, an escape `\x1b`. */
export function printable(text: string): string {
  return text.replaceAll(UNSEEN, escaped)
}

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escaped(char: string): string {
  const code = char.codePointAt(0) as number
  return SHORT[char] ?? (code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`)
}

const graphemes = new Intl.Segmenter()
const ASCII = /^[\x20-\x7e]*$/

/** Columns that a printable text takes. */
export function widthOf(text: string): number {
  if (ASCII.test(text)) return text.length
  let width = 0
  for (const { segment } of graphemes.segment(text)) {
    // An emoji of several parts is as wide as its first; a mark that stands alone has no width worth a case of its own.
    width += eastAsianWidth(segment.codePointAt(0) as number)
  }
  return width
}

/** At most `columns` wide, with a sign where something is missing. */
export function cut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  let out = ''
  let width = 0
  for (const { segment } of graphemes.segment(text)) {
    width += widthOf(segment)
    if (width > columns - 1) break
    out += segment
  }
  return `${out}…`
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `1.5 MiB` */
export function bytesText(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** `2026-11-25 10:00:00`, UTC; empty for none. */
export function momentText(ms: number | null): string {
  return ms === null ? '' : new Date(ms).toISOString().slice(0, 19).replace('T', ' ')
}

/** `1 message`, `2 messages`. */
export const counted = (n: number, word: string): string => `${n.toLocaleString('en')} ${word}${n === 1 ? '' : 's'}`
