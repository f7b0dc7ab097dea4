/** Holds the conformance table to the tests that exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { conformancePage } from './page.js'
import { standards } from './standards.js'
import { type Title, titlesIn } from './titles.js'

const root = new URL('../../', import.meta.url)
const read = new Map<string, Title[]>()

function titlesOf(file: string): Title[] {
  let titles = read.get(file)
  if (titles === undefined) {
    const path = new URL(file, root)
    titles = existsSync(path) ? titlesIn(readFileSync(path, 'utf8')) : []
    read.set(file, titles)
  }
  return titles
}

const statements = standards.flatMap(({ name, statements }) => statements.map((s) => ({ ...s, name: `${name} ${s.id}` })))

describe.each(standards)('the table of $name', ({ statements, count }) => {
  it('has every statement once, in order', () => {
    const ids = statements.map(({ id }) => id)
    expect(ids).toHaveLength(count)
    const parts = (id: string): number[] => id.split(/[.-]/).map(Number)
    const sorted = [...new Set(ids)].sort((a, b) => {
      const [x, y] = [parts(a), parts(b)]
      const at = x.findIndex((n, i) => n !== y[i])
      return at < 0 ? 0 : x[at] - y[at]
    })
    expect(ids).toEqual(sorted)
  })
})

describe('every statement', () => {
  it('has either tests or a reason', () => {
    const wrong = statements.filter(({ tests, reason }) => tests.length > 0 === (reason !== ''))
    expect(wrong.map(({ name }) => name)).toEqual([])
  })

  it('names tests that exist, each of them once in its file', () => {
    const wrong = statements.flatMap(({ name, tests }) =>
      tests
        .filter(({ file, title }) => titlesOf(file).filter(({ words }) => words === title).length !== 1)
        .map(({ file, title }) => `${name}: ${file}: ${title}`),
    )
    expect(wrong).toEqual([])
  })

  it('names no test twice', () => {
    const twice = statements.filter(({ tests }) => new Set(tests.map(({ file, title }) => file + title)).size !== tests.length)
    expect(twice.map(({ name }) => name)).toEqual([])
  })
})

describe('the page', () => {
  it('is not stale: `npm run docs` makes it', () => {
    expect(readFileSync(new URL('README.md', import.meta.url), 'utf8')).toBe(conformancePage(standards))
  })
})

describe('tests written for MQTT 5', () => {
  const files = readdirSync(new URL('.', import.meta.url)).filter((name) => /^five-.*\.test\.ts$/.test(name))

  it('carry the clauses of the statements that name them, and no others', () => {
    const five = standards.find(({ name }) => name === 'MQTT 5.0')?.statements ?? []
    const wrong = files.flatMap((name) =>
      titlesOf(`test/conformance/${name}`).flatMap(({ words, clauses }) => {
        const named = five.filter(({ tests }) => tests.some(({ file, title }) => file.endsWith(`/${name}`) && title === words))
        const ids = named.map(({ id }) => id).sort()
        return ids.join() === [...clauses].sort().join() ? [] : [`${name}: ${words}: the table says ${ids}, its title ${clauses}`]
      }),
    )
    expect(wrong).toEqual([])
  })
})

describe('the reader of titles', () => {
  it('sees groups, tables of cases and clauses, not comments and what is skipped', () => {
    const source = `
      // test('a comment', () => {})
      describe('group [MQTT-1.2.3-4]', () => {
        it('one [MQTT-3.1.2-10] [MQTT-3.1.2-11]', () => {})
        it.each([1, 2])('each %i', () => {})
        describe.skipIf(no)('inner', () => { test(\`two\`, () => {}) })
      })
      test.skip('skipped', () => {})
      describe.skip('gone', () => { test('within', () => {}) })
      other('no test', () => {})
      test(name, () => {})`
    expect(titlesIn(source)).toEqual([
      { words: 'group > one', clauses: ['3.1.2-10', '3.1.2-11'] },
      { words: 'group > each %i', clauses: [] },
      { words: 'group > inner > two', clauses: [] },
    ])
  })
})
