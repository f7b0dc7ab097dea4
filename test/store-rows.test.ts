/** Packed rows: what is written is read again, whatever its shape. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EXTENT_SEQUENCES, LOG_ROW_BYTES_MAX } from '../src/core/limits.js'
import { RowWriter } from '../src/store/row-writer.js'
import { EntryReader, findMessage, messageCount, StoredMessage } from '../src/store/rows.js'
import { message } from './support/store.js'

const BASE = Date.UTC(2026, 0, 1)
const MAX_INDEX = 2 ** 40

const entry = fc.record({
  queueId: fc.nat({ max: 0xffff_ffff }),
  index: fc.oneof(fc.nat({ max: 100 }), fc.integer({ min: 0xffff_fff0, max: 0x1_0000_000f }), fc.nat({ max: MAX_INDEX })),
  flags: fc.nat({ max: 255 }),
  extra: fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined }),
})
const stored = fc.record({
  gap: fc.constantFrom(1, 1, 1, 2, 7),
  later: fc.constantFrom(0, 0, 1, 50),
  payload: fc.oneof(
    { weight: 9, arbitrary: fc.uint8Array({ maxLength: 100 }) },
    { weight: 1, arbitrary: fc.constant(new Uint8Array(70_000)) },
  ),
  properties: fc.option(fc.uint8Array({ maxLength: 30 }), { nil: undefined }),
  expiresAt: fc.constantFrom(0, 0, BASE + 5_000, 2 ** 47),
  entries: fc.array(entry, { maxLength: 4 }),
})

describe('packed rows', () => {
  test('come back as they were written, over any number of rows of one writer', () => {
    const writer = new RowWriter()
    fc.assert(
      fc.property(fc.array(stored, { minLength: 1, maxLength: 12 }), (list) => {
        const first = 4_097
        let seq = first
        let at = BASE
        const given = list.map((m, i) => {
          if (i > 0) seq += m.gap
          at += m.later
          const properties = m.properties === undefined ? undefined : Buffer.from(m.properties)
          return { ...m, seq, view: message(Buffer.from(m.payload), { acceptedAt: at, expiresAt: m.expiresAt, properties }) }
        })
        for (const m of given) {
          writer.message(m.seq, m.view)
          for (const e of m.entries)
            writer.entry(e.queueId, e.index, e.flags, e.extra === undefined ? undefined : Buffer.from(e.extra))
        }
        const rows = writer.finish()
        expect(messageCount(rows.message)).toBe(given.length)
        const reader = new EntryReader()
        reader.open(rows.entry, first)
        for (const [i, m] of given.entries()) {
          expect(findMessage(rows.message, m.seq - first)).toBe(i)
          const back = new StoredMessage(rows.message, i)
          const { view } = m
          expect(Buffer.compare(back.buffer.subarray(back.bodyStart, back.end), view.buffer)).toBe(0)
          expect(back.payloadStart - back.bodyStart).toBe(view.payloadStart)
          expect(back.properties).toEqual(view.properties)
          expect([back.acceptedAt, back.expiresAt]).toEqual([view.acceptedAt, view.expiresAt])
          expect(reader.nextMessage()).toBe(true)
          expect([reader.seq, reader.acceptedAt, reader.expiresAt]).toEqual([m.seq, view.acceptedAt, view.expiresAt])
          expect(reader.bytes).toBe(view.end + (view.properties?.length ?? 0))
          expect(reader.entryCount).toBe(m.entries.length)
          for (const e of m.entries) {
            expect(reader.nextEntry()).toBe(true)
            expect([reader.queueId, reader.index, reader.flags]).toEqual([e.queueId, e.index, e.flags])
            expect(reader.extra()).toEqual(e.extra === undefined ? undefined : Buffer.from(e.extra))
          }
          expect(reader.nextEntry()).toBe(false)
        }
        expect(reader.nextMessage()).toBe(false)
        // What is not in the row is not found in it.
        const seqs = new Set(given.map((m) => m.seq))
        for (let s = first; s < seq + 3; s++) if (!seqs.has(s)) expect(findMessage(rows.message, s - first)).toBe(-1)
      }),
      { numRuns: 300 },
    )
  })

  test('a row takes no more than its bounds, and an empty one takes anything', () => {
    const writer = new RowWriter()
    expect(writer.fits(1 << 28, BASE)).toBe(true)
    const small = message('x')
    writer.message(1, small)
    expect(writer.fits(10, BASE)).toBe(true)
    expect(writer.fits(LOG_ROW_BYTES_MAX, BASE)).toBe(false)
    // A moment that its two bytes cannot say, or before the row's own, begins a new row.
    expect(writer.fits(10, BASE + 0xffff)).toBe(true)
    expect(writer.fits(10, BASE + 0x1_0000)).toBe(false)
    expect(writer.fits(10, BASE - 1)).toBe(false)
    let seq = 2
    while (writer.fits(0, BASE)) writer.message(seq++, small)
    const rows = writer.finish()
    expect(rows.message.length).toBeLessThanOrEqual(LOG_ROW_BYTES_MAX)
    expect(messageCount(rows.message)).toBeLessThanOrEqual(EXTENT_SEQUENCES)
  })
})
