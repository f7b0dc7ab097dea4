/** What is loaded before a command runs: `aqueduct queue list` must not wait for a broker that it does not need. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, it } from 'vitest'

const src = fileURLToPath(new URL('../src/', import.meta.url))

/** Every package and every file that a module loads before it runs, through all that it loads. `import()` and types are not among them. */
function loadedBy(entry: string): { packages: string[]; files: string[] } {
  const packages = new Set<string>()
  const files = new Set<string>()
  const visit = (path: string): void => {
    if (files.has(path)) return
    files.add(path)
    for (const name of importsOf(path)) {
      if (name.startsWith('node:')) continue
      if (name.startsWith('.')) visit(join(dirname(path), name.replace(/\.js$/, '.ts')))
      else packages.add(name)
    }
  }
  visit(join(src, entry))
  return { packages: [...packages].sort(), files: [...files].map((file) => file.slice(src.length)) }
}

/** What it names in `import … from` and `export … from`, types aside. */
function importsOf(path: string): string[] {
  const file = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ES2022)
  return file.statements.flatMap((node) => {
    const typesOnly =
      (ts.isImportDeclaration(node) && node.importClause?.isTypeOnly === true) ||
      (ts.isExportDeclaration(node) && node.isTypeOnly)
    if (typesOnly || !(ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) || node.moduleSpecifier === undefined)
      return []
    return [(node.moduleSpecifier as ts.StringLiteral).text]
  })
}

it('the program loads settings and commands, and no broker, server or store', () => {
  const { packages, files } = loadedBy('main.ts')
  expect(packages).toEqual(['commander', 'get-east-asian-width', 'smol-toml'])
  expect(files.filter((file) => !/^(main\.ts|(cli|client|config|core|topics)\/)/.test(file))).toEqual([])
})

it('@aqueduct-mq/aqueduct/client loads itself', () => {
  const { packages, files } = loadedBy('client/client.ts')
  expect(packages).toEqual([])
  expect(files.filter((file) => !/^(client|core)\//.test(file))).toEqual([])
  // The look works: the library loads all of it.
  expect(loadedBy('index.ts').packages).toEqual(expect.arrayContaining(['aedes', 'fastify', 'level']))
})
