/** The fuzz rig in short: a fixed seed, a few hundred streams. `test/rigs/fuzz.ts` runs it for as long as one likes. */
import { expect, test } from 'vitest'
import { startApp } from '../../src/app.js'
import { makeSettings } from '../../src/config/load.js'
import type { Log } from '../../src/core/log.js'
import { fuzz } from '../rigs/lib/fuzz.js'

test('hostile streams: no error, no harm to others, nothing left behind', async () => {
  const said: unknown[] = []
  const quiet = (): void => {}
  const log = { debug: quiet, info: quiet, warn: quiet, error: (...what: unknown[]) => void said.push(what) } as Log
  const settings = makeSettings({ store: { durability: 'memory' }, mqtt: { port: 0 }, http: { port: 'off' } })
  const app = await startApp(settings, { log, announce: quiet })
  const counts = await fuzz(app.mqttPort ?? 0, 20_261_122, 10, (round) => round < 40)
  expect(said).toEqual([])
  expect(counts).toMatchObject({ streams: 400, checked: 120 })
  expect(app.broker.state.stats.malformed).toBeGreaterThan(100)
  while (app.broker.state.connections.size > 0) await new Promise((resolve) => setImmediate(resolve))
  expect(app.aedes.connectedClients).toBe(0)
  await app.close()
})
