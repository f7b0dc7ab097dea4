/** Keys: byte order is field order, fields come back, and a range holds its own and nobody else's. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { U48_MAX } from '../src/store/bytes.js'
import type { KeyRange } from '../src/store/disk.js'
import * as keys from '../src/store/keys.js'

const id = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 0xffff_fffe }))
const u48 = fc.oneof(fc.nat({ max: 300 }), fc.integer({ min: 0, max: U48_MAX }))
const rank = fc.oneof(fc.nat({ max: 300 }), fc.maxSafeNat())
const text = fc.string({ unit: 'binary', maxLength: 12 })

const inside = (key: Buffer, range: KeyRange): boolean => Buffer.compare(key, range.gte) >= 0 && Buffer.compare(key, range.lt) < 0
const sign = (a: number[], b: number[]): number => {
  for (const [i, n] of a.entries()) if (n !== b[i]) return Math.sign(n - b[i])
  return 0
}

type Make = (...fields: number[]) => Buffer
const numeric: [string, Make, fc.Arbitrary<number>[], (key: Buffer) => number[]][] = [
  ['message row', keys.messageRowKey, [u48], (k) => [keys.rowNumber(k)]],
  ['entry row', keys.entryRowKey, [u48], (k) => [keys.rowNumber(k)]],
  ['commit row', keys.commitRowKey, [u48], (k) => [keys.rowNumber(k)]],
  ['head', keys.headKey, [id], (k) => [keys.queueIdOf(k)]],
  ['queue', keys.queueKey, [id], (k) => [keys.queueIdOf(k)]],
  ['index page', keys.indexPageKey, [id, u48], (k) => Object.values(keys.indexPageFields(k))],
  ['queue made by a rule', keys.autoQueueKey, [id], (k) => [keys.autoQueueId(k)]],
  ['pubrel', keys.pubrelKey, [id, u48], (k) => Object.values(keys.pubrelFields(k))],
  ['inbound', keys.inboundKey, [id, fc.nat({ max: 65_535 })], (k) => Object.values(keys.inboundFields(k))],
  ['ordered state', keys.orderedStateKey, [id, u48], (k) => Object.values(keys.orderedStateFields(k))],
  [
    'ordered index',
    keys.orderedIndexKey,
    [id, fc.nat({ max: 254 }), rank, u48],
    (k) => Object.values(keys.orderedIndexFields(k)),
  ],
]

describe('keys', () => {
  test.each(numeric)('%s: order and fields', (_name, make, fields, parse) => {
    fc.assert(
      fc.property(fc.tuple(...fields), fc.tuple(...fields), (a, b) => {
        expect(parse(make(...a))).toEqual(a)
        expect(Math.sign(Buffer.compare(make(...a), make(...b)))).toBe(sign(a, b))
      }),
    )
  })

  test('text comes back, from a string as from its bytes', () => {
    fc.assert(
      fc.property(text, id, (s, n) => {
        const bytes = Buffer.from(s)
        for (const make of [keys.sessionKey, keys.willKey, keys.retainedKey, keys.bridgeRuleKey, keys.metaKey]) {
          expect(make(s).equals(make === keys.metaKey ? keys.metaKey(s) : make(bytes as never))).toBe(true)
          expect(keys.textOf(make(s)).equals(bytes)).toBe(true)
        }
        expect(keys.subscriptionKey(n, s).equals(keys.subscriptionKey(n, bytes))).toBe(true)
        expect(keys.subscriptionFields(keys.subscriptionKey(n, s))).toEqual({ sessionId: n, filter: bytes })
      }),
    )
  })

  test('a range of one id holds the rows of that id only', () => {
    fc.assert(
      fc.property(id, id, u48, text, (a, b, seq, s) => {
        const of: [KeyRange, Buffer][] = [
          [keys.indexPages(a), keys.indexPageKey(b, seq)],
          [keys.subscriptionsOf(a), keys.subscriptionKey(b, s)],
          [keys.inboundOf(a), keys.inboundKey(b, seq % 65_536)],
          [keys.pubrelsOf(a), keys.pubrelKey(b, seq)],
          [keys.orderedIndexOf(a), keys.orderedIndexKey(b, 3, seq, seq)],
          [keys.orderedIndexOf(a, 3), keys.orderedIndexKey(b, 3, seq, seq)],
          [keys.orderedStateOf(a), keys.orderedStateKey(b, seq)],
          [keys.dedupOf(a), keys.dedupKey(b, s)],
        ]
        for (const [range, key] of of) expect(inside(key, range)).toBe(a === b)
      }),
    )
  })

  test('every kind of row has a range of its own', () => {
    const ranges = Object.entries({
      message: keys.messageRows(0, U48_MAX),
      entry: keys.entryRows(0, U48_MAX),
      commit: keys.commitRows(0),
      heads: keys.heads,
      pages: keys.allIndexPages,
      queues: keys.queueDefinitions,
      sessions: keys.sessions,
      subscriptions: keys.subscriptions,
      wills: keys.wills,
      retained: keys.retained,
      inbound: keys.inbound,
      pubrels: keys.pubrels,
      orderedIndex: keys.orderedIndex,
      orderedState: keys.orderedState,
      bridgeRules: keys.bridgeRules,
      autoQueues: keys.autoQueues,
    })
    const sorted = ranges.map(([name, r]) => ({ name, ...r })).sort((a, b) => Buffer.compare(a.gte, b.gte))
    for (const [i, r] of sorted.entries()) {
      expect(inside(r.gte, keys.everything)).toBe(true)
      if (i > 0) expect(Buffer.compare(sorted[i - 1].lt, r.gte)).toBeLessThanOrEqual(0)
    }
    expect(inside(keys.orderedIndexKey(1, 4, 0, 0), keys.orderedIndexOf(1, 3))).toBe(false)
  })
})
