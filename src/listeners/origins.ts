/**
 * Which web pages may open a WebSocket here. A browser lets any page connect to any address that its user can reach, this machine's own
 * included, and says in `Origin` where the page came from. Programs that are no browser send none and are taken: they are not
 * steered by a page.
 */
import { type Origin, parseOrigin } from '../core/origin.js'

/** True when a page of `origin` may connect to `host`: the two headers of the upgrade request, undefined when it has none. */
export type OriginRule = (origin: string | undefined, host: string | undefined) => boolean

/** Takes pages that came from the address they connect to, pages of this machine, and those in `allowed` (`*`: any). */
export function originRule(allowed: readonly string[]): OriginRule {
  if (allowed.includes('*')) return () => true
  const listed = new Set(allowed.map((text) => keyOf(parseOrigin(text))))
  return (text, host) => {
    if (text === undefined) return true
    const origin = parseOrigin(text)
    if (origin === undefined) return false
    return listed.has(keyOf(origin)) || (isWeb(origin) && (isLoopback(origin.hostname) || isOwn(origin, host)))
  }
}

const keyOf = (origin: Origin | undefined): string | undefined => origin && `${origin.scheme}://${origin.host}`

const isWeb = ({ scheme }: Origin): boolean => scheme === 'http' || scheme === 'https'

/** The origin's host and port are those of the request. Read with the origin's scheme: behind a proxy we do not know our own. */
function isOwn(origin: Origin, host: string | undefined): boolean {
  return host !== undefined && parseOrigin(`${origin.scheme}://${host}`)?.host === origin.host
}

/** `hostname` in normal form, so that four numbers are an address and no beginning of a name. */
function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
  )
}
