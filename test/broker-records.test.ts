/** Stored records of the broker: what is written comes back, the bytes stay what they are, and those of earlier versions are still read. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { payloadOf, topicOf, viewOf } from '../src/broker/message.js'
import * as records from '../src/broker/records.js'
import * as keys from '../src/store/keys.js'

const hex = (text: string): Buffer => Buffer.from(text.replace(/[^0-9a-f]/g, ''), 'hex')
const u32 = fc.nat({ max: 0xffff_ffff })
const u48 = fc.nat({ max: 2 ** 48 - 1 })
const qos = fc.constantFrom(0, 1, 2) as fc.Arbitrary<0 | 1 | 2>

describe('a session', () => {
  const session = { id: 7, expiresAt: 0x0102_0304_0506, version: 5, maybeSent: 3, expiry_s: 0xffff_ffff, user: 'ann' }

  test('as it is written', () => {
    const bytes = hex('03 00000007 010203040506 05 0003 ffffffff 616e6e')
    expect(records.writeSessionRecord(session)).toEqual(bytes)
    expect(records.readSessionRecord(bytes)).toEqual(session)
  })

  test("of version 2, and as it is written for one that is nobody's", () => {
    const bytes = hex('02 00000007 010203040506 05 0003 ffffffff')
    const unowned = { ...session, user: undefined }
    expect(records.writeSessionRecord(unowned)).toEqual(bytes)
    expect(records.readSessionRecord(bytes)).toEqual(unowned)
  })

  test('of version 1, which says nothing about its expiry', () => {
    expect(records.readSessionRecord(hex('01 00000007 010203040506 04 0020'))).toEqual({
      id: 7,
      expiresAt: 0x0102_0304_0506,
      version: 4,
      maybeSent: 32,
      expiry_s: undefined,
      user: undefined,
    })
  })

  test('comes back', () => {
    const record = fc.record({
      id: u32,
      expiresAt: u48,
      version: fc.nat({ max: 5 }),
      maybeSent: fc.nat({ max: 65_535 }),
      expiry_s: u32,
      user: fc.option(fc.string({ unit: 'grapheme' }), { nil: undefined }),
    })
    fc.assert(
      fc.property(record, (r) => {
        expect(records.readSessionRecord(records.writeSessionRecord(r))).toEqual(r)
      }),
    )
  })

  test.each([
    '',
    '00',
    '01',
    '02 00000007 010203040506 05 0003',
    '01 00000007 010203040506 05 0003 00000000',
    '03 00000007 010203040506 05 0003 000000',
    '04 00000007 010203040506 05 0003 00000000',
  ])('that cannot be read says so: %s', (bytes) =>
    expect(() => records.readSessionRecord(hex(bytes))).toThrow('a stored session cannot be read'),
  )
})

describe('a will', () => {
  const message = {
    view: viewOf(Buffer.from('t/x'), Buffer.from('bye'), 0x0102, hex('03 0001 61')),
    qos: 1 as const,
    retain: true,
    fields: undefined,
  }
  const inner = '01 05 000000000102 000000000000 00000004 03000161 0003 742f78 0000 627965'

  test('as it is written', () => {
    const bytes = hex(`02 03 0000001e 0000000000ff 0000003c ${inner}`)
    expect(records.writeWillRecord({ message, delay_s: 30, dueAt: 255, expiry_s: 60, judged: true })).toEqual(bytes)
    const { message: said, ...rest } = records.readWillRecord(bytes)
    expect(rest).toEqual({ delay_s: 30, dueAt: 255, expiry_s: 60, judged: true })
    expect([topicOf(said.view), payloadOf(said.view).toString(), said.qos, said.retain]).toEqual(['t/x', 'bye', 1, true])
    expect(said.view.properties).toEqual(hex('03 0001 61'))
  })

  test('of version 1, the message alone', () => {
    const { message: said, ...rest } = records.readWillRecord(hex(inner))
    expect(rest).toEqual({ delay_s: 0, dueAt: 0, expiry_s: undefined, judged: false })
    expect([topicOf(said.view), payloadOf(said.view).toString(), said.qos, said.retain]).toEqual(['t/x', 'bye', 1, true])
  })

  test('comes back; an expiry of 0 is not the same as none', () => {
    fc.assert(
      fc.property(
        u32,
        u48,
        fc.option(fc.oneof(fc.constant(0), u32), { nil: undefined }),
        fc.boolean(),
        qos,
        (delay_s, dueAt, expiry_s, judged, q) => {
          const { message: said, ...rest } = records.readWillRecord(
            records.writeWillRecord({ message: { ...message, qos: q }, delay_s, dueAt, expiry_s, judged }),
          )
          expect(rest).toEqual({ delay_s, dueAt, expiry_s, judged })
          expect(said.qos).toBe(q)
        },
      ),
    )
  })

  test.each(['', '00', '02', `03 03 0000001e 0000000000ff 0000003c ${inner}`])('that cannot be read says so: %s', (bytes) =>
    expect(() => records.readWillRecord(hex(bytes))).toThrow(/a stored (will|message) cannot be read/),
  )
})

describe('the keys of wills', () => {
  const clientId = fc.string({ unit: 'binary', maxLength: 12 }).filter((s) => !s.includes('\0'))

  test('client and number come back, also without a number', () => {
    fc.assert(
      fc.property(clientId, u48, (id, number) => {
        expect(keys.willFields(keys.willKey(id, number))).toEqual({ clientId: Buffer.from(id), number })
      }),
    )
    expect(keys.willKey('dev-1')).toEqual(Buffer.from('Wdev-1'))
    expect(keys.willKey('dev-1', 7)).toEqual(Buffer.concat([Buffer.from('Wdev-1'), hex('00 000000000007')]))
  })

  test('a client has its own, whatever others are called', () => {
    fc.assert(
      fc.property(clientId, clientId, u48, (mine, other, number) => {
        const { gte, lt } = keys.willsOf(mine)
        const inside = (key: Buffer): boolean => Buffer.compare(key, gte) >= 0 && Buffer.compare(key, lt) < 0
        expect(inside(keys.willKey(mine, number))).toBe(true)
        expect(inside(keys.willKey(other, number))).toBe(other === mine)
      }),
    )
  })
})
