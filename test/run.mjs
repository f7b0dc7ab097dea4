/**
 * `npm test`: the vitest suites, then the suites written for node:test (`test/persistence`), one sum. The last line is always
 * `N passed, N failed`, and the exit code is 0 only when nothing failed and both runners agree.
 *
 * `npm test -- FILTER…` hands its words to vitest and leaves node:test out; `npm run test:node` runs node:test alone.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const reports = mkdtempSync(join(tmpdir(), 'aqueduct-test-'))
const only = process.argv[2] === '--node'
const words = only ? [] : process.argv.slice(2)
process.on('exit', () => rmSync(reports, { recursive: true, force: true }))

const node = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).status

/** A runner that ends badly has failed at least once, whatever its report says or does not say. */
const honest = (sum, status) => (status !== 0 && sum.failed === 0 ? { ...sum, failed: 1 } : sum)

function runVitest() {
  const report = join(reports, 'vitest.json')
  const status = node(
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...words,
  )
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 }
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(readFileSync(report, 'utf8'))
  // A file that could not be loaded has no tests that could fail.
  const broken = testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((t) => t.status !== 'failed'),
  )
  return honest({ passed: numPassedTests, failed: numFailedTests + broken.length, skipped: numPendingTests }, status)
}

function runNodeTest() {
  const folder = join(root, 'test/persistence')
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => /\.mjs$|\.test\.ts$/.test(name)) : []
  if (files.length === 0 || words.length > 0) return { passed: 0, failed: 0, skipped: 0 }
  const report = join(reports, 'node.tap')
  const status = node(
    '--import=tsx',
    '--test',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=tap',
    `--test-reporter-destination=${report}`,
    ...files.map((name) => join(folder, name)),
  )
  const tap = existsSync(report) ? readFileSync(report, 'utf8') : ''
  const count = (word) => Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(tap)?.[1] ?? 0)
  return honest({ passed: count('pass'), failed: count('fail') + count('cancelled'), skipped: count('skipped') }, status)
}

const sums = only ? [runNodeTest()] : [runVitest(), runNodeTest()]
const total = (word) => sums.reduce((sum, one) => sum + one[word], 0)
if (total('skipped') > 0) console.log(`${total('skipped')} skipped`)
console.log(`${total('passed')} passed, ${total('failed')} failed`)
process.exitCode = total('failed') === 0 && total('passed') > 0 ? 0 : 1
