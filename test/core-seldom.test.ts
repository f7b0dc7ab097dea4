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
