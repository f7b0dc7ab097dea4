import { expect, test } from 'vitest'
import { silentLog } from '../src/core/log.js'
import { Seldom } from '../src/core/seldom.js'

test('says a sentence ten times in ten seconds, then how often it was not said, and shortens what clients sent', () => {
  const lines: object[] = []
  let now = 0
  const seldom = new Seldom({ ...silentLog, warn: (fields, sentence) => void lines.push({ ...fields, sentence }) }, () => now)
  for (let i = 0; i < 25; i++) seldom.warn({ i }, 'a')
  expect(lines).toEqual(Array.from({ length: 10 }, (_, i) => ({ i, sentence: 'a' })))
  seldom.warn({ topic: 'x'.repeat(70_000) }, 'b')
  expect(lines[10]).toEqual({ topic: `${'x'.repeat(200)}…`, sentence: 'b' })
  now = 9_999
  seldom.warn({}, 'a')
  expect(lines).toHaveLength(11)
  now = 10_000
  seldom.warn({}, 'a')
  seldom.warn({}, 'a')
  expect(lines.slice(11)).toEqual([{ more: 16, sentence: 'a' }, { sentence: 'a' }])
})

test('of a kind of its own, at each level, with as many lines in a period as is said; and it remembers a bounded number of kinds', () => {
  const lines: string[] = []
  let now = 0
  const log = {
    ...silentLog,
    error: (fields: object, sentence: string) => void lines.push(`${JSON.stringify(fields)} ${sentence}`),
  }
  const seldom = new Seldom(log, () => now, { lines: 1, period_ms: 1_000 })
  for (let i = 0; i < 3; i++) seldom.error({}, `failed ${i}`, 'failed')
  now = 1_000
  seldom.error({}, 'failed 3', 'failed')
  expect(lines).toEqual(['{} failed 0', '{"more":2} failed 3'])
  for (let i = 0; i <= 256; i++) seldom.error({}, 'x', `kind ${i}`)
  seldom.error({}, 'x', 'kind 256')
  expect(lines).toHaveLength(259)
  seldom.error({}, 'x', 'kind 0')
  expect(lines).toHaveLength(260)
})
