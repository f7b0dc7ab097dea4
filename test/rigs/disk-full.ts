/**
 * The disk rig: in the middle of a load the disk becomes full, its syncs fail, or it turns read-only; later it is well again. The broker must
 * stay the same process, acknowledge nothing that it cannot keep, say why on stderr, be unready, and serve again by itself. After that it is
 * killed and restarted as well, because a store that goes on after a failed write may lose what it "stored" since.
 *
 *   npx tsx test/rigs/disk-full.ts --target aqueduct [--kind full,reserve,broken,read-only,mount]
 *
 * `full`: writes fail, with store.min_free_bytes 0. `reserve`: writes still work but less than store.min_free_bytes is free. `broken`: syncs
 * fail. `mount` fills a real file system on a loop device; it needs root and is skipped without. The others use the preload library.
 * Exit 1 when a promise was broken.
 */
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  realpathSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Load, startLoad } from './lib/load.js'
import { Options, pause } from './lib/options.js'
import { buildPreload } from './lib/preload.js'
import { printTable } from './lib/report.js'
import { Seeded } from './lib/seeded.js'
import { type Running, targetNamed } from './lib/target.js'
import { isClean, type Verdict, World } from './lib/world.js'

interface Disk {
  dir: string
  env: Record<string, string>
  settings: string[]
  fail(): void
  heal(): void
  remove(): void
  /** Operations that failed so far, where that is known. */
  failures(): number
}

const FAULTS = { full: 1, broken: 2, 'read-only': 3, reserve: 4 } as const
const NO_RESERVE = 'store.min_free_bytes=0'

function injected(work: string, kind: keyof typeof FAULTS): Disk {
  const preload = buildPreload('preload/files.c', work)
  const dir = join(work, `data-${kind}`)
  const control = join(work, `control-${kind}`)
  writeFileSync(control, Buffer.alloc(16))
  const set = (fault: number): void => {
    const fd = openSync(control, 'r+')
    const bytes = Buffer.alloc(4)
    bytes.writeInt32LE(fault)
    writeSync(fd, bytes, 0, 4, 0)
    closeSync(fd)
  }
  return {
    dir,
    env: { LD_PRELOAD: preload, FILES_DIR: dir, FILES_FAULT: control },
    settings: kind === 'reserve' ? [] : [NO_RESERVE],
    fail: () => set(FAULTS[kind]),
    heal: () => set(0),
    remove: () => {},
    failures: () => {
      const fd = openSync(control, 'r')
      const bytes = Buffer.alloc(8)
      readSync(fd, bytes, 0, 8, 8)
      closeSync(fd)
      return Number(bytes.readBigUInt64LE())
    },
  }
}

/** An ext4 of 96 MiB in a file, filled up by another file. */
function mounted(work: string): Disk {
  const image = join(work, 'image')
  const mount = join(work, 'mount')
  mkdirSync(mount)
  execFileSync('dd', ['if=/dev/zero', `of=${image}`, 'bs=1M', 'count=96'], { stdio: 'ignore' })
  execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image], { stdio: 'ignore' })
  execFileSync('mount', ['-o', 'loop', image, mount])
  const ballast = join(mount, 'ballast')
  return {
    dir: join(mount, 'data'),
    env: {},
    settings: [NO_RESERVE],
    fail: () => {
      for (const bytes of [1 << 20, 4096]) {
        const block = Buffer.alloc(bytes, 1)
        try {
          for (let i = 0; i < 100_000; i++) appendFileSync(ballast, block)
        } catch {
          // Full, as wished.
        }
      }
    },
    heal: () => rmSync(ballast, { force: true }),
    remove: () => {
      execFileSync('umount', [mount])
    },
    failures: () => -1,
  }
}

async function ready(broker: Running): Promise<boolean | undefined> {
  if (broker.http_port === 0) return undefined
  try {
    const answer = await fetch(`http://127.0.0.1:${broker.http_port}/readyz`, { signal: AbortSignal.timeout(2000) })
    await answer.text()
    return answer.status === 200
  } catch {
    return false
  }
}

interface Finding {
  verdict: Verdict
  /** What the broker did that it must not do. */
  faults: string[]
  failures: number
  acked_while_failing: number
  back_ms: number
}

async function run(target: string, disk: Disk, seed: number): Promise<Finding> {
  const http = target === 'aqueduct'
  const maker = targetNamed(target, [...disk.settings, ...(http ? ['http.port=0'] : [])])
  const random = new Seeded(seed)
  const faults: string[] = []
  const world = new World()
  let failing = false
  let acked_while_failing = 0
  let broker = await maker.start(disk.dir, { env: disk.env })
  const load: Load = await startLoad({ publishers: 4, window: 60, bytes: 400, mix: [2, 4, 4], seed }, (r) => {
    world.note(r)
    if (failing && r.step === 'acked') acked_while_failing++
  })
  const everybody = async (limit_ms: number): Promise<boolean> => {
    const end = Date.now() + limit_ms
    while (Date.now() < end && !broker.gone()) {
      const answer = await load.connect(broker.port)
      const back = await Promise.all(
        world.seats.map(({ subscriber }) =>
          subscriber.connect(broker.port).then(
            () => true,
            () => false,
          ),
        ),
      )
      if (answer.ok && back.every((x) => x)) return true
      await pause(100)
    }
    return false
  }
  try {
    if (!(await everybody(10_000))) throw new Error(`nobody can connect: ${broker.stderr().slice(-1000)}`)
    await world.seats[1].subscriber.leave()
    const plan = { round: 0, messages: 100_000, rate: 3000 }
    await load.run({ ...plan, port: broker.port, limit_ms: 600 })
    const said_before = broker.stderr().length
    setTimeout(
      () => {
        failing = true
        disk.fail()
      },
      random.between(200, 600),
    )
    await load.run({ ...plan, port: broker.port, limit_ms: 2500 })
    // While it fails: clients come back and try, as clients do.
    for (let i = 0; i < 6 && !broker.gone(); i++) {
      const answer = await load.connect(broker.port)
      if (answer.ok) await load.run({ ...plan, port: broker.port, limit_ms: 200 })
      await pause(200)
    }
    if (broker.gone()) faults.push(`the process ended (${await broker.exited})`)
    if ((await ready(broker)) === true) faults.push('it says that it is ready')
    if (broker.stderr().length === said_before) faults.push('it says nothing on stderr')
    failing = false
    disk.heal()
    const healed = Date.now()
    while (!broker.gone() && (await ready(broker)) === false && Date.now() - healed < 20_000) await pause(50)
    if ((await ready(broker)) === false) faults.push('not ready 20 s after the disk was well again')
    if (broker.gone()) broker = await maker.start(disk.dir, { env: disk.env })
    if (!(await everybody(15_000))) faults.push('clients cannot connect after the disk was well again')
    const back_ms = Date.now() - healed
    await world.seats[1].subscriber.leave()
    await world.seats[2].subscriber.leave()
    await load.run({ ...plan, port: broker.port, limit_ms: 800 })
    world.crash()
    await broker.kill()
    broker = await maker.start(disk.dir, { env: disk.env })
    if (!(await everybody(10_000))) faults.push('clients cannot connect after the restart')
    const settled = await load.settle(0, 20_000)
    if (settled.in_flight > 0) faults.push(`${settled.in_flight} messages are never acknowledged`)
    await world.drain(2000, 30_000)
    const verdict = world.close(0, await world.wrongRetained(broker.port), settled.sessions_lost)
    for (const line of world.examples.slice(0, 6)) console.log(`  ${line}`)
    return { verdict, faults, failures: disk.failures(), acked_while_failing, back_ms }
  } finally {
    for (const { subscriber } of world.seats) subscriber.drop()
    await load.quit()
    await broker.kill()
  }
}

async function main(): Promise<boolean> {
  const o = new Options(process.argv.slice(2))
  const target = o.text('target', 'aqueduct')
  const seed = o.number('seed', 1)
  const kinds = o.text('kind', 'full,reserve,broken,read-only,mount').split(',')
  const work = mkdtempSync(join(realpathSync(tmpdir()), 'rig-disk-'))
  let clean = true
  try {
    for (const [i, kind] of kinds.entries()) {
      let disk: Disk
      try {
        disk = kind === 'mount' ? mounted(work) : injected(work, kind as keyof typeof FAULTS)
      } catch (error) {
        console.log(`${target} disk, ${kind}: skipped, ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
        continue
      }
      try {
        const { verdict, faults, failures, acked_while_failing, back_ms } = await run(target, disk, seed + i)
        const kept = isClean(verdict) && faults.length === 0
        if (!kept) clean = false
        if (!o.flag('short')) printTable([{ ...verdict }], true)
        for (const fault of faults) console.log(`  ${fault}`)
        console.log(
          `${target} disk, ${kind}: ${failures < 0 ? 'unknown' : failures} operations failed, ${acked_while_failing} acknowledged meanwhile; ` +
            `back after ${back_ms} ms; ${verdict.owed} owed, ${verdict.lost} lost, ${verdict.doubled} doubled, ${verdict.inverted} inverted, ` +
            `${verdict.retained_wrong} retained wrong, ${verdict.sessions_lost} sessions lost: ${kept ? 'kept' : 'BROKEN'}`,
        )
      } finally {
        disk.remove()
      }
    }
    return clean
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

main().then(
  (clean) => process.exit(clean ? 0 : 1),
  (error: unknown) => {
    console.error(error)
    process.exit(2)
  },
)
