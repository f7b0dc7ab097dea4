/** What a connection that ends does with the session and the will it had. */
import type { Connection, Phase } from './connection.js'

/**
 * The session goes on without it, or ends; the will goes out, or is dropped when CONNECT was never accepted. Returns the filters that end with the session,
 * null for none.
 */
export function leaveSession(c: Connection, was: Phase): string[] | null {
  const { session, lastWill: will } = c
  const { stored } = c.state
  c.lastWill = null
  const filters = session === null || session.outlives ? null : session.filters
  const left = filters === null || filters.size === 0 ? null : [...filters.keys()]
  c.session = null
  if (session !== null && session.connection === c) stored?.sessions.detach(session)
  if (will !== null && was === 'connected') stored?.wills.end(will, c)
  else if (will !== null) stored?.wills.drop(will)
  return left
}
