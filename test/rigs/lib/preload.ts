/** Builds a preload library with the machine's own compiler into a temporary folder. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** `source` relative to test/rigs. Throws where there is no C compiler. */
export function buildPreload(source: string, into: string): string {
  const out = join(into, `${source.replace(/\W/g, '-')}.so`)
  const from = fileURLToPath(new URL(`../${source}`, import.meta.url))
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-o', out, from, '-ldl'], { stdio: 'inherit' })
  return out
}
