/** How long a session outlives its connection: what was asked for, what it gets, and the moment that follows from it. */
import type { BrokerSettings } from './settings.js'

/** A session expiry that never comes [MQTT 5.0 3.1.2.11.2]. */
export const NEVER_S = 0xffff_ffff

/** The expiry that a client gets which asks for `asked_s`. One that cannot say how long (3.1.1, not clean) asks for `NEVER_S`. */
export function heldExpiry(asked_s: number, { session_expiry_s }: BrokerSettings): number {
  return session_expiry_s === 0 || asked_s < session_expiry_s ? asked_s : session_expiry_s
}

/** The moment `seconds` from `now`; 0 when it never comes. */
export function momentIn(seconds: number, now: number): number {
  return seconds >= NEVER_S ? 0 : now + seconds * 1000
}
