/** The damage rig's verdict: what was acknowledged against what came and what was said. Pure, so that it can be tested by itself. */
import type { Came } from './actor.js'
import type { Drained } from './drain.js'
import type { Owner, Promised } from './promised.js'
import type { Said } from './said.js'

export const VIOLATIONS = [
  'altered', // a delivery, or a retained message, that nobody published like this
  'silent', // something acknowledged is missing, and nothing names it
  'too few', // it is named, with a smaller number than is missing
  'again', // what was taken for good comes again as new, or at QoS 2 at all
  'unasked', // delivered to somebody who has no right to it
  'signal', // the process ended by a signal
  'speechless', // the process ended without a sentence
  'changed', // a refused start changed files
  'wavers', // a second start says something else than the first
  'loop', // after a start that was accepted, the next does not start
  'hangs', // no end within the time
  'refuses', // healthy requests of clients are refused for good
] as const
export type Kind = (typeof VIOLATIONS)[number]

export interface Violation {
  kind: Kind
  text: string
}

interface Missing {
  ids: string[]
  /** Anything that a line may call them by. */
  names: string[]
}

/** Judges one drain. `said` is all that was said about the folder so far. */
export function judge(promised: Promised, drained: Drained, said: Said): Violation[] {
  const out: Violation[] = []
  const add = (kind: Kind, text: string): void => void out.push({ kind, text })
  const range = said.commits() > 0
  const came = new Map<Owner, Map<string, number>>()
  for (const one of drained.came) judgeOne(promised, one, came, said, range, add)
  for (const [owner, ids] of promised.owed) {
    const got = came.get(owner)
    const missing = [...ids].filter((id) => got?.has(id) !== true)
    if (missing.length > 0) judgeMissing(owner, { ids: missing, names: namesFor(promised, owner, missing) }, said, range, add)
  }
  for (const [topic, id] of promised.retained) {
    const got = drained.retained.get(topic)
    if (drained.retained.has(topic) && got === undefined) add('altered', `retained ${topic}`)
    else if (got !== id && !promised.unsure.has(topic))
      judgeMissing(`retained ${topic} (${got ?? 'none'})`, { ids: [id], names: [topic] }, said, range, add)
  }
  const absent = (what: string, names: readonly string[]): void => {
    for (const name of names)
      if (!range && !said.about([name, `${what} ${name}`, `${what}/${name}`]).named) add('silent', `${what} ${name} is absent`)
  }
  absent('session', drained.sessions_absent)
  absent('queue', drained.queues_absent)
  absent('bridge', drained.rules_absent)
  for (const text of drained.refused.slice(0, 3)) add('refuses', text)
  return out
}

/** `session one` may be called so, or `one`, or `session/one`; a will may be called by its client, a message by its topic. */
function namesFor(promised: Promised, owner: Owner, ids: readonly string[]): string[] {
  const [kind, name] = owner.split(' ')
  const names = [owner, name, `${kind}/${name}`, `$${kind}/${name}`]
  for (const id of ids) {
    const client = promised.wills.get(id)
    if (client !== undefined) names.push(client)
  }
  return names
}

type Add = (kind: Kind, text: string) => void

function judgeMissing(what: string, { ids, names }: Missing, said: Said, range: boolean, add: Add): void {
  if (range) return
  const { named, count } = said.about(names)
  const list = `${ids.length} of ${what}: ${ids.slice(0, 4).join(' ')}`
  if (!named) add('silent', list)
  else if (count === undefined || count < ids.length) add('too few', `${list}; said ${count ?? 'no number'}`)
}

function judgeOne(
  promised: Promised,
  one: Came,
  came: Map<Owner, Map<string, number>>,
  said: Said,
  range: boolean,
  add: Add,
): void {
  const { owner, id } = one
  const sent = id === undefined ? undefined : promised.messages.get(id)
  if (id === undefined || sent === undefined) {
    add('altered', `${owner}: a payload on ${one.topic}`)
    return
  }
  const [kind, name] = owner.split(' ')
  if (sent.topic !== one.topic) add('altered', `${owner}: ${id} on ${one.topic} instead of ${sent.topic}`)
  if (kind === 'queue' && sent.key !== one.key && !promised.rules.has(`all-${sent.topic[0]}`))
    add('altered', `${owner}: ${id} has the key ${one.key}`)
  if (kind === 'queue' && sent.priority !== one.priority) add('altered', `${owner}: ${id} has priority ${one.priority}`)
  let counts = came.get(owner)
  if (counts === undefined) {
    counts = new Map()
    came.set(owner, counts)
  }
  const before = counts.get(id) ?? 0
  counts.set(id, before + 1)
  const twice = before > 0 || promised.settled.get(owner)?.has(id) === true
  const excused = range || said.about(namesFor(promised, owner, [id])).named
  if (twice && !excused && (one.qos === 2 || !one.again))
    add('again', `${owner}: ${id} at QoS ${one.qos}${one.again ? ', DUP' : ''}`)
  if (promised.owed.get(owner)?.has(id) !== true && !twice && !mayCome(promised, kind, name, sent.topic))
    add('unasked', `${owner}: ${id} on ${one.topic}`)
}

/** A message that was never acknowledged may come to whoever would have been owed it. */
function mayCome(promised: Promised, kind: string, name: string, topic: string): boolean {
  if (kind === 'session') return promised.grants(name, topic) > 0
  return topic.startsWith(`q/${name}/`) || [...promised.rules.values()].some((rule) => rule.queue === name)
}
