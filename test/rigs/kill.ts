/**
 * The kill rig: publishers over real sockets, `kill -9` of the broker at a chosen moment, a restart on the same folder, a drain, a verdict;
 * round after round on one folder.
 *
 *   npx tsx test/rigs/kill.ts --target aqueduct --rounds 200 --seed 1
 *
 * Options: --target aqueduct|aedes-level|mosquitto, --rounds, --seed, --dir (kept), --set KEY=VALUE (one), --messages, --bytes (usual payload), --sync-us (slower syncs, by the preload library), --short (one line),
 * --verbose, --faults PERCENT (so many of the opens, reads, writes, flushes and renames in the folder fail by chance, from the load to the start after
 * the kill; starts may be refused and are tried again), --five (MQTT 5 clients, a shared group, a bridged queue, expiry and delayed wills in the mix). Exit 1 on any loss, duplicate, inversion, wrong retained message or lost session.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bridged } from './lib/bridged.js'
import { Faulty, patiently } from './lib/faulty.js'
import { type Load, type Plan, startLoad } from './lib/load.js'
import { Options, pause } from './lib/options.js'
import { addCounts, noCounts } from './lib/oracle.js'
import { buildPreload } from './lib/preload.js'
import { printTable, total } from './lib/report.js'
import { Seeded } from './lib/seeded.js'
import { NotStarted, type Running, type Target, targetNamed } from './lib/target.js'
import { Timed } from './lib/timed.js'
import { type Group, isClean, SUBSCRIBERS, type Verdict, World } from './lib/world.js'

/** What `--five` adds to the usual subscribers. */
const FIVE_SUBSCRIBERS = [...SUBSCRIBERS, ['five-all-2', [['k/#', 2]]], ['five-some-1', [['k/+/a', 1]]]] as const
const SHARED = [['$share/g/k/#', 2]] as const
const GROUPS: readonly Group[] = [
  {
    name: 'group',
    filters: [['k/#', 2]],
    members: [
      ['g-1', SHARED],
      ['g-2', SHARED],
      ['five-g-3', SHARED],
    ],
  },
]

/** Beside the subscribers: a queue over HTTP, and what is due by time. */
interface Beside {
  readonly bridged: Bridged
  readonly timed: Timed
}

/** A run of `--faults`: the longest time until the kill. */
const FAULTS_MS = 2500

interface Moment {
  name: string
  plan: Pick<Plan, 'kill_at_ack' | 'kill_after_ms' | 'burst'>
}

/** When to kill: a third right after the first acknowledgements of a burst, the rest at an acknowledgement or a moment of a steady load. */
function chooseMoment(random: Seeded, messages: number): Moment {
  const kind = random.below(6)
  if (kind === 0) return { name: 'first ack', plan: { burst: random.between(100, 400), kill_at_ack: 1 } }
  if (kind === 1)
    return { name: 'burst', plan: { burst: random.between(20, 300), kill_at_ack: random.between(1, Math.min(2000, messages)) } }
  if (kind <= 3) return { name: 'at ack', plan: { kill_at_ack: Math.ceil(messages ** random.unit()), kill_after_ms: 3000 } }
  return { name: 'at time', plan: { kill_after_ms: Math.ceil(600 ** random.unit()) + 5 } }
}

class KillRun {
  private readonly target: Target
  private readonly dir: string
  private readonly random: Seeded
  private readonly load: Load
  private readonly world: World
  private readonly messages: number
  private broker: Running
  private readonly env: Record<string, string>
  private readonly beside: Beside | undefined
  private readonly faulty: Faulty | undefined
  kills = 0
  start_ms: number[] = []

  constructor(
    target: Target,
    dir: string,
    random: Seeded,
    load: Load,
    world: World,
    messages: number,
    broker: Running,
    env: Record<string, string>,
    beside: Beside | undefined,
    faulty: Faulty | undefined,
  ) {
    this.faulty = faulty
    this.env = env
    this.beside = beside
    this.target = target
    this.dir = dir
    this.random = random
    this.load = load
    this.world = world
    this.messages = messages
    this.broker = broker
  }

  async begin(): Promise<void> {
    for (const { subscriber } of this.world.seats) await subscriber.connect(this.broker.port)
    await this.beside?.bridged.begin(this.broker.http_port)
    await this.beside?.timed.begin(this.broker.port)
  }

  async round(round: number): Promise<{ moment: string; verdict: Verdict }> {
    const moment = chooseMoment(this.random, this.messages)
    const seats = this.world.seats
    // About half of the subscribers are away while the load runs; one may come and go.
    for (const { subscriber } of seats) if (this.random.chance(0.5)) await subscriber.leave()
    const flapping = this.random.chance(0.5) ? this.random.pick(seats).subscriber : undefined
    let running = true
    const flaps = (async () => {
      while (running && flapping !== undefined) {
        await pause(this.random.between(5, 120))
        if (!running) break
        if (flapping.connected) flapping.drop()
        else await flapping.connect(this.broker.port).catch(() => {})
      }
    })()
    const port = this.broker.port
    await this.beside?.timed.before(port, round)
    this.must(await this.load.connect(port), 'publishers')
    const plan: Plan = { round, port, messages: this.messages, limit_ms: 6000 }
    this.faulty?.begin()
    if (this.faulty !== undefined) await this.faulty.load(this.load, this.broker, plan, this.random.between(50, FAULTS_MS))
    else this.must(await this.load.run({ ...plan, pid: this.broker.pid, ...moment.plan }), 'load')
    running = false
    this.world.crash()
    await this.died()
    await flaps
    await this.restart()
    // Now and then it dies again while queues drain and publishers send again.
    if (this.random.chance(0.2)) {
      const back = this.everybodyBack(round).catch(() => false)
      await pause(this.random.between(1, 250))
      await this.broker.kill()
      this.kills++
      await back
      await this.restart()
    }
    this.faulty?.heal()
    const back = (): Promise<boolean> => this.everybodyBack(round)
    if (!(await (this.faulty === undefined ? back() : patiently(back)))) throw new Error('the publishers could not finish')
    await this.world.drain(1500, 30_000)
    const retained_wrong = await this.world.wrongRetained(this.broker.port)
    await this.beside?.bridged.drain(this.broker.http_port)
    const timed = await this.beside?.timed.after(this.broker.port)
    const verdict = this.world.close(round, retained_wrong, this.publisher_sessions_lost)
    if (timed !== undefined) addCounts(verdict, { ...noCounts(), ...timed })
    return { moment: moment.name, verdict }
  }

  async end(): Promise<void> {
    for (const { subscriber } of this.world.seats) subscriber.drop()
    await this.broker.kill()
  }

  private publisher_sessions_lost = 0

  private async everybodyBack(round: number): Promise<boolean> {
    const port = this.broker.port
    const subscribers = Promise.all(this.world.seats.map(({ subscriber }) => subscriber.connect(port)))
    // It may be killed again before this is awaited.
    subscribers.catch(() => {})
    // In some rounds the queues drain first, in the others while the publishers send again.
    if (this.random.chance(0.5)) await subscribers
    const answer = await this.load.connect(port)
    this.publisher_sessions_lost = answer.sessions_lost
    await subscribers
    if (!answer.ok) return false
    const settled = await this.load.settle(round, 15_000)
    return settled.ok && settled.in_flight === 0
  }

  private async died(): Promise<void> {
    const how = await this.broker.exited
    this.kills++
    if (how !== 'SIGKILL') throw new Error(`the broker ended by itself (${how}): ${this.broker.stderr().slice(-2000)}`)
  }

  private async restart(): Promise<void> {
    const options = { env: this.env }
    const { faulty, target, dir } = this
    this.broker = await (faulty === undefined ? target.start(dir, options) : faulty.start(target, dir, options))
    this.start_ms.push(this.broker.start_ms)
    this.beside?.timed.restarted()
  }

  private must(answer: { ok: boolean; error: string }, what: string): void {
    if (!answer.ok) throw new Error(`${what}: ${answer.error}; ${this.broker.stderr().slice(-2000)}`)
  }
}

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const rounds = o.number('rounds', 20)
  const seed = o.number('seed', 1)
  const messages = o.number('messages', 6000)
  const given = o.text('dir', '')
  const set = o.text('set', '')
  const five = o.flag('five')
  const settings = [...(five ? ['http.port=0'] : []), ...(set === '' ? [] : [set])]
  const target = targetNamed(o.text('target', 'aqueduct'), settings)
  const dir = given === '' ? mkdtempSync(join(tmpdir(), 'rig-kill-')) : given
  const random = new Seeded(seed)
  const world = five ? new World(FIVE_SUBSCRIBERS, GROUPS) : new World()
  const beside = five ? { bridged: new Bridged(), timed: new Timed() } : undefined
  if (beside !== undefined) world.ledger(beside.bridged.ledger)
  const verdicts: Verdict[] = []
  const began = Date.now()
  const sync_us = o.number('sync-us', 0)
  const work = mkdtempSync(join(tmpdir(), 'rig-kill-'))
  try {
    const percent = o.number('faults', 0)
    const preload = sync_us > 0 || percent > 0 ? buildPreload('preload/files.c', work) : ''
    const faulty = percent > 0 ? new Faulty(join(work, 'control'), preload, realpathSync(dir), percent, seed) : undefined
    const slow: Record<string, string> =
      sync_us > 0 ? { LD_PRELOAD: preload, FILES_DIR: realpathSync(dir), FILES_SYNC_US: String(sync_us) } : {}
    const env = { ...slow, ...faulty?.env }
    const shape = { publishers: 4, five: five ? 2 : 0, window: 150, bytes: o.number('bytes', 160), mix: [3, 4, 4], seed } as const
    const load = await startLoad(shape, (r) => world.note(r))
    const run = new KillRun(target, dir, random, load, world, messages, await target.start(dir, { env }), env, beside, faulty)
    try {
      await run.begin()
      for (let round = 0; round < rounds; round++) {
        const { moment, verdict } = await run.round(round)
        verdicts.push(verdict)
        if (!o.flag('short')) printTable([{ round, moment, ...verdict }], round === 0)
      }
    } finally {
      await run.end()
      await load.quit()
    }
    const sum = total(verdicts)
    const start = [...run.start_ms].sort((a, b) => a - b)
    const faults =
      faulty === undefined
        ? ''
        : `, ${faulty.failures} calls failed, ${faulty.refused} starts refused, ${faulty.speechless.length} without a word`
    const line = `${target.name} kill: ${run.kills} kills in ${rounds} rounds, seed ${seed}${faults}`
    if (!o.flag('short')) {
      console.log('')
      printTable([{ round: 'all', moment: '', ...sum }], true)
      for (const example of world.examples.slice(0, o.flag('verbose') ? 60 : 8)) console.log(`  ${example}`)
    }
    const speechless = faulty?.speechless ?? []
    for (const example of speechless.slice(0, 4)) console.log(`  ${example}`)
    const clean = isClean(sum) && speechless.length === 0
    console.log(
      `${line}: ${sum.acked} acknowledged, ${sum.owed} owed, ${sum.lost} lost, ${sum.doubled} doubled at QoS 2, ${sum.inverted} inverted, ` +
        `${sum.retained_wrong} retained wrong, ${sum.sessions_lost} sessions lost; restart ${start[start.length >> 1]} ms (median), ` +
        `${Math.round((Date.now() - began) / 1000)} s: ${clean ? 'kept' : 'BROKEN'}`,
    )
    return clean
  } finally {
    rmSync(work, { recursive: true, force: true })
    if (given === '') rmSync(dir, { recursive: true, force: true })
  }
}

main().then(
  (clean) => process.exit(clean ? 0 : 1),
  (error: unknown) => {
    console.error(error)
    if (error instanceof NotStarted) console.log('kill: a start on a well disk is refused: BROKEN')
    process.exit(error instanceof NotStarted ? 1 : 2)
  },
)
