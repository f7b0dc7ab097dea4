/** Searches of the store take turns. */
import { expect, test } from 'vitest'
import { Turns } from '../src/operations/turns.js'

test('so many at once, in the order in which they came; too many waiting are refused', async () => {
  let refused = 0
  const turns = new Turns(1, 2, () => refused++)
  const ends: (() => void)[] = []
  const began: number[] = []
  const work = (n: number): Promise<number> =>
    turns.run(async () => {
      began.push(n)
      await new Promise<void>((resolve) => ends.push(resolve))
      if (n === 1) throw new Error('failed')
      return n
    })
  const all = [work(0), work(1), work(2)]
  await expect(work(3)).rejects.toMatchObject({ code: 'busy' })
  expect(refused).toBe(1)
  expect(began).toEqual([0])
  ends[0]()
  expect(await all[0]).toBe(0)
  expect(began).toEqual([0, 1])
  const fourth = work(4)
  ends[1]()
  // One that fails hands its turn on, too.
  await expect(all[1]).rejects.toThrow('failed')
  ends[2]()
  expect(await all[2]).toBe(2)
  ends[3]()
  expect(await fourth).toBe(4)
  expect(began).toEqual([0, 1, 2, 4])
})
