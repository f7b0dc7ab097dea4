/** Long lists, a page at a time, in the order of their names. */
import { PAGE_ITEMS_MAX } from '../core/limits.js'
import { whole } from './checks.js'

const PAGE_ITEMS_STANDARD = 100

export interface PageOptions {
  /** 1 to 1,000; default 100. */
  readonly limit?: number
  /** The name after which the page begins: the `next` of the page before. */
  readonly after?: string
  /** Only names that begin like this. */
  readonly prefix?: string
}

export interface Page<T> {
  readonly items: T[]
  /** Give it as `after` to see more; null at the end. */
  readonly next: string | null
}

/**
 * The items whose names come first behind `after`, sorted. One pass over all of them and memory for one page: what changes between two pages is
 * seen or not, but nothing that is there all the time is left out or comes twice.
 */
export function pageOf<T>(items: Iterable<T>, nameOf: (item: T) => string, o: PageOptions): Page<T> {
  const { after, prefix = '' } = o
  whole('limit', o.limit, 1, PAGE_ITEMS_MAX)
  const limit = o.limit ?? PAGE_ITEMS_STANDARD
  // One more than asked for, to know whether there is more.
  const found: T[] = []
  const names: string[] = []
  for (const item of items) {
    const name = nameOf(item)
    if ((after !== undefined && name <= after) || !name.startsWith(prefix)) continue
    if (names.length > limit && name >= (names[limit] as string)) continue
    const at = placeOf(names, name)
    names.splice(at, 0, name)
    found.splice(at, 0, item)
    if (names.length > limit + 1) {
      names.pop()
      found.pop()
    }
  }
  if (found.length <= limit) return { items: found, next: null }
  found.pop()
  return { items: found, next: names[limit - 1] as string }
}

function placeOf(sorted: readonly string[], name: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as string) < name) low = middle + 1
    else high = middle
  }
  return low
}
