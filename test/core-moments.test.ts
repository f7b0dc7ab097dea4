/** The heap of moments beside a plain list: the earliest is always first, whatever was moved or taken back. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Moment, Moments } from '../src/core/moments.js'

class Thing implements Moment {
  dueAt = 0
  slot = -1
}

test('the earliest is first; a thing is in it once, and knows its place', () => {
  const command = fc.record({ thing: fc.nat({ max: 30 }), at: fc.option(fc.nat({ max: 20 })) })
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80, size: 'max' }), (commands) => {
      const things = Array.from({ length: 31 }, () => new Thing())
      const moments = new Moments<Thing>()
      const inside = new Set<Thing>()
      for (const { thing, at } of commands) {
        const item = things[thing]
        if (at === null) {
          moments.delete(item)
          inside.delete(item)
        } else {
          item.dueAt = at
          moments.place(item)
          inside.add(item)
        }
        const earliest = Math.min(...[...inside].map(({ dueAt }) => dueAt))
        expect(moments.size).toBe(inside.size)
        expect(moments.first?.dueAt ?? Number.POSITIVE_INFINITY).toBe(earliest)
        expect(moments.firstDue(earliest - 1)).toBe(undefined)
        expect(moments.firstDue(earliest)).toBe(moments.first)
      }
      for (const one of things) expect(one.slot >= 0).toBe(inside.has(one))
      const order: number[] = []
      for (let first = moments.first; first !== undefined; first = moments.first) {
        order.push(first.dueAt)
        moments.delete(first)
      }
      expect(order).toEqual([...inside].map(({ dueAt }) => dueAt).sort((a, b) => a - b))
    }),
  )
})
