/**
 * The mixed rig: nobody dies. QoS 0 and 1 (and 2 with --qos2) flow to live clean and live persistent subscribers while another persistent
 * subscriber is away; then it comes back. Nothing acknowledged may be missing or inverted.
 *
 *   npx tsx test/rigs/mixed.ts --target aqueduct --messages 20000
 *
 * It is also the control of the other rigs: a sound broker must come out clean here.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startLoad } from './lib/load.js'
import { Options } from './lib/options.js'
import { printTable } from './lib/report.js'
import { targetNamed } from './lib/target.js'
import { isClean, World } from './lib/world.js'

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const messages = o.number('messages', 20_000)
  const seed = o.number('seed', 1)
  const target = targetNamed(o.text('target', 'aqueduct'))
  const dir = mkdtempSync(join(tmpdir(), 'rig-mixed-'))
  const world = new World([
    ['clean-1', [['k/#', 1]]],
    ['clean-2', [['k/+/a', 2]]],
    ['live-persistent', [['k/#', 1]]],
    ['away', [['k/#', 1]]],
  ])
  const broker = await target.start(dir)
  try {
    const mix = o.flag('qos2') ? ([4, 3, 3] as const) : ([5, 5, 0] as const)
    const load = await startLoad({ publishers: 4, window: 100, bytes: 160, mix, seed }, (r) => world.note(r))
    for (const { subscriber } of world.seats) await subscriber.connect(broker.port)
    const away = world.seats[3].subscriber
    await away.leave()
    const began = Date.now()
    await load.connect(broker.port)
    await load.run({ round: 0, port: broker.port, messages, limit_ms: o.number('limit', 10) * 1000 })
    const settled = await load.settle(0, 20_000)
    world.crash()
    await away.connect(broker.port)
    await world.drain(2000, 60_000)
    const verdict = world.close(0, await world.wrongRetained(broker.port), settled.sessions_lost)
    if (!o.flag('short')) {
      printTable([{ ...verdict }], true)
      for (const example of world.examples.slice(0, 8)) console.log(`  ${example}`)
    }
    console.log(
      `${target.name} mixed: ${verdict.acked} acknowledged, ${verdict.owed} owed, ${verdict.lost} lost, ${verdict.doubled} doubled, ` +
        `${verdict.inverted} inverted, ${Math.round((Date.now() - began) / 1000)} s: ${isClean(verdict) ? 'kept' : 'BROKEN'}`,
    )
    for (const { subscriber } of world.seats) subscriber.drop()
    await load.quit()
    return isClean(verdict)
  } finally {
    await broker.kill()
    rmSync(dir, { recursive: true, force: true })
  }
}

main().then(
  (clean) => process.exit(clean ? 0 : 1),
  (error: unknown) => {
    console.error(error)
    process.exit(2)
  },
)
