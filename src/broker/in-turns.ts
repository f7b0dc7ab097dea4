/** Work of one packet that may be long: done in parts, with a turn for everybody else between two of them. */
import { PacketFault } from '../mqtt/faults.js'
import type { Connection } from './connection.js'
import { WORKS } from './input.js'

/**
 * Calls `step` until it says that all is done, then `done`. The first part is done at once, so that short work never waits; while there is more, nothing
 * else that this client sent is handled. A connection that ends takes its work with it.
 */
export function inTurns(c: Connection, step: () => boolean, done: () => void): void {
  if (step()) {
    done()
    return
  }
  c.suspend(WORKS)
  const go = (): void => {
    if (c.phase === 'closed') return
    try {
      if (!step()) {
        setImmediate(go)
        return
      }
      done()
    } catch (error) {
      if (!(error instanceof PacketFault)) throw error
      c.fault(error.reason, error.text)
      return
    }
    c.resume(WORKS)
  }
  setImmediate(go)
}
