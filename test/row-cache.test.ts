/** The cache of message rows against the plainest model of one, at its limits. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RowCache } from '../src/store/row-cache.js'

const row = (seq: number, bytes: number, salt = 0): Buffer => Buffer.alloc(bytes, (seq * 7 + bytes + salt) % 251)

describe('the row cache', () => {
  test('what it has is what was put last, whatever came and went', () => {
    const command = fc.tuple(
      fc.constantFrom('set', 'set', 'set', 'delete', 'get'),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(10, 100, 8_191, 8_192, 70_000),
    )
    fc.assert(
      fc.property(fc.array(command, { maxLength: 300 }), fc.constantFrom(1, 150_000, 400_000), (commands, bytesMax) => {
        const cache = new RowCache(bytesMax)
        const put = new Map<number, Buffer>()
        const handedOut: [Buffer, Buffer][] = []
        for (const [i, [what, seq, bytes]] of commands.entries()) {
          if (what === 'set') {
            const value = row(seq, bytes, i)
            put.set(seq, Buffer.from(value))
            cache.set(seq, value)
            expect(cache.has(seq)).toBe(true)
          } else if (what === 'delete') {
            put.delete(seq)
            cache.delete(seq)
            expect(cache.has(seq)).toBe(false)
          }
          const got = cache.get(seq)
          expect(got !== undefined).toBe(cache.has(seq))
          if (got === undefined) continue
          expect(got.equals(put.get(seq) as Buffer)).toBe(true)
          handedOut.push([got, Buffer.from(got)])
        }
        // A row that somebody still holds never changes under them.
        for (const [held, then] of handedOut) expect(held.equals(then)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  test.each([100, 20_000])(
    'it stays within its bytes, and what was read stays longer than what was not (rows of %i bytes)',
    (bytes) => {
      const cache = new RowCache(1_000_000)
      const rows = Math.floor(900_000 / (bytes + 100))
      for (let seq = 1; seq <= rows; seq++) cache.set(seq, row(seq, bytes))
      for (let seq = 1; seq <= rows; seq++) expect(cache.has(seq)).toBe(true)
      cache.get(1)
      for (let seq = rows + 1; seq <= rows * 1.8; seq++) cache.set(seq, row(seq, bytes))
      expect(cache.has(1)).toBe(true)
      const middle = Math.floor(rows / 3)
      expect(cache.has(middle)).toBe(false)
      let kept = 0
      for (let seq = 1; seq <= rows * 1.8; seq++) if (cache.has(seq)) kept += bytes
      expect(kept).toBeLessThan(1_000_000)
      expect(kept).toBeGreaterThan(500_000)
    },
  )

  test('a row larger than the cache stays until the next one comes', () => {
    const cache = new RowCache(10_000)
    cache.set(1, row(1, 50_000))
    expect(cache.get(1)?.length).toBe(50_000)
    cache.set(2, row(2, 50_000))
    expect(cache.get(2)?.length).toBe(50_000)
    cache.set(3, row(3, 50_000))
    expect([1, 2, 3].filter((seq) => cache.has(seq))).toEqual([3])
  })

  test('forgetting every row gives everything back', () => {
    const cache = new RowCache(200_000)
    for (let round = 0; round < 50; round++) {
      for (let seq = 1; seq <= 500; seq++) cache.set(seq, row(seq, 200))
      for (let seq = 1; seq <= 500; seq++) cache.delete(seq)
    }
    for (let seq = 1; seq <= 400; seq++) cache.set(seq, row(seq, 200))
    for (let seq = 1; seq <= 400; seq++) expect(cache.has(seq)).toBe(true)
  })
})
