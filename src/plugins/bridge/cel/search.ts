/** Finding text in text in linear time. The engine's own search takes length times length for texts made for that. */
import type { Work } from './work.js'

/** Up to here the engine's own search is quick whatever it is given. */
const PRODUCT_MAX = 16_384

/** As `text.indexOf(part, from)`. */
export function indexIn(text: string, part: string, from: number, work: Work): number {
  work.chargeText(text.length + part.length)
  if (part.length < 2 || text.length * part.length <= PRODUCT_MAX) return text.indexOf(part, from)
  work.charge(text.length / 4 + part.length / 2)
  const borders = bordersOf(part, 0, 1)
  let matched = 0
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i)
    while (matched > 0 && part.charCodeAt(matched) !== c) matched = borders[matched - 1] as number
    if (part.charCodeAt(matched) === c) matched++
    if (matched === part.length) return i - matched + 1
  }
  return -1
}

/** As `text.lastIndexOf(part, from)`. */
export function lastIndexIn(text: string, part: string, from: number, work: Work): number {
  work.chargeText(text.length + part.length)
  if (part.length < 2 || text.length * part.length <= PRODUCT_MAX) return text.lastIndexOf(part, from)
  work.charge(text.length / 4 + part.length / 2)
  const last = part.length - 1
  const borders = bordersOf(part, last, -1)
  let matched = 0
  for (let i = Math.min(from + last, text.length - 1); i >= 0; i--) {
    const c = text.charCodeAt(i)
    while (matched > 0 && part.charCodeAt(last - matched) !== c) matched = borders[matched - 1] as number
    if (part.charCodeAt(last - matched) === c) matched++
    if (matched === part.length) return i
  }
  return -1
}

/** For each length: how long the longest beginning is with which it also ends (Knuth, Morris, Pratt), reading `part` from `at` in steps of `step`. */
function bordersOf(part: string, at: number, step: 1 | -1): Int32Array {
  const borders = new Int32Array(part.length)
  let matched = 0
  for (let i = 1; i < part.length; i++) {
    const c = part.charCodeAt(at + step * i)
    while (matched > 0 && part.charCodeAt(at + step * matched) !== c) matched = borders[matched - 1] as number
    if (part.charCodeAt(at + step * matched) === c) matched++
    borders[i] = matched
  }
  return borders
}
