/** The kill rig on a disk of which a share of all calls fails: a load that comes back whenever it was thrown out, and a start that is tried again. */
import { Said } from './damage/said.js'
import { CALLS, type Call, Faults } from './faults.js'
import type { Load, Plan } from './load.js'
import { pause } from './options.js'
import { NotStarted, type Running, type StartOptions, type Target } from './target.js'

const FOR_EVER = 2 ** 31 - 1
/** Starts that may be refused in a row while calls fail; then the disk is made well for one that must succeed. */
const STARTS_MAX = 10

export class Faulty {
  refused = 0
  /** Starts that ended without a sentence that says what to do: broken promises. */
  readonly speechless: string[] = []
  readonly env: Record<string, string>
  private readonly faults: Faults
  private readonly chance: number

  /** `control`: a file beside the data folder `dir`. */
  constructor(control: string, preload: string, dir: string, percent: number, seed: number) {
    this.faults = new Faults(control, seed)
    this.env = this.faults.env(preload, dir)
    this.chance = percent / 100
  }

  /** Calls that failed so far. */
  get failures(): number {
    return this.faults.hits()
  }

  begin(): void {
    this.faults.arm({ calls: Object.keys(CALLS) as Call[], match: '*', chance: this.chance, times: FOR_EVER })
  }

  heal(): void {
    this.faults.disarm()
  }

  /** Publishers go on for `ms` whatever happens to their connections, then the broker is killed. */
  async load(load: Load, broker: Running, plan: Plan, ms: number): Promise<void> {
    const timer = setTimeout(() => void broker.kill(), ms)
    try {
      const end = Date.now() + ms + 2_000
      while (!broker.gone() && Date.now() < end) {
        await load.run({ ...plan, limit_ms: ms })
        if (broker.gone()) break
        await pause(50)
        await load.connect(broker.port)
      }
      await broker.exited
    } finally {
      clearTimeout(timer)
    }
  }

  /** Starts until one succeeds. Throws when a well disk does not help. */
  async start(target: Target, dir: string, options: StartOptions): Promise<Running> {
    for (let i = 0; ; i++) {
      if (i === STARTS_MAX) this.heal()
      try {
        return await target.start(dir, options)
      } catch (error) {
        if (!(error instanceof NotStarted) || i >= STARTS_MAX) throw error
        if (error.how !== '1' || new Said(error.stderr).refusal() === undefined)
          this.speechless.push(`a start ended with ${error.how}: ${error.stderr.trim().slice(-400)}`)
        this.refused++
      }
    }
  }
}

/** Tries `what` until it is true or the time is over: a store that failed is opened again within seconds. */
export async function patiently(what: () => Promise<boolean>, limit_ms = 20_000): Promise<boolean> {
  const end = Date.now() + limit_ms
  for (;;) {
    const done = await what().catch(() => false)
    if (done || Date.now() > end) return done
    await pause(150)
  }
}
