/**
 * From the bytes of a body to its value. What `JSON.parse` and the check of the value cost grows with the number of values, not only with the bytes, and
 * neither can be interrupted: so the number of values and their depth are counted first, in slices, and a body that could be nothing that we take is refused
 * before anything is made of it.
 */
import { HttpError } from '../errors.js'

/** Nothing here needs more than a few levels; what looks through a value may take a step of the stack for each. */
const DEPTH_MAX = 64
/** Separators between values: a full batch with a hundred user properties for each message has fewer. */
const VALUES_MAX = 65_536
/** Bytes that are looked at before others get their turn. */
const SLICE_BYTES = 256 * 1024

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c

export async function parseJson(bytes: Buffer): Promise<unknown> {
  const shape = new Shape()
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    if (at > 0) await turn()
    shape.look(bytes, at, Math.min(bytes.length, at + SLICE_BYTES))
    if (shape.deepest > DEPTH_MAX) throw new HttpError('bad_request', `The body is nested deeper than ${DEPTH_MAX} levels.`)
    if (shape.separators > VALUES_MAX) throw new HttpError('bad_request', `The body has more than ${VALUES_MAX} values.`)
  }
  try {
    return JSON.parse(decoder.decode(bytes))
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : 'it is not UTF-8'
    throw new HttpError('bad_request', `The body is not JSON: ${why.slice(0, 200)}.`)
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What brackets and commas outside of strings say, also of a text that is no JSON. */
class Shape {
  deepest = 0
  separators = 0
  private depth = 0
  private inString = false
  private escaped = false

  look(bytes: Buffer, from: number, to: number): void {
    let { deepest, separators, depth, inString, escaped } = this
    for (let at = from; at < to; at++) {
      const byte = bytes[at]
      if (inString) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) inString = false
      } else if (byte === QUOTE) inString = true
      else if (byte === COMMA) separators++
      // [ and {, ] and }: they differ in one bit.
      else if ((byte | 0x20) === 0x7b) {
        if (++depth > deepest) deepest = depth
      } else if ((byte | 0x20) === 0x7d) depth--
    }
    this.deepest = deepest
    this.separators = separators
    this.depth = depth
    this.inString = inString
    this.escaped = escaped
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
