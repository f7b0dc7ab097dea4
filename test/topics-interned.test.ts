import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Topic, TopicTable, type TopicTableOptions } from '../src/topics/interned.js'
import { topicFault } from '../src/topics/names.js'
import { topicName } from './support/topics.js'

const table = (o: Partial<TopicTableOptions> = {}): TopicTable =>
  new TopicTable({ topics_max: 1_000, levels_max: 200, isUtf8: (b, start, end) => isUtf8(b.subarray(start, end)), ...o })

/** Interns `name` from the middle of a larger buffer, as a read chunk holds it. */
function seen(t: TopicTable, name: string | Buffer): Topic | undefined {
  const bytes = Buffer.from(name as string)
  return t.intern(Buffer.concat([Buffer.from('<<'), bytes, Buffer.from('>>')]), 2, 2 + bytes.length)
}

describe('TopicTable', () => {
  it('gives the same topic for the same bytes, with what is to know about it', () => {
    const t = table()
    const topic = seen(t, '$SYS//ü')
    expect(topic).toMatchObject({ name: '$SYS//ü', dollar: true, levels: 3, route: undefined, routeVersion: -1 })
    expect(topic?.bytes).toEqual(Buffer.from('$SYS//ü'))
    expect(seen(t, '$SYS//ü')).toBe(topic)
    expect(t.internName('$SYS//ü')).toBe(topic)
    expect(seen(t, 'SYS//ü')).toMatchObject({ dollar: false })
    expect(t.size).toBe(2)
  })

  it('keeps its own copy of the bytes', () => {
    const t = table()
    const buf = Buffer.from('a/b')
    const topic = t.intern(buf, 0, 3)
    buf.fill(0)
    expect(topic?.bytes.toString()).toBe('a/b')
    expect(t.internName('a/b')).toBe(topic)
  })

  it('tells names apart that differ in any one byte or in length', () => {
    for (let length = 1; length <= 13; length++) {
      const t = table()
      const buf = Buffer.alloc(20, 'x')
      const topics = new Set([t.intern(buf, 3, 3 + length), t.intern(buf, 3, 4 + length)])
      for (let i = 0; i < length; i++) {
        buf[3 + i] = 0x79
        topics.add(t.intern(buf, 3, 3 + length))
        expect(t.intern(buf, 3, 3 + length)?.name).toBe(`${'x'.repeat(i)}y${'x'.repeat(length - i - 1)}`)
        buf[3 + i] = 0x78
      }
      expect(topics.size).toBe(length + 2)
    }
  })

  it('reads each buffer that it is given, the same one with new bytes too', () => {
    const t = table()
    const shared = Buffer.from('..abcdef..')
    const one = t.intern(shared, 2, 8)
    shared.write('ghijkl', 2)
    expect(t.intern(shared, 2, 8)?.name).toBe('ghijkl')
    expect(t.intern(Buffer.from('.abcdef.').subarray(1), 0, 6)).toBe(one)
    expect(t.internName('abcdef')).toBe(one)
    expect(t.intern(shared, 2, 8)?.name).toBe('ghijkl')
  })

  it.each([
    ['empty', ''],
    ['wildcard +', 'a/+'],
    ['wildcard #', 'a#b'],
    ['U+0000', 'a\0'],
    ['a lone surrogate', Buffer.from([0x61, 0xed, 0xa0, 0x80])],
    ['an overlong form', Buffer.from([0xc0, 0xaf])],
    ['a cut character', Buffer.from([0x61, 0xe2, 0x82])],
    ['65,536 bytes', Buffer.alloc(65_536, 0x61)],
  ])('makes no topic of %s', (_, name) => {
    const t = table()
    expect(seen(t, name)).toBeUndefined()
    expect(seen(t, name)).toBeUndefined()
    expect(t.size).toBe(0)
  })

  it('makes no topic of a string that has no UTF-8 form', () => {
    const t = table()
    expect(t.internName('a\uFFFD')?.name).toBe('a\uFFFD')
    expect(t.internName('a\uD800')).toBeUndefined()
  })

  it('keeps a byte order mark', () => {
    expect(seen(table(), '\uFEFFa')?.name).toBe('\uFEFFa')
  })

  it('tells too many levels apart', () => {
    const t = table({ levels_max: 3 })
    const name = Buffer.from('a/b/c/d')
    expect(t.intern(name, 0, 5)?.levels).toBe(3)
    expect(t.tooDeep(name, 0, 5)).toBe(false)
    expect(t.intern(name, 0, 6)).toBeUndefined()
    expect(t.tooDeep(name, 0, 6)).toBe(true)
    expect(t.tooDeep(name, 5, 7)).toBe(false)
  })

  it('takes the largest names', () => {
    const t = table({ levels_max: 65_536 })
    const slashes = Buffer.alloc(65_535, '/')
    const topic = t.intern(slashes, 0, 65_535)
    expect(topic?.levels).toBe(65_536)
    expect(t.intern(slashes, 0, 65_535)).toBe(topic)
    expect(t.internName('/'.repeat(65_535))).toBe(topic)
    expect(t.intern(slashes, 0, 65_534)?.levels).toBe(65_535)
    expect(t.internName('€'.repeat(400))?.bytes.length).toBe(1_200)
  })

  it('agrees with topicFault and with a plain Map, also when tiny bounds make it forget', () => {
    const anyName = fc.oneof(
      topicName,
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      fc.string({ unit: 'binary', maxLength: 12 }),
    )
    fc.assert(
      fc.property(fc.array(anyName, { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (names, topics_max) => {
        const t = table({ topics_max, levels_max: 4 })
        for (const name of [...names, ...names]) {
          const topic = t.internName(name)
          expect(topic?.name).toBe(topicFault(name, 4) === undefined ? name : undefined)
          if (topic !== undefined) {
            expect(seen(t, name)).toBe(topic)
          }
          expect(t.size).toBeLessThanOrEqual(topics_max)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('forgets everything at topics_max and leaves what is held usable', () => {
    const t = table({ topics_max: 3 })
    const first = t.internName('0')
    for (const name of ['1', '2']) t.internName(name)
    expect([t.size, t.forgotten]).toEqual([3, 0])
    expect(t.internName('0')).toBe(first)
    t.internName('3')
    expect([t.size, t.forgotten]).toEqual([1, 1])
    expect(first?.name).toBe('0')
    expect(t.internName('0')).not.toBe(first)
  })

  it('forgets at bytes_max, names and routes counted', () => {
    const t = table({ bytes_max: 160_000 })
    t.internName('x'.repeat(40_000))
    expect(t.forgotten).toBe(0)
    const long = t.internName('y'.repeat(40_000)) as Topic
    expect([t.size, t.forgotten]).toEqual([1, 1])
    t.hang(long, 'first', 1, 30_000)
    expect(t.internName('y'.repeat(40_000))).toBe(long)
    // In place of the one before, not beside it.
    for (let version = 2; version < 100; version++) t.hang(long, 'again', version, 30_000)
    expect([t.size, t.forgotten]).toEqual([1, 1])
    t.hang(long, 'last', 100, 50_000)
    expect([t.size, t.forgotten, t.heldBytes]).toEqual([0, 2, 0])
    expect(long.route).toBeUndefined()
  })

  it('counts nothing for a topic that it forgot, and finds the one that has its name now', () => {
    const t = table({ topics_max: 2 })
    const old = t.internName('a') as Topic
    t.hang(old, 'route', 1, 1_000)
    t.internName('b')
    t.internName('c')
    const held = t.heldBytes
    t.hang(old, 'route', 2, 5_000)
    expect(t.heldBytes).toBe(held)
    const now = t.current(old)
    expect(now).not.toBe(old)
    expect([now?.name, t.internName('a')]).toEqual(['a', now])
    expect(t.current(now as Topic)).toBe(now)
  })

  it('takes off routes of other versions, and what they were charged with', () => {
    const t = table()
    const [a, b] = ['a', 'b'].map((name) => t.internName(name) as Topic)
    const held = t.heldBytes
    t.hang(a, 'stale', 1, 700)
    t.hang(b, 'good', 2, 50)
    t.dropRoutes(2)
    expect([a?.route, b?.route, t.heldBytes]).toEqual([undefined, 'good', held + 50])
    t.hang(a, 'new', 2, 10)
    expect(t.heldBytes).toBe(held + 60)
  })

  it('finds every one of many thousands, and searches for none for long', () => {
    const t = table({ topics_max: 60_000 })
    const names = Array.from({ length: 50_000 }, (_, i) => `device/${i}/state`)
    for (const name of names) t.internName(name)
    const kept = names.filter((name) => t.internName(name)?.name === name)
    expect(kept.length).toBe(names.length)
    // Neighbours of a crowded place may push each other out; that must stay rare.
    expect(t.size).toBeGreaterThan(49_500)
  })

  describe('names made to collide', () => {
    // The table's own step, so that a test can solve it for the next word: h' ^ word is what is multiplied next.
    const step = (h: number, word: number): number => {
      const product = Math.imul(h ^ word, 0x9e3779b1)
      return product ^ (product >>> 15)
    }
    const printable = (word: number): boolean =>
      [0, 8, 16, 24].every((shift) => ((word >>> shift) & 0xff) > 0x2f && ((word >>> shift) & 0xff) < 0x7f)
    const text = (...words: number[]): string => {
      const buf = Buffer.alloc(words.length * 4)
      words.forEach((word, i) => {
        buf.writeInt32LE(word, i * 4)
      })
      return buf.toString('latin1')
    }
    const firstWord = (i: number): number => Buffer.from(i.toString(36).padStart(4, '0')).readInt32LE(0)

    it('are told apart, and cost one another their place and nothing more', () => {
      const target = step(8, firstWord(0)) ^ firstWord(1_000)
      const names: string[] = []
      for (let i = 0; names.length < 100; i++) {
        const second = step(8, firstWord(i)) ^ target
        if (printable(second)) names.push(text(firstWord(i), second))
      }
      expect(new Set(names).size).toBe(100)
      const t = table()
      names.forEach((name, i) => {
        const topic = t.internName(name)
        expect(topic?.name).toBe(name)
        expect(t.internName(name)).toBe(topic)
        expect(t.size).toBe(Math.min(i + 1, 16))
      })
      expect(t.forgotten).toBe(0)
      for (const name of names) expect(t.internName(name)?.name).toBe(name)
    })

    it('are told apart when one begins with the other', () => {
      let pairs = 0
      for (let i = 0; i < 5_000; i++) {
        const first = firstWord(i)
        const second = step(8, first) ^ first ^ 4
        if (!printable(second)) continue
        pairs++
        const t = table()
        expect(t.internName(text(first, second))?.name).toBe(text(first, second))
        expect(t.internName(text(first))?.name).toBe(text(first))
      }
      expect(pairs).toBeGreaterThan(10)
    })
  })
})
