import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { filterFault, hasWildcard, matches, sharedFilter, topicFault } from '../src/topics/names.js'
import { matchesBySplitting, topicFilter, topicName } from './support/topics.js'

describe('topicFault', () => {
  it.each(['a', '/', '//', ' ', 'a b', '$SYS/x', 'a/', '/a', '\uFEFFa', '\u0001', '\u{1F600}', '__proto__', '$share/g/a'])(
    'accepts %j',
    (name) => expect(topicFault(name, 200)).toBeUndefined(),
  )
  it.each([
    ['', /empty/],
    ['a/#', /wildcard/],
    ['a+b', /wildcard/],
    ['a\0', /U\+0000/],
    ['a\uD800', /UTF-8/],
    ['\uDC00\uD800', /UTF-8/],
  ])('refuses %j', (name, why) => expect(topicFault(name, 200)).toMatch(why))

  it('counts bytes, not characters', () => {
    expect(topicFault('x'.repeat(65_535), 1)).toBeUndefined()
    expect(topicFault('x'.repeat(65_536), 1)).toMatch(/65535 bytes/)
    expect(topicFault('€'.repeat(21_845), 1)).toBeUndefined()
    expect(topicFault(`${'€'.repeat(21_845)}x`, 1)).toMatch(/65535 bytes/)
  })

  it('counts levels', () => {
    expect(topicFault('a/b/c', 3)).toBeUndefined()
    expect(topicFault('a/b/c', 2)).toMatch(/2 levels/)
    expect(topicFault('//', 2)).toMatch(/2 levels/)
    expect(topicFault('/'.repeat(65_535), 65_536)).toBeUndefined()
  })
})

describe('filterFault', () => {
  it.each([
    '#',
    '+',
    '/',
    '+/+',
    '/+',
    '+/',
    'a/#',
    '+/a/#',
    'a/+/b',
    '//#',
    '$SYS/#',
    '$share/g/#',
    '$share/g//',
    '$share',
    '$shared/#',
  ])('accepts %j', (filter) => expect(filterFault(filter, 200)).toBeUndefined())
  it.each([
    ['', /empty/],
    ['##', /# must/],
    ['a#', /# must/],
    ['a/b#', /# must/],
    ['#/a', /# must/],
    ['#/', /# must/],
    ['a/#/b', /# must/],
    ['++', /\+ must/],
    ['a+', /\+ must/],
    ['+a', /\+ must/],
    ['a/+b/c', /\+ must/],
    ['+#', /must stand alone/],
    ['a\0', /U\+0000/],
    ['a\uDC00', /UTF-8/],
    ['$share/', /shared subscription/],
    ['$share//a', /shared subscription/],
    ['$share/g', /shared subscription/],
    ['$share/g/', /behind its group/],
    ['$share/+/a', /shared subscription/],
    ['$share/#', /shared subscription/],
    ['$share/g\0/a', /group/],
    ['$share/g\uD800/a', /group/],
    ['$share/g/a#', /# must/],
  ])('refuses %j', (filter, why) => expect(filterFault(filter, 200)).toMatch(why))

  it('counts bytes and levels, of a shared filter its own levels', () => {
    expect(filterFault('a/+/#', 3)).toBeUndefined()
    expect(filterFault('a/+/#', 2)).toMatch(/2 levels/)
    expect(filterFault('$share/g/a/#', 2)).toBeUndefined()
    expect(filterFault('$share/g/a/b/#', 2)).toMatch(/2 levels/)
    expect(filterFault('x'.repeat(65_536), 1)).toMatch(/65535 bytes/)
    expect(filterFault(`$share/g/${'x'.repeat(65_526)}`, 1)).toBeUndefined()
    expect(filterFault(`$share/g/${'x'.repeat(65_527)}`, 1)).toMatch(/65535 bytes/)
  })

  it('accepts every name as a filter, but for the shared form', () => {
    fc.assert(
      fc.property(topicName, (name) => {
        expect(filterFault(name, 9)).toBeUndefined()
      }),
    )
  })
})

describe('sharedFilter', () => {
  it('parts group and filter', () => {
    expect(sharedFilter('$share/g/a/+/#')).toEqual({ group: 'g', filter: 'a/+/#' })
    expect(sharedFilter('$share/g//a')).toEqual({ group: 'g', filter: '/a' })
  })
  it.each(['a', '$share', '$share/', '$share/g', '$share//a', '$share/+/a', '$share/g#/a', '$SHARE/g/a'])(
    'does not see one in %j',
    (filter) => expect(sharedFilter(filter)).toBeUndefined(),
  )
})

describe('matches', () => {
  it.each([
    ['a/#', 'a', true],
    ['a/#', 'a/', true],
    ['a/#', 'ab', false],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['+', '', true],
    ['+/+', '/a', true],
    ['/+', '/a', true],
    ['+', '/a', false],
    ['a/b', 'a', false],
    ['a', 'a/b', false],
    ['a/', 'a', false],
    ['a', 'a/', false],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS', true],
    ['$SYS/+', '$SYS/x', true],
    ['a/+', 'a/$x', true],
    ['a/#', 'A/b', false],
  ])('%j on %j: %s', (filter, topic, yes) => expect(matches(filter, topic)).toBe(yes))

  it('agrees with the rule by splitting', () => {
    fc.assert(
      fc.property(topicFilter, topicName, (filter, topic) => {
        expect(matches(filter, topic)).toBe(matchesBySplitting(filter, topic))
      }),
      { numRuns: 3_000 },
    )
  })

  it('tells wildcards from names', () => {
    expect(['a/+', '#', 'a/#'].every(hasWildcard)).toBe(true)
    expect(['a', '/', '$share/g/a'].some(hasWildcard)).toBe(false)
  })
})
