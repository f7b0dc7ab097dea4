/**
 * npm run bench [-- OPTIONS]: starts the peers beside our broker, runs the workloads interleaved, prints one table.
 *
 * Exit code: 0 every run counted; 1 a run of ours failed (something owed did not arrive, it died) or, with --strict, a bar was
 * missed; 2 it could not start. Interrupted: 130, peers ended.
 */
import { rmSync } from 'node:fs'
import { buildTools } from './build.js'
import { readOptions } from './options.js'
import { hottest } from './profile.js'
import { Bench, say } from './run.js'
import { makeTable } from './table.js'

/** What these lose is shown, and is no failure of this repository. */
const FOREIGN: readonly string[] = ['mosquitto', 'aedes', 'aedes-level', 'beanstalkd']

async function main(): Promise<number> {
  const options = readOptions()
  if (options === undefined) return 0
  const interrupt = new AbortController()
  // npm passes a signal on that the terminal has sent as well: a second one is not impatience
  process.on('SIGINT', () => interrupt.abort()).on('SIGTERM', () => interrupt.abort())
  const bench = new Bench(options, buildTools(), interrupt.signal)
  try {
    const header = await bench.header()
    await bench.startPeers()
    await bench.all()
    await bench.stopPeers()
    const table = makeTable(bench.runs, options.works)
    console.log(`${header.map((line) => `- ${line}`).join('\n')}\n\n${table.markdown}\n`)
    const profile = options.peer.profileDir
    if (profile !== undefined) console.log(`Self time of ours (${profile}):\n${hottest(profile).join('\n')}\n`)
    for (const line of table.missed) console.log(`bar missed: ${line}`)
    const failed = bench.runs.filter((run) => run.problem !== undefined)
    const ours = failed.filter((run) => !FOREIGN.includes(run.peer))
    for (const run of failed) console.log(`FAILED: ${run.work} ${run.peer} round ${run.round}: ${run.problem}`)
    console.log(`every run: ${bench.file}`)
    return ours.length > 0 || (options.strict && table.missed.length > 0) ? 1 : 0
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
    say('interrupted')
    return 130
  } finally {
    await bench.stopPeers()
    rmSync(options.dir, { recursive: true, force: true })
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const message = error instanceof Error ? error.message : String(error)
    say(`bench: ${message}`)
    process.exit(2)
  },
)
