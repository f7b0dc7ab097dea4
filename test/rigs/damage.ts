/**
 * The damage rig: a folder with known content, one of its files harmed once, and a broker that starts on it, opens it again or is running; then
 * everything is taken out through real clients, and what was acknowledged is compared with what came and with what the broker said.
 *
 *   npx tsx test/rigs/damage.ts --damages 250 --seed 1
 *
 * Options: --damages, --seed, --only ROUND (just that one), --lanes (at a time), --bases (names, by comma), --when, --how, --kind (only such),
 * --keep (folders of failing rounds stay, with their stderr), --short (one line), --verbose (each damage a line), --set KEY=VALUE (one).
 * Exit 1 when a promise was broken; lib/damage/judge.ts lists them.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Base, buildBase, SHAPES, sizeOf, suits } from './lib/damage/base.js'
import { note } from './lib/damage/folder.js'
import { allDamages, type Damage } from './lib/damage/harm.js'
import { VIOLATIONS } from './lib/damage/judge.js'
import { type Report, Round } from './lib/damage/round.js'
import { Options } from './lib/options.js'
import { buildPreload } from './lib/preload.js'
import { Seeded } from './lib/seeded.js'
import { type Target, targetNamed } from './lib/target.js'

interface Job {
  round: number
  base: Base
  damage: Damage
  seed: number
}

/** Round after round over all damages, in another order each time, each on a base that has such a file. */
function plan(bases: readonly Base[], damages: readonly Damage[], count: number, seed: number): Job[] {
  const random = new Seeded(seed)
  const jobs: Job[] = []
  let waiting: Damage[] = []
  while (jobs.length < count) {
    if (waiting.length === 0) waiting = shuffled(damages, random)
    const damage = waiting.pop() as Damage
    const fitting = bases.filter((base) => suits(base, damage.kind))
    const base = fitting.length === 0 ? undefined : random.pick(fitting)
    const job_seed = random.below(2 ** 31)
    if (base !== undefined) jobs.push({ round: jobs.length, base, damage, seed: job_seed })
  }
  return jobs
}

function shuffled<V>(list: readonly V[], random: Seeded): V[] {
  const out = [...list]
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[out[i], out[j]] = [out[j], out[i]]
  }
  return out
}

class Tally {
  done = 0
  nothing = 0
  gone = 0
  failing = 0
  readonly outcomes = new Map<string, number>()
  readonly kinds = new Map<string, number>()

  add(report: Report): void {
    if (report.outcome === 'nothing to harm') {
      this.nothing++
      return
    }
    this.done++
    this.gone += report.gone
    this.outcomes.set(report.outcome, (this.outcomes.get(report.outcome) ?? 0) + 1)
    if (report.violations.length > 0) this.failing++
    for (const kind of new Set(report.violations.map((v) => v.kind))) this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1)
  }

  line(): string {
    const outcomes = [...this.outcomes].map(([name, n]) => `${n} ${name}`).join(', ')
    const kinds = VIOLATIONS.map((kind) => `${this.kinds.get(kind) ?? 0} ${kind}`).join(', ')
    return `${this.done} damages (${outcomes}; ${this.nothing} of nothing), ${this.gone} messages said to be gone; rounds with: ${kinds}`
  }
}

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const seed = o.number('seed', 1)
  const only = o.number('only', -1)
  const set = o.text('set', '')
  const among = (name: string, value: string): boolean => {
    const given = o.text(name, '')
    return given === '' || given.split(',').includes(value)
  }
  const target = targetNamed('aqueduct', ['http.port=0', 'store.min_free_bytes=0', ...(set === '' ? [] : [set])])
  const work = mkdtempSync(join(realpathSync(tmpdir()), 'rig-damage-'))
  const began = Date.now()
  const tally = new Tally()
  try {
    const preload = buildPreload('preload/files.c', work)
    const shapes = SHAPES.filter(({ name }) => among('bases', name))
    const bases = await Promise.all(shapes.map((shape, i) => buildBase(target, shape, join(work, shape.name), seed * 100 + i)))
    if (!o.flag('short')) for (const base of bases) console.log(`${base.name}: ${sizeOf(base)}`)
    const damages = allDamages().filter((d) => among('when', d.when) && among('how', d.how) && among('kind', d.kind))
    const jobs = plan(bases, damages, only >= 0 ? only + 1 : o.number('damages', 250), seed)
    const queue = only >= 0 ? jobs.slice(only) : [...jobs]
    const lane = async (number: number): Promise<void> => {
      for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
        const dir = join(work, `lane-${number}`)
        await one(target, preload, job, o.flag('keep') ? join(work, `round-${job.round}`) : dir, tally, o)
      }
    }
    await Promise.all(Array.from({ length: o.number('lanes', 2) }, (_, i) => lane(i)))
    const clean = tally.failing === 0 && tally.done > 0
    console.log(
      `aqueduct damage: ${tally.line()}; seed ${seed}, ${Math.round((Date.now() - began) / 1000)} s: ${clean ? 'kept' : 'BROKEN'}`,
    )
    return clean
  } finally {
    if (o.flag('keep')) console.log(`kept ${work}`)
    else rmSync(work, { recursive: true, force: true })
  }
}

async function one(target: Target, preload: string, job: Job, dir: string, tally: Tally, o: Options): Promise<void> {
  const { round, base, damage, seed } = job
  const began = Date.now()
  const report = await new Round(target, base, dir, preload, damage, seed).run()
  tally.add(report)
  const failing = report.violations.length > 0
  const what = `round ${round}, ${base.name}: ${damage.kind}, ${damage.how}, ${damage.when}: ${report.done || '-'}`
  if (failing || o.flag('verbose')) console.log(`${what}: ${report.outcome}, ${report.gone} gone, ${Date.now() - began} ms`)
  for (const { kind, text } of report.violations.slice(0, o.flag('verbose') ? 40 : 5)) console.log(`  ${kind}: ${text}`)
  if (failing && o.flag('keep')) note(dir, 'stderr', report.stderr)
  else rmSync(dir, { recursive: true, force: true })
}

main().then(
  (clean) => process.exit(clean ? 0 : 1),
  (error: unknown) => {
    console.error(error)
    process.exit(2)
  },
)
