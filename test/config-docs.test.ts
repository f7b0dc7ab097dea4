import { readFileSync } from 'node:fs'
import { parse } from 'smol-toml'
import { describe, expect, it } from 'vitest'
import { makeSettings } from '../src/config/load.js'
import { effectiveToml, exampleToml, referencePage } from '../src/config/print.js'
import { entriesOf, resolve, rowsOf } from '../src/config/resolve.js'
import { table } from '../src/config/schema.js'

const committed = (name: string): string => readFileSync(new URL(`../config/${name}`, import.meta.url), 'utf8')
const fromToml = (text: string) => resolve(table, entriesOf(table, parse(text), 'test')).settings

describe('the generated pages', () => {
  it('are not stale: `npm run docs` makes them', () => {
    expect(committed('reference.md')).toBe(referencePage(table))
    expect(committed('aqueduct.example.toml')).toBe(exampleToml(table))
  })

  it('name every key', () => {
    for (const { key } of rowsOf(table)) expect(committed('reference.md')).toContain(`### \`${key}\``)
  })
})

describe('the example file', () => {
  it('changes nothing as it stands, and is the defaults with every # taken away', () => {
    const text = committed('aqueduct.example.toml')
    expect(fromToml(text)).toEqual(makeSettings())
    const uncommented = text.replaceAll(/^#(?! )/gm, '')
    expect(Object.keys(parse(uncommented).mqtt as object)).toHaveLength(Object.keys(makeSettings().mqtt).length)
    expect(fromToml(uncommented)).toEqual(makeSettings())
  })
})

describe('the effective settings', () => {
  it('are a settings file that gives the same settings again', () => {
    const given = {
      mqtt: { port: 'off', deny_subscribe: ['a/"b"', '#'] },
      store: { path: 'C:\\data\n', max_bytes: '3 MiB' },
    } as const
    const settings = makeSettings(given)
    const text = effectiveToml(table, settings, new Map([['mqtt.port', '--set']]))
    expect(text).toContain('port = "off"  # from --set\n')
    expect(fromToml(text)).toEqual(settings)
  })
})
