/**
 * How many sockets this process may have open. The store needs file descriptors at any moment (a new log file, a table), and a commit that gets none is a
 * commit that failed; so some are kept for it, and connections get the rest.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** What the process, its store and its listeners hold beside sockets, where that cannot be counted. */
const HELD = 40
/** Kept for the store: an eighth of all, between these. */
const KEPT_MIN = 32
const KEPT_MAX = 512
/** What the store and the listeners will open in a start that has just begun. */
const START = 16
const PLACES_MIN = 4

/** Infinity where the system does not say. */
export function socketPlaces(): number {
  return placesOf(limit(), held())
}

/** Of `allowed` descriptors, `held` are in use by now. */
export function placesOf(allowed: number, held: number): number {
  if (!Number.isFinite(allowed)) return Number.POSITIVE_INFINITY
  const kept = Math.min(KEPT_MAX, Math.max(KEPT_MIN, allowed >> 3))
  return Math.max(PLACES_MIN, allowed - held - START - kept)
}

function limit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

function held(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return HELD
  }
}
