/**
 * `mqtt.deny_subscribe`: filters whose topics no client gets by subscribing.
 *
 * Always true: a filter that can match nothing else is refused; a wider one is granted, as by other brokers, and gets the rest. So the setting holds
 * whatever was subscribed before it was made.
 */
import { matches, sharedFilter } from '../topics/names.js'

const QUEUE = '$queue/'

/** Nobody may subscribe `filter`, by way of a group or a queue either. */
export function isDeniedFilter(denied: readonly string[], filter: string): boolean {
  if (denied.length === 0) return false
  const inner = innerFilter(filter)
  return denied.some((one) => covers(one, filter) || covers(one, inner))
}

export function isDeniedTopic(denied: readonly string[], topic: string): boolean {
  for (const one of denied) if (matches(one, topic)) return true
  return false
}

/** `wide` matches every topic that `filter` matches; both are valid. */
function covers(wide: string, filter: string): boolean {
  if (!matches(wide, filter)) return false
  // Taken for a topic, the last level of `a/#` is one level; it stands for none, too, and for many.
  return !filter.endsWith('#') || (wide.endsWith('#') && levels(wide) <= levels(filter))
}

/** What a group shares, or what fills a queue; else the filter itself. */
function innerFilter(filter: string): string {
  if (filter.startsWith(QUEUE)) {
    const slash = filter.indexOf('/', QUEUE.length)
    return slash < 0 ? filter : filter.slice(slash + 1)
  }
  return sharedFilter(filter)?.filter ?? filter
}

function levels(filter: string): number {
  return filter.split('/').length
}
