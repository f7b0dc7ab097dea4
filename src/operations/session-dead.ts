/** Dead letters of sessions: where they are, and back into the session's own queue. */
import { AqueductError } from '../core/errors.js'
import type { Ground } from './ground.js'
import { show } from './ground.js'

const PREFIX = '$dead/session/'
/** What a message comes home with. The dead-letter queue does not keep the QoS it was on its way with. */
const QOS_1 = 1

export function deadOfSession(clientId: string): string {
  return `${PREFIX}${clientId}`
}

/** The client whose dead letters the queue `name` takes, or undefined. */
export function sessionOfDead(name: string): string | undefined {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : undefined
}

/** Sends them to the end of the session's queue, at QoS 1: each leaves here in the commit in which it arrives there. Throws `session_not_found`. */
export async function redriveSession(
  ground: Ground,
  clientId: string,
  o: { readonly max?: number },
): Promise<{ moved: number; homeless: number; full: boolean }> {
  const { ordered, stored } = ground
  const session = stored.sessions.get(clientId)
  if (session === undefined || !session.durable) throw sessionNotFound(clientId)
  const dead = ordered.get(deadOfSession(clientId))
  if (dead === undefined) return { moved: 0, homeless: 0, full: false }
  let full = false
  const moved = await ordered.redriveTo(dead, o.max ?? 1_000, (message) => {
    if (ground.stored !== stored || stored.sessions.get(clientId) !== session) return false
    stored.mailboxes.begin(message)
    const taken = stored.mailboxes.append(session.mailbox, QOS_1, false)
    full ||= !taken
    return taken
  })
  return { moved, homeless: 0, full }
}

export function sessionNotFound(clientId: string): AqueductError {
  return new AqueductError('session_not_found', `There is no session ${show(clientId)}.`)
}
