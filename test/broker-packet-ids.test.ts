import fc from 'fast-check'
import { expect, it } from 'vitest'
import { PacketIds } from '../src/broker/packet-ids.js'

const id = fc.integer({ min: 1, max: 65_535 })
const command = fc.record({
  verb: fc.constantFrom('add', 'delete', 'complete'),
  id: fc.oneof(id, fc.integer({ min: 1, max: 300 })),
})

it('is a set of identifiers, few or many', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 600 }), fc.integer({ min: 0, max: 1000 }), (commands, before) => {
      const ids = new PacketIds()
      const model = new Set<number>()
      for (let i = 1; i <= before; i++) {
        ids.add(i)
        model.add(i)
      }
      for (const { verb, id } of commands) {
        if (verb === 'add') {
          ids.add(id)
          model.add(id)
        } else {
          expect(ids[verb === 'delete' ? 'delete' : 'complete'](id)).toBe(model.delete(id))
        }
        expect([ids.size, ids.has(id)]).toEqual([model.size, model.has(id)])
      }
      expect([...ids].sort((a, b) => a - b)).toEqual([...model].sort((a, b) => a - b))
    }),
    { numRuns: 50 },
  )
})

it('remembers the last 1,024 that were completed, and not those that were taken back', () => {
  const ids = new PacketIds()
  for (let i = 1; i <= 3000; i++) {
    ids.add(i)
    ids.complete(i)
  }
  ids.add(5000)
  ids.delete(5000)
  const known = Array.from({ length: 65_535 }, (_, i) => i + 1).filter((i) => ids.wasCompleted(i))
  expect(known).toEqual(Array.from({ length: 1024 }, (_, i) => i + 1977))
})
