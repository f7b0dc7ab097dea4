/** `npm run examples`: builds, runs every program in examples/ and compares the last line that it prints. Exit code 1 when one differs. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
/** The last line of each. */
const expected = {
  'bridge.mjs': 'received 4 2 2 2',
  'library.mjs': 'the station got 4 messages',
  'worker.mjs': 'shipped 100 orders; 10 tries failed, 0 were lost',
  'stats.mjs': 'at most 1 client',
}
const LIMIT_MS = 60_000

let failed = 0
for (const name of readdirSync(new URL('../examples', import.meta.url)).filter((file) => file.endsWith('.mjs'))) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`examples/${name}`], {
    cwd: root,
    encoding: 'utf8',
    timeout: LIMIT_MS,
  })
  const last = stdout.trimEnd().split('\n').at(-1)
  const good = status === 0 && last === expected[name]
  if (!good) failed++
  console.log(`${good ? 'ok' : 'FAILED'}  ${name}: ${last}`)
  if (!good) console.log(`exit code ${status}, expected "${expected[name]}"\n${stdout}${stderr}`)
}
process.exitCode = failed === 0 ? 0 : 1
