/**
 * `npm run clients [-- --short] [-- --only WORD]`: programs that people have, unchanged, against the built broker. A line for each; exit code 1 when one does not
 * get what its users expect. Not part of `npm test`: it installs those programs (`package.json` here, and Debian's packages named in CONTRIBUTING.md).
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { bursts } from './bursts.js'
import { homeAssistant } from './home-assistant.js'
import { bridges } from './mosquitto-bridge.js'
import { removeRetained } from './mosquitto-sub.js'
import { nodeRed } from './node-red.js'
import { paho } from './paho.js'
import { play, type Scenario } from './scenario.js'

const here = fileURLToPath(new URL('.', import.meta.url))
const words = process.argv.slice(2)
const short = words.includes('--short')
const only = words.includes('--only') ? (words[words.indexOf('--only') + 1] ?? '') : ''

if (!existsSync(`${here}node_modules/node-red`)) {
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit' })
  if (status !== 0) process.exit(1)
}

const all: Scenario[] = [...bursts(short), removeRetained, homeAssistant, ...bridges(short), ...paho(), nodeRed(short)]
let failed = 0
for (const scenario of all.filter(({ name }) => name.includes(only))) {
  const began = Date.now()
  const wrong = await play(scenario)
  if (wrong !== undefined) failed++
  console.log(`${wrong === undefined ? 'ok    ' : 'FAILED'} ${scenario.name} (${Date.now() - began} ms)`)
  if (wrong !== undefined) console.log(wrong)
}
console.log(failed === 0 ? 'clients: kept' : `clients: BROKEN, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
