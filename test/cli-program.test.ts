import { describe, expect, it } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }
import { type Actions, run } from '../src/cli/program.js'
import type { Settings } from '../src/config/schema.js'
import { AqueductError, type ErrorCode } from '../src/core/errors.js'
import { TestTerminal } from './support/terminal.js'

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
  readonly served: readonly Settings[]
  readonly imported: readonly string[]
}

async function aqueduct(line: string, env: Record<string, string> = {}, fail?: Error): Promise<Ran> {
  const served: Settings[] = []
  const imported: string[] = []
  const actions: Actions = {
    async serve(settings) {
      if (fail !== undefined) throw fail
      served.push(settings)
      return 0
    },
    async importAedes(folder) {
      imported.push(folder)
      return { sessions: 3, messages: 20, retained: 5, wills: 1 }
    },
    async scramUser(name, iterations) {
      if (fail !== undefined) throw fail
      return `${name}:SCRAM-SHA-256$${iterations}`
    },
  }
  const terminal = new TestTerminal()
  const code = await run(line === '' ? [] : line.split(' '), env, actions, terminal)
  return { code, out: terminal.output, err: terminal.complaints, served, imported }
}

describe('aqueduct serve', () => {
  it('runs with the settings of flags and environment', async () => {
    const { code, served } = await aqueduct('serve --set mqtt.port=1 -s http.port=off --set=mqtt.port=2', {
      AQUEDUCT_MQTT_WINDOW: '7',
    })
    expect(code).toBe(0)
    expect(served).toHaveLength(1)
    expect(served[0]?.mqtt.port).toBe(2)
    expect(served[0]?.mqtt.window).toBe(7)
    expect(served[0]?.http.port).toBe('off')
  })

  it.each(['serve --set mqtt.prt=1', 'serve --config /no/such.toml', 'serve --set mqtt.host=0.0.0.0', 'config --set x=1'])(
    '%s exits 2 with one sentence and no stack',
    async (line) => {
      const { code, err, out, served } = await aqueduct(line)
      expect(code).toBe(2)
      expect(err).toMatch(/^aqueduct: .*\.\n$|^aqueduct: .*ENOENT.*\n$/)
      expect(err.trimEnd()).not.toContain('\n')
      expect(out).toBe('')
      expect(served).toEqual([])
    },
  )

  it.each<ErrorCode>(['store_locked', 'store_damaged', 'store_version', 'port_in_use'])(
    '%s exits 1 with its sentence',
    async (reason) => {
      const { code, err } = await aqueduct('serve', {}, new AqueductError(reason, 'This is why.'))
      expect(code).toBe(1)
      expect(err).toBe('aqueduct: This is why.\n')
    },
  )

  it('shows the stack of an error that nobody foresaw, and exits 1', async () => {
    const { code, err } = await aqueduct('serve', {}, new TypeError('oh'))
    expect(code).toBe(1)
    expect(err).toMatch(/TypeError: oh\n\s+at /)
  })
})

describe('wrong usage', () => {
  it.each(['', 'sreve', 'serve extra', 'serve --nope', 'serve --set', 'serve --config', 'import-aedes', 'import-aedes a b'])(
    '%j exits 2 and explains on stderr',
    async (line) => {
      const { code, err, out, served, imported } = await aqueduct(line)
      expect(code).toBe(2)
      expect(err).not.toBe('')
      expect([out, served, imported]).toEqual(['', [], []])
    },
  )
})

describe('the other commands', () => {
  it('--version prints the version of the package', async () => {
    expect(await aqueduct('--version')).toMatchObject({ code: 0, out: `${packageJson.version}\n`, err: '' })
  })

  it.each(['--help', 'help', 'serve --help', 'help import-aedes'])('%s exits 0', async (line) => {
    const { code, out, err } = await aqueduct(line)
    expect(code).toBe(0)
    expect(out).toContain('Usage: aqueduct')
    expect(err).toBe('')
  })

  it('scram-user prints the line it is given, and needs no settings', async () => {
    expect(await aqueduct('scram-user ann --iterations 5000')).toMatchObject({
      code: 0,
      out: 'ann:SCRAM-SHA-256$5000\n',
      err: '',
    })
    expect(await aqueduct('scram-user')).toMatchObject({ code: 2, out: '' })
  })

  it('import-aedes says what it took over', async () => {
    const { code, out, imported } = await aqueduct('import-aedes /old/db --set store.path=/new')
    expect(code).toBe(0)
    expect(imported).toEqual(['/old/db'])
    expect(out).toBe('imported 3 sessions, 20 queued messages, 5 retained messages, 1 wills from /old/db\n')
  })

  it('config prints the settings in effect and where they came from', async () => {
    const { code, out } = await aqueduct('config --set mqtt.port=0', { AQUEDUCT_LOG_LEVEL: 'warn' })
    expect(code).toBe(0)
    expect(out).toContain('\nport = 0  # from --set\n')
    expect(out).toContain('\nlevel = "warn"  # from AQUEDUCT_LOG_LEVEL\n')
    expect(out).toContain('\ndurability = "fsync"\n')
  })
})
