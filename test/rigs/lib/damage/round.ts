/**
 * One damage: a copy of a base, one file of it harmed once, and what the broker makes of it. States: a start that is *refused* (judged by its
 * sentence, and by the folder, which must not change), or one that is *accepted*: then everything is taken out and judged, and after a kill the
 * next start is judged as well.
 */
import { cpSync, rmSync } from 'node:fs'
import { Faults } from '../faults.js'
import { pause } from '../options.js'
import { Seeded } from '../seeded.js'
import { NotStarted, type Running, type Target } from '../target.js'
import { Actor } from './actor.js'
import { type Base, itemsFor, topicsFor } from './base.js'
import { Drain, type Drained } from './drain.js'
import { brokenEnd, lastOf, shapeOf } from './ends.js'
import { changes, snapshot } from './folder.js'
import { type Damage, harm as harmOne } from './harm.js'
import { becomesReady, metricsOf } from './health.js'
import { judge, type Kind, type Violation } from './judge.js'
import type { Promised } from './promised.js'
import { Said } from './said.js'

export interface Report {
  damage: Damage
  /** What was done, in words. */
  done: string
  outcome: 'refused' | 'served' | 'not ready' | 'nothing to harm'
  /** Owed messages that were said to be gone. */
  gone: number
  violations: Violation[]
  stderr: string
}

const START_LIMIT_MS = 60_000
/** A store that failed is opened again with back-off, 5 s at most apart. */
const READY_LIMIT_MS = 12_000
/** After everything was taken out. */
const READY_AGAIN_MS = 1_000
/** After a damage that stays: two or three tries. */
const UNREADY_MS = 2_500

type Started = { broker: Running } | { broker: undefined; how: string | undefined; stderr: string }

export class Round {
  private readonly target: Target
  private readonly dir: string
  private readonly random: Seeded
  private readonly damage: Damage
  private readonly promised: Promised
  private readonly faults: Faults
  private readonly env: Record<string, string>
  private readonly violations: Violation[] = []
  private readonly said = new Said('')
  private done = ''
  private gone = 0
  private stderr = ''
  /** The damage lies on the disk and has not been met by a start yet. */
  private ahead = false
  private readonly ended = new Set<Running>()
  /** The file that the rig itself changes while the broker looks at it, or "". */
  private victim = ''

  constructor(target: Target, base: Base, dir: string, preload: string, damage: Damage, seed: number) {
    this.target = target
    this.dir = dir
    this.damage = damage
    this.random = new Seeded(seed)
    this.promised = base.promised.clone()
    rmSync(dir, { recursive: true, force: true })
    cpSync(base.dir, dir, { recursive: true })
    this.faults = new Faults(`${dir}.control`, seed)
    this.env = this.faults.env(preload, dir)
  }

  async run(): Promise<Report> {
    const { when } = this.damage
    if (when === 'start') {
      if (!this.harm()) return this.report('nothing to harm')
      return this.report(await this.startAndServe())
    }
    const first = await this.start()
    if (first.broker === undefined) throw new Error(`a sound folder is refused: ${first.stderr}`)
    const broker = first.broker
    try {
      const actor = new Actor(broker, this.promised, this.random)
      await this.fresh(actor, broker, false)
      const outcome = when === 'reopen' ? await this.reopen(broker, actor) : await this.whileRunning(broker, actor)
      if (outcome !== undefined) return this.report(outcome)
    } finally {
      await this.end(broker)
    }
    return this.report(await this.startAndServe())
  }

  /* ---- the three moments ---- */

  /** A start on the folder as it is, and all that follows. */
  private async startAndServe(): Promise<Report['outcome']> {
    const broker = await this.startJudged(false)
    return broker === undefined ? 'refused' : await this.serveAndRestart(broker)
  }

  /** A start; one that is refused is judged, and tried again when the fault is over by itself. `accepted`: the start before was. */
  private async startJudged(accepted: boolean): Promise<Running | undefined> {
    const before = snapshot(this.dir)
    const started = await this.start()
    if (started.broker !== undefined) return started.broker
    await this.judgeRefusal(started, before)
    if (!this.passing()) {
      if (accepted) this.add('loop', `a start was accepted, and the next is refused: ${lastOf(started.stderr)}`)
      return undefined
    }
    // What failed once does not fail again: now everything must be there.
    const again = await this.start()
    if (again.broker === undefined) this.add('loop', `the fault is over, and a start is still refused: ${lastOf(again.stderr)}`)
    return again.broker
  }

  private async reopen(broker: Running, actor: Actor): Promise<Report['outcome'] | undefined> {
    this.faults.arm(
      this.random.chance(0.5)
        ? { calls: ['sync'], match: 'level/*.log', error: 'EIO' }
        : { calls: ['write'], match: 'level/*.log', error: 'ENOSPC' },
    )
    const length = broker.stderr().length
    const once = this.damage.how.endsWith('once') || this.damage.how === 'cut open'
    if (once && !this.harm()) return 'nothing to harm'
    await this.tryPublish(actor)
    for (let i = 0; i < 400 && !/a commit failed/.test(broker.stderr().slice(length)) && !broker.gone(); i++) await pause(5)
    if (!once && !this.harm()) return 'nothing to harm'
    const ready = await becomesReady(broker, this.passing() ? READY_LIMIT_MS : UNREADY_MS)
    if (!ready) {
      // It says so and waits: what it makes of the folder is seen at the next start.
      if (!broker.gone() && new Said(broker.stderr().slice(length)).lines.length === 0)
        this.add('speechless', 'it is not ready and says nothing')
      this.ahead = true
      return undefined
    }
    this.ahead = false
    return await this.serveAndRestart(broker)
  }

  private async whileRunning(broker: Running, actor: Actor): Promise<Report['outcome'] | undefined> {
    if (this.random.chance(0.5)) await new Promise((r) => setTimeout(r, 30))
    if (!this.harm()) return 'nothing to harm'
    this.ahead = true
    await this.fresh(actor, broker, false)
    return await this.serveAndRestart(broker)
  }

  /* ---- serving ---- */

  private async serveAndRestart(broker: Running): Promise<Report['outcome']> {
    try {
      await this.serve(broker, this.damage.when === 'start')
      // Acknowledged, and left for the next start.
      if (!broker.gone()) await this.fresh(new Actor(broker, this.promised, this.random), broker, false)
    } finally {
      await this.end(broker)
    }
    // An open may have cut the file behind the back of whoever accepted it.
    const next = await this.startJudged(!this.ahead && this.damage.how !== 'cut open')
    if (next === undefined) return 'refused'
    this.ahead = false
    try {
      await this.serve(next, true)
      if (next.gone()) this.add('loop', 'the second run ends by itself')
    } finally {
      await this.end(next)
    }
    return 'served'
  }

  /** New messages, then everything is taken out and judged. */
  private async serve(broker: Running, must: boolean): Promise<void> {
    const actor = new Actor(broker, this.promised, this.random)
    await this.fresh(actor, broker, must)
    const drained = await new Drain(actor, broker.gone).run(broker.port)
    const metrics = broker.gone() ? '' : await metricsOf(broker)
    if (broker.gone()) await this.judgeEnd(broker)
    const said = new Said(broker.stderr(), metrics).and(this.said)
    // Not ready is a refusal, too.
    if (broker.gone() || !(await becomesReady(broker, READY_AGAIN_MS))) {
      // What had no time to come is asked for at the next start.
      this.violations.push(...judge(this.promised, drained, said).filter(({ kind }) => kind === 'altered'))
      this.settle(drained, false)
      this.ahead = true
      return
    }
    this.violations.push(...judge(this.promised, drained, said))
    for (const text of drained.stuck) if (this.violations.length > 0) this.add('silent', `stuck: ${text}`)
    this.settle(drained, true)
  }

  private settle(drained: Drained, whole: boolean): void {
    const { promised } = this
    for (const { owner, id } of drained.came) if (id !== undefined) promised.settle(owner, id)
    if (!whole) return
    for (const ids of promised.owed.values()) {
      this.gone += ids.size
      // They were judged; should they come after all, they are neither owed nor forbidden.
      ids.clear()
    }
    for (const [topic, id] of [...promised.retained]) if (drained.retained.get(topic) !== id) promised.retained.delete(topic)
    for (const name of drained.sessions_absent) promised.sessions.delete(name)
    for (const name of drained.queues_absent) promised.queues.delete(name)
    for (const name of drained.rules_absent) promised.rules.delete(name)
  }

  private async fresh(actor: Actor, broker: Running, must: boolean): Promise<void> {
    for (let i = 0; i < 4 && !broker.gone(); i++) {
      if (await this.tryPublish(actor)) return
      await pause(300)
    }
    if (must && !broker.gone()) this.add('refuses', 'new messages are not acknowledged')
  }

  private async tryPublish(actor: Actor): Promise<boolean> {
    try {
      if (!(await actor.publish(topicsFor(this.random, 8)))) return false
      await actor.send('plain', itemsFor(this.random, 'plain', 2))
      return true
    } catch {
      return false
    }
  }

  /* ---- starts and ends ---- */

  private async start(): Promise<Started> {
    try {
      const broker = await this.target.start(this.dir, { env: this.env, limit_ms: START_LIMIT_MS })
      return { broker }
    } catch (error) {
      if (!(error instanceof NotStarted)) throw error
      this.stderr += error.stderr
      this.said.and(new Said(error.stderr))
      return { broker: undefined, how: error.how, stderr: error.stderr }
    }
  }

  private async end(broker: Running): Promise<void> {
    await broker.kill()
    if (this.ended.has(broker)) return
    this.ended.add(broker)
    this.stderr += `${broker.stderr()}--\n`
    this.said.and(new Said(broker.stderr()))
  }

  private async judgeEnd(broker: Running): Promise<void> {
    const how = await broker.exited
    const cut = this.damage.how === 'cut open' && this.damage.kind === 'table'
    if (how === 'SIGBUS' && cut) return
    const broken = brokenEnd('it, while running,', how, broker.stderr())
    if (broken !== undefined) this.violations.push(broken)
  }

  private async judgeRefusal(refused: Extract<Started, { broker: undefined }>, before: Map<string, string>): Promise<void> {
    if (!this.judgeSentence(refused)) return
    const changed = changes(before, snapshot(this.dir)).filter((text) => this.victim === '' || !text.startsWith(this.victim))
    for (const text of changed) this.add('changed', `a refused start: ${text}`)
    if (this.passing()) return
    const again = await this.start()
    if (again.broker !== undefined) {
      await this.end(again.broker)
      this.add('wavers', `refused, and then accepted: ${lastOf(refused.stderr)}`)
    } else if (this.judgeSentence(again) && this.victim === '' && shapeOf(refused.stderr) !== shapeOf(again.stderr))
      this.add('wavers', `first: ${lastOf(refused.stderr)} then: ${lastOf(again.stderr)}`)
  }

  private judgeSentence({ how, stderr }: Extract<Started, { broker: undefined }>): boolean {
    const broken = brokenEnd('a start', how, stderr)
    if (broken !== undefined) this.violations.push(broken)
    return broken === undefined
  }

  /** Whether the fault is one that is over by itself. */
  private passing(): boolean {
    return this.damage.how.endsWith('once')
  }

  private harm(): boolean {
    const harm = harmOne(this.dir, this.damage, this.faults, this.random)
    this.done = harm?.done ?? ''
    this.victim = harm?.victim ?? ''
    return harm !== undefined
  }

  private add(kind: Kind, text: string): void {
    this.violations.push({ kind, text })
  }

  private report(outcome: Report['outcome']): Report {
    rmSync(this.faults.file, { force: true })
    return {
      damage: this.damage,
      done: this.done,
      outcome,
      gone: this.gone,
      violations: this.violations,
      stderr: this.stderr,
    }
  }
}
