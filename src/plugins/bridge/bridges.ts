/**
 * All bridge rules: those of the settings, and those that the library and the JSON API make, which are rows of the store.
 *
 * Always true: a rule that is listed is at work while a store is open, from the next message on; one that is refused has changed nothing; a stored
 * rule, and the queue that it needs, are one commit.
 */
import type { BrokerApi } from '../../broker/plugin.js'
import { AqueductError } from '../../core/errors.js'
import type { OrderedQueues } from '../../queue/ordered-queues.js'
import type { Damaged } from '../../store/disk.js'
import { bridgeRuleKey, bridgeRules, textOf } from '../../store/keys.js'
import type { Store } from '../../store/store.js'
import { type RuleCounts, Tally, Totals } from './counts.js'
import { readRuleRow, ruleRow } from './record.js'
import { type Compiled, invalid, parseRule, type Rule } from './rule.js'
import { RuleTaker } from './rule-taker.js'
import { Targets } from './targets.js'

/** A rule as it stands. */
export interface ListedRule extends Rule {
  /** `settings`: from `bridge.rules`, and only to be changed there. */
  readonly source: 'settings' | 'stored'
  readonly counts: RuleCounts
}

/** What the plugin offers: `broker.offer<Bridges>('bridge')`. */
export interface Bridges {
  /** All rules, by name. */
  list(): ListedRule[]
  get(name: string): ListedRule | undefined
  /**
   * Makes or replaces the rule `name`, in the open commit group; tell the caller after `committed()`. `input` may be anything that came over a wire.
   * Throws `name_invalid`, `filter_invalid` or `attribute_invalid` with a sentence that names the field, its value and what is allowed; `read_only` for a rule of
   * the settings; `limit_reached`; `store_failed`. Nothing has changed then.
   */
  put(name: string, input: unknown): { readonly rule: ListedRule; readonly created: boolean }
  /** Ends the rule; its queue stays. False when there is none. Throws `read_only`, `store_failed`. */
  delete(name: string): boolean
  /** Resolves when everything done so far is on the disk; rejects with `store_failed`. */
  committed(): Promise<void>
  readonly totals: Totals
  readonly size: number
}

export interface BridgeOptions {
  /** Rules of the settings, each with its `name`. */
  readonly rules: readonly Readonly<Record<string, unknown>>[]
  /** Queues that rules may make by themselves. */
  readonly max_auto_queues: number
  /** Rules, those of the settings included. */
  readonly max_rules: number
  /** Bytes of a payload that the condition of a rule looks into. */
  readonly max_when_bytes: number
}

/** While a store is open. */
interface Standing {
  readonly store: Store
  readonly ordered: OrderedQueues
  readonly targets: Targets
}

interface Active {
  readonly taker: RuleTaker
  readonly source: ListedRule['source']
}

export class RuleBook implements Bridges {
  readonly totals = new Totals()
  private readonly api: BrokerApi
  private readonly options: BridgeOptions
  private readonly fixed = new Map<string, Compiled>()
  private readonly active = new Map<string, Active>()
  /** Kept over a store that is opened anew. */
  private readonly tallies = new Map<string, Tally>()
  /** Stored rules that are not at work: the settings have one of that name, or this version cannot carry them out. */
  private readonly idle = new Set<string>()
  private standing: Standing | undefined

  /** Throws `bad_setting` for a rule of the settings that cannot be. */
  constructor(api: BrokerApi, options: BridgeOptions) {
    this.api = api
    this.options = options
    for (const [i, { name, ...fields }] of options.rules.entries()) {
      const compiled = settingsRule(i, name, fields)
      if (this.fixed.has(compiled.rule.name)) {
        throw new AqueductError(
          'bad_setting',
          `bridge.rules[${i}]: there is a rule ${compiled.rule.name} already. Allowed is each name once.`,
        )
      }
      this.fixed.set(compiled.rule.name, compiled)
    }
    if (this.fixed.size > options.max_rules) {
      throw new AqueductError(
        'bad_setting',
        `bridge.rules has ${this.fixed.size} rules. Allowed are as many as bridge.max_rules says: ${options.max_rules}.`,
      )
    }
  }

  /** Takes up the rules that a store holds; the broker has forgotten those of an earlier one. */
  async open(store: Store, ordered: OrderedQueues): Promise<void> {
    const { api, options } = this
    this.standing = undefined
    this.active.clear()
    this.idle.clear()
    const targets = new Targets(ordered, store, {
      max: options.max_auto_queues,
      log: api.log,
      uptime_ms: () => api.coarse_ms(),
    })
    await targets.load()
    const standing = { store, ordered, targets }
    for (const compiled of this.fixed.values()) {
      this.provide(standing, compiled)
      this.activate(standing, compiled, 'settings')
    }
    const onDamaged = ({ key, lt }: Damaged): void => {
      if (lt === undefined) this.idle.add(textOf(key).toString())
      const rule = lt === undefined ? textOf(key).toString() : 'unknown'
      api.log.error({ rule }, 'a stored bridge rule is damaged: it rests, nothing is copied by it until it is made anew')
    }
    for await (const { key, value } of store.disk.scan(bridgeRules, { onDamaged })) {
      const name = textOf(key).toString()
      const fields = readRuleRow(value)
      if (fields === undefined) {
        store.damage.note({ key })
        onDamaged({ key })
        continue
      }
      const compiled = this.revive(name, fields)
      if (compiled === undefined) this.idle.add(name)
      else this.activate(standing, compiled, 'stored')
    }
    for (const name of this.tallies.keys()) if (!this.active.has(name)) this.tallies.delete(name)
    this.standing = standing
  }

  list(): ListedRule[] {
    return [...this.active.values()].map(listed).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  get(name: string): ListedRule | undefined {
    const active = this.active.get(name)
    return active === undefined ? undefined : listed(active)
  }

  get size(): number {
    return this.active.size
  }

  put(name: string, input: unknown): { rule: ListedRule; created: boolean } {
    const compiled = parseRule(name, input)
    const standing = this.changeable(name)
    const created = !this.active.has(name)
    if (created && this.active.size >= this.options.max_rules) {
      throw new AqueductError(
        'limit_reached',
        `There are as many bridge rules as bridge.max_rules allows: ${this.options.max_rules}.`,
      )
    }
    if (compiled.queue.literal) {
      refuseDeadCycle(standing.ordered, compiled.queue.text)
      if (standing.ordered.get(compiled.queue.text) === undefined) {
        standing.targets.make(compiled.queue.text, compiled.key !== undefined)
      }
    }
    standing.store.journal.put(bridgeRuleKey(name), ruleRow(compiled.rule))
    this.idle.delete(name)
    return { rule: listed(this.activate(standing, compiled, 'stored')), created }
  }

  delete(name: string): boolean {
    const { store } = this.changeable(name)
    const active = this.active.get(name)
    if (active === undefined && !this.idle.delete(name)) return false
    if (active !== undefined) {
      this.api.removeTaker(active.taker)
      this.active.delete(name)
      this.tallies.delete(name)
    }
    store.journal.del(bridgeRuleKey(name))
    return true
  }

  committed(): Promise<void> {
    return this.standing === undefined ? Promise.reject(notOpen()) : this.standing.ordered.committed()
  }

  private changeable(name: string): Standing {
    if (this.fixed.has(name)) {
      throw new AqueductError('read_only', `The rule ${name} is in the settings (bridge.rules) and can only be changed there.`)
    }
    if (this.standing === undefined || this.standing.store.journal.failed) throw notOpen()
    return this.standing
  }

  /** Puts the rule to work, in the place of the one of its name. */
  private activate({ targets }: Standing, compiled: Compiled, source: ListedRule['source']): Active {
    const { name } = compiled.rule
    const before = this.active.get(name)
    const tally = this.tallies.get(name) ?? new Tally()
    this.tallies.set(name, tally)
    const taker = new RuleTaker(compiled, tally, { targets, totals: this.totals, max_when_bytes: this.options.max_when_bytes })
    const active = { taker, source }
    this.active.set(name, active)
    this.api.addTaker(taker)
    if (before !== undefined) this.api.removeTaker(before.taker)
    return active
  }

  /** Makes the queue of a rule of the settings; without it the rule works all the same, and what it refuses is counted. */
  private provide({ ordered, targets }: Standing, { rule, queue, key }: Compiled): void {
    if (!queue.literal || ordered.get(queue.text) !== undefined) return
    try {
      targets.make(queue.text, key !== undefined)
    } catch (error) {
      this.api.log.error({ err: error, rule: rule.name }, 'the queue of a bridge rule could not be made')
    }
  }

  private revive(name: string, fields: unknown): Compiled | undefined {
    if (this.fixed.has(name)) {
      this.api.log.warn({ rule: name }, 'a stored bridge rule rests: the settings have one of that name')
      return undefined
    }
    try {
      return parseRule(name, fields)
    } catch (error) {
      this.api.log.error(
        { err: error, rule: name },
        'a stored bridge rule cannot be carried out by this version; it is kept and rests',
      )
      return undefined
    }
  }
}

function listed({ taker, source }: Active): ListedRule {
  const { copied, refused, unmatched, errors } = taker.tally
  return { ...taker.compiled.rule, source, counts: { copied, refused, unmatched, errors } }
}

function settingsRule(i: number, name: unknown, fields: unknown): Compiled {
  try {
    return parseRule(name, fields)
  } catch (error) {
    if (!(error instanceof AqueductError)) throw error
    throw new AqueductError('bad_setting', `bridge.rules[${i}]: ${error.message}`, { cause: error })
  }
}

/** A message that dies in the queue must not come back to it: dead letters go down a line, never round. */
function refuseDeadCycle(ordered: OrderedQueues, name: string): void {
  const seen = new Set<string>()
  for (let at = name; at !== ''; at = ordered.get(at)?.attributes.dead_letter ?? '') {
    if (seen.has(at)) throw invalid(`queue = ${JSON.stringify(name)}: its dead letters would come round to ${at} again`)
    seen.add(at)
  }
}

function notOpen(): AqueductError {
  return new AqueductError('store_failed', 'The store takes nothing until it is open again.')
}
