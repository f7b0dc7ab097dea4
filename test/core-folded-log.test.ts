import { expect, it } from 'vitest'
import { FoldedLog } from '../src/core/folded-log.js'
import { silentLog } from '../src/core/log.js'
import { ManualClock } from './support/clock.js'

function recorder() {
  const lines: [object, string][] = []
  return { lines, log: { ...silentLog, warn: (fields: object, message: string) => void lines.push([fields, message]) } }
}

it('says the first of a kind at once and counts what follows within the interval', () => {
  const { lines, log } = recorder()
  const clock = new ManualClock()
  const folded = new FoldedLog(log, clock, 1_000)
  for (let i = 0; i < 5; i++) folded.warn('a', { i }, 'refused')
  folded.warn('b', {}, 'another kind')
  expect(lines).toEqual([
    [{ i: 0 }, 'refused'],
    [{}, 'another kind'],
  ])
  clock.advance(999)
  folded.warn('a', { i: 5 }, 'refused')
  expect(lines).toHaveLength(2)
  clock.advance(1)
  folded.warn('a', { i: 6 }, 'refused')
  expect(lines[2]).toEqual([{ i: 6, more: 5 }, 'refused'])
  clock.advance(1_000)
  folded.warn('a', { i: 7 }, 'refused')
  expect(lines[3]).toEqual([{ i: 7 }, 'refused'])
})

it('remembers a bounded number of kinds', () => {
  const { lines, log } = recorder()
  const folded = new FoldedLog(log, new ManualClock())
  for (let i = 0; i <= 256; i++) folded.warn(`kind ${i}`, {}, 'x')
  folded.warn('kind 256', {}, 'x')
  expect(lines).toHaveLength(257)
  folded.warn('kind 0', {}, 'x')
  expect(lines).toHaveLength(258)
})
