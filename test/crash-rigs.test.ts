/** The rigs' own judgement: an oracle that misses a loss is worse than none. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { keyIn, matches, payloadOf } from './rigs/lib/message.js'
import { grantedQos, Ledger } from './rigs/lib/oracle.js'
import { Seeded } from './rigs/lib/seeded.js'
import { readOperations, Shadow } from './rigs/lib/shadow.js'

const key = (number: number, qos = 1, round = 0): string => `p|t/a|${qos}|${number}|${round}`
const promised = (...keys: string[]): Map<string, boolean> => new Map(keys.map((k) => [k, true]))

function judge(delivered: string[], acked: string[], filter: [string, 0 | 1 | 2] = ['t/#', 2], sent = [...delivered, ...acked]) {
  const ledger = new Ledger('s', [filter])
  for (const k of delivered) ledger.deliver(k)
  return ledger.close(0, promised(...acked), new Set(sent))
}

describe('the ledger', () => {
  it('finds nothing in a sound run', () => {
    const keys = [key(0), key(1), key(0, 2), key(2)]
    expect(judge(keys, keys)).toMatchObject({ owed: 4, delivered: 4, lost: 0, doubled: 0, inverted: 0, unasked: 0 })
  })

  it('counts what was acknowledged and never came', () => {
    expect(judge([key(0), key(2)], [key(0), key(1), key(2)])).toMatchObject({ lost: 1, lost_acked_before: 1 })
  })

  it('owes nothing without a matching filter or at QoS 0', () => {
    expect(judge([], [key(0)], ['other/#', 2])).toMatchObject({ owed: 0, lost: 0 })
    expect(judge([], [key(0)], ['t/#', 0])).toMatchObject({ owed: 0, lost: 0 })
  })

  it('counts a second hand-over as doubled at QoS 2 and as repeated below', () => {
    expect(judge([key(0, 2), key(0, 2)], [])).toMatchObject({ doubled: 1, repeated: 0 })
    expect(judge([key(0, 2), key(0, 2)], [], ['t/#', 1])).toMatchObject({ doubled: 0, repeated: 1 })
    expect(judge([key(0), key(0)], [])).toMatchObject({ doubled: 0, repeated: 1 })
  })

  it('counts a first hand-over behind a later one as inverted, within publisher, topic and QoS only', () => {
    expect(judge([key(1), key(0)], [])).toMatchObject({ inverted: 1 })
    expect(judge([key(1), key(0, 2), 'q|t/a|1|0|0', 'p|t/b|1|0|0'], [])).toMatchObject({ inverted: 0 })
    expect(judge([key(0), key(1), key(0)], [])).toMatchObject({ inverted: 0, repeated: 1 })
  })

  it('counts what nobody sent and what no filter asked for', () => {
    expect(judge([key(5)], [], ['t/#', 1], [])).toMatchObject({ unasked: 1 })
    expect(judge([key(5)], [], ['other', 1])).toMatchObject({ unasked: 1 })
  })

  it('knows a message of an earlier round again, and one that came too late', () => {
    const ledger = new Ledger('s', [['t/#', 2]])
    ledger.deliver(key(0, 2))
    ledger.close(0, promised(key(0, 2), key(1, 2)), new Set([key(0, 2), key(1, 2)]))
    ledger.deliver(key(0, 2))
    ledger.deliver(key(1, 2))
    expect(ledger.close(1, new Map(), new Set())).toMatchObject({ doubled: 1, late: 1, unasked: 0 })
  })
})

describe('names', () => {
  it('come back from a payload', () => {
    expect(keyIn(payloadOf(key(7), 200))).toBe(key(7))
    for (let i = 0; i < 50; i++) expect(payloadOf(key(i), 200)).toEqual(payloadOf(key(i), 200))
    expect(new Set(Array.from({ length: 50 }, (_, i) => payloadOf(key(i), 200).length)).size).toBeGreaterThan(2)
  })

  it('match filters as the standard says', () => {
    expect(matches('a/#', 'a')).toBe(true)
    expect(matches('a/+', 'a')).toBe(false)
    expect(matches('+/b', 'a/b')).toBe(true)
    expect(matches('#', '$SYS/x')).toBe(false)
    expect(
      grantedQos(
        [
          ['a/#', 1],
          ['a/+', 2],
        ],
        'a/b',
        2,
      ),
    ).toBe(2)
    expect(
      grantedQos(
        [
          ['a/#', 1],
          ['a/+', 2],
        ],
        'a/b',
        1,
      ),
    ).toBe(1)
    expect(grantedQos([['b', 2]], 'a/b', 1)).toBe(-1)
  })
})

const OP = { open: 1, write: 2, sync: 3, dirsync: 4, rename: 5, unlink: 6, link: 11 } as const
type Line = [op: keyof typeof OP, before: number, after: number, handle: number, offset: number, data: string]

describe('the shadow folder', () => {
  const folders: string[] = []
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
  })

  /** The folder after a cut at `at`, as file name and content. */
  function cut(lines: readonly Line[], at: number, random?: Seeded, journal = false): Record<string, string> {
    const folder = mkdtempSync(join(tmpdir(), 'shadow-'))
    folders.push(folder)
    const log = join(folder, 'log')
    const records = lines.map(([op, before, after, handle, offset, data]) => {
      const head = Buffer.alloc(40)
      head.writeUInt32LE(Buffer.byteLength(data), 0)
      head.writeUInt32LE(OP[op], 4)
      for (const [i, value] of [before, after, handle, offset].entries()) head.writeBigUInt64LE(BigInt(value), 8 + 8 * i)
      return Buffer.concat([head, Buffer.from(data)])
    })
    writeFileSync(log, Buffer.concat(records))
    const shadow = new Shadow('/d', readOperations(log), journal)
    shadow.advance(at)
    const to = join(folder, 'cut')
    shadow.write(to, random)
    const files = readdirSync(to, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(to, name)).isFile())
    return Object.fromEntries(files.map((name) => [name, readFileSync(join(to, name), 'utf8')]))
  }

  const story: Line[] = [
    ['open', 1, 2, 1, 3, '/d/a'],
    ['write', 3, 4, 1, 0, 'one'],
    ['sync', 5, 10, 1, 0, ''],
    ['write', 6, 7, 1, 3, 'two'],
    ['sync', 11, 20, 1, 0, ''],
    ['rename', 21, 22, 0, 0, '/d/a\0/d/b'],
    ['dirsync', 23, 30, 0, 0, '/d'],
    ['unlink', 31, 32, 0, 0, '/d/b'],
  ]

  it('has only what a finished sync covers', () => {
    expect(cut(story, 9)).toEqual({})
    expect(cut(story, 10)).toEqual({ a: 'one' })
    expect(cut(story, 19)).toEqual({ a: 'one' })
    expect(cut(story, 20)).toEqual({ a: 'onetwo' })
  })

  it('moves names when their folder is synced', () => {
    expect(cut(story, 29)).toEqual({ a: 'onetwo' })
    expect(cut(story, 30)).toEqual({ b: 'onetwo' })
    expect(cut(story, 99)).toEqual({ b: 'onetwo' })
  })

  it('takes name changes with any sync only in the journal model', () => {
    const more: Line[] = [
      ['open', 1, 2, 1, 3, '/d/a'],
      ['sync', 3, 4, 1, 0, ''],
      ['open', 5, 6, 2, 3, '/d/c'],
      ['rename', 7, 8, 0, 0, '/d/c\0/d/b'],
      ['sync', 9, 10, 1, 0, ''],
    ]
    expect(Object.keys(cut(more, 10))).toEqual(['a'])
    expect(Object.keys(cut(more, 10, undefined, true))).toEqual(['a', 'b'])
  })

  it('moves what is in a folder when the folder that holds it is synced', () => {
    const aside: Line[] = [
      ['open', 1, 2, 1, 3, '/d/new/a'],
      ['write', 3, 4, 1, 0, 'one'],
      ['sync', 5, 6, 1, 0, ''],
      ['rename', 7, 8, 0, 0, '/d/new\0/d/old'],
      ['dirsync', 9, 10, 0, 0, '/d'],
    ]
    expect(Object.keys(cut(aside, 9))).toEqual(['new/a'])
    expect(Object.keys(cut(aside, 10))).toEqual(['old/a'])
  })

  it('has one content under both names of a linked file', () => {
    const linked: Line[] = [
      ['open', 1, 2, 1, 3, '/d/a'],
      ['write', 3, 4, 1, 0, 'one'],
      ['sync', 5, 6, 1, 0, ''],
      ['link', 7, 8, 0, 0, '/d/a\0/d/k/a'],
      ['unlink', 9, 10, 0, 0, '/d/a'],
      ['dirsync', 11, 12, 0, 0, '/d/k'],
      ['dirsync', 13, 14, 0, 0, '/d'],
    ]
    expect(cut(linked, 11)).toEqual({ a: 'one' })
    expect(cut(linked, 12)).toEqual({ a: 'one', 'k/a': 'one' })
    expect(cut(linked, 14)).toEqual({ 'k/a': 'one' })
  })

  it('keeps at least what was safe, and never more than was written, when it tears', () => {
    const seen = new Set<string>()
    for (let seed = 0; seed < 60; seed++) {
      const { a = '' } = cut(story, 15, new Seeded(seed))
      expect('onetwo'.startsWith(a) && a.startsWith('one')).toBe(true)
      seen.add(a)
    }
    expect(seen.size).toBeGreaterThan(2)
  })
})
