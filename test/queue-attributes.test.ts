import { describe, expect, it } from 'vitest'
import { makeSettings } from '../src/config/load.js'
import { AqueductError } from '../src/core/errors.js'
import { ATTRIBUTES, checkQueueName, parseAttributes, queueNameValid } from '../src/queue/attributes.js'

function codeOf(fn: () => unknown): string | undefined {
  try {
    fn()
  } catch (error) {
    return error instanceof AqueductError ? error.code : 'not ours'
  }
  return undefined
}

describe('queue attributes', () => {
  it('have the defaults of the settings that stand for them', () => {
    for (const [name, value] of Object.entries(makeSettings({}).queue)) {
      expect([name, value]).toEqual([name, ATTRIBUTES[name as keyof typeof ATTRIBUTES].standard])
    }
  })

  it('have the documented defaults', () => {
    expect(parseAttributes(undefined)).toEqual({
      lease_ms: 30_000,
      delay_ms: 0,
      retention_s: 345_600,
      max_attempts: 0,
      dead_letter: '',
      wait_ms: 0,
      fifo: false,
      last_value: false,
      dedup_window_s: 300,
      max_messages: 1_000_000,
      max_bytes: 2 ** 30,
      max_message_bytes: 2_097_152,
      overflow: 'reject',
      retain_s: 0,
    })
    expect(Object.isFrozen(parseAttributes(undefined))).toBe(true)
  })

  it('take every number at both ends of its range and refuse the ones beyond', () => {
    for (const [key, row] of Object.entries(ATTRIBUTES)) {
      if (row.kind !== 'number') continue
      for (const value of [row.min, row.max]) expect(parseAttributes({ [key]: value })).toMatchObject({ [key]: value })
      for (const value of [
        row.min - 1,
        row.max + 1,
        row.min + 0.5,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        `${row.min}`,
        null,
        true,
        [],
      ]) {
        expect([key, value, codeOf(() => parseAttributes({ [key]: value }))]).toEqual([key, value, 'attribute_invalid'])
      }
    }
  })

  it('refuse wrong types, unknown keys and what is no object', () => {
    const bad: unknown[] = [
      { fifo: 1 },
      { fifo: 'true' },
      { overflow: 'drop' },
      { overflow: 1 },
      { dead_letter: '../x' },
      { dead_letter: 7 },
      { lease: 1 },
      { toString: 1 },
      { __proto__x: 1 },
      null,
      [],
      'fifo',
      7,
    ]
    for (const input of bad) expect([input, codeOf(() => parseAttributes(input))]).toEqual([input, 'attribute_invalid'])
    expect(codeOf(() => parseAttributes(JSON.parse('{"__proto__": {"fifo": true}}')))).toBe('attribute_invalid')
  })

  it('are laid over those that a queue has', () => {
    const base = parseAttributes({ fifo: true, lease_ms: 5 })
    expect(parseAttributes({ lease_ms: 7 }, base)).toEqual({ ...base, lease_ms: 7 })
    expect(parseAttributes(undefined, base)).toEqual(base)
  })
})

describe('queue names', () => {
  it('are letters, digits and . _ -, and never ".."', () => {
    for (const name of ['a', '9', 'Orders.eu-1_x', 'a'.repeat(256), 'a.b.c'])
      expect([name, queueNameValid(name)]).toEqual([name, true])
    for (const name of ['', '.a', '-a', '_a', 'a..b', 'a/b', 'a b', 'ä', 'a\n', '$dead', 'a'.repeat(257)]) {
      expect([name, queueNameValid(name)]).toEqual([name, false])
      expect(codeOf(() => checkQueueName(name))).toBe('name_invalid')
    }
  })
})
