/**
 * What must happen by time, without a timer per connection: connect timeout, keep alive, resending, the end of sessions, wills that
 * waited, retained messages that expired. One timer for all of them.
 */
import type { Timer } from '../core/clock.js'
import { Reason } from '../mqtt/constants.js'
import { authTimedOut } from './authenticating.js'
import { STALLED } from './input.js'
import type { BrokerState, Stored } from './state.js'

/** Grain of keep alive and connect timeout. */
const SWEEP_MS = 250
const SWEEPS_PER_RETRY = 4
/** How long packets of a client that has gone may wait for a hook or a commit. */
export const LEAVING_MS_MAX = 60_000

export function startSweep(state: BrokerState): Timer {
  let count = 0
  state.uptime_ms = state.clock.uptime_ms()
  return state.clock.every(SWEEP_MS, () => {
    state.uptime_ms = state.clock.uptime_ms()
    if (state.clock.look()) state.stored?.time.save()
    count++
    sweepConnections(state, count % SWEEPS_PER_RETRY === 0)
    if (state.stored !== null) sweepStored(state.stored)
  })
}

/** Moments that are stored: one look at the earliest of each kind unless something is due, and at some queues. */
function sweepStored({ sessions, wills, retained, fronts }: Stored): void {
  sessions.expire()
  wills.sweep()
  retained.expire()
  fronts.sweep()
}

function sweepConnections(state: BrokerState, retry: boolean): void {
  const now = state.uptime_ms
  const connect_ms = state.settings.connect_timeout_s * 1000
  for (const c of state.connections) {
    const silent_ms = now - c.heard_ms
    if (c.phase === 'waiting') {
      if (now - c.made_ms > connect_ms + SWEEP_MS) {
        state.stats.connectTimeouts++
        c.finish(new Error('connect did not arrive in time'))
        c.transport.destroy()
      }
    } else if (c.auth?.exchange && now - c.auth.begun_ms > connect_ms + SWEEP_MS) {
      state.stats.connectTimeouts++
      authTimedOut(c)
    } else if (c.leaving !== null) {
      if (now - c.leaving.since_ms > LEAVING_MS_MAX) c.finish(c.leaving.error)
    } else if (c.phase === 'connected') {
      // One and a half times what the client promised [MQTT-3.1.2-24], never less: `heard_ms` may be one sweep old. While we do not
      // read, its silence is ours, unless it is because the client does not take what we say.
      if (c.input.why !== 0) c.flush()
      if (c.keepalive_s > 0 && silent_ms > c.keepalive_s * 1500 + SWEEP_MS && (c.input.why & ~STALLED) === 0) {
        state.stats.keepaliveTimeouts++
        state.hooks.emit('keepaliveTimeout', c)
        c.end(Reason.keep_alive_timeout, new Error('keep alive timeout'))
      } else if (retry && (c.session?.mailboxIfAny?.inFlight ?? 0) > 0) c.session?.mailbox.retry()
    }
  }
}
