/** Lists that come in pages, and things that may not be there. */
import { RequestError } from './errors.js'
import type { Http } from './http.js'

/** Things in one page of a list. */
const PAGE = 1000

/** All `things` of `/v1/{things}`, or those whose name begins with `prefix`. */
export async function allOf<K extends string, T>(http: Http, things: K, prefix: string | undefined): Promise<T[]> {
  const all: T[] = []
  let after: string | undefined
  do {
    const query = { after, prefix, limit: PAGE }
    const { body } = await http.call<{ [name in K]: readonly T[] } & { next: string | null }>('GET', `/v1/${things}`, { query })
    all.push(...body[things])
    after = body.next ?? undefined
  } while (after !== undefined)
  return all
}

/** Undefined for a thing that is not there; any other error goes on. */
export function noneAt404(error: unknown): undefined {
  if (error instanceof RequestError && error.status === 404) return undefined
  throw error
}
