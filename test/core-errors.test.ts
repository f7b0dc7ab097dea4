import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import { AqueductError } from '../src/core/errors.js'

const root = fileURLToPath(new URL('..', import.meta.url))

it('ends a program that does not catch it in one sentence', () => {
  const script = `import { AqueductError } from './src/core/errors.ts'
    throw new AqueductError('store_locked', 'The folder is in use.', { cause: new Error('deep') })`
  const { status, stderr } = spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '-e', script], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(status).toBe(1)
  expect(stderr).toContain('AqueductError [store_locked]: The folder is in use.')
  expect(stderr).not.toMatch(/^ +at /m)
  expect(stderr).not.toContain('deep')
})

it('keeps the stack of a fault of our own', () => {
  expect(inspect(new AqueductError('internal', 'x'))).toMatch(/AqueductError: x\n +at /)
})
