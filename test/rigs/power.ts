/**
 * The power rig: one recorded run of the broker under a preload library that writes down its file operations; then, for each of many moments
 * of that run, the folder as a power cut would have left it, a broker on it, publishers and subscribers as they were, and the verdict.
 *
 *   npx tsx test/rigs/power.ts --target aqueduct --cuts 100 --seed 1 [--durability os]
 *
 * Options: --target aqueduct|aedes-level, --durability fsync|os, --cuts, --runs, --seed, --bytes (payload), --rate, --sync-us (how much slower
 * the disk's syncs are made: an answer that does not wait for its sync then shows), --names strict|journal (see lib/shadow.ts),
 * --short, --keep (the work folder stays).
 * Exit 1 on any loss, duplicate, inversion, wrong retained message, lost session or failed start.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { playOn, type Story } from './lib/cut.js'
import { type StepRecord, startLoad } from './lib/load.js'
import { stamp_ns } from './lib/message.js'
import { Options, pause } from './lib/options.js'
import { buildPreload } from './lib/preload.js'
import { printTable, total } from './lib/report.js'
import { Seeded } from './lib/seeded.js'
import { readOperations, Shadow, syncEnds } from './lib/shadow.js'
import type { Heard } from './lib/subscriber.js'
import { type Target, targetNamed } from './lib/target.js'
import { isClean, type Verdict, World } from './lib/world.js'

interface Settings {
  bytes: number
  rate: number
  sync_us: number
  seed: number
}

interface Recorded {
  story: Story
  log: string
  began_ns: number
  loaded_ns: number
  ended_ns: number
  /** Of the recorded run itself, with its one kill. */
  verdict: Verdict
  examples: string[]
}

/** Runs the broker with everything recorded; it is killed and restarted once in the middle, so that recovery is cut as well. */
async function record(target: Target, work: string, preload: string, live: string, s: Settings): Promise<Recorded> {
  const random = new Seeded(s.seed)
  const log = join(work, `operations-${s.seed}`)
  const env = { LD_PRELOAD: preload, FILES_DIR: live, FILES_LOG: log, FILES_SYNC_US: String(s.sync_us) }
  const steps: StepRecord[] = []
  const heard: { name: string; heard: Heard }[] = []
  const joined = new Map<string, number>()
  const world = new World()
  world.onHeard = (name, h) => heard.push({ name, heard: h })
  const began_ns = stamp_ns()
  let broker = await target.start(live, { env })
  const publishers = ['p0', 'p1', 'p2']
  const load = await startLoad(
    { publishers: publishers.length, window: 50, bytes: s.bytes, mix: [2, 4, 5], seed: s.seed },
    (r) => {
      steps.push(r)
      world.note(r)
    },
  )
  try {
    for (const { subscriber } of world.seats) {
      await subscriber.connect(broker.port)
      joined.set(subscriber.name, stamp_ns())
    }
    await load.connect(broker.port)
    for (const name of publishers) joined.set(name, stamp_ns())
    const loaded_ns = stamp_ns()
    for (let half = 0; half < 2; half++) {
      let running = true
      const flaps = world.seats.map(async ({ subscriber }, i) => {
        // The first stays, the second is away for the load, the others come and go.
        if (i === 1) await subscriber.leave()
        while (running && i > 1) {
          await pause(random.between(20, 300))
          if (!running) break
          if (subscriber.connected) subscriber.drop()
          else await subscriber.connect(broker.port).catch(() => {})
        }
      })
      const kill = half === 0 ? { pid: broker.pid, kill_after_ms: random.between(800, 1600) } : {}
      await load.run({ round: 0, port: broker.port, messages: 20_000, limit_ms: 1600, rate: s.rate, ...kill })
      running = false
      await Promise.all(flaps)
      if (half === 0) {
        await broker.exited
        broker = await target.start(live, { env })
        await load.connect(broker.port)
        for (const { subscriber } of world.seats) if (random.chance(0.7)) await subscriber.connect(broker.port)
      }
    }
    for (const { subscriber } of world.seats) await subscriber.connect(broker.port)
    const settled = await load.settle(0, 15_000)
    await world.drain(1000, 20_000)
    const ended_ns = stamp_ns()
    const verdict = world.close(0, await world.wrongRetained(broker.port), settled.sessions_lost)
    // In order, so that no operation is without its record.
    await broker.stop()
    const story = { publishers, bytes: s.bytes, steps, heard, joined }
    return { story, log, began_ns, loaded_ns, ended_ns, verdict, examples: world.examples }
  } finally {
    for (const { subscriber } of world.seats) subscriber.drop()
    await load.quit()
    await broker.kill()
  }
}

/** The shadow at its end must be the real folder; else the library missed an operation and nothing here would mean anything. */
function checkShadow(shadow: Shadow, live: string): void {
  shadow.advance(Number.POSITIVE_INFINITY)
  const seen = shadow.visible()
  const real = readdirSync(live, { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
  for (const entry of real) {
    const path = join(entry.parentPath, entry.name)
    const name = path.slice(live.length + 1)
    const bytes = seen.get(name)
    if (bytes === undefined || !bytes.equals(readFileSync(path)))
      throw new Error(`the preload library does not see all of ${name}`)
  }
  if (seen.size !== real.length) throw new Error(`the shadow has ${seen.size} files, the folder ${real.length}`)
}

function chooseCuts(random: Seeded, recorded: Recorded, ends: readonly number[], count: number): number[] {
  const { story, began_ns, loaded_ns, ended_ns } = recorded
  const acks = story.steps.filter((r) => r.step === 'acked')
  const cuts: number[] = []
  for (let i = 0; i < count; i++) {
    const kind = random.below(20)
    if (kind === 0) cuts.push(began_ns + random.unit() * (loaded_ns - began_ns))
    else if (kind <= 8 && acks.length > 0) cuts.push(random.pick(acks).at_ns)
    else if (kind <= 12 && ends.length > 0) cuts.push(random.pick(ends) - 1)
    else if (kind <= 15 && story.heard.length > 0) cuts.push(random.pick(story.heard).heard.at_ns)
    else cuts.push(loaded_ns + random.unit() * (ended_ns - loaded_ns))
  }
  return cuts.sort((a, b) => a - b)
}

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const seed = o.number('seed', 1)
  const runs = o.number('runs', 2)
  const cuts = o.number('cuts', 100)
  const durability = o.text('durability', 'fsync')
  const target = targetNamed(o.text('target', 'aqueduct'), [`store.durability=${durability}`])
  const work = mkdtempSync(join(realpathSync(tmpdir()), 'rig-power-'))
  const verdicts: Verdict[] = []
  const examples: string[] = []
  let failed = 0
  let done = 0
  let heading = true
  const began = Date.now()
  try {
    const preload = buildPreload('preload/files.c', work)
    const boot = join(work, 'boot')
    const afterCut = { LD_PRELOAD: buildPreload('preload/boot.c', work), BOOT_FILE: boot }
    for (let run = 0; run < runs; run++) {
      const live = join(work, `live-${run}`)
      mkdirSync(live)
      // Every second run has payloads that make the store turn over its files.
      const bytes = o.number('bytes', run % 2 === 0 ? 160 : 3000)
      const settings = {
        bytes,
        rate: o.number('rate', run % 2 === 0 ? 3000 : 1500),
        sync_us: o.number('sync-us', 2000),
        seed: seed * 100 + run,
      }
      const recorded = await record(target, work, preload, live, settings)
      const operations = readOperations(recorded.log)
      checkShadow(new Shadow(live, operations), live)
      const ends = syncEnds(operations).filter((at) => at > recorded.loaded_ns)
      const random = new Seeded(settings.seed)
      const shadow = new Shadow(live, operations, o.text('names', 'strict') === 'journal')
      const acked = recorded.story.steps.filter((r) => r.step === 'acked').length
      if (o.flag('keep')) writeFileSync(join(work, `story-${run}.json`), JSON.stringify(recorded.story))
      for (const line of recorded.examples.slice(0, 4)) examples.push(`run ${run} before any cut: ${line}`)
      verdicts.push(recorded.verdict)
      if (!o.flag('short'))
        console.log(`run ${run}: ${operations.length} file operations, ${ends.length} syncs, ${acked} acknowledgements`)
      for (const at of chooseCuts(random, recorded, ends, Math.ceil(cuts / runs))) {
        const folder = join(work, 'cut')
        rmSync(folder, { recursive: true, force: true })
        shadow.advance(at)
        const torn = random.chance(0.5)
        shadow.write(folder, torn ? random : undefined)
        if (o.flag('keep')) cpSync(folder, join(work, `cut-${done}`), { recursive: true })
        // The kernel that kept the unflushed bytes is gone, and the broker can see that.
        writeFileSync(boot, `00000000-0000-4000-8000-${String(done).padStart(12, '0')}\n`)
        const outcome = await playOn(target, folder, recorded.story, at, afterCut)
        const moment = `${((at - recorded.loaded_ns) / 1e6).toFixed(0)} ms${torn ? ' torn' : ''}`
        if (outcome.verdict === undefined) {
          failed++
          examples.push(`run ${run} at ${moment}: ${outcome.failure}`)
        } else {
          verdicts.push(outcome.verdict)
          for (const line of outcome.examples.slice(0, 4)) examples.push(`run ${run} at ${moment}: ${line}`)
          if (!o.flag('short')) printTable([{ cut: done, moment, start_ms: outcome.start_ms, ...outcome.verdict }], heading)
          heading = false
        }
        done++
      }
    }
    const sum = total(verdicts)
    const clean = isClean(sum) && failed === 0
    if (!o.flag('short') || !clean) for (const line of examples.slice(0, 12)) console.log(`  ${line}`)
    console.log(
      `${target.name} power, ${durability}: ${done} cuts of ${runs} runs, seed ${seed}: ${sum.owed} owed, ${sum.lost} lost, ` +
        `${sum.doubled} doubled at QoS 2, ${sum.inverted} inverted, ${sum.retained_wrong} retained wrong, ${sum.sessions_lost} sessions lost, ` +
        `${failed} did not start or finish; ${Math.round((Date.now() - began) / 1000)} s: ${clean ? 'kept' : 'BROKEN'}`,
    )
    return clean
  } finally {
    if (o.flag('keep')) console.log(`kept ${work}`)
    else rmSync(work, { recursive: true, force: true })
  }
}

main().then(
  (clean) => process.exit(clean ? 0 : 1),
  (error: unknown) => {
    console.error(error)
    process.exit(2)
  },
)
