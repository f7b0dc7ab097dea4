/** House rules that no other tool checks, read from the sources themselves. */
import { readdirSync, readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }

const root = fileURLToPath(new URL('..', import.meta.url))
const FILE_LINES_WARN = 300
const FILE_LINES_MAX = 500

/** Longer than `FILE_LINES_MAX`, each with the reason why splitting it would read worse. */
const LONG_FILES: Readonly<Record<string, string>> = {}

/** Time, chance, environment and terminal come by argument, so that every test can be exact. Who may reach for them, by path. */
const BANNED: readonly { call: RegExp; instead: string; except: RegExp }[] = [
  {
    call: /^(Date\.now|performance\.(now|timeOrigin)|process\.hrtime(\.bigint)?)$/,
    instead: 'Clock',
    except: /^src\/core\//,
  },
  { call: /^new Date\(\)$/, instead: 'Clock', except: /^src\/core\// },
  { call: /^(globalThis\.)?(setTimeout|setInterval)$/, instead: 'Clock', except: /^src\/(core\/|main\.ts)/ },
  { call: /^(Math\.random|randomBytes|randomInt|randomUUID|crypto\.random\w+)$/, instead: 'Random', except: /^src\/core\// },
  { call: /^process\.env$/, instead: 'Settings', except: /^src\/(core\/|config\/load\.ts|main\.ts)/ },
  { call: /^console\.\w+$/, instead: 'Log', except: /^src\/(app|main)\.ts/ },
  { call: /^process\.(exit|exitCode|on|once)$/, instead: 'an error', except: /^src\/main\.ts/ },
]

interface Use {
  readonly call: string
  readonly line: number
}

/** Every name that could be a banned one: `a.b`, `a.b.c`, a bare name that is called or passed on, and `new Date()`. */
function usesIn(text: string, name: string): Use[] {
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true)
  const uses: Use[] = []
  const visit = (node: ts.Node): void => {
    const line = file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node)) return
    if (ts.isPropertyAccessExpression(node)) uses.push({ call: node.getText(file).replaceAll(/\s|\?/g, ''), line })
    else if (ts.isNewExpression(node) && node.arguments?.length === 0) uses.push({ call: node.getText(file), line })
    // A property of the same name on something else, such as `socket.setTimeout`, is not the global one.
    else if (ts.isIdentifier(node) && !isMemberName(node)) uses.push({ call: node.text, line })
    ts.forEachChild(node, visit)
  }
  visit(file)
  return uses
}

function isMemberName(node: ts.Identifier): boolean {
  const { parent } = node
  return (
    (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
    ((ts.isMethodDeclaration(parent) || ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent)) &&
      parent.name === node)
  )
}

function offences(text: string, path: string): string[] {
  return usesIn(text, path).flatMap(({ call, line }) =>
    BANNED.filter((ban) => ban.call.test(call) && !ban.except.test(path)).map(
      (ban) => `${path}:${line} ${call}: take ${ban.instead} by argument`,
    ),
  )
}

const sources = readdirSync(`${root}/src`, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => {
    const full = `${entry.parentPath}/${entry.name}`
    return { path: relative(root, full).replaceAll('\\', '/'), text: readFileSync(full, 'utf8') }
  })

describe('sources', () => {
  it('take time, chance, environment and terminal by argument', () => {
    expect(sources.length).toBeGreaterThan(10)
    expect(sources.flatMap(({ path, text }) => offences(text, path))).toEqual([])
  })

  it('are short files', () => {
    const lengths = sources.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
    const long = lengths.filter(({ lines }) => lines > FILE_LINES_WARN).map(({ path, lines }) => `${path} ${lines}`)
    if (long.length > 0) console.warn(`files over ${FILE_LINES_WARN} lines, think about a second file:\n${long.join('\n')}`)
    expect(lengths.filter(({ path, lines }) => lines > FILE_LINES_MAX && !(path in LONG_FILES))).toEqual([])
    expect(
      Object.keys(LONG_FILES).filter((path) => !lengths.some((file) => file.path === path && file.lines > FILE_LINES_MAX)),
    ).toEqual([])
  })
})

describe('the scan', () => {
  it.each([
    ['const t = Date.now()', 'src/queue/x.ts'],
    ['const t = new Date()', 'src/queue/x.ts'],
    ['const t = [performance.now]', 'src/store/x.ts'],
    ['setTimeout(() => {}, 1)', 'src/broker/x.ts'],
    ['const later = setInterval', 'src/broker/x.ts'],
    ['globalThis.setTimeout(f, 1)', 'src/broker/x.ts'],
    ['Math.random()', 'src/mqtt/x.ts'],
    ["import { randomBytes } from 'node:crypto'\nrandomBytes(4)", 'src/mqtt/x.ts'],
    ["process.env['A']", 'src/config/schema.ts'],
    ['console.log(1)', 'src/http/x.ts'],
    ['process.exit(1)', 'src/app.ts'],
  ])('finds %j in %s', (text, path) => {
    expect(offences(text, path)).toHaveLength(1)
  })

  it.each([
    ['const t = clock.now() // not Date.now()', 'src/queue/x.ts'],
    ["const text = 'Date.now()'", 'src/queue/x.ts'],
    ['socket.setTimeout(0)', 'src/listeners/x.ts'],
    ['new Date(clock.now())', 'src/http/x.ts'],
    ['Date.now()', 'src/core/clock.ts'],
    ['process.env', 'src/main.ts'],
    ['type T = ReturnType<typeof setTimeout>', 'src/store/x.ts'],
  ])('lets %j in %s pass', (text, path) => {
    expect(offences(text, path)).toEqual([])
  })
})

describe('the package', () => {
  it('pins every version exactly', () => {
    for (const [name, version] of Object.entries({ ...packageJson.dependencies, ...packageJson.devDependencies })) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/)
    }
  })

  it('has a lock file that names no host, so that it installs from any registry', () => {
    const lock = JSON.parse(readFileSync(`${root}/package-lock.json`, 'utf8')) as {
      packages: Record<string, { resolved?: string }>
    }
    const entries = Object.entries(lock.packages)
    expect(entries.length).toBeGreaterThan(50)
    expect(entries.filter(([, entry]) => entry.resolved !== undefined).map(([name]) => name)).toEqual([])
  })
})
