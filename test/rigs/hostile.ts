/**
 * The hostile rig: careless and spiteful clients, one kind at a time, at the built program with a small heap, and two honest pairs beside them. The honest
 * must keep their rate and see no stall, the broker its memory and its life, and what it holds back or refuses must be counted.
 *
 *   npx tsx test/rigs/hostile.ts                       every attack for 20 s, each on a broker of its own
 *   npx tsx test/rigs/hostile.ts --short               3 s each on one broker, a tenth of what is prepared
 *   npx tsx test/rigs/hostile.ts --only overlapping    those whose name has the word
 *
 * Exit 1 when any is broken: below 95 % of the rate, a stall beyond --stall-ms (250; 2,000 in the short form), more than --rss-mib, an end, or nothing counted.
 * How late the honest are by themselves, which a busy machine makes them, is taken off.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { attacks } from './hostile/all.js'
import { type Attack, Ground } from './hostile/attack.js'
import type { Seen } from './hostile/honest.js'
import { Options, pause } from './lib/options.js'
import { watchMemory } from './lib/process.js'
import { type Running, targetNamed, track } from './lib/target.js'

/** The honest pairs, in their process. */
class Honest {
  private readonly child: ChildProcess
  private readonly lines: AsyncIterator<string>

  constructor(port: number) {
    const file = fileURLToPath(new URL('./hostile/honest.ts', import.meta.url))
    this.child = track(spawn(process.execPath, ['--import', 'tsx', file, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] }))
    this.lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  }

  async ready(): Promise<void> {
    if ((await this.lines.next()).value !== 'ready') throw new Error('the honest could not begin')
  }

  /** What they saw since the last time. */
  async seen(): Promise<Seen> {
    this.child.stdin?.write('\n')
    return JSON.parse((await this.lines.next()).value as string) as Seen
  }

  stop(): void {
    this.child.kill('SIGKILL')
  }
}

interface Bounds {
  seconds: number
  scale: number
  heap_mib: number
  rss_mib: number
  stall_ms: number
  settings: readonly string[]
}

/** A broker, and where it writes down its long turns. */
interface Ran {
  readonly broker: Running
  readonly turns: string
}

async function start(dir: string, settings: readonly string[], { heap_mib }: Bounds, files?: number): Promise<Ran> {
  const preload = new URL('./preload/turns.mjs', import.meta.url)
  const turns = `${dir}.turns`
  const env = { NODE_OPTIONS: `--max-old-space-size=${heap_mib} --import ${preload.href}`, TURNS_FILE: turns }
  const options = { env, settings: ['http.port=0', ...settings], ...(files === undefined ? {} : { files }) }
  return { broker: await targetNamed('aqueduct').start(dir, options), turns }
}

/** Whatever `/metrics` counts, by name and labels; undefined when it does not answer. */
async function counters(broker: Running): Promise<Map<string, number> | undefined> {
  try {
    const text = await (
      await fetch(`http://127.0.0.1:${broker.http_port}/metrics`, { signal: AbortSignal.timeout(10_000) })
    ).text()
    const samples = text.split('\n').filter((line) => /^\w+_total\b/.test(line))
    return new Map(samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
  } catch {
    return undefined
  }
}

/** The longest turn of the broker since `from`, by what its main thread ran in it. */
function longestTurn({ turns }: Ran, from: number): number {
  if (!existsSync(turns)) return 0
  const lines = readFileSync(turns, 'utf8').split('\n').slice(0, -1)
  return lines.reduce((most, line) => {
    const [at, , cpu] = line.split(' ').map(Number)
    return at >= from && cpu > most ? cpu : most
  }, 0)
}

/** What grew of that which is counted when something is refused or held back. */
function grown(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): [string, number][] {
  return [...after]
    .map(([name, value]): [string, number] => [name, value - (before.get(name) ?? 0)])
    .filter(([name, by]) => by > 0 && HELD_BACK.test(name))
}

const HELD_BACK = /^aqueduct_(refused|input|bridge_(refused|cut|errors)|messages_dropped|connections_closed|http_refused)/

const shortened = (counters: readonly [string, number][]): string =>
  counters
    .map(
      ([name, by]) =>
        `${name
          .replace(/^aqueduct_/, '')
          .replace(/_total|["{}]/g, ' ')
          .trim()} ${by}`,
    )
    .join(', ')

/** One line about it; ends in `kept` or `BROKEN`. */
async function meet(attack: Attack, ran: Ran, b: Bounds): Promise<string> {
  const { broker } = ran
  const ground = new Ground({ port: broker.port, http_port: broker.http_port, scale: b.scale })
  const honest = new Honest(broker.port)
  const broken: string[] = []
  let top = (): number => 0
  try {
    await attack.prepare?.(ground)
    await honest.ready()
    await pause(500)
    await honest.seen()
    const before = await counters(broker)
    const lines = linesOf(broker)
    const began = Date.now()
    top = watchMemory(broker.pid)
    const run = attack.run(ground).catch((error: unknown) => broken.push(`the attack failed: ${error}`))
    await Promise.race([pause(b.seconds * 1_000), broker.exited])
    // What is on its way counts: what matters is that it comes.
    const seen = broker.gone() ? undefined : await honest.seen()
    ground.end()
    await Promise.race([run, pause(5_000)])
    const rss = top()
    const turn = longestTurn(ran, began)
    if (broker.gone()) broken.push(`the broker ended (${await broker.exited}): ${broker.stderr().slice(-300)}`)
    else if (seen !== undefined) judge(seen, b, broken)
    if (rss > b.rss_mib) broken.push(`${rss.toFixed(0)} MiB`)
    const said = linesOf(broker) - lines
    if (said > LINES_PER_S * (b.seconds + 10)) broken.push(`${said} lines in the log`)
    const after = broker.gone() ? undefined : await counters(broker)
    const growth = before === undefined || after === undefined ? [] : grown(before, after)
    // In a few seconds the kernel's own buffers may hold all that is refused.
    if (attack.counted !== undefined && b.seconds >= 10 && !growth.some(([name]) => attack.counted?.test(name)))
      broken.push(`nothing counted by ${attack.counted.source}`)
    const figures = seen === undefined ? '' : `${share(seen).toFixed(1)} % of the rate, slowest ${stallOf(seen).toFixed(0)} ms, `
    const verdict = broken.length === 0 ? 'kept' : `${broken.join('; ')}: BROKEN`
    return `hostile, ${attack.name}: ${figures}longest turn ${turn} ms of CPU, ${rss.toFixed(0)} MiB, ${said} lines; ${shortened(growth)}: ${verdict}`
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return `hostile, ${attack.name}: ${why} ${broker.stderr().slice(-300)}: BROKEN`
  } finally {
    top()
    ground.end()
    honest.stop()
  }
}

/** A log of more than that is itself an attack: three sentences at their most. */
const LINES_PER_S = 12
const linesOf = (broker: Running): number => broker.stderr().split('\n').length

const share = ({ due, arrived }: Seen): number => (due === 0 ? 0 : (100 * arrived) / due)
const stallOf = ({ slowest_ms, longest_gap_ms, own_lag_ms }: Seen): number =>
  Math.max(0, Math.max(slowest_ms, longest_gap_ms) - own_lag_ms)

function judge(seen: Seen, b: Bounds, broken: string[]): void {
  // The last few are still under way when it ends: in a short form what a stall that is allowed holds up is much of all.
  const allowed = b.seconds < 10 ? 50 : 95
  if (share(seen) < allowed) broken.push(`${share(seen).toFixed(1)} % of the rate`)
  if (stallOf(seen) > b.stall_ms) broken.push(`a stall of ${stallOf(seen).toFixed(0)} ms`)
  if (seen.closed > 0) broken.push(`${seen.closed} honest connections closed`)
}

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const short = o.flag('short')
  const bounds: Bounds = {
    seconds: o.number('seconds', short ? 3 : 20),
    scale: o.number('scale', short ? 0.1 : 1),
    heap_mib: o.number('heap-mib', 192),
    rss_mib: o.number('rss-mib', 512),
    stall_ms: o.number('stall-ms', short ? 2_000 : 250),
    settings: o.text('settings', '').split(',').filter(Boolean),
  }
  const only = o.text('only', '')
  const chosen = attacks.filter(({ name }) => name.includes(only))
  let clean = true
  let broken = false
  let given = ''
  let ran: Ran | undefined
  let dir = ''
  const stop = async (): Promise<void> => {
    await ran?.broker.kill()
    ran = undefined
    for (const path of [dir, `${dir}.turns`]) rmSync(path, { recursive: true, force: true })
  }
  try {
    for (const attack of chosen) {
      // In the short form one broker meets all that ask for no settings of their own.
      const settings = attack.settings ?? []
      const asked = [...settings, attack.descriptors].join()
      if (ran === undefined || ran.broker.gone() || !short || broken || asked !== given) {
        await stop()
        dir = mkdtempSync(join(tmpdir(), 'rig-hostile-'))
        ran = await start(dir, [...bounds.settings, ...settings], bounds, attack.descriptors)
        given = asked
      }
      const line = await meet(attack, ran, bounds)
      console.log(line)
      // The next is judged by itself.
      broken = line.endsWith('BROKEN')
      if (broken) clean = false
    }
  } finally {
    await stop()
  }
  return clean
}

main().then(
  (clean) => process.exit(clean ? 0 : 1),
  (error: unknown) => {
    console.error(error)
    process.exit(2)
  },
)
