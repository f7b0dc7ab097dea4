/** Which copies there are, for random rules and topics, against a plain reference; and what that costs in the number of rules. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { matches } from '../../src/topics/names.js'
import { startClocked } from '../support/broker.js'
import { connect, drained, names } from './support.js'

const level = fc.constantFrom('a', 'b', '', 'x.y', '..', 'ü', '$c', 'Z'.repeat(300))
const topics = fc.array(
  fc
    .array(level, { minLength: 1, maxLength: 4 })
    .map((l) => l.join('/'))
    .filter((t) => t !== ''),
  { maxLength: 6 },
)
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([levels, rest]) => [...levels, ...(rest ? ['#'] : [])].join('/'))
  .filter((f) => f !== '')
const piece = fc.constantFrom('q', '-', '.', 'x', '{1}', '{2}', '{#}', '{topic}', '{client}')
const text = fc.array(piece, { minLength: 1, maxLength: 4 }).map((p) => p.join(''))
const rule = fc.record({ filter, queue: text, key: fc.option(text, { nil: undefined }), qos0: fc.boolean() })

/** The slow way, by hand: what `{…}` stands for. */
function expand(template: string, of: string, topic: string, client: string): string | undefined {
  const wild = of
    .split('/')
    .flatMap((l, i) => (l === '+' ? [topic.split('/')[i]] : l === '#' ? [topic.split('/').slice(i).join('/')] : []))
  let fits = true
  const out = template.replace(/\{([^}]*)\}/g, (_, name: string) => {
    if (name === 'topic') return topic
    if (name === 'client') return client
    const found = name === '#' ? (of.endsWith('#') ? wild.at(-1) : undefined) : wild[Number(name) - 1]
    if (found === undefined) fits = false
    return found ?? ''
  })
  return fits ? out : undefined
}

const isName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,255}$/.test(name) && !name.includes('..')

test('every message is in the queues that the rules say, and in no other', async () => {
  const b = await startClocked()
  const dev = await connect(b, 'dev')
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(rule, { maxLength: 5 }), topics, fc.constantFrom(0, 1, 2), async (rules, list, qos) => {
        const made = rules.filter((r, i) => {
          const { key, ...others } = r
          const possible = [r.queue, r.key ?? 'k'].every((t) => expand(t, r.filter, r.filter, '') !== undefined)
          try {
            b.bridges.put(`r${i}`, key === undefined ? others : r)
            expect(possible).toBe(true)
            return true
          } catch (error) {
            // The rest of what is refused is a name that no message could have.
            if (possible) expect(String(error)).toMatch(/name|queue/)
            return false
          }
        })
        const expected: string[] = []
        for (const [i, topic] of list.entries()) {
          await dev.publishAndWait(topic, `${i}`, { qos: qos as 0 | 1 | 2 })
          for (const r of made) {
            const queue = expand(r.queue, r.filter, topic, 'dev') as string
            const key = r.key === undefined ? '' : (expand(r.key, r.filter, topic, 'dev') as string)
            if (!matches(r.filter, topic) || !isName(queue) || Buffer.byteLength(key) > 255 || (qos === 0 && !r.qos0)) continue
            expected.push(`${queue}: ${key === '' ? '' : `[${key}] `}${topic} ${i}`)
          }
        }
        await dev.ping()
        const got: string[] = []
        for (const name of names(b)) for (const one of await drained(b, name)) got.push(`${name}: ${one}`)
        expect(got.sort()).toEqual(expected.sort())
        for (const { name } of b.bridges.list()) b.bridges.delete(name)
        for (const name of names(b)) b.queues.ordered?.delete(b.queues.ordered.get(name) as never)
      }),
      { numRuns: 150 },
    )
  } finally {
    await b.close()
  }
})
