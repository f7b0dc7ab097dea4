/** The judgement of the rig for what happens by time: it must find what is wrong, and leave open what nobody can know. */
import { expect, test } from 'vitest'
import { expectation, faults, type Life, type Outage, PROMPT_MS } from './rigs/lib/fates.js'

const life = (more: Partial<Life> = {}): Life => ({
  name: 'd',
  expiry_s: 10,
  delay_s: 2,
  lost: 1_000,
  end: 'dropped',
  back: undefined,
  tried: false,
  ...more,
})
const back = (asked: number, more: Partial<NonNullable<Life['back']>> = {}) => ({
  asked,
  granted: asked + 10,
  clean: false,
  present: true,
  ...more,
})

test('a will that nobody takes back is sent once, at its time', () => {
  expect(faults(life(), [3_100], [])).toEqual([])
  expect(faults(life(), [], [])).toEqual(['never sent'])
  expect(faults(life(), [2_900], [])).toEqual(['sent 100 ms too early'])
  expect(faults(life(), [9_000], [])).toHaveLength(1)
  expect(faults(life(), [3_100, 3_200], [])).toEqual(['sent twice'])
  expect(faults(life({ expiry_s: 1 }), [2_100], [])).toEqual([])
})

test('a broker that is not there gives until after its start', () => {
  const outages: Outage[] = [{ from: 2_900, to: 8_000 }]
  expect(expectation(life(), outages)).toEqual({ will: 'once', from: 3_000, to: 8_000 + PROMPT_MS })
  // It may have died before it knew that the client was gone.
  expect(expectation(life(), [{ from: 1_100, to: 4_000 }])).toEqual({
    will: 'once',
    from: 3_000,
    to: 4_000 + PROMPT_MS + 2_000 + PROMPT_MS,
  })
})

test('a client that comes back in time takes it back, one that is late does not, in between nobody knows', () => {
  expect(faults(life({ back: back(2_500) }), [], [])).toEqual([])
  expect(faults(life({ back: back(2_500) }), [3_000], [])).toEqual(['sent, though it was taken back'])
  expect(faults(life({ back: back(9_000) }), [], [])).toEqual(['never sent'])
  expect(expectation(life({ back: back(3_200) }), []).will).toBe('either')
  expect(expectation(life({ tried: true }), []).will).toBe('either')
  expect(faults(life({ end: 'told' }), [3_000], [])).toEqual(['sent, though it was taken back'])
})

test('a clean start ends the session, and the wait with it', () => {
  const clean = life({ back: back(1_500, { clean: true, present: false }) })
  expect(faults(clean, [1_510], [])).toEqual([])
  expect(faults(clean, [], [])).toEqual(['never sent'])
  expect(faults(clean, [5_000], [])).toHaveLength(1)
})

test('a session is there until its end and not after', () => {
  expect(faults(life({ delay_s: 0, back: back(9_000, { present: false }) }), [1_100], [])).toEqual(['session ended too early'])
  expect(faults(life({ delay_s: 0, back: back(15_000) }), [1_100], [])).toEqual(['session outlived its time'])
  expect(faults(life({ delay_s: 0, back: back(11_200) }), [1_100], [])).toEqual([])
})
