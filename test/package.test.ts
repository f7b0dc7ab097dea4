/** The package as others install it. `npm run examples` in CI uses the built one. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const described = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const locked = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8'))

it('holds what runs and what is read, and nothing else', () => {
  const out = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8' })
  const files: string[] = JSON.parse(out)[0].files.map(({ path }: { path: string }) => path)
  const kinds = files.filter((path) => !/^dist\/.*\.(js|d\.ts)$|^examples\/|^config\/[^/]+\.(toml|md)$/.test(path)).sort()
  expect(kinds).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
  expect(files).toContain('dist/main.js')
  expect(existsSync(`${root}npm-shrinkwrap.json`)).toBe(false)
})

it('builds where it is developed and not where it is installed, and never under a running broker', () => {
  // npm runs these where the package is a dependency, or for `npx` in this folder.
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish'])
    expect(described.scripts).not.toHaveProperty(script)
  expect(described.scripts.dependencies).toBe('npm run build')
})

it('asks for exact versions, and needs nothing that does not travel with it', () => {
  for (const version of Object.values(described.dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/)
  expect(described).not.toHaveProperty('overrides')
  // Newer ones need a newer Node than we do: a direct dependency, so that whoever installs us gets the one that is tested.
  expect(locked.packages['node_modules/light-my-request'].version).toBe(described.dependencies['light-my-request'])
})
