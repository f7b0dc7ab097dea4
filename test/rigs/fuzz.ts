/**
 * The fuzz rig: the whole program on a folder of its own, hostile streams from a seed, for as long as you like.
 *
 *   npx tsx test/rigs/fuzz.ts --seconds 60 --seed 1
 *
 * Ends with 1 when the broker threw, logged an error, stopped serving the good clients or grew by more than --growth MiB. The same seed makes the
 * same streams.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApp } from '../../src/app.js'
import { makeSettings } from '../../src/config/load.js'
import type { Log } from '../../src/core/log.js'
import { fuzz } from './lib/fuzz.js'
import { Options } from './lib/options.js'

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const seconds = o.number('seconds', 60)
  const seed = o.number('seed', 1)
  const growth_mib = o.number('growth', 64)
  const faults: string[] = []
  const fault = (what: string): void => void (faults.length < 20 && faults.push(what))
  process.on('uncaughtException', (error) => fault(`uncaught: ${error.stack}`))
  process.on('unhandledRejection', (error) => fault(`unhandled: ${String(error)}`))
  const quiet = (): void => {}
  const log: Log = { debug: quiet, info: quiet, warn: quiet, error: (...said) => fault(said.map(String).join(' ')) } as Log
  const dir = mkdtempSync(join(tmpdir(), 'rig-fuzz-'))
  const settings = makeSettings({ store: { path: dir, durability: 'os' }, mqtt: { port: 0 }, http: { port: 'off' } })
  const app = await startApp(settings, { log, announce: quiet })
  const began = Date.now()
  const left = (): number => began + seconds * 1000 - Date.now()
  const memory = (): number => {
    globalThis.gc?.()
    return process.memoryUsage().rss / 2 ** 20
  }
  let first = 0
  let last = 0
  try {
    const counts = await fuzz(app.mqttPort ?? 0, seed, 20, (round) => {
      // The first tenth warms up; what it took is not growth.
      last = memory()
      if (first === 0 && left() < seconds * 900) first = last
      if (round % 200 === 0) console.log(`round ${round}, ${last.toFixed(0)} MiB, ${app.broker.state.stats.malformed} refused`)
      return left() > 0 && faults.length === 0
    })
    console.log(`seed ${seed}: ${JSON.stringify(counts)}, memory ${first.toFixed(0)} to ${last.toFixed(0)} MiB`)
  } catch (error) {
    fault(String(error))
  }
  await app.close()
  rmSync(dir, { recursive: true, force: true })
  if (last - first > growth_mib) fault(`memory grew by ${(last - first).toFixed(0)} MiB`)
  for (const what of faults) console.error(what)
  return faults.length === 0
}

process.exitCode = (await main()) ? 0 : 1
