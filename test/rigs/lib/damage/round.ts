/**
 * One damage: a copy of a base, one file of it harmed once, and what the broker makes of it. States: a start that is *refused* (judged by its
 * sentence, and by the folder, which must not change), or one that is *accepted*: then everything is taken out and judged, and after a kill the
 * next start is judged as well.
 */
import { cpSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type ErrorName, Faults } from '../faults.js'
import { pause } from '../options.js'
import { Seeded } from '../seeded.js'
import { NotStarted, type Running, type Target } from '../target.js'
import { Actor } from './actor.js'
import { type Base, itemsFor, topicsFor } from './base.js'
import { Drain, type Drained } from './drain.js'
import { changes, cutTo, damageFile, type FileKind, filesOf, KINDS, type Persistent, snapshot } from './folder.js'
import { judge, type Kind, type Violation } from './judge.js'
import type { Promised } from './promised.js'
import { Said } from './said.js'

export const WHENS = ['start', 'reopen', 'running'] as const
export const HOWS = ['open once', 'read once', 'flip', 'zero', 'cut', 'delete', 'cut open'] as const

export interface Damage {
  when: (typeof WHENS)[number]
  how: (typeof HOWS)[number]
  kind: FileKind
}

export function allDamages(): Damage[] {
  return KINDS.flatMap((kind) => HOWS.flatMap((how) => WHENS.map((when) => ({ when, how, kind }))))
}

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

const START_LIMIT_MS = 20_000
const READY_LIMIT_MS = 9_000

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
      return this.report(await this.startAndServe(true))
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
    return this.report(await this.startAndServe(false))
  }

  /* ---- the three moments ---- */

  /** A start on the folder as it is; `first`: the damage was done just before it. */
  private async startAndServe(first: boolean): Promise<Report['outcome']> {
    const before = snapshot(this.dir)
    const started = await this.start()
    if (started.broker === undefined) {
      await this.judgeRefusal(started, before)
      if (!this.passing()) return 'refused'
      // What failed once does not fail again: now everything must be there.
      const again = await this.start()
      if (again.broker === undefined) {
        this.add('loop', `the fault is over and a start is still refused: ${lastOf(again.stderr)}`)
        return 'refused'
      }
      return await this.serveAndRestart(again.broker, first)
    }
    return await this.serveAndRestart(started.broker, first)
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
    const ready = await this.waitReady(broker)
    if (!ready) {
      // It says so and waits: what it makes of the folder is seen at the next start.
      if (!broker.gone() && new Said(broker.stderr().slice(length)).lines.length === 0)
        this.add('speechless', 'it is not ready and says nothing')
      this.ahead = true
      return undefined
    }
    this.ahead = false
    return await this.serveAndRestart(broker, true)
  }

  private async whileRunning(broker: Running, actor: Actor): Promise<Report['outcome'] | undefined> {
    if (this.random.chance(0.5)) await new Promise((r) => setTimeout(r, 30))
    if (!this.harm()) return 'nothing to harm'
    this.ahead = true
    await this.fresh(actor, broker, false)
    return await this.serveAndRestart(broker, true)
  }

  /* ---- serving ---- */

  private async serveAndRestart(broker: Running, judged: boolean): Promise<Report['outcome']> {
    try {
      await this.serve(broker, judged)
      if (!broker.gone() && !(await this.later(broker))) return 'served'
    } finally {
      await this.end(broker)
    }
    const before = snapshot(this.dir)
    const next = await this.start()
    if (next.broker === undefined) {
      const { ahead } = this
      await this.judgeRefusal(next, before)
      if (!ahead && !this.passing()) this.add('loop', `a start was accepted, and the next is refused: ${lastOf(next.stderr)}`)
      if (!this.passing()) return 'refused'
      const again = await this.start()
      if (again.broker === undefined) {
        this.add('loop', `the fault is over and a start is still refused: ${lastOf(again.stderr)}`)
        return 'refused'
      }
      await this.finish(again.broker)
      return 'served'
    }
    await this.finish(next.broker)
    return 'served'
  }

  private async finish(broker: Running): Promise<void> {
    try {
      this.ahead = false
      await this.serve(broker, true)
      if (broker.gone()) this.add('loop', 'the second run ends by itself')
    } finally {
      await this.end(broker)
    }
  }

  /** New messages, then everything is taken out and judged. */
  private async serve(broker: Running, judged: boolean): Promise<void> {
    const actor = new Actor(broker, this.promised, this.random)
    await this.fresh(actor, broker, judged && this.damage.when === 'start')
    const drained = await new Drain(actor, broker.gone).run(broker.port)
    const metrics = broker.gone() ? '' : await this.metrics(broker)
    if (broker.gone()) await this.judgeEnd(broker)
    const said = new Said(broker.stderr(), metrics).and(this.said)
    if (broker.gone()) {
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

  /** Acknowledged and left for the next start. False: the broker is of no use. */
  private async later(broker: Running): Promise<boolean> {
    const actor = new Actor(broker, this.promised, this.random)
    await this.fresh(actor, broker, false)
    return true
  }

  private async waitReady(broker: Running): Promise<boolean> {
    const end = Date.now() + READY_LIMIT_MS
    while (Date.now() < end && !broker.gone()) {
      try {
        const answer = await fetch(`http://127.0.0.1:${broker.http_port}/readyz`, { signal: AbortSignal.timeout(2000) })
        await answer.text()
        if (answer.status === 200) return true
      } catch {
        // It may be busy with the folder.
      }
      await pause(50)
    }
    return false
  }

  private async metrics(broker: Running): Promise<string> {
    try {
      return await (await fetch(`http://127.0.0.1:${broker.http_port}/metrics`, { signal: AbortSignal.timeout(3000) })).text()
    } catch {
      return ''
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
    this.stderr += `${broker.stderr()}--\n`
    this.said.and(new Said(broker.stderr()))
  }

  private async judgeEnd(broker: Running): Promise<void> {
    const how = await broker.exited
    const cut = this.damage.how === 'cut open' && this.damage.kind === 'table'
    if (how === 'SIGBUS' && cut) return
    if (how.startsWith('SIG')) this.add('signal', `it ended by ${how} while running: ${lastOf(broker.stderr())}`)
    else if (new Said(broker.stderr()).refusal() === undefined)
      this.add('speechless', `it ended with ${how} while running: ${lastOf(broker.stderr())}`)
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
    } else if (this.judgeSentence(again) && shapeOf(refused.stderr) !== shapeOf(again.stderr))
      this.add('wavers', `first: ${lastOf(refused.stderr)} then: ${lastOf(again.stderr)}`)
  }

  private judgeSentence({ how, stderr }: Extract<Started, { broker: undefined }>): boolean {
    if (how === undefined) this.add('hangs', `nothing within ${START_LIMIT_MS} ms: ${lastOf(stderr)}`)
    else if (how.startsWith('SIG')) this.add('signal', `a start ended by ${how}: ${lastOf(stderr)}`)
    else if (how !== '1' || new Said(stderr).refusal() === undefined)
      this.add('speechless', `a start ended with ${how}, without a sentence that says what to do: ${lastOf(stderr)}`)
    else return true
    return false
  }

  /** Whether the fault is one that is over by itself. */
  private passing(): boolean {
    return this.damage.how.endsWith('once')
  }

  /* ---- the damage ---- */

  private harm(): boolean {
    const { how, kind, when } = this.damage
    const files = filesOf(this.dir, kind)
    if (files.length === 0) return false
    // The newest as often as any other: it is the one in use.
    const path = this.random.chance(0.4) ? (files.at(-1) as string) : this.random.pick(files)
    if (how === 'open once' || how === 'read once') {
      const error: ErrorName = how === 'read once' ? 'EIO' : this.random.pick(['EMFILE', 'EACCES', 'EIO'] as const)
      const skip = this.random.below(3)
      // A running broker opens files that are not there yet.
      const match = when === 'start' && this.random.chance(0.5) ? path : patternOf(kind, path)
      this.faults.arm({ calls: how === 'open once' ? ['open'] : ['read', 'mmap'], match, skip, error })
      this.done = `${how}: ${error} for ${match}, after ${skip}`
      return true
    }
    if (how === 'cut open' && when !== 'running') {
      const skip = this.random.below(3)
      const { size } = statSync(join(this.dir, path))
      const cut = cutTo(size, this.random)
      this.victim = path
      this.faults.arm({ calls: ['open'], match: path, skip, cut })
      this.done = `an open cuts ${path} from ${size} to ${cut} bytes, after ${skip}`
      return true
    }
    const done = damageFile(this.dir, path, how as Persistent | 'cut open', this.random)
    this.done = done ?? ''
    return done !== undefined
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

function patternOf(kind: FileKind, path: string): string {
  if (kind === 'log') return 'level/*.log'
  if (kind === 'table') return 'level/*.ldb'
  if (kind === 'manifest') return 'level/MANIFEST-*'
  return path
}

function lastOf(stderr: string): string {
  return stderr.trim().split('\n').slice(-2).join(' | ').slice(0, 400)
}

/** A sentence without its numbers and paths' digits. */
function shapeOf(stderr: string): string {
  return (new Said(stderr).refusal() ?? '').replace(/\d+/g, '#')
}

/** Whether a base has files of this kind. */
export function suits(base: Base, kind: FileKind): boolean {
  return filesOf(base.dir, kind).length > 0
}

/** Bytes and files of a base, for the reader. */
export function sizeOf(base: Base): string {
  const files = readdirSync(base.dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const bytes = files.reduce((sum, entry) => sum + readFileSync(join(entry.parentPath, entry.name)).length, 0)
  const tables = filesOf(base.dir, 'table').length
  return `${Math.round(bytes / 1024)} KiB, ${tables} tables`
}
