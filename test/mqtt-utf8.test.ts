import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isMqttUtf8 } from '../src/mqtt/utf8.js'

/** Node's own checker and the one character that MQTT adds to what is forbidden. */
function expected(bytes: Uint8Array): boolean {
  return isUtf8(bytes) && !bytes.includes(0)
}

describe('isMqttUtf8', () => {
  it.each([
    ['empty', '', true],
    ['ASCII with controls', '01097f41', true],
    ['U+0000 [MQTT-1.5.3-2]', '610062', false],
    ['U+0000 as an overlong pair', 'c080', false],
    ['U+FEFF is data [MQTT-1.5.3-3]', 'efbbbf61', true],
    ['a surrogate [MQTT-1.5.3-1]', 'eda080', false],
    ['a surrogate pair, each encoded alone', 'eda0bdedb880', false],
    ['U+D7FF and U+E000', 'ed9fbfee8080', true],
    ['U+10FFFF', 'f48fbfbf', true],
    ['U+110000', 'f4908080', false],
    ['overlong three bytes', 'e09f80', false],
    ['overlong four bytes', 'f08f8080', false],
    ['a lone continuation', '80', false],
    ['cut after the lead', 'c3', false],
    ['non-characters are allowed', 'efbfbeefbfbf', true],
    ['U+0000 after a character that is not ASCII', 'c3a900', false],
  ])('%s', (_name, hex, valid) => {
    const bytes = Buffer.from(hex, 'hex')
    expect(isMqttUtf8(bytes, 0, bytes.length)).toBe(valid)
  })

  it('agrees with Node on every run of one to four bytes at the edges of the ranges', () => {
    const edges = [0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee]
    edges.push(0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff)
    const buf = Buffer.alloc(4)
    const views = [1, 2, 3, 4].map((length) => buf.subarray(0, length))
    let wrong = 0
    for (const view of views) {
      const runs = edges.length ** view.length
      for (let n = 0; n < runs; n++) {
        for (let i = 0, rest = n; i < view.length; i++, rest = Math.floor(rest / edges.length))
          buf[i] = edges[rest % edges.length]
        if (isMqttUtf8(buf, 0, view.length) !== expected(view)) wrong++
      }
    }
    expect(wrong).toBe(0)
  })

  it('agrees with Node on random bytes, four-byte leads above all', () => {
    const byte = fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xe0, 0xed, 0xf0, 0xf1, 0xf4, 0xf5),
    )
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 12 }), (list) => {
        const bytes = Buffer.from(list)
        expect(isMqttUtf8(bytes, 0, bytes.length)).toBe(expected(bytes))
      }),
      { numRuns: 2_000 },
    )
  })

  it('looks at nothing beyond its end', () => {
    const bytes = Buffer.from([0x61, 0xc3, 0xa9, 0x00])
    expect(isMqttUtf8(bytes, 0, 3)).toBe(true)
    expect(isMqttUtf8(bytes, 0, 2)).toBe(false)
    expect(isMqttUtf8(bytes, 1, 3)).toBe(true)
    expect(isMqttUtf8(bytes, 2, 3)).toBe(false)
    // An end beyond the buffer is a caller's mistake, but not one that may pass as valid text.
    expect(isMqttUtf8(Buffer.from([0xe2, 0x82]), 0, 3)).toBe(false)
  })
})
