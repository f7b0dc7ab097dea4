/** A rule at work: takes its copy of each matching message, in the commit that acknowledges the publisher. */
import type { Inbound } from '../../broker/message.js'
import { Taker } from '../../broker/taker.js'
import { KEY_BYTES_MAX } from '../../core/limits.js'
import type { Seldom } from '../../core/seldom.js'
import type { OutgoingMessage } from '../../queue/ordered-api.js'
import type { OrderedQueue } from '../../queue/ordered-queue.js'
import type { MessageView } from '../../store/message.js'
import { CUT } from './condition.js'
import type { Refusal, Tally, Totals } from './counts.js'
import { Plan } from './plan.js'
import type { Compiled } from './rule.js'
import type { Targets } from './targets.js'
import { clientOf, type Subject } from './template.js'

/** A copy on its way into a queue; one object, used again. */
class Copy implements OutgoingMessage {
  view!: MessageView
  key = ''
  tag = ''
  priority = 0
  delay_ms = 0
  expires_at = 0
}

/** Negative: as the queue says. */
const QUEUES_OWN = -1
const PRIORITY_STANDARD = 8

/** What all rules share while a store is open. */
export interface Bridge {
  readonly targets: Targets
  readonly totals: Totals
  readonly seldom: Seldom
  /** Bytes of a payload that a condition looks into. */
  readonly max_when_bytes: number
}

/** What asking a condition costs, and how many steps of it cost as much as one copy of a message: in the unit of `BrokerState.work`. */
const WHEN_WORK = 2
const STEPS_PER_WORK = 4

export class RuleTaker extends Taker {
  readonly compiled: Compiled
  readonly tally: Tally
  private readonly bridge: Bridge
  private readonly copy = new Copy()
  private readonly bySubscription: boolean
  /** The queue of a rule that has only one, as last found. */
  private only: OrderedQueue | undefined

  /** `bySubscription`: a subscription made it, so that it gets no more than subscribers get. */
  constructor(compiled: Compiled, tally: Tally, bridge: Bridge, bySubscription = false) {
    super(compiled.rule.filter)
    this.bySubscription = bySubscription
    this.compiled = compiled
    this.tally = tally
    this.bridge = bridge
    const { priority, delay_s } = compiled.rule
    this.copy.priority = priority ?? PRIORITY_STANDARD
    this.copy.delay_ms = delay_s === undefined ? QUEUES_OWN : delay_s * 1000
  }

  override get ofSubscribers(): boolean {
    return this.bySubscription
  }

  /** Only a rule that requires its copy can refuse a message: when the copy has no room. A name or key that does not fit refuses the copy alone. */
  override allows(m: Inbound): boolean {
    const { rule, queue } = this.compiled
    if (!rule.required || (m.qos === 0 && !rule.qos0) || this.answer(m) !== true) return true
    const name = queue.expand(subjectOf(m))
    if (this.textRefusal(m) !== undefined) return true
    const { targets, totals } = this.bridge
    const copy = { queue: name, bytes: keptBytes(m), key: this.copy.key }
    const allowed = planOf(m).reserve(copy, (wanted) => targets.roomFor(name, wanted))
    if (!allowed) {
      totals.required++
      this.refused('queue_full')
    }
    return allowed
  }

  take(m: Inbound, _held: boolean): boolean {
    const { rule } = this.compiled
    if ((m.qos === 0 && !rule.qos0) || !this.wants(m)) return false
    const queue = this.queueOf(m)
    const refusal = typeof queue === 'string' ? queue : this.textRefusal(m)
    if (typeof queue === 'string' || refusal !== undefined) return this.refused(refusal as Refusal)
    const { copy } = this
    if (!this.mayUse(m, queue)) return this.refused('queue_full')
    copy.view = m
    copy.expires_at = expiry(m, rule.ttl_s)
    if (queue.offer(copy).outcome !== 'stored') return this.refused('queue_full')
    this.tally.copied++
    this.bridge.totals.copied++
    return true
  }

  /** What the condition says; true without one. */
  private answer(m: Inbound): boolean | typeof CUT | undefined {
    const { when } = this.compiled
    if (when === undefined) return true
    const facts = planOf(m).facts(m, this.bridge.max_when_bytes)
    const before = facts.spent
    const answer = when.test(facts)
    m.takersWork += WHEN_WORK + Math.ceil((facts.spent - before) / STEPS_PER_WORK)
    return answer
  }

  private wants(m: Inbound): boolean {
    if (this.compiled.when === undefined) return true
    const answer = this.answer(m)
    if (answer === true) return true
    for (const counts of [this.tally, this.bridge.totals]) {
      counts.unmatched++
      if (answer !== false) counts.errors++
    }
    if (answer === CUT) this.cut(m)
    return false
  }

  private cut(m: Inbound): void {
    this.bridge.totals.cut++
    this.bridge.seldom.warn(
      { rule: this.compiled.rule.name, topic: m.topic.name, client: clientOf(m) },
      'the condition of a bridge rule was given up: there was too much to do for one message',
    )
  }

  /** False when the room that is left belongs to rules that require theirs. */
  private mayUse(m: Inbound, queue: OrderedQueue): boolean {
    const plan = m.attachment
    if (!(plan instanceof Plan)) return true
    const bytes = keptBytes(m)
    const { key } = this.copy
    if (this.compiled.rule.required) plan.release(queue.name, bytes, key)
    return plan.leaves(queue, { bytes, key })
  }

  private queueOf(m: Inbound): OrderedQueue | Refusal {
    const { queue, key } = this.compiled
    const { targets } = this.bridge
    if (!queue.literal) return targets.find(queue.expand(subjectOf(m)), key !== undefined)
    if (this.only === undefined || this.only.state.deleted) {
      const found = targets.find(queue.text, key !== undefined)
      if (typeof found === 'string') return found
      this.only = found
    }
    return this.only
  }

  /** Sets the copy's key and tag; says why when what the topic gives does not fit. */
  private textRefusal(m: Inbound): Refusal | undefined {
    const { key, tag } = this.compiled
    if (key !== undefined && isTooLong((this.copy.key = key.expand(subjectOf(m))))) return 'bad_key'
    if (tag !== undefined && isTooLong((this.copy.tag = tag.expand(subjectOf(m))))) return 'bad_key'
    return undefined
  }

  private refused(why: Refusal): false {
    this.tally.refused++
    this.bridge.totals.refused++
    this.bridge.totals.reasons[why]++
    this.bridge.seldom.warn({ rule: this.compiled.rule.name, why }, 'a bridge rule could not make its copy')
    return false
  }
}

const subject = { topic: '', client: '' }

function subjectOf(m: Inbound): Subject {
  subject.topic = m.topic.name
  subject.client = clientOf(m)
  return subject
}

function isTooLong(text: string): boolean {
  return text.length > KEY_BYTES_MAX || Buffer.byteLength(text) > KEY_BYTES_MAX
}

/** `messageBytes` of `m` as it is stored, also before it was given that shape. */
function keptBytes(m: Inbound): number {
  return 4 + m.topic.bytes.length + (m.end - m.payloadStart) + (m.properties === undefined ? 0 : m.properties.length)
}

function expiry(m: MessageView, ttl_s: number | undefined): number {
  if (ttl_s === undefined) return m.expiresAt
  const end = m.acceptedAt + ttl_s * 1000
  return m.expiresAt === 0 || m.expiresAt > end ? end : m.expiresAt
}

function planOf(m: Inbound): Plan {
  if (m.attachment instanceof Plan) return m.attachment
  const plan = new Plan()
  m.attachment = plan
  return plan
}
